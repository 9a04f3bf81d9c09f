//! What every end-to-end test needs: a broker process of its own and MQTT clients that see every byte. It shares no
//! code with the broker's codec, so an error that encoder and decoder have in common still shows.

mod broker;
mod client;
mod configured;
mod login;
mod packet;
mod property;
mod stream;
mod tls;
mod tls_authority;
pub mod websocket;
mod wire;

pub use broker::{Broker, at_shards, run_to_exit, started_with};
pub use client::{Client, Event, PATIENCE, exchange};
pub use configured::{Configured, until};
pub use login::{Login, Will};
pub use packet::{Connack, Message, Packet, message};
pub use property::Property;
pub use ringmq_core::codec::{AckKind, ProtocolVersion};
pub use ringmq_core::reason::ReasonCode;
pub use rustix::process::Signal;
pub use stream::{Stream, allow_many_sockets, answer_to, begin_a_thousand, connect, read_to_close};
pub use tls::{TLS_OPTIONS, TLS_VERSIONS, TlsClient, TlsSetup, TlsStream, Trickle, tls_address};
pub use tls_authority::{Authority, Identity};
pub use websocket::WebSocket;
pub use wire::{frame, string};

/// The versions, oldest first.
pub const VERSIONS: [ProtocolVersion; 3] = [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];
/// Subscription option: deliver nothing to its publisher.
pub const NO_LOCAL: u8 = 0x04;
/// Subscription option: keep the RETAIN flag as published.
pub const RETAIN_AS_PUBLISHED: u8 = 0x08;
/// Subscription option: send retained messages only if the subscription is new.
pub const RETAINED_IF_NEW: u8 = 0x10;
/// Subscription option: never send retained messages.
pub const RETAINED_NEVER: u8 = 0x20;

/// Lets real time go by, for tests whose subject is the passage of time and never to wait for a condition.
pub fn time_passes(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}
