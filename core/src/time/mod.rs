//! Time as the core sees it: an argument, never a clock.

mod bucket;

pub use bucket::Bucket;

/// Milliseconds on the broker's monotonic clock, counted from an arbitrary start shared by all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of the clock.
    pub const ZERO: Timestamp = Timestamp(0);
    /// A moment that never comes: no deadline.
    pub const NEVER: Timestamp = Timestamp(u64::MAX);

    /// The moment `ms` milliseconds after the start of the clock.
    pub const fn from_ms(ms: u64) -> Timestamp {
        Timestamp(ms)
    }

    /// Milliseconds since the start of the clock.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The moment `ms` milliseconds later; saturates at [`Timestamp::NEVER`].
    pub const fn after_ms(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// The moment `seconds` later; saturates at [`Timestamp::NEVER`].
    pub const fn after_s(self, seconds: u64) -> Timestamp {
        self.after_ms(seconds.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this moment, 0 if `earlier` lies later.
    pub const fn since_ms(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether this moment is [`Timestamp::NEVER`].
    pub const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }
}
