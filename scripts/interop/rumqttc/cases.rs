//! The cases, the same as those of the other clients: each takes clients of its own and topics of its own.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::peer::{Peer, Run};

/// A case and its name.
type Case = (&'static str, fn(&Run) -> Result<()>);

/// All cases, in the order they run.
pub const CASES: [Case; 10] = [
    ("qos0", |run| at_qos(run, 0)),
    ("qos1", |run| at_qos(run, 1)),
    ("qos2", |run| at_qos(run, 2)),
    ("retained", retained),
    ("will", will),
    ("shared", shared),
    ("session", session),
    ("wildcard", wildcard),
    ("large", large),
    ("order", order),
];

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn at_qos(run: &Run, qos: u8) -> Result<()> {
    let topic = format!("{}/qos{qos}", run.prefix);
    let mut subscriber = Peer::clean(run, "s")?;
    subscriber.subscribe(&topic, qos)?;
    let mut publisher = Peer::clean(run, "p")?;
    for text in numbers(20).into_iter().chain(["end".to_owned()]) {
        publisher.publish(&topic, text, qos, false)?;
    }
    for text in numbers(20) {
        let got = subscriber.next()?;
        ensure!((got.text(), got.qos, got.retain) == (text.clone(), qos, false), "{text}: {got:?}");
    }
    let rest = subscriber.until("end")?;
    ensure!(rest.is_empty(), "a message came twice: {rest:?}");
    subscriber.end()?;
    publisher.end()
}

fn retained(run: &Run) -> Result<()> {
    let topic = format!("{}/retained", run.prefix);
    let mut publisher = Peer::clean(run, "p")?;
    publisher.publish(&format!("{topic}/a"), "old", 1, true)?;
    publisher.publish(&format!("{topic}/a"), "new", 1, true)?;
    let mut first = Peer::clean(run, "s1")?;
    first.subscribe(&format!("{topic}/+"), 1)?;
    let got = first.next()?;
    ensure!(got.text() == "new" && got.retain, "{got:?}");
    publisher.publish(&format!("{topic}/a"), "", 1, true)?;
    let got = first.next()?;
    ensure!(got.payload.is_empty(), "the clearing message reaches a live subscriber: {got:?}");
    let mut second = Peer::clean(run, "s2")?;
    second.subscribe(&format!("{topic}/+"), 1)?;
    publisher.publish(&format!("{topic}/b"), "end", 1, false)?;
    let rest = second.until("end")?;
    ensure!(rest.is_empty(), "a cleared message was delivered: {rest:?}");
    second.end()?;
    first.end()?;
    publisher.end()
}

fn will(run: &Run) -> Result<()> {
    let topic = format!("{}/will", run.prefix);
    let mut watcher = Peer::clean(run, "w")?;
    watcher.subscribe(&format!("{topic}/#"), 1)?;
    let polite = (format!("{topic}/polite"), "no".to_owned(), false);
    Peer::connect(run, "polite", true, Some(polite))?.end()?;
    let crash = (format!("{topic}/crash"), "gone".to_owned(), true);
    Peer::connect(run, "crash", true, Some(crash))?.crash()?;
    let got = watcher.next()?;
    ensure!(got.topic == format!("{topic}/crash") && got.text() == "gone", "{got:?}");
    let mut late = Peer::clean(run, "late")?;
    late.subscribe(&format!("{topic}/crash"), 1)?;
    let got = late.next()?;
    ensure!(got.retain && got.text() == "gone", "the will was not retained: {got:?}");
    late.publish(&format!("{topic}/crash"), "", 1, true)?;
    late.end()?;
    watcher.end()
}

fn shared(run: &Run) -> Result<()> {
    let topic = format!("{}/shared", run.prefix);
    let mut members = Vec::new();
    for name in ["m1", "m2"] {
        let mut member = Peer::clean(run, name)?;
        member.subscribe(&format!("$share/g/{topic}"), 1)?;
        members.push(member);
    }
    let mut publisher = Peer::clean(run, "p")?;
    for text in numbers(100) {
        publisher.publish(&topic, text, 1, false)?;
    }
    // Each member has a topic of its own whose message comes after all that was sent to it before.
    let mut got = Vec::new();
    for (number, member) in members.iter_mut().enumerate() {
        let end = format!("{topic}/end{number}");
        member.subscribe(&end, 1)?;
        publisher.publish(&end, "end", 1, false)?;
        got.push(member.until("end")?);
    }
    let counts = format!("{} + {} messages", got[0].len(), got[1].len());
    ensure!(got.iter().all(|texts| !texts.is_empty()), "one member got all: {counts}");
    let unique: BTreeSet<&String> = got.iter().flatten().collect();
    ensure!(unique.len() == 100 && got[0].len() + got[1].len() == 100, "{counts}, {} unique", unique.len());
    members.into_iter().try_for_each(Peer::end)?;
    publisher.end()
}

fn session(run: &Run) -> Result<()> {
    let topic = format!("{}/session", run.prefix);
    Peer::clean(run, "x")?.end()?;
    let mut first = Peer::connect(run, "x", false, None)?;
    ensure!(!first.session_present, "session present for a new session");
    first.subscribe(&topic, 1)?;
    first.end()?;
    let mut publisher = Peer::clean(run, "p")?;
    for text in numbers(20).into_iter().chain(["end".to_owned()]) {
        publisher.publish(&topic, text, 1, false)?;
    }
    let mut second = Peer::connect(run, "x", false, None)?;
    ensure!(second.session_present, "session not present");
    let got = second.until("end")?;
    ensure!(got == numbers(20), "offline messages {got:?}");
    second.end()?;
    let mut third = Peer::clean(run, "x")?;
    ensure!(!third.session_present, "a clean start found a session");
    publisher.publish(&topic, "stale", 1, false)?;
    third.subscribe(&format!("{topic}/end"), 1)?;
    publisher.publish(&format!("{topic}/end"), "end", 1, false)?;
    let rest = third.until("end")?;
    ensure!(rest.is_empty(), "a clean start kept a subscription: {rest:?}");
    third.end()?;
    publisher.end()
}

fn wildcard(run: &Run) -> Result<()> {
    let topic = format!("{}/wild", run.prefix);
    let mut subscriber = Peer::clean(run, "s")?;
    subscriber.subscribe(&format!("{topic}/+/x"), 1)?;
    subscriber.subscribe(&format!("{topic}/deep/#"), 1)?;
    let mut publisher = Peer::clean(run, "p")?;
    for name in ["a/x", "a/y", "b/x", "a/b/x", "deep", "deep/1", "deep/1/2/3", "deeper", "a", "end/x"] {
        publisher.publish(&format!("{topic}/{name}"), name, 1, false)?;
    }
    let got = subscriber.until("end/x")?;
    ensure!(got == ["a/x", "b/x", "deep", "deep/1", "deep/1/2/3"], "{got:?}");
    subscriber.end()?;
    publisher.end()
}

fn large(run: &Run) -> Result<()> {
    let topic = format!("{}/large", run.prefix);
    let payload: Vec<u8> = (0..200_000_u32).map(|number| (number * 7 % 251) as u8).collect();
    let mut subscriber = Peer::clean(run, "s")?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = Peer::clean(run, "p")?;
    for qos in [0, 1, 2] {
        publisher.publish(&topic, payload.clone(), qos, false)?;
        ensure!(subscriber.next()?.payload == payload, "the payload changed at QoS {qos}");
    }
    subscriber.end()?;
    publisher.end()
}

fn order(run: &Run) -> Result<()> {
    let topic = format!("{}/order", run.prefix);
    let mut subscriber = Peer::clean(run, "s")?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = Peer::clean(run, "p")?;
    for qos in [1, 2] {
        for text in numbers(1000).into_iter().chain(["end".to_owned()]) {
            publisher.send(&topic, text, qos)?;
        }
        publisher.acknowledged(1001)?;
        let got = subscriber.until("end")?;
        ensure!(got == numbers(1000), "QoS {qos}: {} messages, first {:?}", got.len(), got.first());
    }
    subscriber.end()?;
    publisher.end()
}
