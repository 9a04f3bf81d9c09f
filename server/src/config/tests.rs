//! The configuration as a whole: order of sources, the texts of errors, the shipped file.

use super::known::KnownKeys;
use super::rule::{RULES, matches};
use super::setting::{KeyPath, Setting};
use super::source::read_toml;
use super::*;
use ringmq_access::authorization::SourceConfig;
use ringmq_core::config::{ByteSize, Duration, Limit};
use ringmq_shards::config::ListenerKind;
use std::ffi::OsString;
use std::path::Path;

fn sources(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Config, ConfigError> {
    let mut settings = Vec::new();
    read_toml(Path::new("ringmq.toml"), file, &mut settings)?;
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let rest = Sources {
        file: None,
        environment: environment.collect(),
        set: set.iter().map(|text| (*text).to_owned()).collect(),
    };
    settings.extend(rest.settings()?);
    Config::from_settings(settings)
}

fn error(file: &str, environment: &[(&str, &str)], set: &[&str]) -> String {
    sources(file, environment, set).expect_err("the configuration is wrong").to_string()
}

#[test]
fn nothing_set_is_the_default() {
    assert_eq!(sources("", &[], &[]).unwrap(), Config::default());
    assert_eq!(sources("", &[("PATH", "/bin"), ("RINGMQ", "x")], &[]).unwrap(), Config::default());
}

#[test]
fn set_wins_over_environment_wins_over_file_wins_over_default() {
    let file = "[mqtt]\nmax_inflight = 1\nmax_awaiting_rel = 1\nmax_topic_levels = 1\n";
    let environment = [("RINGMQ_MQTT__MAX_INFLIGHT", "2"), ("RINGMQ_MQTT__MAX_AWAITING_REL", "2")];
    let mqtt = sources(file, &environment, &["mqtt.max_inflight=4", "mqtt.max_inflight=3"]).unwrap().mqtt;
    assert_eq!((mqtt.max_inflight, mqtt.max_awaiting_rel, mqtt.max_topic_levels), (3, 2, 1));
    assert_eq!(mqtt.max_clientid_len, 65_535);
}

#[test]
fn values_are_toml_or_else_text() {
    let set = [
        "node.name=42",
        "node.data_dir=/var/lib/ringmq",
        "mqtt.idle_timeout=\"20s\"",
        "mqtt.await_rel_timeout=infinity",
        "mqtt.max_packet_size=4096",
        "mqtt.keepalive_multiplier=2",
        "mqtt.max_mqueue_len=infinity",
        "mqtt.response_information=a=b",
        "retainer={max_payload_size='2KB', backend={max_retained_messages=7}}",
        "listeners.tcp.default.max_connections=10",
        "log.targets.\"ringmq_core::session\"=debug",
    ];
    let config = sources("", &[("RINGMQ_MQTT__UPGRADE_QOS", "true")], &set).unwrap();
    assert_eq!(config.node.name, "42");
    assert_eq!(config.node.data_dir, Path::new("/var/lib/ringmq"));
    assert_eq!(config.mqtt.idle_timeout, Duration::from_s(20));
    assert_eq!(config.mqtt.await_rel_timeout, Duration::INFINITY);
    assert_eq!(config.mqtt.max_packet_size, ByteSize(4096));
    assert_eq!(config.mqtt.keepalive_multiplier, 2.0);
    assert_eq!(config.mqtt.max_mqueue_len, Limit::INFINITY);
    assert_eq!(config.mqtt.response_information, "a=b");
    assert_eq!(config.retainer.max_payload_size, ByteSize(2048));
    assert_eq!(config.retainer.backend.max_retained_messages, 7);
    assert_eq!(config.listeners.tcp["default"].max_connections, Limit(10));
    assert_eq!(config.log.directives(), "info,ringmq_core::session=debug");
    assert!(config.mqtt.upgrade_qos);
}

#[test]
fn the_rate_limit_of_older_brokers_is_today_s_rate_and_burst() {
    let file = "[listeners.tcp.default]\nrate_limit = \"1024,4096\"\nmax_conn_rate = 1000\n";
    let of = |config: Config, kind: ListenerKind, name: &str| {
        let listener = &config.listeners.of(kind)[name];
        (listener.bytes_rate.to_string(), listener.bytes_burst.0, listener.max_conn_rate.to_string())
    };
    let (tcp, expected) = (ListenerKind::Tcp, ("1KB/s".to_owned(), 3072, "1000/s".to_owned()));
    assert_eq!(of(sources(file, &[], &[]).unwrap(), tcp, "default"), expected);
    // The last source wins, as with every key; a listener may be named by it for the first time.
    let set = ["listeners.tcp.default.rate_limit=2KB, 2KB", "listeners.ws.lan.rate_limit=1,5"];
    let config = sources(file, &[], &set).unwrap();
    assert_eq!(of(config.clone(), tcp, "default"), ("2KB/s".to_owned(), 0, "1000/s".to_owned()));
    assert_eq!(of(config, ListenerKind::Ws, "lan"), ("1/s".to_owned(), 4, "infinity".to_owned()));
    let environment = [("RINGMQ_LISTENERS__TCP__DEFAULT__RATE_LIMIT", "1024,4096")];
    assert_eq!(sources("", &environment, &[]).unwrap().listeners.tcp["default"].bytes_burst.0, 3072);

    for wrong in ["1024", "4096,1024", "0,1", "a,b", "100KB,10s", ""] {
        let text = error("", &[], &[&format!("listeners.tcp.default.rate_limit={wrong}")]);
        assert!(text.contains("rate_limit = ") && text.contains("such as \"1024,4096\""), "{text}");
    }
    for beside in ["listeners.tcp.default.bytes_rate=1/s", "listeners.tcp.default.bytes_burst=1"] {
        let text = error(file, &[], &[beside]);
        assert!(text.contains("ringmq.toml:2") && text.contains("(--set) both say how many"), "{text}");
    }
    assert!(sources(file, &[], &["listeners.ssl.default.bytes_rate=1/s"]).is_ok());
    assert!(error("", &[], &["mqtt.rate_limit=1,2"]).contains("unknown key"), "of listeners only");
    assert!(error("", &[], &["listeners.udp.x.rate_limit=1,2"]).contains("unknown key"));
}

#[test]
fn sources_of_rules_are_a_list_or_tables() {
    let file = "[[authorization.sources]]\ntype = \"file\"\npath = \"/a\"\n\n\
                [[authorization.sources]]\ntype = \"built_in_database\"\nenable = false\n";
    let tables = sources(file, &[], &[]).unwrap().authorization;
    let list = "authorization.sources=[{type='file', path='/a'}, {type='built_in_database', enable=false}]";
    assert_eq!(sources("", &[], &[list]).unwrap().authorization, tables);
    assert_eq!(tables.sources.len(), 2);
    let [SourceConfig::File(first), SourceConfig::BuiltInDatabase(second)] = &tables.sources[..] else {
        panic!("{:?}", tables.sources)
    };
    assert_eq!(first.path.as_deref(), Some(Path::new("/a")));
    assert!(first.enable && !second.enable);
}

#[test]
fn bind_is_an_address_or_a_port() {
    for (typed, meant) in [
        ("127.0.0.1:2883", "127.0.0.1:2883"),
        ("\"127.0.0.1:2883\"", "127.0.0.1:2883"),
        ("0.0.0.0:1883", "0.0.0.0:1883"),
        ("1883", "0.0.0.0:1883"),
        (":1883", "0.0.0.0:1883"),
        ("[::1]:1883", "[::1]:1883"),
        ("[::]:0", "[::]:0"),
    ] {
        let set = format!("listeners.tcp.default.bind={typed}");
        let config = sources("", &[], &[&set]).unwrap();
        assert_eq!(config.listeners.tcp["default"].bind.to_string(), meant, "{typed}");
    }
    let config = sources("", &[("RINGMQ_DASHBOARD__LISTENERS__HTTP__BIND", "127.0.0.2:0")], &[]).unwrap();
    assert_eq!(config.dashboard.listeners.http.bind.to_string(), "127.0.0.2:0");
    for typed in ["localhost:1883", "127.0.0.1", "65536", ":", "-1", "true"] {
        let text = error("", &[], &[&format!("listeners.tcp.default.bind={typed}")]);
        assert!(text.contains("must be an IP address and port such as 127.0.0.1:1883"), "{text}");
    }
}

#[test]
fn further_listener_stands_beside_the_default_one() {
    let config = sources("[listeners.tcp.lan]\nbind = \"127.0.0.1:2883\"\n", &[], &[]).unwrap();
    assert_eq!(config.listeners.tcp.keys().collect::<Vec<_>>(), ["default", "lan"]);
    assert_eq!(config.listeners.tcp["lan"].tcp_options, config.listeners.tcp["default"].tcp_options);
    let config = sources("[listeners.tcp.lan]\n", &[], &["listeners.tcp.default.enable=false"]).unwrap();
    assert_eq!(config.listeners.tcp["lan"], Default::default());
    assert!(!config.listeners.tcp["default"].enable);
    let config = sources("[listeners.tcp.default]\n", &[], &["listeners.tcp.default.bind=2"]).unwrap();
    assert_eq!(config.listeners.tcp["default"].bind.address().unwrap().port(), 2);
    let config = sources("[listeners.wss.lan]\nmax_connections = 5\n", &[], &[]).unwrap();
    let lan = &config.listeners.wss["lan"];
    assert!(lan.enable && !config.listeners.wss["default"].enable);
    assert_eq!((lan.bind.to_string().as_str(), lan.max_connections), ("127.0.0.1:8084", Limit(5)));
    assert!(lan.ssl_options.is_some() && lan.websocket.is_some());
}

#[test]
fn unknown_keys_name_the_nearest_one_and_their_place() {
    assert_eq!(
        error("\n\n[mqtt]\nmax_inflight = 3\nmax_paket_size = 1\n", &[], &[]),
        "unknown key mqtt.max_paket_size (ringmq.toml:5); did you mean mqtt.max_packet_size?"
    );
    assert_eq!(
        error("", &[("RINGMQ_NODE__SHARD", "2")], &[]),
        "unknown key node.shard (environment variable RINGMQ_NODE__SHARD); did you mean node.shards \
         (RINGMQ_NODE__SHARDS)?"
    );
    assert_eq!(
        error("", &[], &["listeners.tcp.mine.bnid=1"]),
        "unknown key listeners.tcp.mine.bnid (--set); did you mean listeners.tcp.mine.bind?"
    );
    assert!(error("[mqt]\n", &[], &[]).starts_with("unknown key mqt (ringmq.toml:1); did you mean "));
    assert!(error("", &[("RINGMQ_MQTT_MAX_INFLIGHT", "1")], &[]).contains("RINGMQ_MQTT__MAX_INFLIGHT"));
}

#[test]
fn variables_of_a_kubernetes_service_are_not_keys() {
    let links = [
        "RINGMQ_SERVICE_HOST",
        "RINGMQ_SERVICE_PORT",
        "RINGMQ_SERVICE_PORT_MQTT",
        "RINGMQ_PORT",
        "RINGMQ_PORT_1883_TCP",
        "RINGMQ_PORT_1883_TCP_ADDR",
        "RINGMQ_HEADLESS_SERVICE_HOST",
        "RINGMQ_HEADLESS_PORT_1883_TCP_PROTO",
        "RINGMQ_HEADLESS_PORT",
    ];
    for link in links {
        assert!(sources("", &[(link, "tcp://10.0.0.1:1883")], &[]).is_ok(), "{link}");
    }
    for typo in ["RINGMQ_MESH__PORT", "RINGMQ_NODE__SERVICE_HOST", "RINGMQ_PORTS", "RINGMQ_"] {
        assert!(error("", &[(typo, "1")], &[]).starts_with("unknown key "), "{typo}");
    }
}

#[test]
fn wrong_values_name_key_value_place_bounds_and_remedy() {
    assert_eq!(
        error("[mqtt]\nmax_qos_allowed = 3\n", &[], &[]),
        "mqtt.max_qos_allowed = 3 (ringmq.toml:2): must be a whole number from 0 to 2; correct it, or remove it to use \
         the default"
    );
    assert_eq!(
        error("", &[("RINGMQ_MQTT__IDLE_TIMEOUT", "2 days")], &[]),
        "mqtt.idle_timeout = \"2 days\" (environment variable RINGMQ_MQTT__IDLE_TIMEOUT): must be a duration from 1s to \
         1h (ms, s, m, h or d); correct it, or remove it to use the default"
    );
    let cases = [
        ("mqtt.idle_timeout=10", "a duration from 1s to 1h"),
        ("mqtt.idle_timeout=infinity", "a duration from 1s to 1h"),
        ("mqtt.max_packet_size=1GB", "a size from 1KB to 256MB"),
        ("mqtt.max_packet_size=-1", "a size from 1KB to 256MB"),
        ("mqtt.max_inflight=0", "a whole number from 1 to 65535"),
        ("mqtt.max_inflight=many", "a whole number from 1 to 65535"),
        ("mqtt.max_inflight=[1, 2]", "a whole number from 1 to 65535"),
        ("mqtt.max_subscriptions=-5", "a whole number from 0, or \"infinity\""),
        ("mqtt.keepalive_multiplier=nan", "a number from 1.0 to 10.0"),
        ("mqtt.keepalive_multiplier=0.5", "a number from 1.0 to 10.0"),
        ("mqtt.upgrade_qos=yes", "true or false"),
        ("mqtt.shared_subscription_strategy=robin", "one of random, round_robin, "),
        ("mesh.lane_capacity=100", "a power of two from 64 to 65536"),
        ("node.shards=257", "a whole number from 0 to 256"),
        ("node.name=a/b", "1 to 255 bytes without space"),
        ("node.data_dir=", "a path of the file system"),
        ("authorization.no_match=ignore", "one of allow, deny"),
        (
            "authorization.sources=[{type=\"files\"}]",
            "at most 16 of { type = \"file, mosquitto_acl_file, built",
        ),
        ("authorization.sources=[{type=\"file\", paht=\"a\"}]", "at most 16 of { type = "),
        ("mqtt.mqueue_full_policy=wait", "one of drop_oldest, drop_newest, reject, block"),
        ("persistence.full_policy=block", "one of refuse, drop_oldest, stop_reading"),
        ("mqtt.peer_cert_as_clientid=crt", "one of disabled, cn, dn, san, pem, md5; not crt: the"),
        ("mqtt.peer_cert_as_username=key", "one of disabled, cn, dn, san, pem, md5; correct"),
        ("mqtt.mqueue_reject_v3=0x97", "one of close, drop"),
        ("mqtt.mqueue_default_priority=middle", "one of lowest, highest"),
        ("mqtt.mqueue_priorities.x=0", "a whole number from 1 to 255"),
        ("mqtt.mqueue_priorities.x=256", "a whole number from 1 to 255"),
        ("log.level=loud", "one of off, error, warn, info, debug, trace"),
        ("log.targets.x=loud", "one of off, error, warn, info, debug, trace"),
    ];
    for (set, expected) in cases {
        let text = error("", &[], &[set]);
        let key = set.split('=').next().unwrap();
        assert!(text.starts_with(&format!("{key} = ")), "{text}");
        assert!(text.contains(&format!("(--set): must be {expected}")), "{text}");
    }
}

#[test]
fn texts_that_are_no_settings_are_refused_with_the_remedy() {
    let text = error("[mqtt]\nmax_inflight = \n", &[], &[]);
    assert!(text.starts_with("ringmq.toml:2: ") && text.contains("`ringmq config`"), "{text}");
    assert!(!text.contains('\n'), "{text}");
    for set in ["mqtt.max_inflight", "=3", "mqtt..x=3", "a b=3", "a=0\nb=3=4"] {
        let text = error("", &[], &[set]);
        assert!(text.contains("--set") || text.starts_with("unknown key"), "{text}");
    }
    assert!(
        error("mqtt = 3\n", &[], &[]).starts_with("mqtt = 3 (ringmq.toml:1): mqtt is a section, not a key")
    );
    assert!(error("[[listeners.tcp]]\n", &[], &[]).contains("listeners.tcp is a section"));
    assert!(
        error("[listeners.tcp.'a b']\n", &[], &[])
            .starts_with("listeners.tcp.\"a b\" (ringmq.toml:1): the name")
    );
    let missing = Sources { file: Some("/nonexistent/r.toml".into()), ..Sources::default() };
    let text = Config::load(&missing).unwrap_err().to_string();
    assert!(text.starts_with("cannot read the configuration file /nonexistent/r.toml: "), "{text}");
}

#[test]
fn priorities_are_for_topics_and_filters() {
    let file = "[mqtt.mqueue_priorities]\n\"alarm/#\" = 200\n'a.b/c d' = 1\n";
    let config = sources(file, &[], &["mqtt.mqueue_priorities.\"$SYS/+\"=7"]).unwrap();
    let priority = |topic| config.mqtt.mqueue_priorities.of(topic);
    assert!(priority("alarm/fire") > priority("$SYS/x") && priority("$SYS/x") > priority("a.b/c d"));
    assert!(priority("a.b/c d").is_some() && priority("other").is_none());
    let text = error("[mqtt.mqueue_priorities]\n'a/#/b' = 1\n", &[], &[]);
    assert!(text.starts_with("mqtt.mqueue_priorities.\"a/#/b\" (ringmq.toml:2): must be a topic"), "{text}");
    assert!(error("", &[], &["mqtt.mqueue_priorities.'$share/g/a'=1"]).contains("not a shared one"));
    assert!(error("", &[], &["mqtt.mqueue_priorities=disabled"]).contains("is a section"));
    let many: String = (0..257).map(|n| format!("t{n} = 1\n")).collect();
    let text = error(&format!("[mqtt.mqueue_priorities]\n{many}"), &[], &[]);
    assert!(text.starts_with("mqtt.mqueue_priorities has 257 entries; at most 256"), "{text}");
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    assert_eq!(
        error("", &[], &["listeners.tcp.lan.bind=127.0.0.1:1883"]),
        "listeners.tcp.default.bind (default) and listeners.tcp.lan.bind (--set) are the same address (127.0.0.1:1883 and \
         127.0.0.1:1883); give one another port, or set its enable = false"
    );
    assert!(error("", &[], &["dashboard.listeners.http.bind=1883"]).contains("are the same address"));
    for set in ["127.0.0.2:1883", "[::]:1883", "127.0.0.1:1884"] {
        assert!(sources("", &[], &[&format!("listeners.tcp.lan.bind={set}")]).is_ok(), "{set}");
    }
    let free = ["listeners.tcp.default.bind=127.0.0.1:0", "listeners.tcp.lan.bind=127.0.0.1:0"];
    assert!(sources("", &[], &free).is_ok());
}

#[test]
fn nothing_typed_panics() {
    let texts = [
        "",
        "=",
        "x",
        "\u{0}",
        "\"",
        "[",
        "{",
        "a.b.c.d.e.f",
        "🦀",
        "mqtt.max_inflight",
        "listeners.tcp..bind",
        "0x",
    ];
    for left in texts {
        for right in texts {
            let _ = sources("", &[], &[&format!("{left}={right}")]);
            let _ = sources(&format!("{left}={right}"), &[], &[]);
            let _ = sources("", &[(&format!("RINGMQ_{left}__{right}"), right)], &[]);
        }
    }
}

#[test]
fn shipped_file_equals_the_defaults() {
    assert_eq!(sources(DEFAULT_FILE, &[], &[]).unwrap(), Config::default());
}

#[test]
fn every_key_has_a_rule_and_every_rule_a_key() {
    let known = KnownKeys::of(&Config::default_table().unwrap()).patterns();
    for pattern in &known {
        assert!(rule_of(&KeyPath::dotted(pattern)).is_some(), "rule of {pattern}");
    }
    for (rule, _) in RULES {
        assert!(known.iter().any(|pattern| matches(rule, &KeyPath::dotted(pattern))), "no key {rule}");
        assert_eq!(RULES.iter().filter(|(other, _)| other == rule).count(), 1, "rules of {rule}");
    }
}

#[test]
fn shipped_file_explains_every_key_with_its_bounds() {
    let mut settings: Vec<Setting> = Vec::new();
    read_toml(Path::new("ringmq.toml"), DEFAULT_FILE, &mut settings).unwrap();
    for (pattern, rule) in RULES {
        let value = format!("# Value: {rule}.");
        let last = pattern.rsplit('.').next().unwrap();
        let line =
            if last == "*" { format!("[{}]", pattern.trim_end_matches(".*")) } else { format!("{last} = ") };
        let found = DEFAULT_FILE.lines().zip(DEFAULT_FILE.lines().skip(1));
        let found = found.filter(|(above, below)| *above == value && below.starts_with(&line)).count();
        assert!(found >= 1, "{pattern}: no `{value}` above `{line}`");
        let path = |setting: &&Setting| matches(pattern, &setting.path);
        let section = KeyPath::dotted(pattern.trim_end_matches(".*"));
        assert!(settings.iter().any(|s| path(&s) || s.path == section), "{pattern} is not in the file");
    }
}

#[test]
fn defaults_pass_their_own_rules() {
    let mut settings = Vec::new();
    let text = toml::to_string(&Config::default()).unwrap();
    read_toml(Path::new("defaults"), &text, &mut settings).unwrap();
    assert_eq!(Config::from_settings(settings).unwrap(), Config::default());
}

#[test]
fn a_zone_has_what_it_sets_and_the_rest_of_mqtt() {
    let file = "[mqtt]\nmax_inflight = 7\nmax_awaiting_rel = 8\n[mqtt.mqueue_priorities]\na = 1\nb = 2\n\
                [zones.plant.mqtt]\nmax_inflight = 9\nmqueue_priorities = { c = 3 }\n\
                [zones.bare.mqtt]\n[zones.none]\n[zones.flat.mqtt.mqueue_priorities]\n\
                [zones.default.mqtt]\nmax_awaiting_rel = 10\n";
    let environment = [("RINGMQ_ZONES__PLANT__MQTT__MAX_PACKET_SIZE", "4KB")];
    let set = ["mqtt.retain_available=false", "listeners.tcp.default.zone=plant"];
    let zones = sources(file, &environment, &set).unwrap().data_plane().zones;
    let of = |name: &str| zones.of(zones.find(name).unwrap_or_else(|| panic!("no zone {name}")));
    let figures = |name: &str| (of(name).max_inflight, of(name).max_awaiting_rel);
    assert_eq!((figures("plant"), figures("bare"), figures("none")), ((9, 8), (7, 8), (7, 8)));
    assert_eq!(figures("default"), (7, 10));
    assert_eq!(
        (of("plant").max_packet_size, of("bare").max_packet_size),
        (ByteSize(4096), ByteSize(1 << 20))
    );
    let priorities = |name: &str| ["a", "b", "c"].map(|topic| of(name).mqueue_priorities.of(topic).is_some());
    assert_eq!(priorities("plant"), [false, false, true]);
    assert_eq!((priorities("bare"), priorities("flat")), ([true, true, false], [false; 3]));
    assert!(["plant", "bare", "default"].iter().all(|name| !of(name).retain_available));
    assert_eq!(zones.find("other"), None);
}

#[test]
fn what_a_zone_may_not_have_is_named() {
    for (file, expected) in [
        (
            "[zones.plant.mqtt]\nmax_inflght = 3\n",
            "unknown key zones.plant.mqtt.max_inflght (ringmq.toml:2); did you mean zones.plant.mqtt.max_inflight?",
        ),
        (
            "[zones.plant.mqtt]\nmax_inflight = 0\n",
            "zones.plant.mqtt.max_inflight = 0 (ringmq.toml:2): must be a whole number from 1 to 65535; correct it, or remove it to use the default",
        ),
        (
            "[zones.plant.retainer]\nmax_payload_size = 3\n",
            "unknown key zones.plant.retainer.max_payload_size",
        ),
        ("[zones]\nplant = 3\n", "zones.plant = 3 (ringmq.toml:2): zones.plant is a section, not a key"),
        ("[zones.'a b'.mqtt]\nmax_inflight = 3\n", "zones.\"a b\" (ringmq.toml:2): the name must be 1 to 64"),
        (
            "[zones.plant.mqtt.mqueue_priorities]\n'a#' = 3\n",
            "zones.*.mqtt.mqueue_priorities.\"a#\" (ringmq.toml:2): must be a topic",
        ),
        (
            "[listeners.tcp.default]\nzone = 'plant'\n",
            "listeners.tcp.default.zone = \"plant\" (ringmq.toml:2): there is no such zone; add a section [zones.plant.mqtt], or name one that is there, such as \"default\"",
        ),
        (
            "[listeners.tcp.default]\nzone = 'a b'\n",
            "listeners.tcp.default.zone = \"a b\" (ringmq.toml:2): must be 1 to 64 letters",
        ),
        (
            "[mqtt]\nmin_keepalive = 30\nmax_keepalive = 20\n",
            "mqtt.min_keepalive = 30 (ringmq.toml:2) and mqtt.max_keepalive = 20 (ringmq.toml:3) leave no keep alive that is allowed",
        ),
        (
            "[mqtt]\nmin_keepalive = 30\n[zones.a.mqtt]\nmax_keepalive = 20\n",
            "mqtt.min_keepalive = 30 (ringmq.toml:2) and zones.a.mqtt.max_keepalive = 20 (ringmq.toml:4) leave",
        ),
    ] {
        let text = error(file, &[], &[]);
        assert!(text.starts_with(expected), "{text}\n{expected}");
    }
}
