//! MQTT 5.0 through `rumqttc::v5`. It only translates between the library and `peer`; the cases never see the library.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, SubscribeReasonCode};
use rumqttc::v5::{Client, Connection, Event, MqttOptions, RecvTimeoutError};

use crate::peer::{Link, Message, PACKET_BYTES_MAX, Requests, Run, Seen, TICK, WINDOW, Will};

/// Starts a connection; its first event is `Connected` or `Ended`.
pub fn connect(run: &Run, client_id: String, clean: bool, will: Option<Will>) -> Result<Link> {
    let mut options = MqttOptions::new(client_id, &run.host, run.port);
    options.set_clean_start(clean).set_keep_alive(Duration::from_secs(30));
    options.set_session_expiry_interval(Some(if clean { 0 } else { 3600 }));
    options.set_max_packet_size(Some(PACKET_BYTES_MAX)).set_outgoing_inflight_upper_limit(WINDOW);
    if let Some((topic, payload, retain)) = will {
        options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, retain, None));
    }
    let (client, connection) = Client::new(options, usize::from(WINDOW));
    let (sender, seen) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    thread::spawn(move || pump(connection, &sender, &stopped));
    Ok(Link { requests: Box::new(Down(client)), seen, stop })
}

struct Down(Client);

impl Requests for Down {
    fn subscribe(&self, filter: &str, qos: u8) -> Result<()> {
        Ok(self.0.subscribe(filter, to_qos(qos)?)?)
    }

    fn publish(&self, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) -> Result<()> {
        Ok(self.0.publish(topic, to_qos(qos)?, retain, payload)?)
    }

    fn disconnect(&self) -> Result<()> {
        Ok(self.0.disconnect()?)
    }
}

fn to_qos(qos: u8) -> Result<QoS> {
    match qos {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Ok(QoS::ExactlyOnce),
        other => bail!("no QoS {other}"),
    }
}

/// Returning drops the connection and with it the socket.
fn pump(mut connection: Connection, sender: &Sender<Seen>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let seen = match connection.recv_timeout(TICK) {
            Ok(Ok(Event::Incoming(packet))) => to_seen(packet),
            // The library would connect again after a disconnect.
            Ok(Ok(Event::Outgoing(Outgoing::Disconnect))) => return,
            Ok(Ok(Event::Outgoing(_))) | Err(RecvTimeoutError::Timeout) => None,
            Ok(Err(error)) => Some(Seen::Ended(error.to_string())),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(seen) = seen else { continue };
        let is_end = matches!(seen, Seen::Ended(_));
        if sender.send(seen).is_err() || is_end {
            return;
        }
    }
}

fn to_seen(packet: Packet) -> Option<Seen> {
    match packet {
        Packet::ConnAck(ack) => Some(Seen::Connected(ack.session_present)),
        Packet::SubAck(ack) => Some(Seen::Subscribed(match ack.return_codes.first() {
            Some(SubscribeReasonCode::Success(qos)) => Some(*qos as u8),
            _ => None,
        })),
        Packet::PubAck(_) | Packet::PubComp(_) => Some(Seen::Acknowledged),
        Packet::Publish(publish) => Some(Seen::Message(Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.qos as u8,
            retain: publish.retain,
        })),
        _ => None,
    }
}
