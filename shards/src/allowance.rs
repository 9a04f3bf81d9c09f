//! What clients and users have published, measured against what they may. Nothing is touched for those without quotas.
//!
//! A [`Usage`] is looked up once per connection and kept with it; a publication costs one atomic operation for each bound.
//! Names are shared by all shards, behind many locks, one of which is taken once per CONNECT and none on the way of a message.
//! Whoever wants to keep what was used of a day beyond the process reads it here; nothing is written to a file.

use crate::config::Allowance;
use ringmq_core::config::Rate;
use ringmq_core::hash::{SeededMap, hash_str};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of a register, each with a lock of its own: to go through one takes a fraction of a millisecond.
const PARTS: usize = 128;
/// Names a part remembers beside those that are connected. The rest are forgotten from here on, in no order.
const NAMES_MAX: usize = 2_048;
/// Bytes that such names may have together. Client identifiers can be long.
const NAME_BYTES_MAX: usize = 256 << 10;
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

    /// How much came in this period.
    fn used(&self, number: u64) -> u64 {
        let packed = self.0.load(Relaxed);
        if packed >> COUNT_BITS == number & NUMBER_MAX { packed & COUNT_MAX } else { 0 }
    }

    /// So much came in this period, before anything was counted here.
    fn restore(&self, number: u64, used: u64) {
        self.0.store((number & NUMBER_MAX) << COUNT_BITS | used.min(COUNT_MAX), Relaxed);
    }
}

/// What somebody has published in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUsage {
    /// The day, counted from the first of 1970.
    pub day: u64,
    /// Messages; 0 where they are not bounded.
    pub messages: u64,
    /// Bytes; 0 where they are not bounded.
    pub bytes: u64,
}

impl DayUsage {
    /// The day at this many milliseconds since 1970.
    pub fn day_at(wall_ms: u64) -> u64 {
        wall_ms / DAY_MS
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
        windows.any(|(window, bound)| bound.is_some_and(|bound| window.used(bound.number) > 0))
    }

    /// What was used of a day; none if nothing was.
    fn of_day(&self, day: u64) -> Option<DayUsage> {
        let [_, _, messages, bytes] = &self.windows;
        let used = DayUsage { day, messages: messages.used(day), bytes: bytes.used(day) };
        (used.messages > 0 || used.bytes > 0).then_some(used)
    }
}

/// Messages and bytes of the rates, then those of the day.
fn bounds(allowance: &Allowance, at: Moment) -> [Option<Bound>; 4] {
    let of_rate = |rate: Rate| {
        let bound = Bound { number: at.ms / rate.period_ms.max(1), max: rate.amount };
        (!rate.is_infinite()).then_some(bound)
    };
    let of_day = |max: u64| (max > 0).then_some(Bound { number: DayUsage::day_at(at.wall_ms), max });
    [
        of_rate(allowance.messages),
        of_rate(allowance.bytes),
        of_day(allowance.messages_per_day),
        of_day(allowance.bytes_per_day.0),
    ]
}

/// The usage of those names that fall to one part. Bounded by [`NAMES_MAX`] and [`NAME_BYTES_MAX`], or a third more than are
/// connected.
#[derive(Debug)]
struct Part {
    names: SeededMap<Arc<str>, Arc<Usage>>,
    name_bytes: usize,
    /// At so many names, or bytes of names, it is gone through.
    trim_at: (usize, usize),
}

impl Default for Part {
    fn default() -> Part {
        Part { names: SeededMap::default(), name_bytes: 0, trim_at: (NAMES_MAX, NAME_BYTES_MAX) }
    }
}

impl Part {
    fn open(&mut self, name: &str, allowance: &Allowance, at: Moment) -> Arc<Usage> {
        if let Some(usage) = self.names.get(name) {
            return Arc::clone(usage);
        }
        if self.names.len() >= self.trim_at.0 || self.name_bytes >= self.trim_at.1 {
            self.trim(allowance, at);
        }
        self.add(name)
    }

    fn add(&mut self, name: &str) -> Arc<Usage> {
        let usage = Arc::new(Usage::default());
        if self.names.insert(name.into(), Arc::clone(&usage)).is_none() {
            self.name_bytes += name.len();
        }
        usage
    }

    /// Forgets who has used nothing in the periods at hand; then, as far as there are still too many, who is not connected.
    fn trim(&mut self, allowance: &Allowance, at: Moment) {
        let is_connected = |usage: &Arc<Usage>| Arc::strong_count(usage) > 1;
        self.names.retain(|_, usage| is_connected(usage) || usage.is_used(allowance, at));
        let mut names = self.names.len();
        let mut bytes: usize = self.names.keys().map(|name| name.len()).sum();
        self.names.retain(|name, usage| {
            let is_excess = names > NAMES_MAX - NAMES_MAX / 4 || bytes > NAME_BYTES_MAX - NAME_BYTES_MAX / 4;
            let is_kept = !is_excess || is_connected(usage);
            if !is_kept {
                (names, bytes) = (names - 1, bytes - name.len());
            }
            is_kept
        });
        self.name_bytes = bytes;
        // So that going through all of them costs each name that comes a few steps, however many are connected.
        self.trim_at = (NAMES_MAX.max(names + names / 3 + 1), NAME_BYTES_MAX.max(bytes + bytes / 3 + 1));
    }
}

/// The usage of everybody by name, over all shards.
#[derive(Debug)]
pub struct Register {
    parts: Box<[Mutex<Part>]>,
}

impl Default for Register {
    fn default() -> Register {
        Register { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }
}

impl Register {
    /// What this name has published, shared by all who ask for it while it is remembered.
    pub fn open(&self, name: &str, allowance: &Allowance, at: Moment) -> Arc<Usage> {
        self.part_of(name).open(name, allowance, at)
    }

    /// What a name had used of a day before the process began. Call before anybody connects.
    pub fn restore(&self, name: &str, used: DayUsage) {
        let usage = self.part_of(name).add(name);
        let [_, _, messages, bytes] = &usage.windows;
        messages.restore(used.day, used.messages);
        bytes.restore(used.day, used.bytes);
    }

    /// Everybody who has used something of this day.
    pub fn of_day(&self, day: u64) -> impl Iterator<Item = (Arc<str>, DayUsage)> {
        self.parts.iter().flat_map(move |part| {
            let part = lock(part);
            let used =
                part.names.iter().filter_map(|(name, usage)| Some((Arc::clone(name), usage.of_day(day)?)));
            used.collect::<Vec<_>>()
        })
    }

    fn part_of(&self, name: &str) -> MutexGuard<'_, Part> {
        // The bits that tables place their entries by are others.
        lock(&self.parts[(hash_str(name) >> 32) as usize % PARTS])
    }
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    // A shard that panicked has left a map behind that is whole.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all clients and all users have published.
#[derive(Debug, Default)]
pub struct Registers {
    /// By client identifier.
    pub clients: Register,
    /// By user name.
    pub users: Register,
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
        let register = Register::default();
        assert_eq!(published(&register.open("a", &allowance, at(0)), &allowance, 1, 5, at(0)), 2);
        assert_eq!(published(&register.open("a", &allowance, at(5)), &allowance, 1, 5, at(5)), 0);
        assert_eq!(published(&register.open("b", &allowance, at(5)), &allowance, 1, 5, at(5)), 2);
    }

    #[test]
    fn names_without_end_take_bounded_memory_and_those_connected_are_kept() {
        let allowance = Allowance { messages_per_day: 1, ..Allowance::default() };
        for padding in [0, 6_000] {
            let mut part = Part::default();
            let connected = part.open("connected", &allowance, at(0));
            assert!(connected.try_publish(&allowance, 1, at(0)));
            for number in 0..3 * NAMES_MAX {
                let usage = part.open(&format!("{number:padding$}"), &allowance, at(0));
                assert!(usage.try_publish(&allowance, 1, at(0)));
                assert!(part.names.len() <= NAMES_MAX + 1 && part.name_bytes <= NAME_BYTES_MAX + padding + 5);
            }
            assert_eq!(part.name_bytes, part.names.keys().map(|name| name.len()).sum::<usize>());
            assert!(!part.open("connected", &allowance, at(0)).try_publish(&allowance, 1, at(0)));
            // The day after nobody has used anything.
            part.trim(&allowance, at(DAY_MS));
            assert_eq!((part.names.len(), part.name_bytes), (1, "connected".len()));
        }
    }

    #[test]
    fn what_was_used_of_a_day_goes_on_in_another_register() {
        let allowance =
            Allowance { messages_per_day: 3, bytes_per_day: ByteSize(100), ..Allowance::default() };
        let (register, next) = (Register::default(), Register::default());
        assert_eq!(published(&register.open("a", &allowance, at(0)), &allowance, 20, 2, at(0)), 2);
        assert_eq!(published(&register.open("b", &allowance, at(0)), &allowance, 90, 1, at(0)), 1);
        register.open("idle", &allowance, at(0));
        assert_eq!(register.of_day(DAY + 1).count(), 0);
        for (name, used) in register.of_day(DAY) {
            next.restore(&name, used);
        }
        let used = |register: &Register| {
            let mut used: Vec<_> = register.of_day(DAY).collect();
            used.sort_by(|a, b| a.0.cmp(&b.0));
            used
        };
        assert_eq!(used(&next), used(&register));
        let left = |name: &str, bytes, ms| {
            published(&next.open(name, &allowance, at(ms)), &allowance, bytes, 9, at(ms))
        };
        assert_eq!((left("a", 1, 1), left("b", 20, 1), left("idle", 1, 1)), (1, 0, 3));
        assert_eq!((left("a", 1, DAY_MS), left("b", 20, DAY_MS)), (3, 3));
    }
}
