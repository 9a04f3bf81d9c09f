//! When the next connection is begun: not before its time, and not while too many are in their handshake.

/// The connections one worker has to open.
#[derive(Debug)]
pub struct Opener {
    next: u32,
    end: u32,
    connecting_max: u32,
    /// Connections per second; 0 for no bound.
    rate: f64,
    begun_ns: u64,
}

impl Opener {
    /// `count` connections from `now_ns` on, at most `connecting_max` in their handshake at once and `rate` begun per
    /// second (0 for no bound).
    pub fn new(count: u32, connecting_max: u32, rate: f64, now_ns: u64) -> Opener {
        Opener { next: 0, end: count, connecting_max: connecting_max.max(1), rate, begun_ns: now_ns }
    }

    /// The number of the connection to be begun now, if there is one.
    pub fn poll_due(&mut self, connecting: u32, now_ns: u64) -> Option<u32> {
        if self.next == self.end || connecting >= self.connecting_max {
            return None;
        }
        if self.rate > 0.0 {
            let due = now_ns.saturating_sub(self.begun_ns) as f64 / 1e9 * self.rate;
            if f64::from(self.next) > due {
                return None;
            }
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_in_progress_are_bounded() {
        let mut opener = Opener::new(3, 2, 0.0, 0);
        assert_eq!(opener.poll_due(0, 0), Some(0));
        assert_eq!(opener.poll_due(2, 0), None);
        assert_eq!(opener.poll_due(1, 0), Some(1));
        assert_eq!(opener.poll_due(1, 0), Some(2));
        assert_eq!(opener.poll_due(0, 0), None);
    }

    #[test]
    fn the_rate_is_kept() {
        let mut opener = Opener::new(100, 100, 10.0, 1_000_000_000);
        let opened_at = |opener: &mut Opener, now_ns| {
            let mut opened = 0;
            while opener.poll_due(0, now_ns).is_some() {
                opened += 1;
            }
            opened
        };
        assert_eq!(opened_at(&mut opener, 1_000_000_000), 1);
        assert_eq!(opened_at(&mut opener, 1_499_000_000), 4);
        assert_eq!(opened_at(&mut opener, 2_000_000_000), 6);
    }
}
