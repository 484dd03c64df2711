//! The allocator, and giving back what it keeps.
//!
//! mimalloc returns memory to the system only while something is allocated, so after a burst a quiet
//! server would keep what the burst needed for ever.

#![expect(
    unsafe_code,
    reason = "the allocator's own functions are those of a C library"
)]

use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long free memory is kept for whoever wants it next, at most.
const KEPT: Duration = Duration::from_secs(5);

/// Gives free memory back to the system from time to time, until it is dropped.
pub async fn give_back() {
    loop {
        tokio::time::sleep(KEPT).await;
        let _ = tokio::task::spawn_blocking(collect).await;
    }
}

fn collect() {
    // SAFETY: may be called at any time and by any thread; it frees nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
