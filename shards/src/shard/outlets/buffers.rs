//! Buffers that outboxes were written from, kept for the next outbox: a busy shard writes without allocating, and an idle
//! connection holds no buffer.

use ringmq_core::session::Outbox;

/// A smaller buffer costs the allocator less than keeping it costs the caches.
const CAPACITY_MIN: usize = 1024;
/// A larger buffer goes back to the allocator.
const CAPACITY_MAX: usize = 512 * 1024;
/// What all kept buffers may hold. Beyond it they go back to the allocator.
const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Empty buffers; the one used last comes first, because it is warm.
#[derive(Debug, Default)]
pub struct SpentBuffers {
    list: Vec<Vec<u8>>,
    kept_bytes: usize,
}

impl SpentBuffers {
    /// Keeps a buffer whose bytes are not needed any more, or frees it.
    pub fn keep(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity) && self.kept_bytes + capacity <= KEPT_BYTES_MAX {
            buffer.clear();
            self.kept_bytes += capacity;
            self.list.push(buffer);
        }
    }

    /// Takes a buffer back into which nothing was written.
    pub fn take_back(&mut self, outbox: &mut Outbox) {
        if let Some(buffer) = outbox.surrender() {
            self.keep(buffer);
        }
    }

    /// Lends an outbox that has none a buffer to write into, if there is one. The outbox gives it away with its next send.
    pub fn lend(&mut self, outbox: &mut Outbox) {
        if outbox.has_buffer() {
            return;
        }
        if let Some(buffer) = self.list.pop() {
            self.kept_bytes -= buffer.capacity();
            outbox.lend(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_lent_again() {
        let mut spent = SpentBuffers::default();
        spent.keep(Vec::with_capacity(CAPACITY_MIN - 1));
        spent.keep(Vec::with_capacity(CAPACITY_MAX + 1));
        assert!(spent.list.is_empty(), "too small and too large");
        for _ in 0..100 {
            spent.keep(vec![7; CAPACITY_MAX]);
        }
        assert_eq!(spent.list.len(), KEPT_BYTES_MAX / CAPACITY_MAX);
        let mut outbox = Outbox::new(1_000_000);
        for _ in 0..2 {
            spent.lend(&mut outbox);
        }
        assert!(outbox.has_buffer() && outbox.is_empty(), "an empty buffer");
        assert_eq!(spent.list.len(), KEPT_BYTES_MAX / CAPACITY_MAX - 1, "one for an outbox");
        spent.take_back(&mut outbox);
        assert!(!outbox.has_buffer());
        assert_eq!(spent.list.len(), KEPT_BYTES_MAX / CAPACITY_MAX);
        assert_eq!(spent.kept_bytes, spent.list.len() * CAPACITY_MAX);
    }
}
