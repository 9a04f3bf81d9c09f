//! The layers of one connection that is not plain TCP: TLS, WebSocket, or one in the other. Never touches a socket.

use crate::net::transport::tls::explain;
use crate::net::transport::websocket::WebSocket;
use anyhow::{Context, Result, bail};
use rustls::ClientConnection;
use std::io::{ErrorKind, Read, Write};

/// State of one connection between its socket and MQTT.
#[derive(Debug)]
pub struct Layers {
    tls: Option<ClientConnection>,
    websocket: Option<WebSocket>,
    /// Bytes for the socket, of which `sent` are written.
    wire: Vec<u8>,
    sent: usize,
}

impl Layers {
    /// Layers whose own handshakes wait to be sent.
    ///
    /// # Errors
    /// When TLS cannot encode its first message.
    pub fn new(tls: Option<ClientConnection>, websocket: Option<WebSocket>) -> Result<Layers> {
        let mut layers = Layers { tls, websocket, wire: Vec::new(), sent: 0 };
        let upgrade = layers.websocket.as_mut().map(WebSocket::take_request).unwrap_or_default();
        layers.encrypt(&upgrade)?;
        Ok(layers)
    }

    /// Takes what the socket read and appends the MQTT in it to `mqtt`, also when it fails.
    ///
    /// # Errors
    /// When the broker's bytes are no TLS or WebSocket of ours, or it closed one of them.
    pub fn handle_input(&mut self, bytes: &[u8], mqtt: &mut Vec<u8>) -> Result<()> {
        if self.tls.is_none() {
            return self.handle_stream(bytes, mqtt);
        }
        if self.websocket.is_none() {
            return self.decrypt(bytes, mqtt);
        }
        let mut stream = Vec::new();
        let decrypted = self.decrypt(bytes, &mut stream);
        self.handle_stream(&stream, mqtt)?;
        decrypted
    }

    /// Whether MQTT can be sent: before a WebSocket is accepted it cannot, while TLS keeps what it is given.
    pub fn is_open(&self) -> bool {
        self.websocket.as_ref().is_none_or(WebSocket::is_open)
    }

    /// Makes `mqtt` ready for the socket.
    ///
    /// # Errors
    /// When TLS refuses.
    pub fn seal(&mut self, mqtt: &[u8]) -> Result<()> {
        match &mut self.websocket {
            None => self.encrypt(mqtt),
            Some(websocket) if self.tls.is_none() => {
                websocket.write_frame(mqtt, &mut self.wire);
                Ok(())
            }
            Some(websocket) => {
                let mut frame = Vec::with_capacity(mqtt.len() + 14);
                websocket.write_frame(mqtt, &mut frame);
                self.encrypt(&frame)
            }
        }
    }

    /// Bytes for the socket.
    pub fn pending(&self) -> &[u8] {
        &self.wire[self.sent..]
    }

    /// Says that the socket took this many of the pending bytes.
    pub fn handle_sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.wire.len() {
            // An idle connection keeps no buffer.
            self.wire = Vec::new();
            self.sent = 0;
        }
    }

    fn handle_stream(&mut self, bytes: &[u8], mqtt: &mut Vec<u8>) -> Result<()> {
        let Some(websocket) = &mut self.websocket else {
            mqtt.extend_from_slice(bytes);
            return Ok(());
        };
        let mut answers = Vec::new();
        websocket.handle_input(bytes, mqtt, &mut answers)?;
        if answers.is_empty() { Ok(()) } else { self.encrypt(&answers) }
    }

    fn encrypt(&mut self, stream: &[u8]) -> Result<()> {
        let Some(tls) = &mut self.tls else {
            self.wire.extend_from_slice(stream);
            return Ok(());
        };
        tls.writer().write_all(stream).context("TLS")?;
        while tls.wants_write() {
            tls.write_tls(&mut self.wire).context("TLS")?;
        }
        Ok(())
    }

    fn decrypt(&mut self, mut bytes: &[u8], stream: &mut Vec<u8>) -> Result<()> {
        let Some(tls) = &mut self.tls else { bail!("there is no TLS to decrypt") };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).context("TLS")?;
            let state = tls.process_new_packets().map_err(explain).context("TLS")?;
            match tls.reader().read_to_end(stream) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error).context("TLS"),
                _ => {}
            }
            if state.peer_has_closed() {
                bail!("the broker closed TLS");
            }
        }
        self.encrypt(&[])
    }
}
