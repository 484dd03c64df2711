//! The server's side of SCRAM (RFC 5802): messages in, messages out, whatever carries them.
//!
//! ```text
//!  client first ─► ClientFirst::parse ─► user ─► (its Credential) ─► Challenge ─► server first
//!  client final ───────────────────────────────────────────────────► finish ─────► server final, or an error
//! ```
//!
//! Neither side shows the other its password: the client proves that it knows the client key, the server that it knows
//! the server key, both over everything that was said before.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::verifier::{Mechanism, Verifier, random, same};

/// A message that is longer is no SCRAM message.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
const NONCE_BYTES: usize = 18;

/// Why a client was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// Not the protocol.
    #[error("malformed SCRAM message ({0})")]
    Malformed(&'static str),
    /// The client thinks that there is no channel binding although it was offered: somebody in between may have hidden it.
    #[error("SCRAM channel binding negotiation error")]
    Downgrade,
    /// The client is at the other end of another TLS connection than ours.
    #[error("SCRAM channel binding check failed")]
    WrongChannel,
    /// The password is wrong, or there is no such user.
    #[error("password authentication failed")]
    WrongPassword,
}

/// How far the exchange is tied to the TLS connection that it goes through.
#[derive(Debug, Clone, Copy)]
pub enum Binding<'a> {
    /// It is not, and the client was not told that it could be.
    NotOffered,
    /// It was offered, but the client chose the mechanism without it.
    Declined,
    /// It is: to `tls-server-end-point`, the hash of the server's certificate.
    EndPoint(&'a [u8]),
}

/// What a user's password is checked against.
#[derive(Debug, Clone)]
pub struct Credential {
    pub(super) verifier: Verifier,
    /// Whether there is such a user; if not, everything happens as if there were, and fails.
    pub(super) exists: bool,
}

/// A client's first message.
#[derive(Debug)]
pub struct ClientFirst {
    user: String,
    nonce: String,
    /// What the client's last message must repeat, decoded: its first header and what binds it to the channel.
    binding: Vec<u8>,
    /// The message without its header.
    bare: String,
}

impl ClientFirst {
    /// Reads the message.
    ///
    /// # Errors
    /// When it is malformed, or does not agree with what was offered.
    pub fn parse(message: &[u8], binding: Binding<'_>) -> Result<Self, ScramError> {
        let text = text(message)?;
        let (flag, rest) = text
            .split_once(',')
            .ok_or(ScramError::Malformed("no header"))?;
        let (identity, bare) = rest
            .split_once(',')
            .ok_or(ScramError::Malformed("no header"))?;
        let end_point: &[u8] = match (flag, binding) {
            ("n", Binding::NotOffered | Binding::Declined) | ("y", Binding::NotOffered) => &[],
            ("y", Binding::Declined) => return Err(ScramError::Downgrade),
            ("p=tls-server-end-point", Binding::EndPoint(hash)) => hash,
            _ => return Err(ScramError::Malformed("unexpected channel binding")),
        };
        if !identity.is_empty() {
            return Err(ScramError::Malformed("another identity is asked for"));
        }
        let mut binding = format!("{flag},{identity},").into_bytes();
        binding.extend_from_slice(end_point);
        let mut attributes = bare.split(',');
        // A mandatory extension (m=) would stand here; there is none that we know.
        let user = attribute(attributes.next(), "n=", "no user")?;
        let nonce = attribute(attributes.next(), "r=", "no nonce")?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Malformed("nonce is not printable"));
        }
        if attributes.any(|extension| extension.starts_with("tokenauth=true")) {
            return Err(ScramError::Malformed("delegation tokens are not known"));
        }
        Ok(Self {
            user: unescape(user)?,
            nonce: nonce.to_owned(),
            binding,
            bare: bare.to_owned(),
        })
    }

    /// Who the client says it is. Protocols that have said so before leave it empty.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The answer, and what the next message is to be checked with.
    pub fn challenge(self, credential: Credential) -> Challenge {
        self.challenge_with(credential, &BASE64_STANDARD.encode(random::<NONCE_BYTES>()))
    }

    fn challenge_with(self, credential: Credential, our_nonce: &str) -> Challenge {
        let nonce = format!("{}{our_nonce}", self.nonce);
        let verifier = &credential.verifier;
        let message = format!(
            "r={nonce},s={},i={}",
            BASE64_STANDARD.encode(&verifier.salt),
            verifier.iterations
        );
        Challenge {
            said: format!("{},{message}", self.bare),
            message,
            nonce,
            binding: self.binding,
            credential,
        }
    }
}

/// The server's first message, and the state after it.
#[derive(Debug)]
pub struct Challenge {
    message: String,
    /// Both sides' messages so far.
    said: String,
    nonce: String,
    binding: Vec<u8>,
    credential: Credential,
}

impl Challenge {
    /// What the client is to be sent.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Checks the client's last message; gives the server's.
    ///
    /// # Errors
    /// When the client does not know the password, or the message is malformed.
    pub fn finish(self, message: &[u8]) -> Result<String, ScramError> {
        let text = text(message)?;
        let (unsigned, proof) = text
            .rsplit_once(",p=")
            .ok_or(ScramError::Malformed("no proof"))?;
        let mut attributes = unsigned.split(',');
        let binding = attribute(attributes.next(), "c=", "no channel binding")?;
        let nonce = attribute(attributes.next(), "r=", "no nonce")?;
        let binding = BASE64_STANDARD
            .decode(binding)
            .map_err(|_| ScramError::Malformed("channel binding is not Base64"))?;
        if binding != self.binding {
            return Err(ScramError::WrongChannel);
        }
        if nonce != self.nonce {
            return Err(ScramError::Malformed("another nonce"));
        }
        let Verifier {
            mechanism,
            stored_key,
            server_key,
            ..
        } = &self.credential.verifier;
        let mut proof = BASE64_STANDARD
            .decode(proof)
            .map_err(|_| ScramError::Malformed("proof is not Base64"))?;
        if proof.len() != mechanism.bytes() {
            return Err(ScramError::Malformed("length of the proof"));
        }
        let said = format!("{},{unsigned}", self.said);
        let signature = mechanism.hmac(stored_key, said.as_bytes());
        // The proof is the client key, hidden by the signature.
        for (byte, mask) in proof.iter_mut().zip(signature.as_ref()) {
            *byte ^= mask;
        }
        let right = same(mechanism.hash(&proof).as_ref(), stored_key);
        let ours = mechanism.hmac(server_key, said.as_bytes());
        if right && self.credential.exists {
            Ok(format!("v={}", BASE64_STANDARD.encode(ours)))
        } else {
            Err(ScramError::WrongPassword)
        }
    }

    /// The mechanism.
    pub fn mechanism(&self) -> Mechanism {
        self.credential.verifier.mechanism
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::Malformed("too long"));
    }
    match std::str::from_utf8(message) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(ScramError::Malformed("not text")),
    }
}

fn attribute<'a>(
    text: Option<&'a str>,
    name: &str,
    missing: &'static str,
) -> Result<&'a str, ScramError> {
    text.and_then(|text| text.strip_prefix(name))
        .ok_or(ScramError::Malformed(missing))
}

/// `=2C` is a comma and `=3D` an equals sign; nothing else begins with one.
fn unescape(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (char, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return Err(ScramError::Malformed("name of the user")),
        };
        plain.push(char);
        plain.push_str(rest);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests;
