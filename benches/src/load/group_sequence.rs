//! Verifies one publisher's messages to a group of which each message reaches one member: none lost, none twice, and at
//! each member in the order of publication. Between members there is no order.

use crate::load::sequence::Findings;
use std::collections::VecDeque;

/// Messages remembered one by one; a message that is missing when so many later ones have come is counted as lost.
const REMEMBERED_MAX: usize = 1 << 16;
/// Nobody has received it yet.
const NOBODY: u32 = u32::MAX;

/// What a group has seen of one publisher, whose numbers begin at 0 and have no gaps.
#[derive(Debug, Default)]
pub struct GroupSequence {
    /// Everything below was delivered or given up.
    base: u64,
    /// Who received `base`, `base + 1`, ...
    receivers: VecDeque<u32>,
    findings: Findings,
}

impl GroupSequence {
    /// Takes the number of a message delivered to `member`. `true` when it is the first delivery of this message.
    pub fn handle_delivery(&mut self, number: u64, member: u32) -> bool {
        let Some(position) = number.checked_sub(self.base) else {
            self.findings.duplicated += 1;
            return false;
        };
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        if position >= self.receivers.len() {
            if position < REMEMBERED_MAX {
                self.receivers.resize(position, NOBODY);
            } else {
                self.give_up(number);
            }
            self.receivers.push_back(member);
        } else if self.receivers[position] != NOBODY {
            self.findings.duplicated += 1;
            return false;
        } else {
            self.receivers[position] = member;
            let is_late = self.receivers.range(position + 1..).any(|&later| later == member);
            self.findings.out_of_order += u64::from(is_late);
        }
        while self.receivers.front().is_some_and(|&receiver| receiver != NOBODY) {
            self.receivers.pop_front();
            self.base += 1;
        }
        true
    }

    /// Whether the first `published` messages were all delivered or given up.
    pub fn is_complete(&self, published: u64) -> bool {
        self.base >= published
    }

    /// The counts, when `published` messages were published and no more are expected.
    pub fn findings(&self, published: u64) -> Findings {
        let missing = self.receivers.iter().filter(|&&receiver| receiver == NOBODY).count() as u64;
        let tail = published.saturating_sub(self.base + self.receivers.len() as u64);
        Findings { lost: self.findings.lost + missing + tail, ..self.findings }
    }

    /// Forgets all that was remembered, and starts again at `number`.
    fn give_up(&mut self, number: u64) {
        let missing = self.receivers.iter().filter(|&&receiver| receiver == NOBODY).count() as u64;
        self.findings.lost += missing + (number - self.base - self.receivers.len() as u64);
        self.receivers.clear();
        self.base = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(deliveries: &[(u64, u32)], published: u64, lost: u64, duplicated: u64, out_of_order: u64) {
        let mut sequence = GroupSequence::default();
        let first = deliveries.iter().filter(|(number, member)| sequence.handle_delivery(*number, *member));
        assert_eq!(first.count() as u64 + duplicated, deliveries.len() as u64);
        assert_eq!(sequence.findings(published), Findings { lost, duplicated, out_of_order });
        assert_eq!(sequence.is_complete(published), lost == 0);
    }

    #[test]
    fn groups_are_judged() {
        check(&[], 0, 0, 0, 0);
        check(&[], 2, 2, 0, 0);
        check(&[(0, 7), (1, 8), (2, 7)], 3, 0, 0, 0);
        check(&[(1, 8), (0, 7), (2, 8)], 3, 0, 0, 0);
        check(&[(1, 8), (0, 8), (2, 8)], 3, 0, 0, 1);
        check(&[(0, 7), (0, 8)], 1, 0, 1, 0);
        check(&[(1, 7), (1, 8)], 2, 1, 1, 0);
        check(&[(2, 7)], 5, 4, 0, 0);
    }

    #[test]
    fn a_message_missing_for_long_is_given_up() {
        let mut sequence = GroupSequence::default();
        assert!(sequence.handle_delivery(1, 0));
        let far = REMEMBERED_MAX as u64;
        assert!(sequence.handle_delivery(far, 0));
        assert_eq!(sequence.findings(far + 1).lost, far - 1);
        assert!(!sequence.handle_delivery(0, 1), "what was given up counts as delivered twice");
        assert!(sequence.is_complete(far + 1));
    }
}
