//! Bodies that are wanted ahead of their turn, where a memory has put them away. It asks in bounded steps and waits for
//! nothing.

use super::Queue;
use crate::session::delivery::Outgoing;
use crate::session::durable::{Memory, SessionNumber};

/// Messages of a session whose bodies are asked for ahead of their turn.
const AHEAD_LEN: usize = 256;
/// Bytes of them.
const AHEAD_BYTES: usize = 1 << 20;

/// Asks for the first body, which `session` waits for, and for those behind it. `messages`: in the order of their turns.
pub fn await_first<'a>(
    messages: impl Iterator<Item = &'a Outgoing>,
    session: Option<SessionNumber>,
    memory: &mut dyn Memory,
) {
    let mut waiting = session;
    let mut bytes = 0;
    for (at, message) in messages.take(AHEAD_LEN).enumerate() {
        bytes += message.weight_bytes();
        if at > 0 && bytes > AHEAD_BYTES {
            return;
        }
        if let Some(stored) = message.stored() {
            memory.want(stored.body, message.weight_bytes(), waiting.take());
        }
    }
}

impl Queue {
    /// Asks for bodies that will be wanted soon, when half of what is asked for at a time has gone.
    pub fn read_ahead(&self, memory: &mut dyn Memory) {
        let Some(last) = self.len().checked_sub(1) else { return };
        let average = (self.bytes / self.len()).max(1);
        let near = last.min(AHEAD_LEN / 2).min(AHEAD_BYTES / 2 / average);
        let Some(message) = self.nth(near) else { return };
        let Some(stored) = message.stored() else { return };
        if memory.want(stored.body, message.weight_bytes(), None) {
            await_first(self.iter(), None, memory);
        }
    }

    fn nth(&self, mut at: usize) -> Option<&Outgoing> {
        for list in self.lists() {
            match list.get(at) {
                Some(message) => return Some(message),
                None => at -= list.len(),
            }
        }
        None
    }
}
