//! The states, without a socket. SCRAM's own messages are tested in the engine, and clients' in `tests/`.

use engine::{EngineConfig, SessionParameters};

use super::*;

/// An engine with a user `app`, password `right`, and one who may not log in.
async fn engine(directory: &tempfile::TempDir, users: bool) -> Arc<Engine> {
    let config = EngineConfig {
        data_dir: directory.path().to_owned(),
        sync: false,
        ..EngineConfig::default()
    };
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = engine.expect("no panic").expect("an engine");
    if users {
        let mut session = engine.session(SessionParameters::default());
        let text = "CREATE USER app PASSWORD 'right'; CREATE ROLE nobody PASSWORD 'right'";
        for statement in session.parse(text).expect("statements") {
            session.execute(&statement, &[]).await.expect("a user");
        }
    }
    engine
}

fn handshake(sasl: &mut Sasl, mechanism: &'static str) -> i16 {
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    sasl.handshake(&request, 1).error_code
}

async fn authenticate(sasl: &mut Sasl, message: &'static [u8]) -> i16 {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(message));
    sasl.authenticate(&request).await.error_code
}

#[tokio::test]
async fn passwords_are_asked_for_once_there_are_users() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(&directory, false).await;
    assert!(Sasl::new(engine.clone(), true).allows(ApiKey::Metadata));
    let mut session = engine.session(SessionParameters::default());
    let statements = session
        .parse("CREATE USER app PASSWORD 'right'")
        .expect("a statement");
    session.execute(&statements[0], &[]).await.expect("a user");
    let sasl = Sasl::new(engine.clone(), true);
    assert!(!sasl.allows(ApiKey::Metadata) && !sasl.is_open());
    assert!(sasl.allows(ApiKey::ApiVersions) && sasl.allows(ApiKey::SaslHandshake));
    engine.shutdown().await.expect("an end");
}

#[tokio::test]
async fn a_password_in_the_clear() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(&directory, true).await;
    for (message, code) in [
        (b"\0app\0right".as_slice(), 0),
        (b"app\0app\0right", 0),
        (b"\0app\0wrong", 58),
        (b"\0unknown\0right", 58),
        (b"\0nobody\0right", 58),
        (b"admin\0app\0right", 58),
        (b"\0app\0", 58),
        (b"\0app\0right\0", 58),
        (b"\0app\0\xff", 58),
        (b"", 58),
    ] {
        let mut sasl = Sasl::new(engine.clone(), true);
        assert_eq!(handshake(&mut sasl, "PLAIN"), 0);
        assert_eq!(authenticate(&mut sasl, message).await, code, "{message:?}");
        assert_eq!(sasl.is_open(), code == 0);
        assert_eq!(sasl.has_failed(), code != 0);
        assert_eq!(sasl.user(), (code == 0).then_some("app"));
    }
    engine.shutdown().await.expect("an end");
}

#[tokio::test]
async fn steps_come_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(&directory, true).await;
    let start = |plain| Sasl::new(engine.clone(), plain);

    let mut unknown = start(true);
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("GSSAPI"));
    let response = unknown.handshake(&request, 1);
    assert_eq!(response.error_code, 33);
    let names: Vec<&str> = response.mechanisms.iter().map(|name| &**name).collect();
    assert_eq!(names, ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]);
    assert!(unknown.has_failed());

    // Not where others could read it.
    assert_eq!(handshake(&mut start(false), "PLAIN"), 33);

    let mut early = start(true);
    assert_eq!(authenticate(&mut early, b"\0app\0right").await, 34);
    assert!(early.has_failed());

    let mut twice = start(true);
    assert_eq!(handshake(&mut twice, "PLAIN"), 0);
    assert_eq!(handshake(&mut twice, "SCRAM-SHA-512"), 34);
    assert!(twice.has_failed());

    let mut again = start(true);
    assert_eq!(handshake(&mut again, "PLAIN"), 0);
    assert_eq!(authenticate(&mut again, b"\0app\0right").await, 0);
    assert_eq!(handshake(&mut again, "PLAIN"), 34);
    assert_eq!(authenticate(&mut again, b"\0app\0right").await, 34);
    assert!(again.is_open());

    let mut garbage = start(true);
    assert_eq!(handshake(&mut garbage, "SCRAM-SHA-256"), 0);
    assert_eq!(authenticate(&mut garbage, b"\0app\0right").await, 58);
    assert!(garbage.has_failed());

    let mut wrong = start(true);
    assert_eq!(handshake(&mut wrong, "SCRAM-SHA-512"), 0);
    assert_eq!(authenticate(&mut wrong, b"n,,n=app,r=abc").await, 0);
    assert!(!wrong.is_open());
    assert_eq!(authenticate(&mut wrong, b"c=biws,r=abc,p=AAAA").await, 58);
    assert!(wrong.has_failed());
    engine.shutdown().await.expect("an end");
}

#[tokio::test]
async fn tokens_may_come_bare() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(&directory, true).await;
    for (token, open) in [(b"\0app\0right".as_slice(), true), (b"\0app\0wrong", false)] {
        let mut sasl = Sasl::new(engine.clone(), true);
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(PLAIN));
        assert_eq!(sasl.handshake(&request, 0).error_code, 0);
        assert!(sasl.expects_token());
        assert_eq!(sasl.token(token).await.is_some(), open);
        assert_eq!((sasl.is_open(), sasl.expects_token()), (open, false));
    }
    engine.shutdown().await.expect("an end");
}
