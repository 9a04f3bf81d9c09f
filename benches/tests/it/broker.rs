//! A broker just good enough for the load generator, with one fault of choice. It never keeps a session.

use ringmq_core::codec::{
    Ack, AckKind, Connack, ConnackProperties, Packet, PacketId, ProtocolVersion, Publish, PublishProperties,
    QoS, Suback, decode_frame, decode_packet,
};
use ringmq_core::reason::ReasonCode;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const VERSION: ProtocolVersion = ProtocolVersion::V311;
/// The message at which the fault shows, counted over all connections.
pub const FAULT_AT: u64 = 100;

/// What goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Lose,
    Duplicate,
    Swap,
    Damage,
    WrongTopic,
    Disconnect,
    RefuseConnect,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    messages: AtomicU64,
    subscribers: Mutex<HashMap<String, TcpStream>>,
    held: Mutex<Option<Vec<u8>>>,
}

/// Serves forever on a free port of its own thread and returns the port.
pub fn start(fault: Fault) -> u16 {
    start_on(0, fault)
}

/// The same on this port.
pub fn start_on(port: u16, fault: Fault) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (subscribers, held) = (Mutex::default(), Mutex::default());
    let state = Arc::new(State { fault, messages: AtomicU64::new(0), subscribers, held });
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(stream, &state));
        }
    });
    port
}

/// Reads packets until the peer leaves, or says that it does.
fn serve(mut stream: TcpStream, state: &State) {
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    stream.set_nodelay(true).unwrap();
    'serving: while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..bytes]);
        let mut used = 0;
        while let Some(frame) = decode_frame(&input[used..], 1 << 20).unwrap() {
            used += frame.bytes;
            let packet = decode_packet(frame, VERSION).unwrap();
            if let Packet::Disconnect(_) = packet {
                break 'serving;
            }
            handle(&mut stream, packet, state);
        }
        input.drain(..used);
    }
    // What delivers to it holds the stream as well. The peer may have closed it already.
    let _ = stream.shutdown(Shutdown::Both);
}

fn handle(stream: &mut TcpStream, packet: Packet<'_>, state: &State) {
    let mut out = Vec::new();
    match packet {
        Packet::Connect(_) => {
            let refused = state.fault == Fault::RefuseConnect;
            let reason = if refused { ReasonCode::NotAuthorized } else { ReasonCode::Success };
            let properties = ConnackProperties::default();
            Connack { session_present: false, reason, properties }.encode(VERSION, &mut out).unwrap();
        }
        Packet::Subscribe(subscribe) => {
            let mut subscribers = state.subscribers.lock().unwrap();
            for filter in &subscribe.filters {
                subscribers.insert(filter.filter.to_string(), stream.try_clone().unwrap());
            }
            let reasons = vec![ReasonCode::Success; subscribe.filters.len()];
            let (reason_string, user_properties) = (None, Vec::new());
            let suback = Suback { packet_id: subscribe.packet_id, reasons, reason_string, user_properties };
            suback.encode(VERSION, &mut out).unwrap();
        }
        Packet::Publish(publish) => {
            deliver(&publish, state);
            if let Some(id) = publish.packet_id {
                let kind = if publish.qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
                Ack::new(kind, id, ReasonCode::Success).encode(VERSION, &mut out).unwrap();
            }
        }
        Packet::Ack(ack) => {
            let answer = match ack.kind {
                AckKind::Pubrec => AckKind::Pubrel,
                AckKind::Pubrel => AckKind::Pubcomp,
                AckKind::Puback | AckKind::Pubcomp => return,
            };
            Ack::new(answer, ack.packet_id, ReasonCode::Success).encode(VERSION, &mut out).unwrap();
        }
        _ => {}
    }
    // The peer may be gone; then reading ends the connection.
    let _ = stream.write_all(&out);
}

/// Forwards a message, or does to it what the fault demands.
fn deliver(publish: &Publish<'_>, state: &State) {
    let number = state.messages.fetch_add(1, Ordering::SeqCst);
    let is_faulty = number == FAULT_AT;
    let mut payload = publish.payload.to_vec();
    if is_faulty && state.fault == Fault::Damage {
        *payload.last_mut().unwrap() ^= 1;
    }
    let topic = if is_faulty && state.fault == Fault::WrongTopic { "bench/other" } else { publish.topic };
    let mut bytes = Vec::new();
    let properties = PublishProperties::default();
    let packet_id = publish.packet_id.map(|id| PacketId::new(id.as_u16()).unwrap());
    Publish { topic, payload: &payload, properties, packet_id, ..publish.clone() }
        .encode(VERSION, &mut bytes)
        .unwrap();
    let mut subscribers = state.subscribers.lock().unwrap();
    let stream = subscribers.get_mut(publish.topic).unwrap();
    match state.fault {
        Fault::Lose if is_faulty => bytes.clear(),
        Fault::Duplicate if is_faulty => bytes.extend_from_within(..),
        Fault::Swap if is_faulty => {
            *state.held.lock().unwrap() = Some(std::mem::take(&mut bytes));
        }
        Fault::Swap => bytes.extend(state.held.lock().unwrap().take().unwrap_or_default()),
        Fault::Disconnect if is_faulty => stream.shutdown(Shutdown::Both).unwrap(),
        _ => {}
    }
    let _ = stream.write_all(&bytes);
}
