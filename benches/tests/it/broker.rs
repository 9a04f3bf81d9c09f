//! A broker with filters, groups, retained messages and sessions, just good enough for the load generator, with one fault of
//! choice. It knows no limit and nothing but MQTT 3.1.1 and 5.0.

use ringmq_core::codec::{
    Ack, AckKind, Connack, ConnackProperties, Packet, PacketId, ProtocolVersion, Publish, PublishProperties,
    QoS, Suback, decode_frame, decode_packet,
};
use ringmq_core::reason::ReasonCode;
use ringmq_core::topic::filter_matches;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The delivery at which the fault shows, counted over all clients.
pub const FAULT_AT: u64 = 50;

/// What goes wrong, once if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Lose,
    Duplicate,
    /// A delivery and the next one to the same client change places.
    Swap,
    /// A delivery goes to a client more that has no matching filter, or is another member of the group.
    Stray,
    /// Retained messages lack their flag, all of them.
    Unflagged,
    /// Sessions are not there when their clients come back.
    Forget,
    /// Nothing is read for 400 ms.
    Pause,
    /// A byte of the payload is another one.
    Damage,
    /// A delivery has another topic than the publication.
    WrongTopic,
    /// The connection that a delivery is for is closed instead.
    Disconnect,
    /// No client is let in.
    RefuseConnect,
}

/// Topic, payload, quality of service.
type Message = (String, Vec<u8>, QoS);

#[derive(Debug, Default)]
struct Client {
    stream: Option<TcpStream>,
    version: Option<ProtocolVersion>,
    filters: Vec<(String, QoS)>,
    /// Messages for a client that is away.
    queue: Vec<Message>,
    is_persistent: bool,
    next_id: u16,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    clients: BTreeMap<String, Client>,
    retained: BTreeMap<String, Vec<u8>>,
    turns: HashMap<String, usize>,
    deliveries: u64,
    /// A delivery that waits for the next one to the same client.
    held: Option<(String, Message)>,
}

/// Serves forever on a free port of its own thread and returns the port.
pub fn start(fault: Fault) -> u16 {
    start_on(0, fault)
}

/// The same on this port.
pub fn start_on(port: u16, fault: Fault) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (clients, retained, turns) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
    let state = Arc::new(Mutex::new(State { fault, clients, retained, turns, deliveries: 0, held: None }));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(stream, &state));
        }
    });
    port
}

/// Reads packets until the peer leaves, or says that it does.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    let (mut id, mut version) = (String::new(), ProtocolVersion::V311);
    stream.set_nodelay(true).unwrap();
    'serving: while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..bytes]);
        let mut used = 0;
        while let Some(frame) = decode_frame(&input[used..], 1 << 20).unwrap() {
            used += frame.bytes;
            let packet = decode_packet(frame, version).unwrap();
            let mut state = state.lock().unwrap();
            if let Packet::Disconnect(_) = packet {
                break 'serving;
            }
            if let Packet::Connect(connect) = &packet {
                (id, version) = (connect.client_id.to_string(), connect.version);
            }
            let mut out = Vec::new();
            handle(&mut state, &id, version, &stream, packet, &mut out);
            // The peer may be gone; then reading ends the connection.
            let _ = stream.write_all(&out);
            state.flush(&id);
        }
        input.drain(..used);
    }
    let mut state = state.lock().unwrap();
    let Some(client) = state.clients.get_mut(&id) else { return };
    client.stream = None;
    if !client.is_persistent {
        state.clients.remove(&id);
    }
}

fn handle(
    state: &mut State,
    id: &str,
    version: ProtocolVersion,
    stream: &TcpStream,
    packet: Packet<'_>,
    out: &mut Vec<u8>,
) {
    match packet {
        Packet::Connect(_) if state.fault == Fault::RefuseConnect => {
            let (reason, properties) = (ReasonCode::NotAuthorized, ConnackProperties::default());
            Connack { session_present: false, reason, properties }.encode(version, out).unwrap();
        }
        Packet::Connect(connect) => {
            if connect.clean_start || state.fault == Fault::Forget {
                state.clients.remove(id);
            }
            let session_present = state.clients.contains_key(id);
            let client = state.clients.entry(id.to_owned()).or_default();
            client.stream = Some(stream.try_clone().unwrap());
            client.version = Some(version);
            client.is_persistent = !connect.clean_start;
            // [MQTT-3.1.2-22]: one and a half times the keep alive; no timeout where there is none.
            let silence_ms = u64::from(connect.keep_alive_s) * 1500;
            let silence_max = (silence_ms > 0).then(|| Duration::from_millis(silence_ms));
            stream.set_read_timeout(silence_max).unwrap();
            let (reason, properties) = (ReasonCode::Success, ConnackProperties::default());
            Connack { session_present, reason, properties }.encode(version, out).unwrap();
        }
        Packet::Subscribe(subscribe) => {
            let filters: Vec<(String, QoS)> =
                subscribe.filters.iter().map(|one| (one.filter.to_string(), one.options.qos)).collect();
            let reasons = vec![ReasonCode::from_u8(filters[0].1 as u8).unwrap(); filters.len()];
            let (reason_string, user_properties) = (None, Vec::new());
            let suback = Suback { packet_id: subscribe.packet_id, reasons, reason_string, user_properties };
            suback.encode(version, out).unwrap();
            state.send_retained(id, &filters, out);
            state.clients.get_mut(id).unwrap().filters.extend(filters);
        }
        Packet::Publish(publish) => {
            state.route(&publish);
            let kind = if publish.qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
            if let Some(id) = publish.packet_id {
                Ack::new(kind, id, ReasonCode::Success).encode(version, out).unwrap();
            }
        }
        Packet::Ack(ack) => {
            let answer = match ack.kind {
                AckKind::Pubrec => AckKind::Pubrel,
                AckKind::Pubrel => AckKind::Pubcomp,
                AckKind::Puback | AckKind::Pubcomp => return,
            };
            Ack::new(answer, ack.packet_id, ReasonCode::Success).encode(version, out).unwrap();
        }
        Packet::Pingreq => Packet::Pingresp.encode(version, out).unwrap(),
        _ => {}
    }
}

impl State {
    /// Counts a delivery; `true` when it is the faulty one.
    fn is_faulty(&mut self) -> bool {
        self.deliveries += 1;
        self.deliveries == FAULT_AT
    }

    fn route(&mut self, publish: &Publish<'_>) {
        if publish.retain {
            let stored = self.retained.insert(publish.topic.to_owned(), publish.payload.to_vec());
            if publish.payload.is_empty() {
                self.retained.remove(publish.topic);
            }
            drop(stored);
        }
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut receivers = Vec::new();
        for (id, client) in &self.clients {
            for (filter, _) in &client.filters {
                let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
                match shared {
                    Some((group, filter)) if filter_matches(filter, publish.topic) => {
                        groups.entry(group.to_owned()).or_default().push(id.clone());
                    }
                    None if filter_matches(filter, publish.topic) => receivers.push(id.clone()),
                    _ => {}
                }
            }
        }
        for (group, members) in groups {
            let turn = self.turns.entry(group).or_default();
            *turn += 1;
            receivers.push(members[*turn % members.len()].clone());
        }
        for receiver in receivers {
            self.deliver(&receiver, publish);
        }
    }

    fn deliver(&mut self, id: &str, publish: &Publish<'_>) {
        let is_faulty = self.is_faulty();
        let mut message = (publish.topic.to_owned(), publish.payload.to_vec(), publish.qos);
        match self.fault {
            Fault::Lose if is_faulty => return,
            Fault::Swap if is_faulty => {
                self.held = Some((id.to_owned(), message));
                return;
            }
            Fault::Disconnect if is_faulty => {
                let stream = &self.clients[id].stream;
                return stream.as_ref().unwrap().shutdown(Shutdown::Both).unwrap();
            }
            Fault::Damage if is_faulty => *message.1.last_mut().unwrap() ^= 1,
            Fault::WrongTopic if is_faulty => "bench/other".clone_into(&mut message.0),
            // The pause is the fault itself: what is due meanwhile has to show it.
            Fault::Pause if is_faulty => thread::sleep(Duration::from_millis(400)),
            Fault::Stray if is_faulty => {
                let is_subscriber =
                    |(other, client): &(&String, &Client)| *other != id && !client.filters.is_empty();
                let has_match = |client: &Client| {
                    client.filters.iter().any(|(filter, _)| filter_matches(filter, publish.topic))
                };
                let stray = self.clients.iter().filter(is_subscriber).find(|(_, client)| !has_match(client));
                let stray = stray.map(|(other, _)| other.clone()).unwrap();
                self.clients.get_mut(&stray).unwrap().queue.push(message.clone());
                self.flush(&stray);
            }
            _ => {}
        }
        let client = self.clients.get_mut(id).unwrap();
        client.queue.push(message.clone());
        if self.fault == Fault::Duplicate && is_faulty {
            client.queue.push(message);
        }
        if let Some((_, held)) = self.held.take_if(|(other, _)| other == id) {
            client.queue.push(held);
        }
        self.flush(id);
    }

    /// Sends a client what is queued for it, if it is there.
    fn flush(&mut self, id: &str) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let (Some(stream), Some(version)) = (&mut client.stream, client.version) else { return };
        let mut out = Vec::new();
        for (topic, payload, qos) in client.queue.drain(..) {
            client.next_id = client.next_id % u16::MAX + 1;
            encode(&topic, &payload, qos, false, client.next_id, version, &mut out);
        }
        let _ = stream.write_all(&out);
    }

    fn send_retained(&mut self, id: &str, filters: &[(String, QoS)], out: &mut Vec<u8>) {
        let retained: Vec<(String, Vec<u8>)> =
            self.retained.iter().map(|(topic, payload)| (topic.clone(), payload.clone())).collect();
        for (topic, payload) in retained {
            let Some((_, qos)) = filters.iter().find(|(filter, _)| filter_matches(filter, &topic)) else {
                continue;
            };
            let is_faulty = self.is_faulty();
            let copies = match self.fault {
                Fault::Lose if is_faulty => 0,
                Fault::Duplicate if is_faulty => 2,
                _ => 1,
            };
            let is_flagged = self.fault != Fault::Unflagged;
            let client = self.clients.get_mut(id).unwrap();
            for _ in 0..copies {
                client.next_id = client.next_id % u16::MAX + 1;
                encode(&topic, &payload, *qos, is_flagged, client.next_id, client.version.unwrap(), out);
            }
        }
    }
}

fn encode(
    topic: &str,
    payload: &[u8],
    qos: QoS,
    retain: bool,
    id: u16,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) {
    let packet_id = if qos == QoS::AtMostOnce { None } else { PacketId::new(id) };
    let properties = PublishProperties::default();
    Publish { dup: false, qos, retain, topic, packet_id, properties, payload }.encode(version, out).unwrap();
}
