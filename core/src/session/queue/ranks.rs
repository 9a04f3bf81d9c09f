//! The messages of a queue by priority. Knows no bounds and drops nothing of its own accord.

use super::give_back;
use crate::config::Priority;
use crate::session::delivery::Outgoing;
use std::cmp::Reverse;
use std::collections::VecDeque;

/// One list for each priority that was met; there are at most as many as priorities can be configured.
#[derive(Debug, Default)]
pub struct Ranks {
    /// The most urgent first.
    ranks: Vec<Rank>,
    /// The messages of each, oldest first.
    lists: Vec<VecDeque<Outgoing>>,
    len: usize,
    /// Which list the message pushed last is in.
    newest: usize,
}

#[derive(Debug)]
struct Rank {
    priority: Priority,
    bytes: usize,
}

impl Ranks {
    /// Messages of all priorities.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Messages of one priority.
    pub fn len_of(&self, priority: Priority) -> usize {
        self.find(priority).map_or(0, |at| self.lists[at].len())
    }

    /// Bytes of all messages that are more urgent than this.
    pub fn bytes_above(&self, priority: Priority) -> usize {
        self.ranks.iter().take_while(|rank| rank.priority > priority).map(|rank| rank.bytes).sum()
    }

    /// The lists, the most urgent first.
    pub fn lists(&self) -> &[VecDeque<Outgoing>] {
        &self.lists
    }

    /// Adds a message behind the others of its priority.
    pub fn push(&mut self, priority: Priority, message: Outgoing) {
        let at = self.find(priority).unwrap_or_else(|at| {
            self.ranks.insert(at, Rank { priority, bytes: 0 });
            self.lists.insert(at, VecDeque::new());
            at
        });
        self.len += 1;
        self.newest = at;
        self.ranks[at].bytes += message.weight_bytes();
        self.lists[at].push_back(message);
    }

    /// The message pushed last, if it is still there.
    pub fn newest_mut(&mut self) -> Option<&mut Outgoing> {
        self.lists.get_mut(self.newest)?.back_mut()
    }

    /// The message whose turn it is.
    pub fn front(&self) -> Option<&Outgoing> {
        self.lists.iter().find_map(VecDeque::front)
    }

    /// Takes the message whose turn it is.
    pub fn pop(&mut self) -> Option<Outgoing> {
        let at = self.lists.iter().position(|list| !list.is_empty())?;
        self.pop_from(at)
    }

    /// Takes the oldest message of the first priority whose messages `wanted` accepts.
    pub fn pop_where(&mut self, wanted: impl Fn(&VecDeque<Outgoing>) -> bool) -> Option<Outgoing> {
        let at = self.lists.iter().position(wanted)?;
        self.pop_from(at)
    }

    /// Takes the oldest message of a priority that has more than this.
    pub fn pop_beyond(&mut self, len_max: usize) -> Option<Outgoing> {
        let at = self.lists.iter().position(|list| list.len() > len_max)?;
        self.pop_from(at)
    }

    /// Takes the oldest message of this priority.
    pub fn pop_of(&mut self, priority: Priority) -> Option<Outgoing> {
        self.find(priority).ok().and_then(|at| self.pop_from(at))
    }

    /// Takes the oldest of the least urgent messages, unless these are more urgent than `priority`.
    pub fn pop_least(&mut self, priority: Priority) -> Option<Outgoing> {
        let at = self.lists.iter().rposition(|list| !list.is_empty())?;
        if self.ranks[at].priority > priority {
            return None;
        }
        self.pop_from(at)
    }

    /// Keeps what `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&Outgoing) -> bool) {
        for (rank, list) in self.ranks.iter_mut().zip(&mut self.lists) {
            list.retain(&mut keep);
            rank.bytes = list.iter().map(Outgoing::weight_bytes).sum();
        }
        self.len = self.lists.iter().map(VecDeque::len).sum();
    }

    /// Takes what `wanted` names, in the order of its turns.
    pub fn extract(&mut self, wanted: &impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
        let taken = self.lists.iter_mut().flat_map(|list| super::extract(list, wanted)).collect();
        self.retain(|_| true);
        taken
    }

    fn find(&self, priority: Priority) -> Result<usize, usize> {
        self.ranks.binary_search_by_key(&Reverse(priority), |rank| Reverse(rank.priority))
    }

    fn pop_from(&mut self, at: usize) -> Option<Outgoing> {
        let message = self.lists[at].pop_front()?;
        self.len -= 1;
        self.ranks[at].bytes -= message.weight_bytes();
        give_back(&mut self.lists[at]);
        Some(message)
    }
}
