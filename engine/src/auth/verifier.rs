//! What is kept of a password: enough to check it and to prove to the client that it is known, not enough to log in with.
//!
//! verifier = mechanism `$` iterations `:` salt `$` stored key `:` server key, the last three in Base64: PostgreSQL's own
//! spelling, so that verifiers can be taken over from there.
//!
//! ```text
//!  password ─PBKDF2(salt, iterations)─► salted password ─┬─HMAC "Client Key"─► client key ─hash─► stored key
//!                                                        └─HMAC "Server Key"─────────────────────► server key
//! ```

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Serialize};

/// How often the hash is applied to a new password: what PostgreSQL does, and the least that RFC 7677 allows.
pub const ITERATIONS: u32 = 4096;
/// More than this is a mistake, or an attempt to keep us busy.
const ITERATIONS_MAX: u32 = 10_000_000;
const SALT_BYTES: usize = 16;
const SALT_BYTES_MAX: usize = 256;

/// A family of hash functions for passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
    /// SCRAM-SHA-512, as Kafka has it.
    Sha512,
}

impl Mechanism {
    /// Both.
    pub const ALL: [Mechanism; 2] = [Mechanism::Sha256, Mechanism::Sha512];

    /// Its name in SASL.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Mechanism::Sha256 => &digest::SHA256,
            Mechanism::Sha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Mechanism::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Mechanism::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    pub(super) fn hmac(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Mechanism::Sha256 => hmac::HMAC_SHA256,
            Mechanism::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message)
    }

    pub(super) fn hash(self, bytes: &[u8]) -> digest::Digest {
        digest::digest(self.digest(), bytes)
    }

    /// Length of its hashes.
    pub(super) fn bytes(self) -> usize {
        self.digest().output_len()
    }
}

/// See the module's text. Its `Debug` shows no part of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Verifier {
    pub(super) mechanism: Mechanism,
    pub(super) iterations: NonZeroU32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

impl Verifier {
    /// The verifier of a password, with a salt of its own. Takes some milliseconds.
    pub fn of_password(mechanism: Mechanism, password: &str) -> Self {
        Self::derive(mechanism, password, random::<SALT_BYTES>(), ITERATIONS)
    }

    pub(super) fn derive(
        mechanism: Mechanism,
        password: &str,
        salt: impl Into<Vec<u8>>,
        iterations: u32,
    ) -> Self {
        let salt = salt.into();
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let (stored_key, server_key) = keys(mechanism, password, &salt, iterations);
        Self {
            mechanism,
            iterations,
            salt,
            stored_key,
            server_key,
        }
    }

    /// A verifier that no password has, for a user that does not exist: always the same for the same name, so that
    /// nobody learns from it who exists.
    pub(super) fn mock(mechanism: Mechanism, secret: &[u8], user: &str) -> Self {
        let part = |purpose: &str| {
            let message = format!("{purpose} {} {user}", mechanism.name());
            mechanism.hmac(secret, message.as_bytes()).as_ref().to_vec()
        };
        let mut salt = part("salt");
        salt.truncate(SALT_BYTES);
        Self {
            mechanism,
            iterations: NonZeroU32::new(ITERATIONS).expect("a constant above zero"),
            salt,
            stored_key: part("stored key"),
            server_key: part("server key"),
        }
    }

    /// Its mechanism.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether it is this password's. Takes some milliseconds.
    pub fn matches(&self, password: &str) -> bool {
        let (stored_key, _) = keys(self.mechanism, password, &self.salt, self.iterations);
        same(&stored_key, &self.stored_key)
    }

    /// Reads the spelling of a verifier; `None` if the text is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let mechanism = Mechanism::of_name(parts.next()?)?;
        let (iterations, salt) = parts.next()?.split_once(':')?;
        let (stored_key, server_key) = parts.next()?.split_once(':')?;
        if parts.next().is_some() {
            return None;
        }
        let iterations: NonZeroU32 = iterations.parse().ok()?;
        let bytes = |text: &str| BASE64_STANDARD.decode(text).ok();
        let verifier = Self {
            mechanism,
            iterations,
            salt: bytes(salt)?,
            stored_key: bytes(stored_key)?,
            server_key: bytes(server_key)?,
        };
        let fits = iterations.get() <= ITERATIONS_MAX
            && (1..=SALT_BYTES_MAX).contains(&verifier.salt.len())
            && verifier.stored_key.len() == mechanism.bytes()
            && verifier.server_key.len() == mechanism.bytes();
        fits.then_some(verifier)
    }
}

impl TryFrom<String> for Verifier {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // The message must not hold the text.
        Self::parse(&text).ok_or("not a verifier of a password")
    }
}

impl From<Verifier> for String {
    fn from(verifier: Verifier) -> Self {
        format!(
            "{}${}:{}${}:{}",
            verifier.mechanism.name(),
            verifier.iterations,
            BASE64_STANDARD.encode(&verifier.salt),
            BASE64_STANDARD.encode(&verifier.stored_key),
            BASE64_STANDARD.encode(&verifier.server_key),
        )
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({})", self.mechanism.name())
    }
}

/// The stored key and the server key.
fn keys(
    mechanism: Mechanism,
    password: &str,
    salt: &[u8],
    iterations: NonZeroU32,
) -> (Vec<u8>, Vec<u8>) {
    let password = prepare(password);
    let mut salted = vec![0; mechanism.bytes()];
    pbkdf2::derive(
        mechanism.pbkdf2(),
        iterations,
        salt,
        password.as_bytes(),
        &mut salted,
    );
    let client_key = mechanism.hmac(&salted, b"Client Key");
    let stored_key = mechanism.hash(client_key.as_ref()).as_ref().to_vec();
    let server_key = mechanism.hmac(&salted, b"Server Key").as_ref().to_vec();
    (stored_key, server_key)
}

/// SASLprep (RFC 4013); a text that it does not allow is taken as it is, as PostgreSQL does.
fn prepare(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password))
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && std::hint::black_box(
            left.iter()
                .zip(right)
                .fold(0, |difference, (left, right)| difference | (left ^ right)),
        ) == 0
}

/// Bytes that nobody can guess.
pub(super) fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system has random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_its_password_and_no_other() {
        for mechanism in Mechanism::ALL {
            let verifier = Verifier::of_password(mechanism, "pencil");
            assert!(verifier.matches("pencil"));
            assert!(!verifier.matches("Pencil"));
            assert!(!verifier.matches(""));
            assert_ne!(verifier, Verifier::of_password(mechanism, "pencil"));
            assert!(!Verifier::mock(mechanism, b"secret", "me").matches("pencil"));
        }
    }

    #[test]
    fn spelling_survives_and_shows_no_secret() {
        for mechanism in Mechanism::ALL {
            let verifier = Verifier::of_password(mechanism, "pencil");
            let text = String::from(verifier.clone());
            assert_eq!(Verifier::parse(&text), Some(verifier.clone()));
            assert_eq!(
                format!("{verifier:?}"),
                format!("Verifier({})", mechanism.name())
            );
        }
    }

    #[test]
    fn keys_are_those_of_the_standard() {
        // RFC 7677, section 3: user "user", password "pencil".
        let salt = BASE64_STANDARD
            .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
            .expect("Base64");
        let verifier = Verifier::derive(Mechanism::Sha256, "pencil", salt, 4096);
        assert_eq!(
            String::from(verifier),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn what_is_no_verifier_is_not_read_as_one() {
        let good = String::from(Verifier::of_password(Mechanism::Sha256, "x"));
        assert!(Verifier::parse(&good).is_some());
        for bad in [
            "",
            "secret",
            "md5d41d8cd98f00b204e9800998ecf8427e",
            "SCRAM-SHA-256",
            "SCRAM-SHA-256$4096",
            "SCRAM-SHA-256$0:AAAA$AAAA:AAAA",
            "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
            "SCRAM-SHA-256$99999999999:AAAA$AAAA:AAAA",
            &good.replace("SHA-256", "SHA-512"),
            &good.replace("SHA-256", "SHA-1"),
            &format!("{good}$"),
            &good[..good.len() - 1],
        ] {
            assert_eq!(Verifier::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn passwords_are_prepared() {
        // RFC 4013, section 3: a soft hyphen is left out, a Roman numeral becomes letters.
        assert_eq!(prepare("I\u{ad}X"), "IX");
        assert_eq!(prepare("\u{2168}"), "IX");
        // A control character is not allowed: taken as it is.
        assert_eq!(prepare("a\u{7}b"), "a\u{7}b");
    }
}
