//! The segment reader over arbitrary bytes: it must read a prefix of batches and never panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = log_store::scan_batches(&bytes.to_vec().into());
});
