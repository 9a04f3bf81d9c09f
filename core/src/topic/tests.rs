use super::*;

#[test]
fn names_are_checked_rule_by_rule() {
    let cases: &[(&str, Result<(), TopicError>)] = &[
        ("a", Ok(())),
        ("/", Ok(())),
        ("a//b", Ok(())),
        ("$SYS/x", Ok(())),
        ("a/b/c", Ok(())),
        ("", Err(TopicError::Empty)),
        ("a/+", Err(TopicError::WildcardInName)),
        ("a#", Err(TopicError::WildcardInName)),
        ("a\0", Err(TopicError::Nul)),
        ("a/b/c/d", Err(TopicError::TooManyLevels { levels: 4, levels_max: 3 })),
    ];
    for (topic, expected) in cases {
        assert_eq!(validate_topic_name(topic, 3), *expected, "{topic:?}");
    }
    assert_eq!(validate_topic_name(&"a".repeat(65_536), 3), Err(TopicError::TooLong));
    assert_eq!(
        validate_topic_name(&"/".repeat(65_535), u16::MAX),
        Err(TopicError::TooManyLevels { levels: 65_536, levels_max: u16::MAX })
    );
}

#[test]
fn filters_are_parsed_with_their_share() {
    let ok = |share, filter| Ok(TopicFilter { share, filter });
    let cases: &[(&str, Result<TopicFilter<'_>, TopicError>)] = &[
        ("a/b", ok(None, "a/b")),
        ("#", ok(None, "#")),
        ("+", ok(None, "+")),
        ("/", ok(None, "/")),
        ("+/+/#", ok(None, "+/+/#")),
        ("/+", ok(None, "/+")),
        ("$SYS/#", ok(None, "$SYS/#")),
        ("$share/g/a/+", ok(Some("g"), "a/+")),
        ("$share/g//", ok(Some("g"), "/")),
        ("$share/g/$SYS/#", ok(Some("g"), "$SYS/#")),
        ("$queue/a", ok(Some("$queue"), "a")),
        ("$queue", ok(None, "$queue")),
        ("$shared/x", ok(None, "$shared/x")),
        ("", Err(TopicError::Empty)),
        ("a\0b", Err(TopicError::Nul)),
        ("a#", Err(TopicError::MisplacedWildcard)),
        ("a+/b", Err(TopicError::MisplacedWildcard)),
        ("a/b+", Err(TopicError::MisplacedWildcard)),
        ("++", Err(TopicError::MisplacedWildcard)),
        ("+#", Err(TopicError::MisplacedWildcard)),
        ("#/", Err(TopicError::MisplacedWildcard)),
        ("a/#/b", Err(TopicError::MisplacedWildcard)),
        ("$share", Err(TopicError::InvalidShare)),
        ("$share/", Err(TopicError::InvalidShare)),
        ("$share/g", Err(TopicError::InvalidShare)),
        ("$share/g/", Err(TopicError::InvalidShare)),
        ("$share//a", Err(TopicError::InvalidShare)),
        ("$share/g+/a", Err(TopicError::InvalidShare)),
        ("$share/#/a", Err(TopicError::InvalidShare)),
        ("$share/g/a#", Err(TopicError::MisplacedWildcard)),
        ("$queue/", Err(TopicError::InvalidShare)),
    ];
    for (text, expected) in cases {
        assert_eq!(TopicFilter::parse(text), *expected, "{text:?}");
    }
    assert_eq!(TopicFilter::parse(&"a".repeat(65_536)), Err(TopicError::TooLong));
}

#[test]
fn a_parsed_filter_knows_its_levels_and_wildcards() {
    let shared = TopicFilter::parse("$share/g/a/+/c").unwrap();
    assert!(shared.has_wildcard());
    assert_eq!(shared.levels(), 3);
    let plain = TopicFilter::parse("a").unwrap();
    assert!(!plain.has_wildcard());
    assert_eq!(plain.levels(), 1);
}

#[test]
fn matching_follows_the_examples_of_the_specification() {
    let cases: &[(&str, &str, bool)] = &[
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/#", "sports", false),
        ("#", "a/b/c", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("+", "", true),
        ("#", "$SYS/x", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/#", "$SYS", true),
        ("$SYS/+", "$SYS/x", true),
        ("a/+", "a/$x", true),
        ("A", "a", false),
        ("a", "a/b", false),
        ("a/b", "a", false),
        ("a//b", "a//b", true),
        ("a/+/b", "a//b", true),
        ("+/#", "a", true),
        ("+/#", "$a", false),
    ];
    for (filter, topic, expected) in cases {
        assert_eq!(filter_matches(filter, topic), *expected, "{filter} against {topic}");
    }
}
