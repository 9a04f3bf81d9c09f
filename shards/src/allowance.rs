//! What clients and users have published, measured against what they may. Nothing is touched for those without quotas.
//!
//! A [`Usage`] is looked up once per connection and kept with it; a publication costs one atomic operation for each bound.
//! Clients are looked up on their home shard alone. Users are shared by all shards, behind a lock that is taken once per
//! CONNECT and never on the way of a message.

use crate::config::Allowance;
use ringmq_core::config::Rate;
use ringmq_core::hash::SeededMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Names a register remembers beside those that are connected. The rest are forgotten from here on, in no order.
const NAMES_MAX: usize = 65_536;
const DAY_MS: u64 = 86_400_000;
/// The lower part of a window counts, the upper part is its number, of which the last bits are kept.
const COUNT_BITS: u32 = 40;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const NUMBER_MAX: u64 = (1 << (64 - COUNT_BITS)) - 1;
/// How far the windows of shards may be apart, whose passes began at different times.
const AHEAD_MAX: u64 = 16;

/// A moment, as quotas need it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Milliseconds of the broker's clock.
    pub ms: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// How much came in the period at hand.
#[derive(Debug, Default)]
struct Window(AtomicU64);

impl Window {
    /// Counts `n` more in this period, if that makes no more than `max`.
    fn try_add(&self, number: u64, n: u64, max: u64) -> bool {
        let number = number & NUMBER_MAX;
        let add = |packed: u64| {
            let kept = packed >> COUNT_BITS;
            let is_ahead = kept.wrapping_sub(number) & NUMBER_MAX <= AHEAD_MAX;
            let (number, used) = if is_ahead { (kept, packed & COUNT_MAX) } else { (number, 0) };
            let used = used.saturating_add(n);
            (used <= max.min(COUNT_MAX)).then_some(number << COUNT_BITS | used)
        };
        self.0.fetch_update(Relaxed, Relaxed, add).is_ok()
    }

    /// What was counted did not come after all.
    fn take_back(&self, n: u64) {
        let less = |packed: u64| Some(packed - n.min(packed & COUNT_MAX));
        let _ = self.0.fetch_update(Relaxed, Relaxed, less);
    }

    /// Whether something came in this period.
    fn is_used(&self, number: u64) -> bool {
        let packed = self.0.load(Relaxed);
        packed >> COUNT_BITS == number & NUMBER_MAX && packed & COUNT_MAX > 0
    }
}

/// A bound of an allowance: periods so long, and what one of them may bring.
#[derive(Debug, Clone, Copy)]
struct Bound {
    number: u64,
    max: u64,
}

/// What somebody has published.
#[derive(Debug, Default)]
pub struct Usage {
    windows: [Window; 4],
}

impl Usage {
    /// Counts a message, if it is within the allowance. One that is not counts nowhere.
    pub fn try_publish(&self, allowance: &Allowance, bytes: u64, at: Moment) -> bool {
        let amounts = [1, bytes, 1, bytes];
        let bounds = bounds(allowance, at);
        for (index, bound) in bounds.iter().enumerate() {
            let Some(bound) = bound else { continue };
            if self.windows[index].try_add(bound.number, amounts[index], bound.max) {
                continue;
            }
            for earlier in (0..index).filter(|earlier| bounds[*earlier].is_some()) {
                self.windows[earlier].take_back(amounts[earlier]);
            }
            return false;
        }
        true
    }

    /// A message that was counted is refused for another reason.
    pub fn take_back(&self, bytes: u64) {
        for (window, amount) in self.windows.iter().zip([1, bytes, 1, bytes]) {
            window.take_back(amount);
        }
    }

    /// Whether forgetting it would give somebody back what was used.
    fn is_used(&self, allowance: &Allowance, at: Moment) -> bool {
        let bounds = bounds(allowance, at);
        let mut windows = self.windows.iter().zip(bounds);
        windows.any(|(window, bound)| bound.is_some_and(|bound| window.is_used(bound.number)))
    }
}

/// Messages and bytes of the rates, then those of the day.
fn bounds(allowance: &Allowance, at: Moment) -> [Option<Bound>; 4] {
    let of_rate = |rate: Rate| {
        let bound = Bound { number: at.ms / rate.period_ms.max(1), max: rate.amount };
        (!rate.is_infinite()).then_some(bound)
    };
    let of_day = |max: u64| (max > 0).then_some(Bound { number: at.wall_ms / DAY_MS, max });
    [
        of_rate(allowance.messages),
        of_rate(allowance.bytes),
        of_day(allowance.messages_per_day),
        of_day(allowance.bytes_per_day.0),
    ]
}

/// The usage of everybody by name. Bounded by [`NAMES_MAX`], or a third more than are connected.
#[derive(Debug)]
pub struct Register {
    names: SeededMap<Box<str>, Arc<Usage>>,
    /// At so many names the register is gone through.
    trim_at: usize,
}

impl Default for Register {
    fn default() -> Register {
        Register { names: SeededMap::default(), trim_at: NAMES_MAX }
    }
}

impl Register {
    /// What this name has published, shared by all who ask for it while it is remembered.
    pub fn open(&mut self, name: &str, allowance: &Allowance, at: Moment) -> Arc<Usage> {
        if let Some(usage) = self.names.get(name) {
            return Arc::clone(usage);
        }
        if self.names.len() >= self.trim_at {
            self.trim(allowance, at);
        }
        let usage = Arc::new(Usage::default());
        self.names.insert(name.into(), Arc::clone(&usage));
        usage
    }

    /// Forgets who has used nothing in the periods at hand; then, as far as there are still too many, who is not connected.
    fn trim(&mut self, allowance: &Allowance, at: Moment) {
        let is_connected = |usage: &Arc<Usage>| Arc::strong_count(usage) > 1;
        self.names.retain(|_, usage| is_connected(usage) || usage.is_used(allowance, at));
        let mut excess = self.names.len().saturating_sub(NAMES_MAX - NAMES_MAX / 4);
        self.names.retain(|_, usage| {
            let is_kept = excess == 0 || is_connected(usage);
            excess -= usize::from(!is_kept);
            is_kept
        });
        // So that going through all of them costs each name that comes a few steps, however many are connected.
        self.trim_at = NAMES_MAX.max(self.names.len() + self.names.len() / 3 + 1);
    }
}

/// The usage of all users, over all shards.
#[derive(Debug, Default)]
pub struct SharedRegister(Mutex<Register>);

impl SharedRegister {
    /// As [`Register::open`].
    pub fn open(&self, name: &str, allowance: &Allowance, at: Moment) -> Arc<Usage> {
        // A shard that panicked has left a map behind that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open(name, allowance, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_core::config::ByteSize;

    const DAY: u64 = 20_000;

    fn at(ms: u64) -> Moment {
        Moment { ms, wall_ms: DAY * DAY_MS + ms }
    }

    fn published(usage: &Usage, allowance: &Allowance, bytes: u64, times: usize, moment: Moment) -> usize {
        (0..times).filter(|_| usage.try_publish(allowance, bytes, moment)).count()
    }

    #[test]
    fn each_period_has_its_own_amount_and_each_day() {
        let allowance =
            Allowance { messages: "10/s".parse().unwrap(), messages_per_day: 25, ..Allowance::default() };
        let usage = Usage::default();
        let days = [0, DAY_MS - 100_000].map(|offset| {
            [5_000, 5_999, 6_000, 7_000, 8_000]
                .map(|ms| published(&usage, &allowance, 1, 20, at(ms + offset)))
        });
        assert_eq!(days[0], [10, 0, 10, 5, 0], "25 in the day");
        assert_eq!(days[1], [0; 5], "it is still the same day");
        assert_eq!(published(&usage, &allowance, 1, 20, at(DAY_MS)), 10, "the next day");
    }

    #[test]
    fn what_is_refused_counts_nowhere() {
        let allowance = Allowance {
            messages: "3/s".parse().unwrap(),
            bytes_per_day: ByteSize(100),
            ..Allowance::default()
        };
        let usage = Usage::default();
        assert!(!usage.try_publish(&allowance, 101, at(0)), "more than a day's");
        assert_eq!(published(&usage, &allowance, 40, 5, at(0)), 2);
        assert_eq!(published(&usage, &allowance, 20, 5, at(0)), 1, "the third message, 100 bytes");
        assert_eq!(published(&usage, &allowance, 1, 5, at(1000)), 0);
    }

    #[test]
    fn shards_whose_passes_began_a_little_apart_count_in_one_window() {
        let allowance = Allowance { messages: "10/s".parse().unwrap(), ..Allowance::default() };
        let usage = Usage::default();
        let counts = [1_999, 2_000, 1_999, 2_001].map(|ms| published(&usage, &allowance, 1, 8, at(ms)));
        assert_eq!(counts, [8, 8, 2, 0]);
        let much_later = at(2_000 + NUMBER_MAX / 2 * 1000);
        assert_eq!(published(&usage, &allowance, 1, 20, much_later), 10);
    }

    #[test]
    fn a_name_that_comes_back_finds_what_it_has_used() {
        let allowance = Allowance { messages_per_day: 2, ..Allowance::default() };
        let mut register = Register::default();
        assert_eq!(published(&register.open("a", &allowance, at(0)), &allowance, 1, 5, at(0)), 2);
        assert_eq!(published(&register.open("a", &allowance, at(5)), &allowance, 1, 5, at(5)), 0);
        assert_eq!(published(&register.open("b", &allowance, at(5)), &allowance, 1, 5, at(5)), 2);
    }

    #[test]
    fn names_without_end_take_bounded_memory_and_those_connected_are_kept() {
        let allowance = Allowance { messages_per_day: 1, ..Allowance::default() };
        let mut register = Register::default();
        let connected = register.open("connected", &allowance, at(0));
        assert!(connected.try_publish(&allowance, 1, at(0)));
        for number in 0..3 * NAMES_MAX {
            let usage = register.open(&format!("n{number}"), &allowance, at(0));
            assert!(usage.try_publish(&allowance, 1, at(0)));
            assert!(register.names.len() <= NAMES_MAX + 1);
        }
        assert!(!register.open("connected", &allowance, at(0)).try_publish(&allowance, 1, at(0)));
        // The day after nobody has used anything.
        register.trim(&allowance, at(DAY_MS));
        assert_eq!(register.names.len(), 1);
    }
}
