//! SCRAM against the vectors of RFC 7677, and against a client of its own.

use super::*;
use crate::authentication::users::{Row, UserTable};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ringmq_core::authentication::{Method, Step};
use ringmq_core::reason::ReasonCode;
use std::sync::Arc;

fn users(rows: Vec<(&str, Vec<ScramKeys>)>, mechanism: ScramMechanism) -> ScramUsers {
    let mut table = UserTable::empty().unwrap();
    for (user_id, scram) in rows {
        table.put(&Row { user_id: user_id.into(), is_superuser: false, password: None, scram }).unwrap();
    }
    ScramUsers { table: Arc::new(table), mechanism, iterations: ITERATIONS_DEFAULT }
}

fn text(step: Step) -> String {
    let (Step::Continue(data) | Step::Accept(Some(data))) = step else { panic!("{step:?}") };
    String::from_utf8(data.to_vec()).unwrap()
}

const REFUSED: Step = Step::Reject(ReasonCode::NotAuthorized);

/// The last message of a client that knows a password.
fn proof(
    mechanism: ScramMechanism,
    password: &str,
    first_bare: &str,
    server_first: &str,
) -> (String, String) {
    let field =
        |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name)).unwrap().to_owned();
    let salt = STANDARD.decode(field("s=")).unwrap();
    let iterations: u32 = field("i=").parse().unwrap();
    let mut salted = vec![0; mechanism.key_bytes()];
    let mac = match mechanism {
        ScramMechanism::Sha256 => crate::authentication::password::MacFunction::Sha256,
        ScramMechanism::Sha512 => crate::authentication::password::MacFunction::Sha512,
    };
    mac.pbkdf2(password.as_bytes(), &salt, iterations, &mut salted);
    let client_key = mechanism.hmac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={}", field("r="));
    let message = format!("{first_bare},{server_first},{without_proof}");
    let signature = mechanism.hmac(&mechanism.digest(&client_key), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server = mechanism.hmac(&mechanism.hmac(&salted, b"Server Key"), message.as_bytes());
    (format!("{without_proof},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server)))
}

#[test]
fn rfc_7677_section_3() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let keys = ScramKeys::derive_salted(ScramMechanism::Sha256, 4096, "pencil", &salt).unwrap();
    let users = users(vec![("user", vec![keys])], ScramMechanism::Sha256);
    let mut run = ScramMethod::with_nonce(users, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_eq!(
        text(run.handle_data(Some(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(
        run.handle_data(Some(last.as_bytes())),
        Step::Accept(Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into()))
    );
    assert_eq!(run.user_name(), Some("user"));
    assert_eq!(run.handle_data(Some(last.as_bytes())), REFUSED, "it is over");
}

#[test]
fn both_mechanisms_admit_the_right_password_only() {
    for mechanism in ScramMechanism::ALL {
        let keys = ScramKeys::derive(mechanism, 4096, "pencil").unwrap();
        assert_eq!(keys.to_string().parse(), Ok(keys.clone()));
        let users = users(vec![("us,er=", vec![keys])], mechanism);
        let bare = "n=us=2Cer=3D,r=abc";
        for (password, is_right) in [("pencil", true), ("pencils", false), ("", false)] {
            let mut run = ScramMethod::new(users.clone(), Some("us,er="));
            let answer = text(run.handle_data(Some(format!("n,,{bare}").as_bytes())));
            let (last, server) = proof(mechanism, password, bare, &answer);
            let step = run.handle_data(Some(last.as_bytes()));
            match is_right {
                true => assert_eq!(step, Step::Accept(Some(server.into()))),
                false => assert_eq!(step, REFUSED),
            }
        }
    }
}

#[test]
fn an_unknown_user_is_not_told_apart() {
    let other = ScramKeys::derive(ScramMechanism::Sha512, 4096, "pencil").unwrap();
    let users = users(vec![("half", vec![other])], ScramMechanism::Sha256);
    for name in ["nobody", "half", "\u{200b}x\u{7}"] {
        let bare = format!("n={name},r=abc");
        let first = format!("n,,{bare}");
        let salt = |answer: &str| answer.split(",s=").nth(1).unwrap().to_owned();
        let mut run = ScramMethod::new(users.clone(), None);
        let answer = text(run.handle_data(Some(first.as_bytes())));
        let again = text(ScramMethod::new(users.clone(), None).handle_data(Some(first.as_bytes())));
        assert_eq!(salt(&answer), salt(&again), "the salt stays the same");
        assert!(salt(&answer).len() == 24 + ",i=4096".len() && answer.ends_with(",i=4096"));
        let (last, _) = proof(ScramMechanism::Sha256, "pencil", &bare, &answer);
        assert_eq!(run.handle_data(Some(last.as_bytes())), REFUSED);
    }
}

#[test]
fn a_client_proves_the_user_it_claimed_to_be() {
    let keys = ScramKeys::derive(ScramMechanism::Sha256, 4096, "pencil").unwrap();
    let users = users(vec![("user", vec![keys])], ScramMechanism::Sha256);
    let cases = [("n,,", None, true), ("n,,", Some("user"), true), ("n,,", Some("root"), false)];
    let cases = cases.into_iter().chain([("n,a=root,", None, false), ("n,a=user,", None, true)]);
    // What SASLprep makes the same name is another name in CONNECT.
    let cases = cases.chain([("n,,", Some("us\u{ad}er"), false)]);
    for (header, claimed, is_right) in cases {
        let mut run = ScramMethod::new(users.clone(), claimed);
        let answer = text(run.handle_data(Some(format!("{header}n=user,r=abc").as_bytes())));
        let binding = format!("c={}", STANDARD.encode(header));
        // The proof is made over the channel binding, so it is made again for each header.
        let nonce = answer.split(',').next().unwrap().to_owned();
        let without = format!("{binding},{nonce}");
        let salt = STANDARD.decode(answer.split(",s=").nth(1).unwrap().split(',').next().unwrap()).unwrap();
        let mut salted = vec![0; 32];
        crate::authentication::password::MacFunction::Sha256.pbkdf2(b"pencil", &salt, 4096, &mut salted);
        let mechanism = ScramMechanism::Sha256;
        let key = mechanism.hmac(&salted, b"Client Key");
        let message = format!("n=user,r=abc,{answer},{without}");
        let signature = mechanism.hmac(&mechanism.digest(&key), message.as_bytes());
        let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let last = format!("{without},p={}", STANDARD.encode(proof));
        let step = run.handle_data(Some(last.as_bytes()));
        assert_eq!(matches!(step, Step::Accept(_)), is_right, "{header} {claimed:?}");
    }
}

#[test]
fn messages_that_are_none_are_refused() {
    let keys = ScramKeys::derive(ScramMechanism::Sha256, 4096, "pencil").unwrap();
    let users = users(vec![("user", vec![keys])], ScramMechanism::Sha256);
    let firsts: [&[u8]; 12] = [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=abc",
        b"n,,m=x,n=user,r=abc",
        b"p=tls-unique,,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"n,b=c,n=user,r=abc",
        b"n,,n=\xff,r=abc",
    ];
    for first in firsts {
        assert_eq!(ScramMethod::new(users.clone(), None).handle_data(Some(first)), REFUSED);
    }
    assert_eq!(ScramMethod::new(users.clone(), None).handle_data(None), REFUSED);
    for last in ["", "c=biws", "c=biws,r=x,p=AA==", "c=*,r=x,p=AA==", "c=biws,r=abc,p=", "p=AA=="] {
        let mut run = ScramMethod::new(users.clone(), None);
        run.handle_data(Some(b"n,,n=user,r=abc"));
        assert_eq!(run.handle_data(Some(last.as_bytes())), REFUSED, "{last}");
    }
}

#[test]
fn wrong_keys_are_refused_as_text() {
    for text in ["", "SCRAM-SHA-1$1:AA==$AA==:AA==", "SCRAM-SHA-256$4096:AA==$AA==:AA==", "SCRAM-SHA-256$x"] {
        assert!(text.parse::<ScramKeys>().is_err(), "{text}");
    }
    assert_eq!(ScramKeys::derive(ScramMechanism::Sha256, 1, "x").unwrap_err(), KeyError::Iterations);
    assert_eq!(ScramKeys::derive(ScramMechanism::Sha256, 4096, "\u{7}").unwrap_err(), KeyError::Password);
}

proptest! {
    #[test]
    fn nothing_a_client_sends_is_accepted_or_panics(
        messages in prop::collection::vec("(n,,n=[a-z=,]{0,9},r=[ -~]{0,9}|c=biws,r=.{0,9},p=[A-Za-z=]{0,9}|.{0,20})", 0..4)
    ) {
        let users = users(Vec::new(), ScramMechanism::Sha256);
        let mut run = ScramMethod::new(users, None);
        for message in messages {
            let step = run.handle_data(Some(message.as_bytes()));
            prop_assert!(!matches!(step, Step::Accept(_)));
        }
    }
}
