//! HTTP services: as they are asked, as they answer, and as they fail.

use super::asking::{Outcome, allowed, ask, config, entry, run, runtime, superuser};
use super::server::free_port;
use ringmq_access::authentication::jwt::{KeySet, KeySlot};
use ringmq_access::sources::TopicSources;
use ringmq_access::sources::config::{HttpConfig, HttpRulesConfig, JwksConfig, SslConfig};
use ringmq_access::sources::http::{HttpAuthenticator, HttpTopics, Jwks};
use ringmq_core::authorization::{Action, Permission, SourceIndex};
use ringmq_core::codec::{ProtocolVersion, QoS};
use ringmq_core::config::Duration;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::Question;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

/// What a service is asked: the first line, headers, and the body.
struct Asked {
    line: String,
    headers: Vec<String>,
    body: String,
}

/// Answers every request on every connection with what `say` returns: a status line with headers, and a body.
struct Answering {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Answering {
    fn start(say: impl Fn(&Asked) -> (String, String) + Send + Sync + 'static) -> Answering {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let say = Arc::new(say);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let say = Arc::clone(&say);
                std::thread::spawn(move || serve(stream, &*say));
            }
        });
        Answering { port, connections }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn serve(stream: TcpStream, say: &dyn Fn(&Asked) -> (String, String)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut lines = Vec::new();
        let mut body_bytes = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            if let Some(digits) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                body_bytes = digits.trim().parse().unwrap();
            }
            lines.push(line);
        }
        let mut body = vec![0; body_bytes];
        reader.read_exact(&mut body).unwrap();
        let headers = lines.split_off(1);
        let asked = Asked { line: lines.remove(0), headers, body: String::from_utf8(body).unwrap() };
        let (head, body) = say(&asked);
        if head.is_empty() {
            return;
        }
        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn element(url: &str, more: &str) -> HttpAuthenticator {
    HttpAuthenticator::new(&config::<HttpConfig>(&format!("url = \"{url}\"\n{more}"))).unwrap()
}

#[test]
fn a_service_lets_in_keeps_out_or_says_nothing() {
    let service = Answering::start(|asked| {
        assert_eq!(asked.line, "POST /auth HTTP/1.1");
        assert!(asked.headers.iter().any(|line| line == "content-type: application/json"));
        assert!(asked.headers.iter().any(|line| line == "x-key: secret-of-the-service"));
        let user = asked.body.split('"').nth(7).unwrap();
        match user {
            "good" => ("200 OK".into(), r#"{"result":"allow"}"#.into()),
            "quiet" => ("204 No Content".into(), String::new()),
            "root" => ("200 OK".into(), r#"{"result":"allow","is_superuser":true}"#.into()),
            "bad" => ("200 OK".into(), r#"{"result":"deny"}"#.into()),
            "huge" => ("200 OK".into(), " ".repeat(2 << 20)),
            "end" => (String::new(), String::new()),
            _ => ("500 Internal Server Error".into(), "{}".into()),
        }
    });
    let element = element(&service.url("/auth"), "headers = { x-key = \"secret-of-the-service\" }");
    let runtime = runtime();
    for (user, expected) in [
        ("good", allowed()),
        ("quiet", allowed()),
        ("root", superuser()),
        ("bad", Outcome::Deny(ReasonCode::NotAuthorized)),
        ("none", Outcome::Ignore),
        ("huge", Outcome::Ignore),
        ("end", Outcome::Ignore),
        ("good", allowed()),
    ] {
        let outcome = run(&runtime, ask(&element, &entry("c", Some(user), Some("pw"))));
        assert_eq!(outcome, expected, "{user}");
    }
    assert!(!format!("{element:?}").contains("secret-of-the-service"), "{element:?}");
    assert!(service.connections.load(Ordering::Relaxed) <= 4, "connections are kept between requests");
}

#[test]
fn a_service_that_is_not_there_says_nothing_and_is_found_when_it_comes() {
    let port = free_port();
    let element = element(&format!("http://127.0.0.1:{port}/"), "request_timeout = \"1s\"");
    let runtime = runtime();
    let client = entry("c", Some("u"), Some("pw"));
    for _ in 0..200 {
        assert_eq!(run(&runtime, ask(&element, &client)), Outcome::Ignore);
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, &|_| ("204 No Content".into(), String::new())));
        }
    });
    run(&runtime, super::asking::ask_until(&element, &client, &allowed()));
}

#[test]
fn a_service_that_never_answers_costs_the_time_of_a_request() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let element = element(&format!("http://127.0.0.1:{port}/"), "request_timeout = \"200ms\"\npool_size = 2");
    let runtime = runtime();
    for _ in 0..3 {
        let client = entry("c", Some("u"), Some("pw"));
        assert_eq!(run(&runtime, ask(&element, &client)), Outcome::Ignore);
    }
    drop(listener);
}

#[test]
fn answers_are_remembered_where_that_is_asked_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let service = Answering::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        ("204 No Content".into(), String::new())
    });
    let element = element(&service.url("/"), "cache = { enable = true, ttl = \"1h\" }");
    let runtime = runtime();
    for (password, expected) in [("one", 1), ("one", 1), ("two", 2), ("one", 2)] {
        let client = entry("c", Some("u"), Some(password));
        assert_eq!(run(&runtime, ask(&element, &client)), allowed());
        assert_eq!(asked.load(Ordering::Relaxed), expected, "{password}");
    }
}

#[test]
fn a_service_is_asked_for_topics() {
    let service = Answering::start(|asked| {
        match asked.line.split(['&', ' ']).find_map(|part| part.strip_prefix("topic=")).unwrap() {
            "good" => ("200 OK".into(), r#"{"result":"allow"}"#.into()),
            "bad" => ("200 OK".into(), r#"{"result":"deny"}"#.into()),
            _ => ("404 Not Found".into(), String::new()),
        }
    });
    let text = format!("method = \"get\"\nurl = \"{}\"", service.url("/acl"));
    let topics = HttpTopics::new(&config::<HttpRulesConfig>(&text)).unwrap();
    let runtime = runtime();
    let sources = TopicSources::new(vec![Box::new(topics)], runtime.handle().clone());
    let (sender, answers) = mpsc::channel();
    let ask = |source: u8, topic: &str| {
        let question = Question {
            subject: entry("c", Some("u"), None).subject,
            version: ProtocolVersion::V5,
            mountpoint: Box::default(),
            action: Action::Subscribe { qos: QoS::AtMostOnce },
            topic: topic.into(),
        };
        let sender = sender.clone();
        sources.ask(SourceIndex(source), question, move |answer| sender.send(answer).unwrap());
        run(&runtime, async {
            loop {
                match answers.try_recv() {
                    Ok(answer) => return answer,
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                }
            }
        })
    };
    assert_eq!(ask(0, "good"), Some(Permission::Allow));
    assert_eq!(ask(0, "bad"), Some(Permission::Deny));
    assert_eq!(ask(0, "other"), None);
    assert_eq!(ask(1, "good"), None, "no such source");
}

#[test]
fn key_sets_are_fetched_by_the_first_client_and_again_when_they_are_old() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let service = Answering::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => ("503 Service Unavailable".into(), "{}".into()),
        number => {
            let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
            let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"k{number}","x":"{x}"}}"#);
            ("200 OK".into(), format!(r#"{{"keys":[{key}]}}"#))
        }
    });
    let slot = Arc::new(KeySlot::new(KeySet::empty()));
    let terms = JwksConfig {
        endpoint: service.url("/keys"),
        refresh_interval: Duration::from_s(1),
        ssl: SslConfig::default(),
    };
    let jwks = Jwks::new(&terms, Arc::clone(&slot)).unwrap();
    let runtime = runtime();
    let client = entry("c", None, Some("token"));
    run(&runtime, async {
        assert_eq!(ask(&jwks, &client).await, Outcome::Ignore);
        let is_filled = || format!("{:?}", slot.keys()).contains("keys: 1");
        assert!(!is_filled());
        // Each look is one of a client; a set that was not there is asked for again after a while.
        while asked.load(Ordering::Relaxed) < 4 {
            assert_eq!(ask(&jwks, &client).await, Outcome::Ignore);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(is_filled());
    });
    let bad = JwksConfig { endpoint: "http://h/${clientid}".to_owned(), ..terms };
    assert!(Jwks::new(&bad, slot).unwrap_err().to_string().starts_with("endpoint: "));
}
