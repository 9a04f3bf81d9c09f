//! Verifies one stream of sequence numbers: what was lost, what came twice, what came late.
//!
//! It never decides whether a finding is a failure; that depends on the quality of service.

use std::collections::BTreeSet;
use std::ops::Range;

/// The most gaps remembered one by one. Beyond it lost messages are still counted, but one of them that arrives after
/// all is counted as duplicate instead of late.
const MISSING_MAX: usize = 1 << 16;

/// What one subscriber has seen of one publisher, whose numbers begin at 0 and have no gaps.
#[derive(Debug, Default)]
pub struct Sequence {
    next: u64,
    missing: BTreeSet<u64>,
    missing_unremembered: u64,
    findings: Findings,
}

/// Counts of what should not be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Published and never delivered.
    pub lost: u64,
    /// Delivered again.
    pub duplicated: u64,
    /// Delivered after a message that was published later.
    pub out_of_order: u64,
}

impl Findings {
    /// Adds the counts of another stream.
    pub fn add(&mut self, other: Findings) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
    }
}

impl Sequence {
    /// Takes the number of a delivered message and returns the numbers that the window may now regard as settled: the
    /// message itself and the gap it leaves behind, or nothing when it was settled before.
    pub fn handle_delivery(&mut self, number: u64) -> Range<u64> {
        if number == self.next {
            self.next += 1;
            return number..number + 1;
        }
        if number > self.next {
            return self.handle_gap(number);
        }
        if self.missing.remove(&number) {
            self.findings.out_of_order += 1;
        } else {
            self.findings.duplicated += 1;
        }
        number..number
    }

    /// The number expected next, which is how many messages are settled.
    pub fn next(&self) -> u64 {
        self.next
    }

    fn handle_gap(&mut self, number: u64) -> Range<u64> {
        let gap = self.next..number;
        for lost in gap.clone() {
            if self.missing.len() == MISSING_MAX {
                self.missing_unremembered += number - lost;
                break;
            }
            self.missing.insert(lost);
        }
        self.next = number + 1;
        gap.start..number + 1
    }

    /// The counts, when `published` messages were published and no more are expected.
    pub fn findings(&self, published: u64) -> Findings {
        let tail = published.saturating_sub(self.next);
        Findings { lost: self.missing.len() as u64 + self.missing_unremembered + tail, ..self.findings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(deliveries: &[u64], published: u64, lost: u64, duplicated: u64, out_of_order: u64) {
        let mut sequence = Sequence::default();
        let mut settled = Vec::new();
        for &number in deliveries {
            settled.extend(sequence.handle_delivery(number));
        }
        assert_eq!(sequence.findings(published), Findings { lost, duplicated, out_of_order });
        let expected: Vec<u64> = (0..deliveries.iter().map(|number| number + 1).max().unwrap_or(0)).collect();
        assert_eq!(settled, expected, "each number is settled once, in order");
    }

    #[test]
    fn streams_are_judged() {
        check(&[], 0, 0, 0, 0);
        check(&[], 3, 3, 0, 0);
        check(&[0, 1, 2], 3, 0, 0, 0);
        check(&[0, 1, 2], 5, 2, 0, 0);
        check(&[0, 2], 3, 1, 0, 0);
        check(&[0, 2, 1], 3, 0, 0, 1);
        check(&[0, 0, 1], 2, 0, 1, 0);
        check(&[0, 2, 1, 1], 3, 0, 1, 1);
        check(&[3], 4, 3, 0, 0);
    }

    #[test]
    fn gaps_beyond_the_memory_are_still_counted() {
        let mut sequence = Sequence::default();
        sequence.handle_delivery(MISSING_MAX as u64 + 10);
        assert_eq!(sequence.findings(MISSING_MAX as u64 + 11).lost, MISSING_MAX as u64 + 10);
    }
}
