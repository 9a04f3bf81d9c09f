//! A session and its client through random stories: connections come and go, messages pass both ways, time passes. The
//! rules they are held to stand in `ringmq_core::fuzz::session_ops`.

use proptest::prelude::*;
use ringmq_core::fuzz::session_ops;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_delivered_as_promised_or_counted_as_lost(
        settings in prop::collection::vec(any::<u8>(), 7),
        story in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        session_ops(&[settings, story].concat());
    }

    /// As above, where operations that make a connection work are more likely than in arbitrary bytes.
    #[test]
    fn promises_hold_on_connections_that_last(
        settings in prop::collection::vec(any::<u8>(), 7),
        story in prop::collection::vec(
            prop_oneof![
                1 => any::<[u8; 6]>().prop_map(|[_, rest @ ..]| [&[0][..], &rest].concat()),
                4 => any::<[u8; 2]>().prop_map(|[kind, size]| vec![1, 0, kind, size]),
                6 => Just(vec![4]),
                6 => Just(vec![6, 7]),
                6 => Just(vec![8, 7]),
                3 => (0..3u8, 0..4u8).prop_map(|(qos, alias)| vec![10, qos, alias]),
                1 => any::<u8>().prop_map(|which| vec![11, which]),
                1 => Just(vec![12]),
                1 => (0..4u8).prop_map(|span| vec![13, span]),
                1 => (0..4u8, 0..4u8).prop_map(|(kind, which)| vec![15, kind, which]),
            ],
            0..200,
        ),
    ) {
        session_ops(&[settings, story.concat()].concat());
    }
}
