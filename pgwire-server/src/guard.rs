//! What can stop a statement while it runs: a cancel request, its time-out, the server's end, the client's
//! disappearance, a panic.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use engine::Error;
use engine::error::CancelReason;
use futures::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Report};
use crate::socket::Input;
use crate::sqlstate;

/// Watches over one statement.
pub struct Guard {
    /// Cancelled by a cancel request.
    pub cancelled: CancellationToken,
    /// Stops the engine's own threads.
    pub engine: CancellationToken,
    pub deadline: Option<Instant>,
    pub shutdown: CancellationToken,
}

impl Guard {
    /// Whether something has happened already.
    pub fn check(&self) -> Result<(), Failure> {
        if self.cancelled.is_cancelled() {
            return Err(self.stop(cancelled(CancelReason::User)));
        }
        if self.shutdown.is_cancelled() {
            return Err(self.stop(Error::ShuttingDown.into()));
        }
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Err(self.stop(cancelled(CancelReason::StatementTimeout)));
        }
        Ok(())
    }

    /// Runs a future until it is done or something stops it. What the client sends meanwhile is kept.
    pub async fn run<F: Future>(&self, input: &mut Input, future: F) -> Result<F::Output, Failure> {
        let failure = tokio::select! {
            biased;
            () = self.cancelled.cancelled() => cancelled(CancelReason::User),
            () = self.shutdown.cancelled() => Error::ShuttingDown.into(),
            () = sleep_until(self.deadline) => cancelled(CancelReason::StatementTimeout),
            result = AssertUnwindSafe(future).catch_unwind() => match result {
                Ok(output) => return Ok(output),
                Err(panic) => panicked(panic.as_ref()),
            },
            () = input.closed() => Failure::Disconnected,
        };
        Err(self.stop(failure))
    }

    /// As [`Guard::run`], but the client is heard by the future itself.
    pub async fn run_reading<F: Future>(&self, future: F) -> Result<F::Output, Failure> {
        let failure = tokio::select! {
            biased;
            () = self.cancelled.cancelled() => cancelled(CancelReason::User),
            () = self.shutdown.cancelled() => Error::ShuttingDown.into(),
            () = sleep_until(self.deadline) => cancelled(CancelReason::StatementTimeout),
            output = future => return Ok(output),
        };
        Err(self.stop(failure))
    }

    fn stop(&self, failure: Failure) -> Failure {
        self.engine.cancel();
        failure
    }
}

fn cancelled(reason: CancelReason) -> Failure {
    Error::Cancelled(reason).into()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A panic is our bug; the client learns that much, the log learns the rest.
pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned());
    tracing::error!(%message, "a statement panicked");
    Report::new(
        sqlstate::INTERNAL_ERROR,
        format!("internal error: {message}"),
    )
    .with_hint("This is a bug. The statement was stopped, everything else goes on.")
    .into()
}
