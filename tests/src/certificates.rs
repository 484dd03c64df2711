//! An authority of the test's own, and a server's certificate from it.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Files for a server on 127.0.0.1 and for those who are to trust it; gone when dropped.
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes them.
    pub fn make() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Certificate and authority must have names of their own, or they are taken for one.
        let name = &mut authority.distinguished_name;
        name.push(DnType::CommonName, "an authority for tests");
        let root = authority.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)
            .expect("names")
            .signed_by(&key, &issuer)
            .expect("a certificate");
        let made = Self(tempfile::tempdir().expect("a temporary directory"));
        for (path, text) in [
            (made.root(), root.pem()),
            (made.certificate(), certificate.pem()),
            (made.key(), key.serialize_pem()),
        ] {
            std::fs::write(path, text).expect("the directory can be written");
        }
        made
    }

    /// The authority's certificate.
    pub fn root(&self) -> PathBuf {
        self.0.path().join("root.pem")
    }

    /// The server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("server.pem")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.0.path().join("server.key")
    }

    /// What a server is given.
    pub fn arguments(&self) -> Vec<String> {
        let text = |path: PathBuf| path.display().to_string();
        vec![
            "--tls-cert".to_owned(),
            text(self.certificate()),
            "--tls-key".to_owned(),
            text(self.key()),
        ]
    }
}
