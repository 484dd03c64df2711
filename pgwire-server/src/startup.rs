//! The beginning of a connection: from the first byte to a session.

use engine::SessionParameters;

use crate::config::ServerConfig;
use crate::failure::{Failure, Report};
use crate::socket::Wire;
use crate::sqlstate;
use crate::wire::backend;
use crate::wire::frontend::Startup;

/// What a connection turned out to be.
pub enum Opening {
    /// A request to cancel what another one does.
    Cancel { process: i32, secret: bytes::Bytes },
    /// A session.
    Session(SessionParameters),
}

/// Talks with the client until it is clear what it wants.
pub async fn negotiate(wire: &mut Wire, config: &ServerConfig) -> Result<Opening, Failure> {
    let mut requests = 0;
    loop {
        match wire.input.startup().await? {
            request @ (Startup::Ssl | Startup::Gss) => {
                requests += 1;
                // Bytes that were sent before our answer would be taken for encrypted ones by nobody but an attacker.
                if requests > 2 || wire.encrypted || wire.input.has_bytes() {
                    return Err(Failure::session(
                        sqlstate::PROTOCOL_VIOLATION,
                        "received unencrypted data after SSL request",
                    ));
                }
                match &config.tls {
                    Some(tls) if request == Startup::Ssl => {
                        wire.output.send_byte(b'S').await?;
                        if let Err(error) = wire.encrypt(tls).await {
                            tracing::debug!(peer = %wire.peer, %error, "no TLS");
                            return Err(Failure::Disconnected);
                        }
                    }
                    _ => wire.output.send_byte(b'N').await?,
                }
            }
            Startup::Cancel { process, secret } => return Ok(Opening::Cancel { process, secret }),
            Startup::Session { minor, parameters } => {
                let unknown: Vec<String> = parameters
                    .iter()
                    .map(|(name, _)| name.clone())
                    .filter(|name| name.starts_with("_pq_."))
                    .collect();
                if minor > 0 || !unknown.is_empty() {
                    backend::negotiate_protocol_version(&mut wire.output.buffer, &unknown);
                }
                return session_parameters(parameters).map(Opening::Session);
            }
        }
    }
}

fn session_parameters(parameters: Vec<(String, String)>) -> Result<SessionParameters, Failure> {
    let mut result = SessionParameters::default();
    for (name, value) in parameters {
        match name.as_str() {
            "user" => result.user = value,
            "database" => result.database = value,
            "options" => result.settings.extend(parse_options(&value)?),
            "replication" => {
                if !matches!(value.as_str(), "false" | "off" | "no" | "0") {
                    return Err(Failure::session(
                        sqlstate::FEATURE_NOT_SUPPORTED,
                        "replication connections are not supported",
                    ));
                }
            }
            name if name.starts_with("_pq_.") => {}
            _ => result.settings.push((name, value)),
        }
    }
    if result.user.is_empty() {
        return Err(Failure::session(
            "28000",
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    if result.database.is_empty() {
        result.database.clone_from(&result.user);
    }
    Ok(result)
}

/// `-c name=value --name=value`, with backslashes before spaces that do not separate.
fn parse_options(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => word.extend(chars.next()),
            char if char.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            char => word.push(char),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().unwrap_or_default()
        } else if let Some(rest) = word.strip_prefix("--") {
            rest.to_owned()
        } else if let Some(rest) = word.strip_prefix("-c") {
            rest.to_owned()
        } else {
            word.clone()
        };
        let Some((name, value)) = setting.split_once('=') else {
            let report = Report::new(
                sqlstate::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            );
            return Err(Failure::Session(Box::new(report)));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_settings() {
        let settings = parse_options(r"-c statement_timeout=5min --time-zone=UTC -cx=a\ b")
            .expect("good options");
        let settings: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            settings,
            ["statement_timeout=5min", "time_zone=UTC", "x=a b"]
        );
        assert!(parse_options("-x").is_err());
    }

    #[test]
    fn the_database_is_named_after_the_user() {
        let parameters = vec![("user".to_owned(), "me".to_owned())];
        let parameters = session_parameters(parameters).unwrap_or_default();
        assert_eq!(
            (parameters.user.as_str(), parameters.database.as_str()),
            ("me", "me")
        );
        assert!(session_parameters(Vec::new()).is_err());
    }
}
