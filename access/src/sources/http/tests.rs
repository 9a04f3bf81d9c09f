//! Requests as services see them, and what their answers come to. Services themselves answer in `tests/sources`.

use super::answer::{Judgement, NoAnswer, judge_client, judge_topic};
use super::link::Reply;
use super::request::{Filled, Form, Requests};
use super::template::Scene;
use crate::sources::config::{BodyConfig, HttpMethod, SslConfig};
use crate::sources::lookup::tests::entry;
use crate::sources::net::PoolTerms;
use hyper::StatusCode;
use ringmq_core::authorization::{Action, Permission};
use ringmq_core::codec::{ProtocolVersion, QoS};
use ringmq_shards::access::{Entry, Grant, Question};
use std::time::Duration;

const TERMS: PoolTerms = PoolTerms { size: 1, timeout: Duration::from_secs(5) };

fn texts(pairs: &[(&str, &str)]) -> BodyConfig {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

fn requests(
    method: HttpMethod,
    url: &str,
    headers: &[(&str, &str)],
    body: &[(&str, &str)],
) -> Result<Requests, String> {
    let (headers, body) = (texts(headers), texts(body));
    let ssl = SslConfig::default();
    let form = Form { method, url, headers: &headers, body: &body, ssl: &ssl, asks_topics: true };
    Requests::new(form, TERMS).map_err(|error| error.to_string())
}

fn fill(requests: &Requests, entry: &Entry) -> Option<Filled> {
    requests.fill_in(Scene { entry, question: None }).ok()
}

#[test]
fn values_of_clients_cannot_leave_their_place() {
    let client = entry("dev&1", Some("a/../b?c=d#e é"), Some(b"p\"w&x=y\r\n"));
    let body = [("u", "${username}"), ("p", "${password}")];
    let get = requests(HttpMethod::Get, "http://h/auth/${clientid}?k=1", &[], &body).unwrap();
    assert_eq!(
        fill(&get, &client).unwrap().path,
        "/auth/dev%261?k=1&p=p%22w%26x%3Dy%0D%0A&u=a%2F..%2Fb%3Fc%3Dd%23e%20%C3%A9"
    );
    let post = requests(HttpMethod::Post, "http://h", &[], &body).unwrap();
    let filled = fill(&post, &client).unwrap();
    assert_eq!((&*filled.path, &*filled.body), ("/", r#"{"p":"p\"w&x=y\r\n","u":"a/../b?c=d#e é"}"#));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let post = requests(HttpMethod::Post, "http://h", &form, &body).unwrap();
    assert_eq!(fill(&post, &client).unwrap().body, "p=p%22w%26x%3Dy%0D%0A&u=a%2F..%2Fb%3Fc%3Dd%23e%20%C3%A9");
    let header = requests(HttpMethod::Get, "http://h", &[("x-pw", "${password}")], &[]).unwrap();
    assert!(fill(&header, &client).is_none(), "a line end in a header");
    let strange = entry("c", Some("u"), Some(b"\xff"));
    assert!(fill(&post, &strange).is_none(), "a password that is no text is not sent as another one");
    assert!(fill(&post, &entry("c", None, None)).is_some());
}

#[test]
fn a_question_about_a_topic_has_placeholders_of_its_own() {
    let body = [
        ("a", "${action}"),
        ("t", "${mountpoint}${topic}"),
        ("q", "${qos}-${retain}"),
        ("v", "${proto_name}"),
        ("c", "${clientid}"),
    ];
    let requests = requests(HttpMethod::Get, "http://h:81", &[], &body).unwrap();
    let client = entry("c1", None, None);
    let question = Question {
        subject: client.subject.clone(),
        version: ProtocolVersion::V31,
        mountpoint: "m/".into(),
        action: Action::Publish { qos: QoS::AtLeastOnce, retain: true },
        topic: "a b/+".into(),
    };
    let filled = requests.fill_in(Scene { entry: &client, question: Some(&question) });
    assert_eq!(filled.ok().unwrap().path, "/?a=publish&c=c1&q=1-true&t=m%2Fa%20b%2F%2B&v=MQIsdp");
}

#[test]
fn addresses_and_headers_that_cannot_be_are_named() {
    let none: &[(&str, &str)] = &[];
    let smuggled = [("transfer-encoding", "chunked")];
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Headers<'_>, &str); 8] = [
        ("ftp://h", none, "url: not an address; write http://HOST:PORT/PATH"),
        ("http://u:p@h/", none, "url: "),
        ("http://${username}/", none, "url: "),
        ("http://h/#x", none, "url: "),
        ("http://h:0/", none, "url: "),
        ("http://h/${user}", none, "url: no placeholder is called ${user}"),
        ("http://h", &smuggled, "headers: `transfer-encoding` cannot be set"),
        ("http://h", &[("content-type", "text/xml")], "headers: content-type must be application/json or"),
    ];
    for (url, headers, expected) in cases {
        let error = requests(HttpMethod::Get, url, headers, none).unwrap_err();
        assert!(error.starts_with(expected), "{url}: {error}");
    }
    for url in ["http://h", "https://h/x", "http://[::1]:8080/x", "http://h?x=${clientid}"] {
        requests(HttpMethod::Get, url, none, none).unwrap();
    }
}

#[test]
fn answers_say_allow_deny_or_nothing() {
    let judge = |status: u16, body: &str| {
        let reply = Reply { status: StatusCode::from_u16(status).unwrap(), body: body.to_owned().into() };
        judge_client(&reply, Duration::from_secs(1_000))
    };
    let allow = |grant| Ok(Judgement::Allow(grant));
    let superuser = Grant { is_superuser: true, ..Grant::default() };
    let cases = [
        (204, "", allow(Grant::default())),
        (200, r#"{"result":"allow"}"#, allow(Grant::default())),
        (200, r#"{"result":"allow","is_superuser":true,"acl":null}"#, allow(superuser)),
        (200, r#"{"result":"deny","is_superuser":true}"#, Ok(Judgement::Deny)),
        (200, r#"{"result":"ignore"}"#, Ok(Judgement::Ignore)),
        (200, r#"{"result":"allow","expire_at":999}"#, Ok(Judgement::Deny)),
        (200, r#"{"result":"allow","expire_at":"soon"}"#, Err(NoAnswer::Time)),
        (200, r#"{"result":"allow","acl":[{"permission":"maybe"}]}"#, Err(NoAnswer::Acl)),
        (200, r#"{"result":"yes"}"#, Err(NoAnswer::Body)),
        (200, r#"["allow"]"#, Err(NoAnswer::Body)),
        (200, "", Err(NoAnswer::Body)),
        (201, r#"{"result":"allow"}"#, Err(NoAnswer::Status(StatusCode::CREATED))),
        (302, "", Err(NoAnswer::Status(StatusCode::FOUND))),
        (403, r#"{"result":"deny"}"#, Err(NoAnswer::Status(StatusCode::FORBIDDEN))),
        (500, "", Err(NoAnswer::Status(StatusCode::INTERNAL_SERVER_ERROR))),
    ];
    for (status, body, expected) in cases {
        assert_eq!(judge(status, body), expected, "{status} {body}");
    }
    let full = r#"{"result":"allow","expire_at":2000,"client_attrs":{"tenant":"t1"},
        "acl":[{"permission":"allow","action":"publish","topic":"a/#","qos":[1,2],"retain":false}]}"#;
    let Ok(Judgement::Allow(grant)) = judge(200, full) else { panic!("kept out") };
    assert_eq!((grant.expires_at_s, grant.rules.len()), (Some(2000), 1));
    assert_eq!(&*grant.attributes, [("tenant".into(), "t1".into())]);
    let reply = Reply { status: StatusCode::OK, body: r#"{"result":"deny"}"#.into() };
    assert_eq!(judge_topic(&reply), Ok(Some(Permission::Deny)));
}
