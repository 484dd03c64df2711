//! The server's certificate.

use std::sync::Arc;

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;

/// What is wrong with a certificate or its key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// No PEM, or not what it should be. The key itself is never part of the message.
    #[error("{0} cannot be read: {1}")]
    Pem(&'static str, rustls_pki_types::pem::Error),
    /// The file has no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// Certificate and key do not belong together, or are of a kind that cannot be used.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] tokio_rustls::rustls::Error),
}

/// TLS with one certificate, for any number of ports.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    /// `tls-server-end-point` (RFC 5929): the hash of the certificate, to which clients can bind their login.
    end_point: Option<Arc<[u8]>>,
}

impl Tls {
    /// From a PEM file with the certificate and those that lead to its authority, and one with its private key.
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::Pem("the certificate", error))?;
        let first = chain.first().ok_or(TlsError::NoCertificate)?;
        let end_point = end_point(first);
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Pem("the private key", error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            end_point: end_point.map(Arc::from),
        })
    }

    /// What accepts connections.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    pub(crate) fn end_point(&self) -> Option<Arc<[u8]>> {
        self.end_point.clone()
    }
}

/// What a login over a connection to the server of this certificate is bound to: `tls-server-end-point`.
///
/// The certificate's hash by the function that its signature uses, or by SHA-256 where that is an older one. `None` where
/// the signature has no such function, as Ed25519's: then RFC 5929 leaves it undefined.
pub fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let algorithm = signature_hash(certificate)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// Certificate = SEQUENCE { body, signatureAlgorithm = SEQUENCE { OBJECT IDENTIFIER, … }, … }
fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_body, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    // 1.2.840.113549.1.1: RSA with PKCS #1; 1.2.840.10045.4: ECDSA.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    match (identifier.strip_prefix(RSA), identifier.strip_prefix(ECDSA)) {
        // MD5, SHA-1 and SHA-256.
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(&SHA256),
        (Some([12]), _) | (_, Some([3, 3])) => Some(&SHA384),
        (Some([13]), _) | (_, Some([3, 4])) => Some(&SHA512),
        _ => None,
    }
}

/// The contents of the DER element of this tag at the beginning, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(*length), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            if digits.len() > 4 {
                return None;
            }
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .expect("a name")
            .self_signed(&key)
            .expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, length) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(32)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(48)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let (certificate, key) = certificate(algorithm);
            let tls = Tls::from_pem(certificate.as_bytes(), key.as_bytes()).expect("usable");
            assert_eq!(tls.end_point().map(|hash| hash.len()), length);
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let (certificate, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_, other) = self::certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        let error = |certificate: &str, key: &str| {
            Tls::from_pem(certificate.as_bytes(), key.as_bytes())
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(
            error("", &key).as_deref(),
            Some("there is no certificate in it")
        );
        assert!(error(&certificate, "").is_some_and(|text| text.contains("private key")));
        assert!(error(&certificate, &other).is_some_and(|text| text.contains("cannot be used")));
        assert_eq!(signature_hash(b"\x30\x84\xff\xff\xff\xff"), None);
        assert_eq!(signature_hash(b"\x30\x80"), None);
    }
}
