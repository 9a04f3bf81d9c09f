//! What may lie between a socket and MQTT: byte pipelines that perform no IO and read no clock.

pub mod proxy;
pub mod websocket;
