use super::*;

fn body() -> Body<'static> {
    Body {
        topic: "plant/7/temperature",
        payload: &[1, 2, 3],
        properties: &[0x01, 0x01],
        qos: 1,
        retain: false,
        expires_at_ms: Some(1_700_000_000_000),
        stored_at_ms: 1_600_000_000_000,
    }
}

#[test]
fn records_are_read_wherever_they_lie() {
    let (kind, bytes) = encode(&body()).unwrap();
    for shift in 0..8 {
        let mut moved = vec![0; shift];
        moved.extend_from_slice(&bytes);
        let read = access::<Body<'_>>(kind, &moved[shift..]).unwrap();
        assert_eq!(&*read.topic, "plant/7/temperature");
        assert_eq!((&read.payload[..], &read.properties[..]), (&[1, 2, 3][..], &[1, 1][..]));
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
            + Deserialize<R, HighDeserializer<RkyvError>>,
    {
        let (kind, bytes) = encode(&record).unwrap();
        assert_eq!(decode::<R>(kind, &bytes).unwrap(), record);
        assert!(matches!(access::<R>(kind ^ 1, &bytes), Err(RecordError::Kind { .. })));
    }
    let will = Will {
        topic: "gone".to_owned(),
        payload: vec![9],
        qos: 2,
        retain: true,
        delay_s: 30,
        expiry_interval_s: Some(7),
        properties: Vec::new(),
        due_at_ms: None,
    };
    check(Session {
        number: 9,
        client_id: "client".to_owned(),
        created_ms: 5,
        expires_at_ms: None,
        expiry_interval_s: u32::MAX,
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
    check(Sent { session: 1, packet_id: 65_535, replaces: 8 });
    check(Received { session: 1, packet_id: 1 });
    let target = ForwardTarget { shard: 3, deliver: true, retain: false, shares: vec![4, 5] };
    check(Forwarding { sequence: 1, body: 2, targets: vec![target] });
    check(Applied { from: 6, sequence: u64::MAX });
    check(QueueTerms { session: 1, len_max: Some(7), policy: None });
    check(QueueTerms { session: 1, len_max: None, policy: Some(4) });
    check(SessionZone { session: 1, zone: "plant".to_owned() });
}

#[test]
fn records_that_borrow_are_read_as_they_were() {
    let queued = Queued {
        session: 1,
        body: 2,
        packet_id: Some(3),
        replaces: 4,
        share: 5,
        qos: 1,
        retain: true,
        identifiers: &[6, 7],
    };
    let (kind, bytes) = encode(&queued).unwrap();
    let read = access::<Queued<'_>>(kind, &bytes).unwrap();
    assert_eq!((read.session.to_native(), read.body.to_native(), read.replaces.to_native()), (1, 2, 4));
    assert_eq!((read.packet_id.as_ref().map(|id| id.to_native()), read.share.to_native()), (Some(3), 5));
    assert_eq!(
        (read.qos, read.retain, read.identifiers.len(), read.identifiers[1].to_native()),
        (1, true, 2, 7)
    );
    let (kind, bytes) = encode(&Retained { body: body() }).unwrap();
    let read = access::<Retained<'_>>(kind, &bytes).unwrap();
    assert_eq!((&*read.body.topic, &read.body.payload[..]), ("plant/7/temperature", &[1, 2, 3][..]));
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
        QueueTerms::KIND,
        SessionZone::KIND,
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
        let _ = access::<Body<'_>>(Body::KIND, &noise);
        let (kind, bytes) = encode(&body()).unwrap();
        let mut flipped = bytes.to_vec();
        let at = at % flipped.len();
        flipped[at] ^= 1 << bit;
        if let Ok(read) = access::<Body<'_>>(kind, &flipped) {
            // What is accepted can be read whole.
            let _ = (read.topic.len(), read.payload.iter().map(|&byte| usize::from(byte)).sum::<usize>());
        }
    }
}
