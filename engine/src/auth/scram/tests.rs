//! The exchange of RFC 7677, a client of our own for what it does not show, and clients that do not keep to it.

use proptest::prelude::*;

use super::*;

fn credential(mechanism: Mechanism, password: &str) -> Credential {
    Credential {
        verifier: Verifier::derive(mechanism, password, *b"0123456789abcdef", 4096),
        exists: true,
    }
}

/// The client's side, for a password: its last message.
fn client_final(
    mechanism: Mechanism,
    password: &str,
    header: &[u8],
    bare: &str,
    server_first: &str,
) -> String {
    let part = |name| {
        let found = server_first
            .split(',')
            .find_map(|part| part.strip_prefix(name));
        found.expect("a part of the server's message")
    };
    let salt = BASE64_STANDARD.decode(part("s=")).expect("Base64");
    let mut salted = vec![0; mechanism.bytes()];
    let algorithm = match mechanism {
        Mechanism::Sha256 => ring::pbkdf2::PBKDF2_HMAC_SHA256,
        Mechanism::Sha512 => ring::pbkdf2::PBKDF2_HMAC_SHA512,
    };
    let iterations = part("i=").parse().expect("a number");
    ring::pbkdf2::derive(
        algorithm,
        iterations,
        &salt,
        password.as_bytes(),
        &mut salted,
    );
    let client_key = mechanism.hmac(&salted, b"Client Key");
    let stored_key = mechanism.hash(client_key.as_ref());
    let unsigned = format!("c={},r={}", BASE64_STANDARD.encode(header), part("r="));
    let said = format!("{bare},{server_first},{unsigned}");
    let signature = mechanism.hmac(stored_key.as_ref(), said.as_bytes());
    let proof: Vec<u8> = client_key
        .as_ref()
        .iter()
        .zip(signature.as_ref())
        .map(|(key, mask)| key ^ mask)
        .collect();
    format!("{unsigned},p={}", BASE64_STANDARD.encode(proof))
}

/// A whole exchange in which client and server may disagree about everything.
fn exchange(
    credential: Credential,
    password: &str,
    flag: &str,
    client_end_point: &[u8],
    binding: Binding<'_>,
) -> Result<(), ScramError> {
    let mechanism = credential.verifier.mechanism;
    let bare = "n=,r=rOprNGfwEbeRWgbNEkqO";
    let first = ClientFirst::parse(format!("{flag},,{bare}").as_bytes(), binding)?;
    let challenge = first.challenge(credential);
    let header = [format!("{flag},,").as_bytes(), client_end_point].concat();
    let last = client_final(mechanism, password, &header, bare, challenge.message());
    challenge.finish(last.as_bytes()).map(|_| ())
}

#[test]
fn the_exchange_of_rfc_7677() {
    let salt = BASE64_STANDARD
        .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        .expect("Base64");
    let credential = Credential {
        verifier: Verifier::derive(Mechanism::Sha256, "pencil", salt, 4096),
        exists: true,
    };
    let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", Binding::NotOffered)
        .expect("the RFC's message");
    assert_eq!(first.user(), "user");
    let challenge = first.challenge_with(credential, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_eq!(
        challenge.message(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(
        challenge.finish(last).as_deref(),
        Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    );
}

#[test]
fn a_password_is_right_or_wrong() {
    for mechanism in Mechanism::ALL {
        let run =
            |credential, password| exchange(credential, password, "n", b"", Binding::NotOffered);
        assert_eq!(run(credential(mechanism, "pencil"), "pencil"), Ok(()));
        let wrong = Err(ScramError::WrongPassword);
        assert_eq!(run(credential(mechanism, "pencil"), "pen"), wrong);
        // Who does not exist cannot log in, whatever the verifier says.
        let nobody = Credential {
            exists: false,
            ..credential(mechanism, "pencil")
        };
        assert_eq!(run(nobody, "pencil"), wrong);
    }
}

#[test]
fn the_channel_is_bound() {
    let run = |flag, theirs: &[u8], binding| {
        exchange(
            credential(Mechanism::Sha256, "x"),
            "x",
            flag,
            theirs,
            binding,
        )
    };
    let plus = "p=tls-server-end-point";
    assert_eq!(run(plus, b"hash", Binding::EndPoint(b"hash")), Ok(()));
    assert_eq!(
        run(plus, b"other", Binding::EndPoint(b"hash")),
        Err(ScramError::WrongChannel)
    );
    assert_eq!(run("y", b"", Binding::NotOffered), Ok(()));
    assert_eq!(run("y", b"", Binding::Declined), Err(ScramError::Downgrade));
    assert_eq!(run("n", b"", Binding::Declined), Ok(()));
    let unexpected = Err(ScramError::Malformed("unexpected channel binding"));
    assert_eq!(run("n", b"", Binding::EndPoint(b"hash")), unexpected);
    assert_eq!(run(plus, b"hash", Binding::Declined), unexpected);
    assert_eq!(
        run("p=tls-unique", b"hash", Binding::EndPoint(b"hash")),
        unexpected
    );
}

#[test]
fn malformed_messages_are_refused() {
    for first in [
        "",
        "n",
        "n,,",
        "n,,r=x",
        "n,,n=user",
        "n,,n=user,r=",
        "n,,n=user,r=a\u{7f}",
        "n,,m=x,n=user,r=abc",
        "n,a=admin,n=user,r=abc",
        "n,,n=us=er,r=abc",
        "n,,n=us=2c,r=abc",
        "x,,n=user,r=abc",
        "n,,n=user\0,r=abc",
        "n,,n=user,r=abc,tokenauth=true",
    ] {
        let parsed = ClientFirst::parse(first.as_bytes(), Binding::NotOffered);
        assert!(matches!(parsed, Err(ScramError::Malformed(_))), "{first:?}");
    }
    let parsed = ClientFirst::parse(b"n,,n=\xff,r=abc", Binding::NotOffered);
    assert!(matches!(parsed, Err(ScramError::Malformed(_))));
    let long = format!("n,,n={},r=abc", "u".repeat(MESSAGE_BYTES_MAX));
    assert!(ClientFirst::parse(long.as_bytes(), Binding::NotOffered).is_err());

    let challenge = || {
        ClientFirst::parse(b"n,,n=user,r=abc", Binding::NotOffered)
            .expect("well-formed")
            .challenge_with(credential(Mechanism::Sha256, "x"), "def")
    };
    let proof = BASE64_STANDARD.encode([0; 32]);
    for (last, error) in [
        (String::new(), ScramError::Malformed("no proof")),
        ("c=biws,r=abcdef".into(), ScramError::Malformed("no proof")),
        (
            format!("r=abcdef,p={proof}"),
            ScramError::Malformed("no channel binding"),
        ),
        (
            format!("c=biws,p={proof}"),
            ScramError::Malformed("no nonce"),
        ),
        (
            format!("c=biws,r=abc,p={proof}"),
            ScramError::Malformed("another nonce"),
        ),
        (
            format!("c=biws,r=,p={proof}"),
            ScramError::Malformed("another nonce"),
        ),
        (
            format!("c=eSws,r=abcdef,p={proof}"),
            ScramError::WrongChannel,
        ),
        (
            "c=biws,r=abcdef,p=AAAA".into(),
            ScramError::Malformed("length of the proof"),
        ),
        (
            "c=biws,r=abcdef,p=?".into(),
            ScramError::Malformed("proof is not Base64"),
        ),
        (
            "c=?,r=abcdef,p=AAAA".into(),
            ScramError::Malformed("channel binding is not Base64"),
        ),
        (
            format!("c=biws,r=abcdef,p={proof}"),
            ScramError::WrongPassword,
        ),
    ] {
        assert_eq!(challenge().finish(last.as_bytes()), Err(error), "{last}");
    }
}

#[test]
fn names_are_unescaped() {
    let user = |name: &str| {
        let message = format!("n,,n={name},r=abc");
        ClientFirst::parse(message.as_bytes(), Binding::NotOffered).map(|first| first.user)
    };
    assert_eq!(user("a=2Cb=3Dc").as_deref(), Ok("a,b=c"));
    assert_eq!(user("=2C=2C").as_deref(), Ok(",,"));
    assert_eq!(user("").as_deref(), Ok(""));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..80), cut in 0usize..40) {
        let _ = ClientFirst::parse(&bytes, Binding::NotOffered);
        let first = b"n,,n=user,r=abc";
        let cut = cut.min(first.len());
        let _ = ClientFirst::parse(&[&first[..cut], &bytes].concat(), Binding::Declined);
        let challenge = ClientFirst::parse(first, Binding::NotOffered)
            .expect("well-formed")
            .challenge_with(Credential { verifier: Verifier::mock(Mechanism::Sha512, b"", ""), exists: true }, "def");
        prop_assert!(challenge.finish(&bytes).is_err());
    }
}
