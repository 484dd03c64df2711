//! What lets clients in, and which addresses may be opened to other machines.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, bail};
use engine::Engine;
use engine::auth::AuthMode;
use pgwire_server::Tls;

use crate::cli::Auth;
use crate::config::Config;

/// Whether clients are asked for a password. Where other machines can connect, a user that is dropped must not open the
/// door to them.
pub fn auth_mode(config: &Config, address: IpAddr) -> AuthMode {
    match config.auth {
        Auth::Auto if !address.is_loopback() && !config.insecure => AuthMode::Password,
        Auth::Auto => AuthMode::Automatic,
        Auth::Trust => AuthMode::Trust,
        Auth::Password => AuthMode::Password,
    }
}

/// Reads the certificate, if there is one.
pub fn tls(config: &Config) -> anyhow::Result<Option<Tls>> {
    let Some((certificate, key)) = &config.tls else {
        return Ok(None);
    };
    let read = |path: &std::path::Path| {
        fs::read(path).with_context(|| format!("cannot read \"{}\"", path.display()))
    };
    let tls = Tls::from_pem(&read(certificate)?, &read(key)?).with_context(|| {
        format!(
            "cannot use \"{}\" with \"{}\"",
            certificate.display(),
            key.display()
        )
    })?;
    Ok(Some(tls))
}

/// Refuses to open a server to other machines where anybody could do everything, or read what is said. `has_shell` is
/// whether this process has a shell of its own, in which users can be created.
pub fn check(
    config: &Config,
    engine: &Engine,
    address: IpAddr,
    has_shell: bool,
) -> anyhow::Result<()> {
    let has_users = engine.catalog().users().any(|user| user.has_password());
    let create = "Create a user first: millpond -c \"CREATE USER admin SUPERUSER PASSWORD '…'\"";
    if !address.is_loopback() && !config.insecure {
        if config.auth == Auth::Trust {
            bail!(
                "other machines can reach {address}, and with auth = trust they could do everything; --insecure allows it"
            );
        }
        if !has_users {
            bail!(
                "other machines can reach {address}, and no user has a password. {create}; or use --insecure"
            );
        }
        if config.tls.is_none() {
            bail!(
                "other machines can reach {address}, and what they say would not be encrypted. \
                 Give --tls-cert and --tls-key, or use --insecure"
            );
        }
    }
    if config.auth == Auth::Password && !has_users && !has_shell {
        bail!("with auth = password nobody could log in, as no user has a password. {create}");
    }
    Ok(())
}
