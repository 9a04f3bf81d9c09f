use super::UringNet;
use crate::clock::Clock;
use crate::reactor::{Event, Network, Reactor, SendOutcome, Token};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longer than any completion takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network without listeners; the other end of its doorbell keeps it from ringing.
fn net() -> (UringNet, UnixStream) {
    let (ringing, hearing) = UnixStream::pair().expect("descriptors");
    let net = UringNet::new(Vec::new(), OwnedFd::from(hearing), Clock::start()).expect("io_uring");
    (net, ringing)
}

/// What a test looks for in events, owned.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Accepted,
    Received(Token, Vec<u8>),
    Progressed(Token),
    Sent(Token),
    Closed(Token),
}

/// Turns the ring until there is an event.
fn next(net: &mut UringNet) -> Seen {
    next_within(net, PATIENCE).expect("an event in time")
}

fn next_within(net: &mut UringNet, patience: Duration) -> Option<Seen> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(event) = net.poll_event() {
            return Some(match event {
                Event::Accepted { .. } => Seen::Accepted,
                Event::Received { token, bytes } => Seen::Received(token, bytes.to_vec()),
                Event::Progressed { token } => Seen::Progressed(token),
                Event::Sent { token } => Seen::Sent(token),
                Event::Closed { token } => Seen::Closed(token),
            });
        }
        if Instant::now() >= deadline {
            return None;
        }
        let now = net.clock.now();
        net.watch_all(now);
        net.sends.handle_handed();
        net.ring.wait(Some(Duration::from_millis(5))).expect("a ring");
    }
}

/// A connection under `token` and its other end.
fn connect(net: &mut UringNet, token: Token, is_settled: bool) -> UnixStream {
    let (near, far) = UnixStream::pair().expect("descriptors");
    far.set_nonblocking(true).expect("a socket");
    net.adopt(token, OwnedFd::from(far));
    if is_settled {
        net.settle(token);
    }
    near
}

/// Has the peer of connection 0 speak until it is received from ahead of need.
fn talk(net: &mut UringNet, peer: &mut UnixStream) {
    for _ in 0..2 {
        peer.write_all(b"a").expect("open");
        assert_eq!(next(net), Seen::Received(0, b"a".into()));
    }
    assert_eq!(net.slots[0].watch, super::Watch::Many);
}

#[test]
fn bytes_arrive_and_leave() {
    let (mut net, _bell) = net();
    for is_settled in [false, true] {
        let token = Token::from(is_settled);
        let mut peer = connect(&mut net, token, is_settled);
        for text in ["one", "two"] {
            peer.write_all(text.as_bytes()).expect("open");
            assert_eq!(next(&mut net), Seen::Received(token, text.into()));
        }
        assert_eq!(net.send(token, b"answer".to_vec()), SendOutcome::Begun);
        assert_eq!(next(&mut net), Seen::Sent(token));
        let mut read = [0; 6];
        peer.read_exact(&mut read).expect("open");
        assert_eq!(&read, b"answer");
        drop(peer);
        assert_eq!(next(&mut net), Seen::Closed(token));
        net.close(token);
    }
}

#[test]
fn listeners_accept_until_they_are_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (_ringing, hearing) = UnixStream::pair().expect("descriptors");
    let sockets = vec![OwnedFd::from(listener)];
    let mut net = UringNet::new(sockets, OwnedFd::from(hearing), Clock::start()).expect("io_uring");
    let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).expect("a listener")).collect();
    for _ in 0..3 {
        assert_eq!(next(&mut net), Seen::Accepted);
    }
    net.stop_accepting();
    assert_eq!(next_within(&mut net, Duration::from_millis(50)), None);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "the listener is still open");
    }
}

#[test]
fn a_paused_connection_is_silent_and_loses_nothing() {
    let (mut net, _bell) = net();
    let mut peer = connect(&mut net, 0, true);
    talk(&mut net, &mut peer);
    // These bytes are received by the operation in flight before its cancellation reaches the kernel.
    peer.write_all(b"b").expect("open");
    net.ring.wait(None).expect("a ring");
    net.pause(0);
    assert_eq!(next_within(&mut net, Duration::from_millis(50)), None);
    peer.write_all(b"c").expect("open");
    drop(peer);
    assert_eq!(next_within(&mut net, Duration::from_millis(50)), None);
    net.resume(0);
    assert_eq!(next(&mut net), Seen::Received(0, b"b".into()));
    assert_eq!(next(&mut net), Seen::Received(0, b"c".into()));
    assert_eq!(next(&mut net), Seen::Closed(0));
}

#[test]
fn a_send_the_peer_does_not_read_is_reported_and_completes_later() {
    let (mut net, _bell) = net();
    let mut peer = connect(&mut net, 0, true);
    let bytes: Vec<u8> = (0..4_000_000u32).map(|i| i as u8).collect();
    assert_eq!(net.send(0, bytes.clone()), SendOutcome::Begun);
    assert_eq!(next(&mut net), Seen::Progressed(0));
    let reader = std::thread::spawn(move || {
        let mut read = vec![0; 4_000_000];
        peer.read_exact(&mut read).expect("open");
        (peer, read)
    });
    loop {
        match next(&mut net) {
            Seen::Progressed(0) => {}
            seen => break assert_eq!(seen, Seen::Sent(0)),
        }
    }
    let (_peer, read) = reader.join().expect("no panic");
    assert!(read == bytes, "the bytes arrived in order");
}

/// Its timeout begins with the report.
#[test]
fn a_send_that_the_kernel_takes_nothing_of_is_reported_before_the_shard_sleeps() {
    let (mut net, _bell) = net();
    let (_peer, far) = UnixStream::pair().expect("descriptors");
    far.set_nonblocking(true).expect("a socket");
    let mut twin = far.try_clone().expect("descriptors");
    net.adopt(0, OwnedFd::from(far));
    net.settle(0);
    while twin.write(&[7; 4096]).is_ok() {}
    net.send(0, vec![7]);
    net.sends.handle_handed();
    net.ring.turn().expect("a ring");
    assert!(net.has_more(), "there is something to be told");
    assert_eq!(next(&mut net), Seen::Progressed(0));
    assert!(!net.has_more(), "it is told once");
}

#[test]
fn closing_ends_a_send_in_flight_and_frees_its_bytes() {
    let (mut net, _bell) = net();
    let mut peer = connect(&mut net, 0, true);
    net.send(0, vec![7; 4_000_000]);
    assert_eq!(next(&mut net), Seen::Progressed(0));
    net.close(0);
    // The slot is used again at once; what is late of the old connection does not concern the new one.
    let mut other = connect(&mut net, 0, true);
    other.write_all(b"new").expect("open");
    assert_eq!(next(&mut net), Seen::Received(0, b"new".into()));
    let deadline = Instant::now() + PATIENCE;
    while !net.sends.is_empty() {
        assert!(Instant::now() < deadline, "the send is still in flight");
        net.ring.wait(Some(Duration::from_millis(5))).expect("a ring");
        assert_eq!(net.poll_event().map(|event| format!("{event:?}")), None);
    }
    let mut read = Vec::new();
    peer.read_to_end(&mut read).expect("the end");
    assert!(read.iter().all(|byte| *byte == 7));
}

#[test]
fn a_connection_that_is_not_settled_can_be_released_between_two_events() {
    let (mut net, _bell) = net();
    let mut peer = connect(&mut net, 0, false);
    peer.write_all(b"CONNECT").expect("open");
    assert_eq!(next(&mut net), Seen::Received(0, b"CONNECT".into()));
    let socket = net.release(0).expect("nothing is in flight");
    peer.write_all(b"SUBSCRIBE").expect("open");
    let (mut home, _home_bell) = self::net();
    home.adopt(5, socket);
    home.settle(5);
    assert_eq!(next(&mut home), Seen::Received(5, b"SUBSCRIBE".into()));
    assert_eq!(next_within(&mut net, Duration::from_millis(20)), None);
}

#[test]
fn more_than_all_buffers_hold_arrives_completely() {
    let (mut net, _bell) = net();
    let mut peers: Vec<_> = (0..200).map(|token| connect(&mut net, token, true)).collect();
    for peer in &mut peers {
        peer.write_all(&[1; 20_000]).expect("room in the socket");
    }
    let mut received = vec![0; 200];
    while received.iter().any(|bytes| *bytes < 20_000) {
        let Seen::Received(token, bytes) = next(&mut net) else { panic!("only bytes were sent") };
        received[token as usize] += bytes.len();
    }
    assert!(received.iter().all(|bytes| *bytes == 20_000));
}

#[test]
fn a_silent_connection_is_polled_and_wakes_up() {
    let (mut net, _bell) = net();
    let mut peer = connect(&mut net, 0, true);
    talk(&mut net, &mut peer);
    // Active when first looked at, silent when looked at again.
    for looks in 1..=2 {
        let later = net.clock.now().after_ms(super::SILENT_AFTER_MS * 2 * looks);
        net.handle_silence(later);
    }
    assert_eq!(next_within(&mut net, Duration::from_millis(50)), None);
    assert_eq!(net.slots[0].watch, super::Watch::Poll);
    peer.write_all(b"b").expect("open");
    assert_eq!(next(&mut net), Seen::Received(0, b"b".into()));
    drop(peer);
    assert_eq!(next(&mut net), Seen::Closed(0));
}

#[test]
fn a_connection_that_speaks_once_is_polled_again_and_holds_no_receive() {
    let (mut net, _bell) = net();
    let mut peer = connect(&mut net, 0, true);
    peer.write_all(b"a").expect("open");
    assert_eq!(next(&mut net), Seen::Received(0, b"a".into()));
    assert_eq!(next_within(&mut net, Duration::from_millis(50)), None);
    assert_eq!(net.slots[0].watch, super::Watch::Poll);
    assert!(net.receiving.is_empty());
}
