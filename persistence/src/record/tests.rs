use super::*;

fn body() -> Body {
    Body {
        topic: "plant/7/temperature".to_owned(),
        payload: vec![1, 2, 3],
        properties: vec![0x01, 0x01],
        qos: 1,
        retain: false,
        publisher: "sensor-7".to_owned(),
        expires_at_ms: Some(1_700_000_000_000),
        received_at_ms: 1_600_000_000_000,
    }
}

#[test]
fn records_are_read_wherever_they_lie() {
    let (kind, bytes) = encode(&body()).unwrap();
    for shift in 0..8 {
        let mut moved = vec![0; shift];
        moved.extend_from_slice(&bytes);
        let read = access::<Body>(kind, &moved[shift..]).unwrap();
        assert_eq!(read.topic, "plant/7/temperature");
        assert_eq!(read.payload, [1, 2, 3]);
        assert_eq!(read.expires_at_ms.as_ref().map(|ms| ms.to_native()), Some(1_700_000_000_000));
    }
}

#[test]
fn every_kind_comes_back_as_it_was() {
    fn check<R>(record: R)
    where
        R: Record + PartialEq + std::fmt::Debug,
        R: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, RkyvError>>,
        R::Archived: Portable
            + for<'a> CheckBytes<HighValidator<'a, RkyvError>>
            + rkyv::Deserialize<R, rkyv::rancor::Strategy<rkyv::de::Pool, RkyvError>>,
    {
        let (kind, bytes) = encode(&record).unwrap();
        let read: R = rkyv::deserialize::<R, RkyvError>(access::<R>(kind, &bytes).unwrap()).unwrap();
        assert_eq!(read, record);
        assert!(matches!(access::<R>(kind ^ 1, &bytes), Err(RecordError::Kind { .. })));
    }
    let will = Will {
        topic: "gone".to_owned(),
        payload: vec![9],
        qos: 2,
        retain: true,
        delay_s: 30,
        properties: Vec::new(),
        due_at_ms: None,
    };
    check(Session {
        client_id: "client".to_owned(),
        created_ms: 5,
        expires_at_ms: None,
        expiry_interval_s: u32::MAX,
        protocol_version: 5,
        is_clean: true,
        will: Some(will),
    });
    check(Subscription {
        session: 1,
        filter: "plant/+/temperature".to_owned(),
        qos: 1,
        no_local: true,
        retain_as_published: false,
        retain_handling: 2,
        identifier: Some(77),
    });
    check(body());
    check(Queued { session: 1, body: 2, order: 3, qos: 1, retain: false, identifiers: vec![4, 5] });
    check(Sent { session: 1, packet_id: 65_535, queued: None, phase: SentPhase::AwaitingPubcomp });
    check(Received { session: 1, packet_id: 1 });
    check(Retained { body: body() });
}

#[test]
fn kinds_differ() {
    let mut kinds = [
        Session::KIND,
        Subscription::KIND,
        Body::KIND,
        Queued::KIND,
        Sent::KIND,
        Received::KIND,
        Retained::KIND,
    ];
    kinds.sort_unstable();
    assert!(kinds.windows(2).all(|pair| pair[0] < pair[1]));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_checked_access_do_more_than_refuse(
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        at in 0_usize..200,
        bit in 0_u8..8,
    ) {
        let _ = access::<Session>(Session::KIND, &noise);
        let _ = access::<Body>(Body::KIND, &noise);
        let (kind, bytes) = encode(&body()).unwrap();
        let mut flipped = bytes.to_vec();
        let at = at % flipped.len();
        flipped[at] ^= 1 << bit;
        if let Ok(read) = access::<Body>(kind, &flipped) {
            // What is accepted can be read whole.
            let _ = (read.topic.len(), read.payload.iter().map(|&byte| usize::from(byte)).sum::<usize>());
        }
    }
}
