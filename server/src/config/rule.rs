//! The rule of each key: what a value must be, with its bounds, and the words that say so.
//!
//! One table for all sections, so that every message about a wrong value has the same shape and every bound stands
//! in one place. That each key has a rule, and each rule a key, is tested.

use super::item::{Item, Word};
use super::log::{FORMATTERS, LEVELS};
use super::setting::{KeyPath, Setting};
use super::zone::general_key;
use ringmq_access::authentication::ELEMENTS_MAX;
use ringmq_access::authorization::SourceConfig;
use ringmq_core::config::{ByteSize, Duration, Limit, Rate};
use ringmq_core::limits::SHARDS_MAX;
use ringmq_core::topic::TopicFilter;
use serde::Deserialize;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use toml::Value;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count(u64, u64),
    /// A whole number that is a power of two.
    PowerOfTwo(u64, u64),
    /// A whole number from a least one, or `infinity`.
    CountOrInfinity(usize),
    /// A number that may have a fraction.
    Ratio(f64, f64),
    /// A duration literal. With [`Duration::INFINITY`] as the greatest, `infinity` is allowed.
    Time(Duration, Duration),
    /// A size literal.
    Bytes(ByteSize, ByteSize),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address with a port, or a port for every interface.
    Address,
    /// The name of a node, which is also a level of topics.
    NodeName,
    /// A path of the file system.
    Path,
    /// Any text an MQTT string can hold.
    Text,
    /// Elements of a chain of authentication.
    Chain,
    /// Levels of durability for topic filters.
    LevelRules,
    /// Sources of access rules.
    Sources,
    /// A list of such items.
    List(Item),
    /// A text of this form.
    Word(Word),
    /// A rate literal.
    Pace,
}

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;
const STRATEGIES: &[&str] =
    &["random", "round_robin", "round_robin_per_group", "sticky", "local", "hash_clientid", "hash_topic"];
const STICKY_PICKS: &[&str] = &["random", "local", "hash_clientid", "hash_topic"];
const PINNINGS: &[&str] = &["auto", "always", "never"];
const NET_BACKENDS: &[&str] = &["auto", "io_uring", "glommio"];
const QUEUE_POLICIES: &[&str] = &["drop_oldest", "drop_newest", "reject", "block"];
const OVERSIZE_POLICIES: &[&str] = &["disconnect", "drop"];
const STORE_POLICIES: &[&str] = &["refuse", "drop_oldest", "stop_reading"];
const REJECTIONS: &[&str] = &["close", "drop"];
const DEFAULT_PRIORITIES: &[&str] = &["lowest", "highest"];
const ANONYMOUS: &[&str] = &["nobody", "loopback", "everyone"];
const DURABILITY_LEVELS: &[&str] = &["memory", "wal", "fsync"];
/// Rules of durability, each of which every publication above QoS 0 is compared with.
const LEVEL_RULES_MAX: usize = 64;
const NO_MATCH: &[&str] = &["allow", "deny"];
const DENY_ACTIONS: &[&str] = &["ignore", "disconnect"];
const RULE_SOURCES_MAX: usize = 16;
const DAY_S: u64 = 86_400;
/// Items of a list that a connection may be compared with.
const LIST_ITEMS_MAX: usize = 1000;
const CERTIFICATE_FIELDS: &[&str] = &["disabled", "cn", "dn", "san", "pem", "md5"];
const VERIFY: &[&str] = &["verify_none", "verify_peer"];
const NODE_NAME_BYTES_MAX: usize = 255;
const TEXT_BYTES_MAX: usize = 65_535;

const fn time(from_s: u64, to_s: u64) -> Rule {
    Rule::Time(Duration::from_s(from_s), Duration::from_s(to_s))
}

const fn unbounded_time(from_s: u64) -> Rule {
    Rule::Time(Duration::from_s(from_s), Duration::INFINITY)
}

const fn bytes(from: u64, to: u64) -> Rule {
    Rule::Bytes(ByteSize(from), ByteSize(to))
}

/// All rules. A `*` stands for the name of a listener or log target.
pub const RULES: &[(&str, Rule)] = &[
    ("anonymous", Rule::Choice(ANONYMOUS)),
    ("authentication", Rule::Chain),
    ("node.name", Rule::NodeName),
    ("node.data_dir", Rule::Path),
    ("node.shards", Rule::Count(0, SHARDS_MAX as u64)),
    ("node.pin_shards", Rule::Choice(PINNINGS)),
    ("node.net_backend", Rule::Choice(NET_BACKENDS)),
    ("node.private_fd_tables", Rule::Flag),
    ("node.shutdown_timeout", time(0, 60)),
    ("mesh.lane_capacity", Rule::PowerOfTwo(64, 65_536)),
    ("mesh.lane_backlog_max", Rule::Count(64, 1_048_576)),
    ("listeners.unix.*.bind", Rule::Path),
    ("listeners.*.*.enable", Rule::Flag),
    ("listeners.*.*.bind", Rule::Address),
    ("listeners.*.*.max_connections", Rule::CountOrInfinity(1)),
    ("listeners.*.*.access_rules", Rule::List(Item::SourceRule)),
    ("listeners.*.*.max_conn_rate", Rule::Pace),
    ("listeners.*.*.max_conn_burst", Rule::Count(0, 1_000_000)),
    ("listeners.*.*.messages_rate", Rule::Pace),
    ("listeners.*.*.messages_burst", Rule::Count(0, 1_000_000)),
    ("listeners.*.*.bytes_rate", Rule::Pace),
    ("listeners.*.*.bytes_burst", bytes(0, GB)),
    ("listeners.*.*.proxy_protocol", Rule::Flag),
    ("listeners.*.*.proxy_protocol_timeout", Rule::Time(Duration::from_ms(100), Duration::from_s(60))),
    ("listeners.*.*.zone", Rule::Word(Word::Name)),
    ("listeners.*.*.mountpoint", Rule::Word(Word::Mountpoint)),
    ("listeners.*.*.tcp_options.backlog", Rule::Count(1, 65_535)),
    ("listeners.*.*.tcp_options.recbuf", bytes(0, GB)),
    ("listeners.*.*.tcp_options.sndbuf", bytes(0, GB)),
    ("listeners.*.*.tcp_options.nodelay", Rule::Flag),
    ("listeners.*.*.tcp_options.high_watermark", bytes(4 * KB, 256 * MB)),
    ("listeners.*.*.tcp_options.send_timeout", time(1, 3600)),
    ("listeners.*.*.ssl_options.certfile", Rule::Text),
    ("listeners.*.*.ssl_options.keyfile", Rule::Text),
    ("listeners.*.*.ssl_options.certificates", Rule::List(Item::CertificateFiles)),
    ("listeners.*.*.ssl_options.cacertfile", Rule::Text),
    ("listeners.*.*.ssl_options.crlfile", Rule::Text),
    ("listeners.*.*.ssl_options.verify", Rule::Choice(VERIFY)),
    ("listeners.*.*.ssl_options.fail_if_no_peer_cert", Rule::Flag),
    ("listeners.*.*.ssl_options.versions", Rule::List(Item::TlsVersion)),
    ("listeners.*.*.ssl_options.reuse_sessions", Rule::Flag),
    ("listeners.*.*.ssl_options.handshake_timeout", time(1, 120)),
    ("listeners.*.*.websocket.mqtt_path", Rule::Word(Word::RequestPath)),
    ("listeners.*.*.websocket.max_frame_size", Rule::CountOrInfinity(125)),
    ("listeners.*.*.websocket.fail_if_no_subprotocol", Rule::Flag),
    ("listeners.*.*.websocket.supported_subprotocols", Rule::Word(Word::Subprotocols)),
    ("listeners.*.*.websocket.check_origin_enable", Rule::Flag),
    ("listeners.*.*.websocket.allow_origin_absence", Rule::Flag),
    ("listeners.*.*.websocket.check_origins", Rule::Word(Word::Origins)),
    ("listeners.*.*.websocket.proxy_address_header", Rule::Word(Word::HeaderName)),
    ("listeners.*.*.websocket.proxy_port_header", Rule::Word(Word::HeaderName)),
    ("listeners.*.*.websocket.trusted_proxies", Rule::List(Item::TrustedProxy)),
    ("overload_protection.enable", Rule::Flag),
    ("overload_protection.max_lag", Rule::Time(Duration::from_ms(1), Duration::from_s(10))),
    ("overload_protection.max_wait", Rule::Time(Duration::from_ms(100), Duration::from_s(60))),
    ("quota.client.messages", Rule::Pace),
    ("quota.client.bytes", Rule::Pace),
    ("quota.client.messages_per_day", Rule::Count(0, 1 << 40)),
    ("quota.client.bytes_per_day", bytes(0, 1024 * GB)),
    ("quota.user.messages", Rule::Pace),
    ("quota.user.bytes", Rule::Pace),
    ("quota.user.messages_per_day", Rule::Count(0, 1 << 40)),
    ("quota.user.bytes_per_day", bytes(0, 1024 * GB)),
    ("mqtt.idle_timeout", time(1, 3600)),
    ("mqtt.max_packet_size", bytes(KB, 256 * MB)),
    ("mqtt.max_packet_size_policy", Rule::Choice(OVERSIZE_POLICIES)),
    ("mqtt.max_clientid_len", Rule::Count(23, 65_535)),
    ("mqtt.max_topic_levels", Rule::Count(1, 65_535)),
    ("mqtt.max_topic_alias", Rule::Count(0, 65_535)),
    ("mqtt.retain_available", Rule::Flag),
    ("mqtt.wildcard_subscription", Rule::Flag),
    ("mqtt.shared_subscription", Rule::Flag),
    ("mqtt.shared_subscription_strategy", Rule::Choice(STRATEGIES)),
    ("mqtt.shared_subscription_initial_sticky_pick", Rule::Choice(STICKY_PICKS)),
    ("mqtt.ignore_loop_deliver", Rule::Flag),
    ("mqtt.response_information", Rule::Text),
    ("mqtt.server_keepalive", Rule::Count(0, 65_535)),
    ("mqtt.min_keepalive", Rule::Count(0, 65_535)),
    ("mqtt.max_keepalive", Rule::Count(0, 65_535)),
    ("mqtt.keepalive_multiplier", Rule::Ratio(1.0, 10.0)),
    ("mqtt.session_expiry_interval", unbounded_time(0)),
    ("mqtt.max_session_expiry_interval", unbounded_time(0)),
    ("mqtt.message_expiry_interval", unbounded_time(1)),
    ("mqtt.max_awaiting_rel", Rule::Count(1, 65_535)),
    ("mqtt.await_rel_timeout", unbounded_time(1)),
    ("mqtt.max_qos_allowed", Rule::Count(0, 2)),
    ("mqtt.mqueue_store_qos0", Rule::Flag),
    ("mqtt.max_mqueue_len", Rule::CountOrInfinity(0)),
    ("mqtt.max_mqueue_bytes", bytes(0, u64::MAX)),
    ("mqtt.mqueue_full_policy", Rule::Choice(QUEUE_POLICIES)),
    ("mqtt.mqueue_reject_v3", Rule::Choice(REJECTIONS)),
    ("mqtt.mqueue_default_priority", Rule::Choice(DEFAULT_PRIORITIES)),
    ("mqtt.mqueue_priorities.*", Rule::Count(1, 255)),
    ("mqtt.max_inflight", Rule::Count(1, 65_535)),
    ("mqtt.max_subscriptions", Rule::CountOrInfinity(0)),
    ("mqtt.upgrade_qos", Rule::Flag),
    ("mqtt.peer_cert_as_username", Rule::Choice(CERTIFICATE_FIELDS)),
    ("mqtt.peer_cert_as_clientid", Rule::Choice(CERTIFICATE_FIELDS)),
    ("mqtt.use_username_as_clientid", Rule::Flag),
    ("mqtt.overlapping_subscription_copies", Rule::Flag),
    ("retainer.msg_expiry_interval", unbounded_time(0)),
    ("retainer.max_payload_size", bytes(0, 256 * MB)),
    ("retainer.stop_publish_clear_msg", Rule::Flag),
    ("retainer.backend.max_retained_messages", Rule::Count(0, i64::MAX as u64)),
    ("sessions.durable", Rule::Flag),
    ("durability.level", Rule::Choice(DURABILITY_LEVELS)),
    ("durability.commit_delay", Rule::Time(Duration::from_ms(0), Duration::from_s(1))),
    ("durability.rules", Rule::LevelRules),
    ("persistence.segment_bytes", bytes(MB, 4 * GB)),
    ("persistence.max_bytes", bytes(0, u64::MAX)),
    ("persistence.full_policy", Rule::Choice(STORE_POLICIES)),
    ("persistence.compaction_rate", bytes(0, u64::MAX)),
    ("persistence.cache_bytes", bytes(0, u64::MAX)),
    ("persistence.checkpoint_bytes", bytes(0, u64::MAX)),
    ("persistence.strict", Rule::Flag),
    ("authorization.no_match", Rule::Choice(NO_MATCH)),
    ("authorization.deny_action", Rule::Choice(DENY_ACTIONS)),
    ("authorization.sources", Rule::Sources),
    ("authorization.cache.enable", Rule::Flag),
    ("authorization.cache.max_size", Rule::Count(1, 1024)),
    ("authorization.cache.ttl", time(1, DAY_S)),
    ("flapping_detect.enable", Rule::Flag),
    ("flapping_detect.window_time", time(1, DAY_S)),
    ("flapping_detect.max_count", Rule::Count(1, 65_535)),
    ("flapping_detect.ban_time", time(1, 365 * DAY_S)),
    ("dashboard.listeners.http.enable", Rule::Flag),
    ("dashboard.listeners.http.bind", Rule::Address),
    ("log.level", Rule::Choice(LEVELS)),
    ("log.formatter", Rule::Choice(FORMATTERS)),
    ("log.targets.*", Rule::Choice(LEVELS)),
];

/// The rule of a key.
pub fn rule_of(path: &KeyPath) -> Option<Rule> {
    if let Some(general) = general_key(path) {
        return rule_of(&general);
    }
    RULES.iter().find(|(pattern, _)| matches(pattern, path)).map(|(_, rule)| *rule)
}

/// Whether a path is one a pattern stands for.
pub fn matches(pattern: &str, path: &KeyPath) -> bool {
    let mut pattern = pattern.split('.');
    let fits = path
        .segments()
        .iter()
        .all(|segment| pattern.next().is_some_and(|part| part == "*" || part == segment));
    fits && pattern.next().is_none()
}

impl Rule {
    /// The value to store for a setting, or none if the rule refuses it.
    pub fn accept(&self, setting: &Setting) -> Option<Value> {
        let value = &setting.value;
        let word = || value.as_str().map(str::to_owned);
        match *self {
            Rule::Flag => value.as_bool().map(Value::Boolean),
            Rule::Count(min, max) => count(value, min, max).map(Value::Integer),
            Rule::PowerOfTwo(min, max) => {
                count(value, min, max).filter(|n| n.unsigned_abs().is_power_of_two()).map(Value::Integer)
            }
            Rule::CountOrInfinity(min) => literal::<Limit>(value)
                .filter(|limit| limit.0 >= min)
                .map(|limit| Value::String(limit.to_string())),
            Rule::Ratio(min, max) => {
                let ratio = value.as_float().or_else(|| value.as_integer().map(|n| n as f64))?;
                (min..=max).contains(&ratio).then_some(Value::Float(ratio))
            }
            Rule::Time(min, max) => literal::<Duration>(value)
                .filter(|time| (min..=max).contains(time))
                .map(|time| Value::String(time.to_string())),
            Rule::Bytes(min, max) => literal::<ByteSize>(value)
                .filter(|size| (min..=max).contains(size))
                .map(|size| Value::String(size.to_string())),
            Rule::Choice(words) => word().filter(|word| words.contains(&word.as_str())).map(Value::String),
            Rule::Address => address(value).map(|address| Value::String(address.to_string())),
            Rule::NodeName => text(setting).filter(|name| is_node_name(name)).map(Value::String),
            Rule::Path => {
                text(setting).filter(|path| !path.is_empty() && !path.contains('\0')).map(Value::String)
            }
            Rule::Text => text(setting)
                .filter(|text| text.len() <= TEXT_BYTES_MAX && !text.contains('\0'))
                .map(Value::String),
            Rule::Pace => literal::<Rate>(value).map(|rate| Value::String(rate.to_string())),
            Rule::Word(word) => text(setting).filter(|text| word.fits(text)).map(Value::String),
            Rule::List(item) => value
                .as_array()
                .filter(|items| items.len() <= LIST_ITEMS_MAX && items.iter().all(|value| item.fits(value)))
                .map(|items| Value::Array(items.clone())),
            // Judged by `check_chain`, whose errors never show a value.
            Rule::Chain => value.is_array().then(|| value.clone()),
            Rule::LevelRules => value
                .as_array()
                .filter(|rules| rules.len() <= LEVEL_RULES_MAX && rules.iter().all(is_level_rule))
                .map(|rules| Value::Array(rules.clone())),
            Rule::Sources => value
                .as_array()
                .filter(|sources| sources.len() <= RULE_SOURCES_MAX && sources.iter().all(is_rule_source))
                .map(|sources| Value::Array(sources.clone())),
        }
    }
}

fn is_rule_source(source: &Value) -> bool {
    SourceConfig::deserialize(source.clone()).is_ok()
}

/// A table of a topic filter and a level, and nothing else.
fn is_level_rule(rule: &Value) -> bool {
    let text = |key| rule.get(key).and_then(Value::as_str);
    let is_filter = |text: &str| TopicFilter::parse(text).is_ok_and(|parsed| parsed.share.is_none());
    rule.as_table().is_some_and(|table| table.len() == 2)
        && text("filter").is_some_and(is_filter)
        && text("level").is_some_and(|level| DURABILITY_LEVELS.contains(&level))
}

fn count(value: &Value, min: u64, max: u64) -> Option<i64> {
    value.as_integer().filter(|n| u64::try_from(*n).is_ok_and(|n| (min..=max).contains(&n)))
}

/// A literal from a string or a bare whole number.
fn literal<T: std::str::FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Integer(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// A text; what was typed without quotes counts as text even if it reads as a number.
fn text(setting: &Setting) -> Option<String> {
    match (&setting.value, &setting.text) {
        (Value::String(text), _) => Some(text.clone()),
        (_, Some(text)) => Some(text.clone()),
        _ => None,
    }
}

fn address(value: &Value) -> Option<SocketAddr> {
    let every_interface = |port: u16| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    match value {
        Value::Integer(port) => u16::try_from(*port).ok().map(every_interface),
        Value::String(text) => {
            let port = text.strip_prefix(':').unwrap_or(text).parse().ok().map(every_interface);
            port.or_else(|| text.parse().ok())
        }
        _ => None,
    }
}

/// The name becomes a level of `$SYS` topics and a label of metrics.
fn is_node_name(name: &str) -> bool {
    let forbidden =
        |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '+' | '#' | '"' | '\\');
    (1..=NODE_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(forbidden)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Rule::Flag => f.write_str("true or false"),
            Rule::Count(min, max) if max == i64::MAX as u64 => write!(f, "a whole number from {min}"),
            Rule::Count(min, max) => write!(f, "a whole number from {min} to {max}"),
            Rule::PowerOfTwo(min, max) => write!(f, "a power of two from {min} to {max}"),
            Rule::CountOrInfinity(min) => write!(f, "a whole number from {min}, or \"infinity\""),
            Rule::Ratio(min, max) => write!(f, "a number from {min:.1} to {max:.1}"),
            Rule::Time(min, max) if max.is_infinite() => {
                write!(f, "a duration from {min} (ms, s, m, h or d), or \"infinity\"")
            }
            Rule::Time(min, max) => write!(f, "a duration from {min} to {max} (ms, s, m, h or d)"),
            Rule::Bytes(min, max) if max.0 == u64::MAX => write!(f, "a size from {min} (KB, MB or GB)"),
            Rule::Bytes(min, max) => write!(f, "a size from {min} to {max} (KB, MB or GB)"),
            Rule::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Rule::Address => f.write_str(
                "an IP address and port such as 127.0.0.1:1883 or [::1]:1883, or a port such as 1883 for every interface",
            ),
            Rule::NodeName => {
                write!(f, "1 to {NODE_NAME_BYTES_MAX} bytes without space, control, / + # \" or \\ characters")
            }
            Rule::Path => f.write_str("a path of the file system"),
            Rule::Text => write!(f, "a text of at most {TEXT_BYTES_MAX} bytes"),
            Rule::Pace => f.write_str("a rate such as 1000/s, 100/10s or 1MB/s, or \"infinity\""),
            Rule::Word(word) => word.fmt(f),
            Rule::List(item) => write!(f, "a list of at most {LIST_ITEMS_MAX} of {item}"),
            Rule::Chain => write!(f, "at most {ELEMENTS_MAX} elements, see docs/authentication.md"),
            Rule::LevelRules => write!(
                f,
                "at most {LEVEL_RULES_MAX} of {{ filter = \"a topic filter, not shared\", level = \"memory, wal or fsync\" }}"
            ),
            Rule::Sources => write!(
                f,
                "at most {RULE_SOURCES_MAX} of {{ type = \"file, mosquitto_acl_file, built_in_database, http, postgresql, mysql, redis, ldap or mongodb\", enable = true or false, … }}, with the keys of their type and no others (docs/access-sources.md)"
            ),
        }
    }
}
