//! How much a client may send: its socket is not read while it is over its rates. Nothing is dropped for that.

use ringmq_core::config::Rate;
use ringmq_core::time::Bucket;
use ringmq_core::time::Timestamp;

/// What each client of a listener may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// PUBLISH packets.
    pub messages: Rate,
    /// And so many more at once.
    pub messages_burst: u64,
    /// Bytes on the wire.
    pub bytes: Rate,
    /// And so many more at once.
    pub bytes_burst: u64,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates { messages: Rate::INFINITY, messages_burst: 0, bytes: Rate::INFINITY, bytes_burst: 0 }
    }
}

impl Rates {
    /// Whether there are none.
    pub fn are_infinite(&self) -> bool {
        self.messages.is_infinite() && self.bytes.is_infinite()
    }
}

/// What one client has sent, measured against its rates.
#[derive(Debug)]
pub struct Throttle {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Throttle {
    /// A client that has sent nothing; none where there are no rates.
    pub fn new(rates: &Rates, now: Timestamp) -> Option<Box<Throttle>> {
        let bucket = |rate, burst| Bucket::new(rate, burst, now);
        let throttle = Throttle {
            messages: bucket(rates.messages, rates.messages_burst),
            bytes: bucket(rates.bytes, rates.bytes_burst),
        };
        (!rates.are_infinite()).then(|| Box::new(throttle))
    }

    /// It has sent a message.
    pub fn note_message(&mut self, now: Timestamp) {
        if let Some(bucket) = &mut self.messages {
            bucket.take(1, now);
        }
    }

    /// It has sent bytes.
    pub fn note_bytes(&mut self, n: usize, now: Timestamp) {
        if let Some(bucket) = &mut self.bytes {
            bucket.take(n as u64, now);
        }
    }

    /// How long it is not to be read from, in milliseconds; 0 if it is.
    pub fn wait_ms(&mut self, now: Timestamp) -> u64 {
        let wait = |bucket: &mut Option<Bucket>| bucket.as_mut().map_or(0, |bucket| bucket.wait_ms(now));
        wait(&mut self.messages).max(wait(&mut self.bytes))
    }
}
