//! MQTT inside WebSocket (RFC 6455): the opening handshake, and frames both ways. It performs no IO, negotiates no
//! extension, and never holds a payload: what arrives is unmasked and passed on at once, however it is cut.

mod forwarded;
mod frames;
mod options;
mod upgrade;

#[cfg(test)]
mod tests;

pub use forwarded::{Forwarded, TrustedProxy};
pub use frames::{FRAME_HEAD_BYTES_MAX, Flow, FrameError, Frames, write_frame};
pub use options::{HeaderName, Origins, RequestPath, Subprotocols, WebSocketOptions};
pub use tungstenite::protocol::frame::coding::CloseCode;
pub use upgrade::{Upgrade, UpgradeError};
