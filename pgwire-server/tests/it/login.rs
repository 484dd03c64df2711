//! Passwords and encryption, with clients that others wrote and with some that nobody should.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use pgwire_server::{ServerConfig, Tls};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::{Server, run};

const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

/// Connects with a password; the error's code if that fails.
async fn log_in(server: &Server, user: &str, password: &str) -> Result<Client, String> {
    let parameters = format!(
        "host=127.0.0.1 port={} dbname=mine user={user} password='{password}'",
        server.port
    );
    match tokio_postgres::connect(&parameters, NoTls).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            Ok(client)
        }
        Err(error) => Err(match error.as_db_error() {
            Some(error) => format!("{} {}", error.code().code(), error.message()),
            None => error.to_string(),
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_password_closes_the_door() {
    let server = Server::start().await;
    let open = server.connect().await;
    run(
        &open,
        "CREATE ROLE group1; CREATE USER nologin NOLOGIN PASSWORD 'x'",
    )
    .await;
    // Nobody can log in with a password yet, so nobody is asked for one.
    server.connect().await;
    let shown = [
        run(
            &open,
            "CREATE USER admin PASSWORD 'right'; CREATE USER app PASSWORD 'other'",
        )
        .await,
        run(&open, "SHOW USERS").await,
        run(
            &open,
            "SELECT rolname, rolsuper, rolcanlogin, rolpassword FROM pg_roles ORDER BY 1",
        )
        .await,
    ];
    expect_test::expect![[r#"
        (0)
        (0)
        # name | login | superuser | password
        admin | yes | yes | yes
        app | yes | no | yes
        group1 | no | no | no
        nologin | no | no | yes
        (0)
        # rolname | rolsuper | rolcanlogin | rolpassword
        admin | t | t | ********
        app | f | t | ********
        group1 | f | f | ********
        me | t | t | ********
        nologin | f | f | ********
        (5)"#]]
    .assert_eq(&shown.join("\n"));

    let failed = |user: &str| {
        Err(format!(
            "28P01 password authentication failed for user \"{user}\""
        ))
    };
    let outcome = |result: Result<Client, String>| result.map(|_| ());
    assert_eq!(outcome(log_in(&server, "admin", "right").await), Ok(()));
    assert_eq!(
        outcome(log_in(&server, "admin", "Right").await),
        failed("admin")
    );
    assert_eq!(
        outcome(log_in(&server, "app", "right").await),
        failed("app")
    );
    assert_eq!(
        outcome(log_in(&server, "unknown", "right").await),
        failed("unknown")
    );
    assert_eq!(
        outcome(log_in(&server, "group1", "right").await),
        failed("group1")
    );
    assert!(log_in(&server, "millpond_owner", "right").await.is_err());
    assert_eq!(
        outcome(log_in(&server, "nologin", "x").await),
        Err("28000 role \"nologin\" is not permitted to log in".into())
    );
    // A session that was there before goes on.
    assert_eq!(run(&open, "SELECT 1 AS one").await, "# one\n1\n(1)");

    // Changes are for the next login.
    let app = log_in(&server, "app", "other").await.expect("a login");
    assert_eq!(
        run(&app, "ALTER USER CURRENT_USER PASSWORD 'new'").await,
        "(0)"
    );
    assert_eq!(
        outcome(log_in(&server, "app", "other").await),
        failed("app")
    );
    assert_eq!(outcome(log_in(&server, "app", "new").await), Ok(()));
    assert_eq!(
        run(&app, "SHOW is_superuser").await,
        "# is_superuser\noff\n(0)"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_manage_users() {
    let server = Server::start().await;
    let open = server.connect().await;
    let refused = [
        run(&open, "CREATE USER a NOSUPERUSER PASSWORD 'x'").await,
        run(&open, "CREATE USER pg_me PASSWORD 'x'").await,
        run(&open, "CREATE USER millpond_owner PASSWORD 'x'").await,
        run(
            &open,
            "CREATE USER a PASSWORD 'md5d41d8cd98f00b204e9800998ecf8427e'",
        )
        .await,
        run(&open, "CREATE USER a CREATEDB PASSWORD 'x'").await,
        run(&open, "ALTER USER a PASSWORD 'x'").await,
        run(&open, "DROP USER a").await,
        run(&open, "DROP USER IF EXISTS a").await,
    ];
    expect_test::expect![[r#"
        ERROR 55000: no superuser with a password would be left
        ERROR 42939: role name "pg_me" is reserved
        ERROR 42939: role name "millpond_owner" is reserved
        ERROR 0A000: MD5 passwords are not supported
        ERROR 0A000: CREATEDB of a user is not supported at 15
        ERROR 42704: role "a" does not exist
        ERROR 42704: role "a" does not exist
        (0)"#]]
    .assert_eq(&refused.join("\n"));

    run(
        &open,
        "CREATE USER admin PASSWORD 'a'; CREATE USER app PASSWORD 'b'",
    )
    .await;
    let app = log_in(&server, "app", "b").await.expect("a login");
    let admin = log_in(&server, "admin", "a").await.expect("a login");
    let shown = [
        run(&app, "CREATE USER mine PASSWORD 'x'").await,
        run(&app, "ALTER USER admin PASSWORD 'x'").await,
        run(&app, "ALTER USER app SUPERUSER").await,
        run(&app, "DROP USER admin").await,
        run(&admin, "CREATE USER app PASSWORD 'x'").await,
        run(&admin, "CREATE USER IF NOT EXISTS app PASSWORD 'x'").await,
        run(&admin, "DROP USER admin").await,
        run(&admin, "ALTER USER admin NOSUPERUSER").await,
        run(&admin, "ALTER USER admin PASSWORD NULL").await,
        run(&admin, "ALTER USER app SUPERUSER; DROP USER admin").await,
        run(&app, "CREATE USER again PASSWORD 'x'; DROP USER again").await,
        // The last one leaves, and the door is open again.
        run(&app, "DROP USER app").await,
    ];
    expect_test::expect![[r#"
        ERROR 42501: must be superuser to create a user
        ERROR 42501: must be superuser to alter another user
        ERROR 42501: must be superuser to alter another user
        ERROR 42501: must be superuser to drop a user
        ERROR 42710: role "app" already exists
        (0)
        ERROR 55000: no superuser with a password would be left
        ERROR 55000: no superuser with a password would be left
        ERROR 55000: no superuser with a password would be left
        (0)
        (0)
        (0)
        (0)
        (0)"#]]
    .assert_eq(&shown.join("\n"));
    server.connect().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_is_as_good_as_a_password() {
    let server = Server::start().await;
    let open = server.connect().await;
    // RFC 7677: the password is "pencil".
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    run(&open, &format!("CREATE USER admin PASSWORD '{verifier}'")).await;
    assert!(log_in(&server, "admin", "pencil").await.is_ok());
    assert!(log_in(&server, "admin", verifier).await.is_err());
    assert!(server.engine.is_password("admin", "pencil").await);
    assert!(!server.engine.is_password("admin", "pen").await);
    server.stop().await;
}

/// Sends bytes, and gives the first letters of the answers and the code of an error until the server hangs up.
async fn answers(port: u16, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a connection");
    for piece in pieces {
        let _ = stream.write_all(piece).await;
    }
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let mut shown = String::new();
    let mut rest = bytes.as_slice();
    while let [kind, a, b, c, d, tail @ ..] = rest {
        let length = (u32::from_be_bytes([*a, *b, *c, *d]) as usize).saturating_sub(4);
        let (body, next) = tail.split_at(length.min(tail.len()));
        shown.push(*kind as char);
        if *kind == b'E' {
            let code = body
                .split(|byte| *byte == 0)
                .find_map(|field| field.strip_prefix(b"C"));
            shown.push_str(&String::from_utf8_lossy(code.unwrap_or_default()));
        }
        rest = next;
    }
    shown
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_logins() {
    let server = Server::start_with(ServerConfig {
        startup_timeout: Duration::from_millis(500),
        ..ServerConfig::default()
    })
    .await;
    run(&server.connect().await, "CREATE USER me PASSWORD 'x'").await;
    let login: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0me\0\0";
    let first = |mechanism: &str, text: &[u8]| {
        let length = (text.len() as i32).to_be_bytes();
        message(b'p', &[mechanism.as_bytes(), b"\0", &length, text].concat())
    };
    let scram = "SCRAM-SHA-256";
    let good = first(scram, b"n,,n=,r=abc");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("silence", vec![], "R"),
        ("a query", message(b'Q', b"SELECT 1\0"), "RE08P01"),
        ("a farewell", message(b'X', b""), "RE08P01"),
        ("a password in the clear", message(b'p', b"x\0"), "RE08P01"),
        ("another mechanism", first("PLAIN", b"\0me\0x"), "RE08P01"),
        (
            "a binding without TLS",
            first("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"),
            "RE08P01",
        ),
        ("no SCRAM", first(scram, b"x"), "RE08P01"),
        (
            "a first message that is longer than the frame",
            message(b'p', b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,"),
            "RE08P01",
        ),
        ("more than 64 KiB", b"p\0\x01\x00\x01".to_vec(), "RE54000"),
        (
            "a negative length",
            b"p\xff\xff\xff\xff".to_vec(),
            "RE08P01",
        ),
        ("silence in the middle", good.clone(), "RR"),
        (
            "garbage at the end",
            [good.clone(), message(b'p', b"\xff\xff")].concat(),
            "RRE08P01",
        ),
        (
            "another nonce",
            [good.clone(), message(b'p', b"c=biws,r=abc,p=AAAA")].concat(),
            "RRE08P01",
        ),
        (
            "nothing at the end",
            [good, message(b'p', b"")].concat(),
            "RRE08P01",
        ),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(
            answers(server.port, &[login, &bytes]).await,
            expected,
            "{what}"
        );
    }
    // Before the first message, too, there is not all the time in the world.
    assert_eq!(answers(server.port, &[b"\0\0"]).await, "");
    assert!(log_in(&server, "me", "x").await.is_ok());
    server.stop().await;
}

/// An authority, and a certificate for 127.0.0.1 and localhost from it.
struct Authority {
    directory: tempfile::TempDir,
    pem: String,
    tls: Tls,
}

fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    // Certificate and authority must have names of their own, or they are taken for one.
    let name = &mut parameters.distinguished_name;
    name.push(rcgen::DnType::CommonName, "an authority for tests");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = parameters.self_signed(&key).expect("a certificate");
    let issuer = rcgen::Issuer::new(parameters, key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .expect("names")
        .signed_by(&key, &issuer)
        .expect("a certificate");
    let tls = Tls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("ca.pem"), ca.pem()).expect("written");
    Authority {
        directory,
        pem: ca.pem(),
        tls: tls.expect("a usable certificate"),
    }
}

/// What psql answers, or says. `None`, told loudly, without psql.
async fn psql(server: &Server, parameters: &str, password: &str) -> Option<String> {
    let target = format!(
        "host=127.0.0.1 port={} user=admin dbname=mine {parameters}",
        server.port
    );
    let mut command = Command::new("psql");
    command
        .args([
            "-X",
            "-A",
            "-t",
            "-w",
            "-d",
            &target,
            "-c",
            "SELECT repeat('x', 300000)",
        ])
        .env("PGPASSWORD", password)
        .stdin(Stdio::null());
    match command.output().await {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).trim().to_owned())
        }
        Err(_) => {
            eprintln!("SKIPPED: psql is not installed, so this test shows less");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_over_tls() {
    let authority = authority();
    let server = Server::start_with(ServerConfig {
        tls: Some(authority.tls.clone()),
        ..ServerConfig::default()
    })
    .await;
    run(
        &server.connect().await,
        "CREATE USER admin PASSWORD 'right'",
    )
    .await;
    let root = authority.directory.path().join("ca.pem");
    let root = format!("sslrootcert={}", root.display());
    for parameters in [
        "sslmode=disable".to_owned(),
        "sslmode=require channel_binding=require".to_owned(),
        "sslmode=require channel_binding=disable".to_owned(),
        format!("sslmode=verify-ca {root}"),
        format!("sslmode=verify-full {root} channel_binding=require"),
    ] {
        if let Some(answer) = psql(&server, &parameters, "right").await {
            // More than one record of TLS holds.
            assert!(answer == "x".repeat(300_000), "{parameters}: {answer:.200}");
        }
    }
    let parameters = format!("sslmode=verify-full {root}");
    if let Some(answer) = psql(&server, &parameters, "wrong").await {
        assert!(
            answer.contains("password authentication failed"),
            "{answer}"
        );
    }
    let other = self::authority();
    let root = other.directory.path().join("ca.pem");
    let parameters = format!("sslmode=verify-ca sslrootcert={}", root.display());
    if let Some(answer) = psql(&server, &parameters, "right").await {
        assert!(answer.contains("SSL error"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_can_be_required() {
    let server = Server::start_with(ServerConfig {
        tls: Some(authority().tls),
        tls_required: true,
        ..ServerConfig::default()
    })
    .await;
    let refused = log_in(&server, "me", "").await.map(|_| ());
    assert_eq!(
        refused,
        Err("28000 the server accepts encrypted connections only".into())
    );
    if let Some(answer) = psql(&server, "sslmode=require", "").await {
        assert!(answer == "x".repeat(300_000), "{answer:.200}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_in_the_clear_is_not_taken_for_encrypted() {
    let authority = authority();
    let server = Server::start_with(ServerConfig {
        tls: Some(authority.tls.clone()),
        startup_timeout: Duration::from_secs(2),
        ..ServerConfig::default()
    })
    .await;
    let login: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0me\0\0";
    // CVE-2021-23222: a statement put behind the request by somebody in between. In one piece it is seen and refused …
    let answer = answers(server.port, &[&[SSL_REQUEST, login].concat()]).await;
    assert!(matches!(answer.as_str(), "E08P01" | "S"), "{answer}");
    // … and whatever comes after the answer is only ever read as TLS, which it is not.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .expect("a connection");
    stream.write_all(SSL_REQUEST).await.expect("sent");
    assert_eq!(stream.read_u8().await.expect("an answer"), b'S');
    stream.write_all(login).await.expect("sent");
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    // A TLS alert at most; no message of ours begins so.
    assert!(matches!(bytes.first(), None | Some(0x15)), "{bytes:?}");

    // An honest client gets through, and may not ask for encryption again.
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
    roots.add(root).expect("a root");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for (sent, first) in [(login, b'R'), (SSL_REQUEST, b'E')] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port))
            .await
            .expect("a connection");
        stream.write_all(SSL_REQUEST).await.expect("sent");
        assert_eq!(stream.read_u8().await.expect("an answer"), b'S');
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = connector.connect(name, stream).await.expect("a handshake");
        stream.write_all(sent).await.expect("sent");
        assert_eq!(stream.read_u8().await.expect("an answer"), first);
    }
    server.stop().await;
}
