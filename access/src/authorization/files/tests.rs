//! What a file may hold, and what is said about one that is wrong.

use super::*;
use crate::authorization::rule::Topics;
use crate::authorization::{BuiltInRules, Holder};

fn acl_conf(text: &str) -> Result<Vec<Rule>, Fault> {
    parse(text, Format::AclConf, &mut Wordings::default())
}

fn complaint(result: Result<Vec<Rule>, Fault>) -> String {
    let fault = result.expect_err("the file is wrong");
    format!("{}:{}: {fault}", fault.place().line, fault.place().column)
}

#[test]
fn every_form_of_the_grammar_is_read() {
    let text = r##"
        %% comment. {allow
        {allow, all}. {deny,all}.% behind
        {allow, {ipaddr, "10.0.0.0/8"}, all, ["a"]}.
        {allow, {ipaddrs, ["10.0.0.0/8", "::1"]}, publish, []}.
        {allow, {user, "a\tb\x41\x{e9}\101\"\\\^A"}, subscribe, ["a" "b"]}.
        {'deny', {'username', {re, "^a.*$"}}, {publish, [{qos, 1}, {retain, true}]}, [{eq, "#"}, "eq +"]}.
        {allow, {client, <<"a">>}, {all, [{qos, [0, 2]}, {retain, all}]}, [<<"a"/utf8>>]}.
        {allow, {clientid, {re, "[0-9]+"}}, all, ["${clientid}/${username}/#"]}.
        {allow, {client_attr, site, "x"}, all, ["${client_attrs.site}"]}.
        {allow, {client_attr, "site", {re, "x"}}, all, ["${cert_common_name}", "${$}{a}"]}.
        {allow, {'and', [{user, "a"}, {'or', [{listener, "ssl:default"}, all]}]}, all, ["é/+"]}.
    "##;
    let rules = acl_conf(text).unwrap();
    assert_eq!(rules.len(), 11);
    let Topics::List(topics) = &rules[4].topics else { panic!("a list") };
    assert_eq!(format!("{:?}", topics[0]), r##"Fixed(Filter("ab"))"##);
    assert_eq!(format!("{:?}", rules[4].who), r##"User(Exact("a\tbAéA\"\\\u{1}"))"##);
    assert!(acl_conf("\u{feff}").unwrap().is_empty());
    acl_conf(DEFAULT_RULES).unwrap();
}

#[test]
fn wrong_terms_are_pointed_at() {
    for (text, expected) in [
        ("{allow, all}", "1:13: expected `.` after the term, found the end of the file"),
        ("{allow, all}.{deny, all}.", "1:14: expected a space or a new line after `.`, found `{`"),
        ("{allow all}.", "1:8: expected `,` or `}`, found `a`"),
        (
            "\n\n  {allow, all, All, []}.",
            "3:16: expected a tuple, a list, a string, an atom or a whole number, found `A`, which begins a variable; write names in lower case or in single quotes",
        ),
        ("{allow, \"all}.\n\n", "1:9: expected `\"` that ends the string, found the end of the file"),
        ("{allow, 'all}.", "1:9: expected `'` that ends the atom, found the end of the file"),
        (
            "allow.",
            "1:1: expected {allow or deny, who, action, [topics]} or {allow or deny, all}, found `allow`",
        ),
        ("{permit, all}.", "1:2: expected allow or deny, found `permit`"),
        (
            "{allow, all, write, []}.",
            "1:14: expected publish, subscribe, all, or {publish, subscribe or all, [conditions]}, found `write`",
        ),
        ("{allow, all, {publish, [{qos, 3}]}, []}.", "1:31: expected 0, 1 or 2, found the number 3"),
        ("{allow, all, {publish, [{retain, yes}]}, []}.", "1:34: expected true, false or all, found `yes`"),
        ("{allow, all, publish, \"a\"}.", "1:23: expected a list of topics, found the string \"a\""),
        ("{allow, all, publish, [a]}.", "1:24: expected a string or {eq, STRING}, found `a`"),
        (
            "{allow, {ipaddr, \"10.0.0.0/99\"}, all, []}.",
            "1:18: expected an IP address such as \"10.0.0.1\" or a network such as \"10.0.0.0/8\", found the string \"10.0.0.0/99\"",
        ),
        ("{allow, {user, 7}, all, []}.", "1:16: expected a string or {re, STRING}, found the number 7"),
        (
            "{allow, {zone, 7}, all, []}.",
            "1:16: expected the name of a zone, as a string or an atom, found the number 7",
        ),
        ("{allow, all, all, [\"a/#/b\"]}.", "1:20: topic \"a/#/b\": not a topic filter: "),
        (
            "{allow, all, all, [\"$share/g/a\"]}.",
            "1:20: topic \"$share/g/a\": rules are compared with the filter behind `$share/GROUP/`; leave that out",
        ),
        (
            "{allow, all, all, [\"${user}\"]}.",
            "1:20: topic \"${user}\": no placeholder is called ${user}; there are ${clientid}, ${username}, ",
        ),
        (
            "{allow, all, all, [\"a/${clientid\"]}.",
            "1:20: topic \"a/${clientid\": `${` is not closed; write `}` after the name, or ${$} for a dollar sign",
        ),
        (
            "{allow, all, {publish, [{qos, 99999999999999999999}]}, []}.",
            "1:31: expected a whole number of at most 18 digits, found ",
        ),
        (
            "{allow, all, all, [\"\\x{d800}\"]}.",
            "1:24: expected the number of a character, found the number 0xd800",
        ),
        ("{allow, {user, {re, \"(\"}}, all, []}.", "1:21: not a regular expression: "),
    ] {
        let found = complaint(acl_conf(text));
        assert!(found.starts_with(expected), "{text}\n  {found}\n  {expected}");
    }
}

#[test]
fn expressions_that_could_take_long_are_refused_or_do_not() {
    for regex in ["(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\\1"] {
        let found = complaint(acl_conf(&format!("{{allow, {{user, {{re, \"{regex}\"}}}}, all, []}}.")));
        assert!(found.contains("look-around and back references are not supported"), "{regex}: {found}");
    }
    let found = complaint(acl_conf("{allow, {user, {re, \"(a{1000}){1000}\"}}, all, []}."));
    assert!(found.contains("more than 1 MiB"), "{found}");
    let found =
        complaint(acl_conf(&format!("{{allow, {{user, {{re, \"{}\"}}}}, all, []}}.", "a".repeat(5000))));
    assert!(found.contains("may have 4096 bytes and has 5000"), "{found}");
    let mut wordings = Wordings::default();
    for regex in ["^(a+)+$", "(a|aa)+$", "^(a|a?)+$", "(.*)*x"] {
        // Megabytes of what makes a backtracking matcher take longer than the universe has existed.
        assert!(!wordings.pattern(regex).unwrap().is(&format!("{}!", "a".repeat(65_000))), "{regex}");
    }
}

#[test]
fn hostile_texts_are_refused_without_harm() {
    let deep = complaint(acl_conf(&format!("{}all", "{'and', [".repeat(100_000))));
    assert!(deep.contains("expected fewer terms inside terms, found terms nested 32 deep"), "{deep}");
    let long = "x".repeat(10_000_000);
    let found = complaint(acl_conf(&format!("{{allow, all, all, [\"{long}\"]}}.")));
    assert!(found.len() < 300, "{}", found.len());
    let found = complaint(acl_conf(&format!("{{allow, {long}}}.")));
    assert!(found.len() < 300, "{}", found.len());
    for text in [
        "{",
        "[",
        "\"",
        "'",
        "<<",
        "<<\"",
        "\\",
        ".",
        "%",
        "{,}",
        "[,]",
        "{allow,}.",
        "\"\\",
        "\"\\x{",
        "-",
        "--1.",
        "\0",
        "{}.",
        "[].",
    ] {
        // Only that nothing panics; `%` alone is a comment.
        let _ = acl_conf(text);
    }
}

#[test]
fn mosquitto_lines_are_pointed_at() {
    let read = |text: &str| parse(text, Format::Mosquitto, &mut Wordings::default());
    for (text, expected) in [
        ("\nallow all\n", "2:1: expected user, topic, pattern, or `#` before a comment, found `allow`"),
        ("user\n", "1:5: expected a user name after `user`, found the end of the line"),
        ("topic\n", "1:6: expected a topic, found the end of the line"),
        ("topic rw a/b\n", "1:7: expected read, write, readwrite or deny before the topic, found `rw`"),
        ("topic read a/#/b\n", "1:12: topic \"a/#/b\": not a topic filter: "),
        ("pattern read $share/g/%u\n", "1:14: topic \"$share/g/%u\": rules are compared"),
    ] {
        let found = complaint(read(text));
        assert!(found.starts_with(expected), "{text}\n  {found}");
    }
    assert_eq!(read("user a b\ntopic read a b\npattern c/%u\r\n").unwrap().len(), 4);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[{}\\[\\]\",.'<>\\\\ a-cA\\n0-9%$#+/é-]{0,40}") {
        let _ = acl_conf(&text);
        let _ = parse(&text, Format::Mosquitto, &mut Wordings::default());
    }
}

/// The fenced examples of the documentation, with the word that says what they are.
fn examples() -> Vec<(&'static str, &'static str)> {
    let page = include_str!("../../../../docs/authorization.md");
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|example| example.split_once('\n')).collect()
}

#[test]
fn examples_of_the_documentation_are_right() {
    let mut wordings = Wordings::default();
    let mut last = "";
    for (kind, text) in examples() {
        last = kind;
        match kind {
            "erlang" => assert!(!acl_conf(text).unwrap().is_empty()),
            "mosquitto" => assert_eq!(parse(text, Format::Mosquitto, &mut wordings).unwrap().len(), 8),
            _ => {}
        }
    }
    assert_eq!(last, "json");
    let described = |text: &str| format!("{:?}", acl_conf(text).unwrap());
    let default = examples()[1].1;
    assert_eq!(described(default), described(DEFAULT_RULES));
}

#[test]
fn files_of_the_first_version_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (_, text) in examples().into_iter().filter(|(kind, _)| *kind == "json") {
        let is_ban = text.contains("ringmq-banned");
        let name = if is_ban { crate::bans::Bans::FILE_NAME } else { BuiltInRules::FILE_NAME };
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let rules = BuiltInRules::load(folder.path()).unwrap();
    assert_eq!(rules.records().count(), 3);
    assert_eq!(rules.of(&Holder::User("meter".into()))[0].qos.as_deref(), Some(&[1][..]));
    let bans = crate::bans::Bans::load(folder.path(), 1_763_760_000).unwrap();
    assert_eq!(bans.len(), 3);
    assert_eq!(bans.iter().filter(|ban| ban.until_s.is_none()).count(), 2);
}
