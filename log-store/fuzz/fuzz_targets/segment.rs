//! The segment reader over arbitrary bytes, as they are and with checksums put right: it reads a prefix of batches and
//! never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for _ in 0..2 {
        let (batches, _) = log_store::scan_batches(&bytes.clone().into());
        batches.iter().for_each(log_store_fuzz::look_at);
        log_store_fuzz::seal(&mut bytes);
    }
});
