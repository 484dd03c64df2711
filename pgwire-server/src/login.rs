//! Asking a client for its password: SASL with SCRAM-SHA-256, bound to the TLS connection where there is one.
//!
//! ```text
//!  mechanisms ─►  ◄─ one of them, client first   server first ─►  ◄─ client final   server final ─► ok
//! ```

use bytes::Bytes;
use engine::Engine;
use engine::auth::Mechanism;
use engine::auth::scram::{Binding, ClientFirst, ScramError};

use crate::failure::Failure;
use crate::socket::Wire;
use crate::sqlstate;
use crate::wire::backend;
use crate::wire::frontend;

const PLAIN: &str = "SCRAM-SHA-256";
const BOUND: &str = "SCRAM-SHA-256-PLUS";

/// Lets the user in or fails, and takes as long for users who do not exist.
pub async fn authenticate(engine: &Engine, wire: &mut Wire, user: &str) -> Result<(), Failure> {
    let result = exchange(engine, wire, user).await;
    let peer = wire.peer;
    match &result {
        Ok(()) => tracing::info!(user, %peer, "logged in"),
        // It need not be an attack: psql tries without a password first.
        Err(Failure::Disconnected) => tracing::debug!(user, %peer, "gone while logging in"),
        Err(_) => tracing::warn!(user, %peer, "could not log in"),
    }
    result
}

async fn exchange(engine: &Engine, wire: &mut Wire, user: &str) -> Result<(), Failure> {
    let end_point = wire.end_point.clone();
    let offered: &[&str] = match end_point {
        Some(_) => &[BOUND, PLAIN],
        None => &[PLAIN],
    };
    backend::authentication_sasl(&mut wire.output.buffer, offered);
    let answer = message(wire).await?;
    let (mechanism, first) = frontend::sasl_initial_response(answer)?;
    let binding = match (mechanism.as_str(), &end_point) {
        (BOUND, Some(hash)) => Binding::EndPoint(hash),
        (PLAIN, Some(_)) => Binding::Declined,
        (PLAIN, None) => Binding::NotOffered,
        _ => {
            return Err(Failure::session(
                sqlstate::PROTOCOL_VIOLATION,
                "client selected an invalid SASL authentication mechanism",
            ));
        }
    };
    // A client may wait with its first message until it is asked.
    let first = match first {
        Some(first) => first,
        None => {
            backend::authentication_sasl_continue(&mut wire.output.buffer, "");
            message(wire).await?
        }
    };
    let failed = |error| failure(error, user);
    // The name in the start-up message counts, as in PostgreSQL.
    let challenge = ClientFirst::parse(&first, binding)
        .map_err(failed)?
        .challenge(engine.credential(user, Mechanism::Sha256));
    backend::authentication_sasl_continue(&mut wire.output.buffer, challenge.message());
    let last = message(wire).await?;
    let verdict = challenge.finish(&last).map_err(failed)?;
    if !engine.may_log_in(user) {
        return Err(Failure::session(
            sqlstate::INVALID_AUTHORIZATION,
            format!("role \"{user}\" is not permitted to log in"),
        ));
    }
    backend::authentication_sasl_final(&mut wire.output.buffer, &verdict);
    Ok(())
}

/// Sends what was written, and waits for the client's next message.
async fn message(wire: &mut Wire) -> Result<Bytes, Failure> {
    wire.output.flush().await?;
    Ok(wire.input.login_message().await?)
}

fn failure(error: ScramError, user: &str) -> Failure {
    match error {
        ScramError::WrongPassword => Failure::session(
            sqlstate::INVALID_PASSWORD,
            format!("password authentication failed for user \"{user}\""),
        ),
        ScramError::WrongChannel => {
            Failure::session(sqlstate::INVALID_AUTHORIZATION, error.to_string())
        }
        ScramError::Malformed(_) | ScramError::Downgrade => {
            Failure::session(sqlstate::PROTOCOL_VIOLATION, error.to_string())
        }
    }
}
