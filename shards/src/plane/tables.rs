//! Descriptor tables of shards that have their own.

use crate::reactor::{BoundListener, Passage, PrivateTable, close_copies};
use std::os::fd::{AsRawFd, RawFd};

/// What shards with private descriptor tables need; empty for a shared table.
pub struct Tables {
    /// Of the shards not started yet, the last one first.
    passages: Vec<Passage>,
    /// The descriptors that belong to one shard alone, by shard.
    own: Vec<Vec<RawFd>>,
}

impl Tables {
    /// The table of the process, for all.
    pub fn shared() -> Tables {
        Tables { passages: Vec::new(), own: Vec::new() }
    }

    /// `listeners` give each shard their last socket in turn.
    pub fn new(shards: usize, listeners: &[BoundListener]) -> std::io::Result<Tables> {
        let mut passages = Passage::build(shards)?;
        passages.reverse();
        let own = (0..shards).map(|shard| {
            let sockets = listeners
                .iter()
                .filter_map(|listener| listener.sockets.get(shards - 1 - shard))
                .map(AsRawFd::as_raw_fd);
            sockets.chain(passages.get(shards - 1 - shard).map(Passage::inbox)).collect()
        });
        let own = own.collect();
        Ok(Tables { passages, own })
    }

    /// The table of the next shard: without the descriptors of those that come after it.
    pub fn take(&mut self) -> Option<PrivateTable> {
        let passage = self.passages.pop()?;
        let next = self.own.len() - self.passages.len();
        Some(PrivateTable { passage, foreign: self.own[next..].concat() })
    }

    /// A shard has its own copies now; this thread's are closed, so that a listener ends when its shard closes it.
    pub fn close_copies_of(&self, shard: usize) {
        if let Some(own) = self.own.get(shard) {
            close_copies(own);
        }
    }
}
