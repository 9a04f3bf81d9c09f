//! Tokens and SCRAM: who clients are by proofs that are computed here, apart from the broker's code.

use crate::harness::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

const ISSUER: &str = "a secret of the issuer";

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token with these claims, signed with HS256.
fn token(secret: &str, claims: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with_tokens(options: &str) -> Configured {
    Configured::new()
        .set(&format!("authentication=[{{mechanism = 'jwt', secret = '{ISSUER}'{options}}}]"))
        .with_rules("{allow, all, all, [\"rules/#\"]}.\n")
}

#[test]
fn tokens_let_in_whom_they_are_made_for() {
    let place = with_tokens(", verify_claims = {sub = '${clientid}'}");
    place.at_shards(|broker| {
        for version in VERSIONS {
            let v5 = version == ProtocolVersion::V5;
            let login = |token: &str| Login::new(version, "me").user_name("me").password(token.as_bytes());
            let (now, later) = (now_s(), now_s() + 1000);
            let good = token(ISSUER, &format!(r#"{{"sub":"me","exp":{later},"nbf":{now}}}"#));
            login(&good).open(broker).disconnect();
            let denied = if v5 { 0x86 } else { 4 };
            for claims in [
                format!(r#"{{"sub":"me","exp":{}}}"#, now - 1),
                format!(r#"{{"sub":"you","exp":{later}}}"#),
                format!(r#"{{"exp":{later}}}"#),
                format!(r#"{{"sub":"me","nbf":{later}}}"#),
                format!(r#"{{"sub":"me","exp":{later},"acl":"nonsense"}}"#),
                r#"{"sub":"me","exp":"soon"}"#.to_owned(),
            ] {
                login(&token(ISSUER, &claims)).refused(broker, denied);
            }
            // No token that anybody has signed: the element has nothing to say, and there is no other.
            let parts: Vec<&str> = good.split('.').collect();
            let nobodys = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
            for text in [
                token("another secret, as long", r#"{"sub":"me"}"#),
                format!("{nobodys}.{}.", parts[1]),
                format!("{nobodys}.{}.{}", parts[1], parts[2]),
                format!("{}.{}.", parts[0], parts[1]),
                format!("{}.{}", parts[0], parts[1]),
                format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(r#"{"sub":"you"}"#), parts[2]),
                good[1..].to_owned(),
                String::new(),
                "..".to_owned(),
                "a.b.c".to_owned(),
                "x".repeat(60_000),
            ] {
                login(&text).refused(broker, if v5 { 0x87 } else { 5 });
            }
        }
    });
}

#[test]
fn what_a_token_grants_comes_before_other_rules() {
    let place = with_tokens("");
    place.at_shards(|broker| {
        let open = |client_id: &str, claims: &str| {
            Login::v5(client_id).user_name("u").password(token(ISSUER, claims).as_bytes()).open(broker)
        };
        let mut root = open("root", r#"{"is_superuser":true}"#);
        root.subscribe("#", 1);
        let mut device = open(
            "device",
            r#"{"acl":[
                {"permission":"allow","action":"publish","topic":"own/${clientid}/#","qos":[0,1]},
                {"permission":"deny","action":"all","topic":"rules/closed"},
                {"permission":"allow","action":"subscribe","topic":"eq own/+"}
            ]}"#,
        );
        let may = |client: &mut Client, topic: &str, qos: u8| {
            client.publish(message(topic, topic).qos(qos)) != ReasonCode::NotAuthorized
        };
        for (topic, qos, is_allowed) in [
            ("own/device/a", 1, true),
            ("own/device/a", 2, false),
            ("own/root/a", 1, false),
            ("rules/open", 2, true),
            ("rules/closed", 1, false),
            ("elsewhere", 1, false),
        ] {
            assert_eq!(may(&mut device, topic, qos), is_allowed, "{topic} QoS {qos}");
            if is_allowed {
                root.expect_texts([topic]);
            }
        }
        let filters = [("own/+", 1), ("own/device", 1), ("rules/a", 1), ("rules/closed", 1), ("#", 0)];
        assert_eq!(device.subscribe_all(&filters, &[]), [1, 0x87, 1, 0x87, 0x87]);
        // The older form denies everything else.
        let mut old = open("old", r#"{"acl":{"pub":["a"],"sub":["b"],"all":["c"]}}"#);
        assert!(may(&mut old, "a", 1) && may(&mut old, "c", 1) && !may(&mut old, "b", 1));
        assert!(!may(&mut old, "rules/open", 1));
        assert_eq!(old.subscribe_all(&[("a", 0), ("b", 0), ("c", 0)], &[]), [0x87, 0, 0]);
    });
}

#[test]
fn clients_are_disconnected_when_their_token_expires_unless_that_is_off() {
    let settings = ["", ", disconnect_after_expire = false"];
    let brokers = settings.map(|options| with_tokens(options).broker(4));
    let expires_s = now_s() + 4;
    let claims = format!(r#"{{"exp":{expires_s},"acl":{{"all":["a"]}}}}"#);
    let open = |broker: &Broker, version: ProtocolVersion| {
        let login = Login::new(version, &format!("c{version:?}")).user_name("u");
        login.password(token(ISSUER, &claims).as_bytes()).open(broker)
    };
    let [mut ended, mut kept] = [0, 1].map(|place| VERSIONS.map(|version| open(&brokers[place], version)));
    for client in ended.iter_mut().chain(&mut kept) {
        client.subscribe("a", 1);
    }
    for client in &mut ended {
        client.expect_disconnect(ReasonCode::NotAuthorized);
    }
    assert!(now_s() >= expires_s, "too early");
    kept.iter_mut().for_each(Client::ping);
}

/// The client's side of SCRAM-SHA-256.
struct Scram {
    user: String,
    password: String,
    first: String,
    server_signature: Vec<u8>,
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

impl Scram {
    fn new(user: &str, password: &str) -> Scram {
        let (user, password) = (user.to_owned(), password.to_owned());
        Scram { user, password, first: String::new(), server_signature: Vec::new() }
    }

    /// What the client says first.
    fn begin(&mut self, nonce: &str) -> Property {
        self.first = format!("n={},r={nonce}", self.user);
        Property::AuthData(format!("n,,{}", self.first).into_bytes())
    }

    /// What it answers the broker's first.
    fn prove(&mut self, challenge: &[u8]) -> Property {
        let challenge = std::str::from_utf8(challenge).expect("text");
        let field = |name: &str| {
            let found = challenge.split(',').find_map(|part| part.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {challenge}")).to_owned()
        };
        let (nonce, salt, iterations) = (field("r="), field("s="), field("i="));
        let own = self.first.rsplit_once("r=").expect("a nonce").1;
        assert!(nonce.len() >= own.len() + 16 && nonce.starts_with(own), "{nonce}");
        let salt = STANDARD.decode(salt).expect("base64");
        let iterations: NonZeroU32 = iterations.parse().expect("a number");
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, self.password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let without_proof = format!("c=biws,r={nonce}");
        let all = format!("{},{challenge},{without_proof}", self.first);
        let signature = sign(stored_key.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, mask)| key ^ mask).collect();
        self.server_signature = sign(&sign(&salted, b"Server Key"), all.as_bytes());
        Property::AuthData(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// The broker's proof must be that of who knows the password.
    fn expect_proof(&self, properties: &[Property]) {
        let expected = format!("v={}", STANDARD.encode(&self.server_signature)).into_bytes();
        assert!(properties.contains(&Property::AuthData(expected)), "{properties:?}");
        assert!(properties.contains(&method()), "{properties:?}");
    }
}

fn method() -> Property {
    Property::AuthMethod("SCRAM-SHA-256".to_owned())
}

fn auth(reason: ReasonCode, data: Property) -> Vec<u8> {
    let mut section = Vec::new();
    method().write(&mut section);
    data.write(&mut section);
    frame(0xF0, &[&[reason.as_u8(), section.len() as u8][..], &section].concat())
}

fn expect_challenge(client: &mut Client) -> Vec<u8> {
    match client.expect_packet() {
        Packet::Auth { reason: ReasonCode::ContinueAuthentication, properties } => {
            assert!(properties.contains(&method()), "{properties:?}");
            let data = properties.into_iter().find_map(|property| match property {
                Property::AuthData(data) => Some(data),
                _ => None,
            });
            data.expect("a challenge")
        }
        other => panic!("expected AUTH, got {other:?}"),
    }
}

/// Goes through the exchange that comes before CONNACK.
fn enter(broker: &Broker, login: Login, scram: &mut Scram, nonce: &str) -> (Client, Connack) {
    let mut client = Client::unconnected(broker, ProtocolVersion::V5);
    client.send_raw(&login.with(method()).with(scram.begin(nonce)).encode());
    let challenge = expect_challenge(&mut client);
    client.send_raw(&auth(ReasonCode::ContinueAuthentication, scram.prove(&challenge)));
    match client.expect_packet() {
        Packet::Connack(connack) => (client, connack),
        other => panic!("expected CONNACK, got {other:?}"),
    }
}

fn with_scram() -> Configured {
    let place = Configured::new();
    let file = place.path("users.db");
    let place = place
        .set(&format!("authentication=[{{mechanism = 'scram', file = '{file}'}}]"))
        .with_rules("{allow, all, all, [\"${username}/#\"]}.\n{allow, {user, \"alice\"}, all, [\"#\"]}.\n");
    for user in ["alice", "bob"] {
        place.add_user(user, "correct horse", &["--scram", "sha256", "--scram-only"]);
    }
    place
}

#[test]
fn both_sides_prove_that_they_know_the_password() {
    let place = with_scram();
    place.at_shards(|broker| {
        for number in 0..8 {
            let mut scram = Scram::new("bob", "correct horse");
            let login = Login::v5(&format!("c{number}"));
            let login = if number % 2 == 0 { login } else { login.user_name("bob") };
            let (mut client, connack) = enter(broker, login, &mut scram, &format!("nonce{number}"));
            assert_eq!(connack.code, 0, "{connack:?}");
            scram.expect_proof(&connack.properties);
            // Who it proved to be counts in the rules.
            assert_eq!(client.publish(message("bob/a", "x").qos(1)), ReasonCode::NoMatchingSubscribers);
            assert_eq!(client.publish(message("alice/a", "x").qos(1)), ReasonCode::NotAuthorized);
            client.disconnect();
        }
        for (user, password, claimed) in [
            ("bob", "battery staple", None),
            ("nobody", "correct horse", None),
            ("bob", "correct horse", Some("alice")),
        ] {
            let mut scram = Scram::new(user, password);
            let login = Login::v5("refused").will(Will::new("bob/will", "gone"));
            let login = claimed.map_or(login.clone(), |name| login.user_name(name));
            let (mut client, connack) = enter(broker, login, &mut scram, "nonce");
            assert_eq!(connack.code, 0x87, "{user} {password} {claimed:?}");
            client.expect_closed();
        }
        // Who does not use the method has not proved anything.
        Login::v5("plain").user_name("bob").password(b"correct horse").refused(broker, 0x87);
        Login::v311("plain").user_name("bob").password(b"correct horse").refused(broker, 5);
        let other = Property::AuthMethod("SCRAM-SHA-512".to_owned());
        Login::v5("other").with(other).refused(broker, 0x8C);
    });
}

#[test]
fn an_exchange_that_goes_wrong_ends_the_connection() {
    let place = with_scram().set("mqtt.idle_timeout=2s");
    let broker = place.broker(2);
    let begun = || {
        let mut scram = Scram::new("bob", "correct horse");
        let mut client = Client::unconnected(&broker, ProtocolVersion::V5);
        client.send_raw(&Login::v5("c").with(method()).with(scram.begin("nonce")).encode());
        let challenge = expect_challenge(&mut client);
        (client, scram, challenge)
    };
    let nonsense = || Property::AuthData(b"nonsense".to_vec());
    let publish = message("bob/a", "x").encode(ProtocolVersion::V5);
    for bytes in [
        auth(ReasonCode::ContinueAuthentication, nonsense()),
        auth(ReasonCode::ReAuthenticate, nonsense()),
        publish.clone(),
        vec![0xC0, 0],
        Login::v5("c").encode(),
        frame(0xF0, &[0x18, 0]),
        vec![0xE0, 0],
    ] {
        let (mut client, ..) = begun();
        client.send_raw(&bytes);
        let packets = client.read_until_closed();
        let is_let_in =
            packets.iter().any(|packet| matches!(packet, Packet::Connack(connack) if connack.code == 0));
        assert!(!is_let_in && packets.len() <= 1, "{bytes:x?}: {packets:?}");
    }
    // One that never goes on is closed in time.
    let (mut silent, ..) = begun();
    let packets = silent.read_until_closed();
    assert!(packets.len() <= 1, "{packets:?}");
    // One that goes on at once, with what it wants next behind its proof.
    let (mut quick, mut scram, challenge) = begun();
    let proof = auth(ReasonCode::ContinueAuthentication, scram.prove(&challenge));
    quick.send_raw(
        &[proof, message("bob/a", "x").qos(1).id(7).encode(ProtocolVersion::V5), vec![0xC0, 0]].concat(),
    );
    assert!(matches!(quick.expect_packet(), Packet::Connack(connack) if connack.code == 0));
    assert_eq!(quick.expect_ack(AckKind::Puback, 7), ReasonCode::NoMatchingSubscribers);
    assert_eq!(quick.expect_packet(), Packet::Pingresp);
}

#[test]
fn a_client_may_prove_again_who_it_is_while_messages_flow() {
    let place = with_scram();
    place.at_shards(|broker| {
        let mut scram = Scram::new("alice", "correct horse");
        let (mut alice, connack) = enter(broker, Login::v5("alice"), &mut scram, "first");
        assert_eq!(connack.code, 0);
        let (mut other, _) =
            enter(broker, Login::v5("other"), &mut Scram::new("alice", "correct horse"), "other");
        alice.subscribe("flow", 1);
        for round in 0..3 {
            alice.send_raw(&auth(ReasonCode::ReAuthenticate, scram.begin(&format!("again{round}"))));
            let challenge = expect_challenge(&mut alice);
            other.publish(message("flow", "meanwhile").qos(1));
            alice.expect_texts(["meanwhile"]);
            alice.send_raw(&auth(ReasonCode::ContinueAuthentication, scram.prove(&challenge)));
            match alice.expect_packet() {
                Packet::Auth { reason: ReasonCode::Success, properties } => scram.expect_proof(&properties),
                other => panic!("expected AUTH, got {other:?}"),
            }
            alice.ping();
        }
        // Another user's proof is none of this client's, and a wrong one is none at all.
        for (user, password) in [("bob", "correct horse"), ("alice", "battery staple")] {
            let (mut client, connack) =
                enter(broker, Login::v5("again"), &mut Scram::new("alice", "correct horse"), "nonce");
            assert_eq!(connack.code, 0);
            let mut wrong = Scram::new(user, password);
            client.send_raw(&auth(ReasonCode::ReAuthenticate, wrong.begin("nonce")));
            let challenge = expect_challenge(&mut client);
            client.send_raw(&auth(ReasonCode::ContinueAuthentication, wrong.prove(&challenge)));
            client.expect_disconnect(ReasonCode::NotAuthorized);
        }
        alice.ping();
    });
}
