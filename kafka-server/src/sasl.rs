//! Logging in: SaslHandshake and SaslAuthenticate, with the users of the PostgreSQL port.
//!
//! ```text
//!  Start ─SaslHandshake(mechanism)─► Chosen ─SaslAuthenticate─► (SCRAM: Challenged ─SaslAuthenticate─►) Done
//! ```
//!
//! Anything else ends the connection. After version 0 of SaslHandshake a client sends its tokens bare, without the header
//! of a request, and is answered likewise.

use std::sync::Arc;

use bytes::Bytes;
use engine::Engine;
use engine::auth::Mechanism;
use engine::auth::scram::{Binding, Challenge, ClientFirst, ScramError};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

/// A frame of a client that has not logged in yet, at most.
pub const LOGIN_FRAME_BYTES_MAX: usize = 64 << 10;

const PLAIN: &str = "PLAIN";

/// How far a connection has come with logging in.
pub struct Sasl {
    engine: Arc<Engine>,
    /// Whether nothing else is answered before.
    required: bool,
    /// Whether a password may be sent as it is.
    plain: bool,
    state: State,
    /// Whether tokens come bare.
    bare: bool,
}

enum State {
    Start,
    Chosen(Method),
    Challenged {
        user: String,
        challenge: Box<Challenge>,
    },
    Done {
        user: String,
    },
    Failed,
}

#[derive(Clone, Copy)]
enum Method {
    Plain,
    Scram(Mechanism),
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Plain => PLAIN,
            Method::Scram(mechanism) => mechanism.name(),
        }
    }
}

/// Why a client was not let in, as it is told.
struct Refusal(ResponseError, String);

impl Sasl {
    /// A connection's beginning. `plain` tells whether passwords may be sent as they are: nobody else can read them, or
    /// the one who runs the server does not mind.
    pub fn new(engine: Arc<Engine>, plain: bool) -> Self {
        Self {
            required: engine.asks_for_passwords(),
            engine,
            plain,
            state: State::Start,
            bare: false,
        }
    }

    /// Whether requests are answered now.
    pub fn is_open(&self) -> bool {
        match self.state {
            State::Done { .. } => true,
            State::Start | State::Chosen(_) | State::Challenged { .. } => !self.required,
            State::Failed => false,
        }
    }

    /// Whether this request is answered now. If not, the connection is to be closed.
    pub fn allows(&self, api: ApiKey) -> bool {
        self.is_open()
            || matches!(
                api,
                ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate
            )
    }

    /// Whether the connection is to be closed as soon as the answer is sent.
    pub fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Whether the next frame is a token for [`Self::token`], not a request.
    pub fn expects_token(&self) -> bool {
        self.bare && matches!(self.state, State::Chosen(_) | State::Challenged { .. })
    }

    /// Who has logged in.
    pub fn user(&self) -> Option<&str> {
        match &self.state {
            State::Done { user } => Some(user),
            _ => None,
        }
    }

    /// Answers SaslHandshake.
    pub fn handshake(
        &mut self,
        request: &SaslHandshakeRequest,
        version: i16,
    ) -> SaslHandshakeResponse {
        let offered = self.offered().into_iter().map(StrBytes::from_static_str);
        let response = SaslHandshakeResponse::default().with_mechanisms(offered.collect());
        match self.state {
            State::Start => {}
            // Logging in again would be for sessions that expire, which ours do not.
            State::Done { .. } => {
                return response.with_error_code(ResponseError::IllegalSaslState.code());
            }
            State::Chosen(_) | State::Challenged { .. } | State::Failed => {
                self.state = State::Failed;
                return response.with_error_code(ResponseError::IllegalSaslState.code());
            }
        }
        let mechanism: &str = &request.mechanism;
        let method = match Mechanism::of_name(mechanism) {
            Some(mechanism) => Method::Scram(mechanism),
            None if mechanism == PLAIN && self.plain => Method::Plain,
            None => {
                self.state = State::Failed;
                return response.with_error_code(ResponseError::UnsupportedSaslMechanism.code());
            }
        };
        self.bare = version == 0;
        self.state = State::Chosen(method);
        response
    }

    fn offered(&self) -> Vec<&'static str> {
        let mut offered: Vec<_> = Mechanism::ALL.iter().map(|one| one.name()).collect();
        if self.plain {
            offered.push(PLAIN);
        }
        offered
    }

    /// Answers SaslAuthenticate.
    pub async fn authenticate(
        &mut self,
        request: &SaslAuthenticateRequest,
    ) -> SaslAuthenticateResponse {
        let response = SaslAuthenticateResponse::default();
        match self.step(&request.auth_bytes).await {
            Ok(answer) => response.with_auth_bytes(answer),
            Err(Refusal(error, message)) => response
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message))),
        }
    }

    /// Answers a bare token. A client that is not let in gets no answer.
    pub async fn token(&mut self, token: &[u8]) -> Option<Bytes> {
        self.step(token).await.ok()
    }

    async fn step(&mut self, message: &[u8]) -> Result<Bytes, Refusal> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Chosen(Method::Plain) => {
                let (user, password) = plain_message(message).ok_or_else(|| {
                    Refusal(
                        ResponseError::SaslAuthenticationFailed,
                        "malformed PLAIN message".to_owned(),
                    )
                })?;
                if !self.engine.is_password(user, password).await {
                    return Err(refused(user, Method::Plain, ScramError::WrongPassword));
                }
                self.enter(user.to_owned(), Method::Plain)?;
                Ok(Bytes::new())
            }
            State::Chosen(Method::Scram(mechanism)) => {
                // Kafka's clients know no channel binding.
                let first = ClientFirst::parse(message, Binding::NotOffered)
                    .map_err(|error| refused("", Method::Scram(mechanism), error))?;
                let user = first.user().to_owned();
                let challenge = first.challenge(self.engine.credential(&user, mechanism));
                let answer = Bytes::copy_from_slice(challenge.message().as_bytes());
                let challenge = Box::new(challenge);
                self.state = State::Challenged { user, challenge };
                Ok(answer)
            }
            State::Challenged { user, challenge } => {
                let method = Method::Scram(challenge.mechanism());
                let verdict = challenge
                    .finish(message)
                    .map_err(|error| refused(&user, method, error))?;
                self.enter(user, method)?;
                Ok(verdict.into())
            }
            before @ (State::Start | State::Done { .. } | State::Failed) => {
                // Who need not log in, or has done so, loses nothing by asking.
                if !self.required || matches!(before, State::Done { .. }) {
                    self.state = before;
                }
                Err(Refusal(
                    ResponseError::IllegalSaslState,
                    "SaslAuthenticate without SaslHandshake".to_owned(),
                ))
            }
        }
    }

    /// Lets in a user who has proved who it is.
    fn enter(&mut self, user: String, method: Method) -> Result<(), Refusal> {
        if !self.engine.may_log_in(&user) {
            return Err(refused(&user, method, ScramError::WrongPassword));
        }
        tracing::debug!(user, mechanism = method.name(), "logged in");
        self.state = State::Done { user };
        Ok(())
    }
}

/// What Kafka says, so that nobody learns who exists.
fn refused(user: &str, method: Method, error: ScramError) -> Refusal {
    tracing::warn!(user, mechanism = method.name(), "could not log in");
    let message = match error {
        ScramError::WrongPassword => format!(
            "Authentication failed during authentication due to invalid credentials with SASL mechanism {}",
            method.name()
        ),
        ScramError::Malformed(_) | ScramError::Downgrade | ScramError::WrongChannel => {
            error.to_string()
        }
    };
    Refusal(ResponseError::SaslAuthenticationFailed, message)
}

/// message = identity · 0 · user · 0 · password (RFC 4616); another identity than the user's is for nobody to have.
fn plain_message(message: &[u8]) -> Option<(&str, &str)> {
    let mut parts = message.split(|byte| *byte == 0).map(std::str::from_utf8);
    let (identity, user, password) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    let fits = parts.next().is_none()
        && (identity.is_empty() || identity == user)
        && !user.is_empty()
        && !password.is_empty();
    fits.then_some((user, password))
}

#[cfg(test)]
mod tests;
