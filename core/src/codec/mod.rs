//! MQTT packets of versions 3.1, 3.1.1 and 5.0: bytes to packets and back, both roles.
//!
//! [`decode_frame`] cuts one packet out of a byte stream; [`decode_packet`] reads it. Decoding PUBLISH, the packet that
//! decides throughput, borrows everything from the input; rarer packets own their fields.

mod error;
mod forward;
mod frame;
mod packet;
mod packets;
mod property;
mod reader;
mod version;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{DecodeError, EncodeError};
pub use forward::{ForwardProperty, ForwardPropertyIter};
pub use frame::{Frame, PublishHead, decode_frame, peek_publish};
pub use packet::{Packet, PacketType, decode_ack, decode_packet};
pub use packets::{
    Ack, AckKind, Auth, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect, Publish,
    PublishProperties, RetainHandling, Suback, Subscribe, SubscribeFilter, SubscriptionOptions, Unsuback,
    Unsubscribe, Will,
};
pub use property::UserProperties;
pub use version::{PacketId, ProtocolVersion, QoS};
