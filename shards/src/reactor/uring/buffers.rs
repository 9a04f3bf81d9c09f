//! The buffers of a ring: the kernel picks one when bytes have arrived, so that a connection that waits has none.

use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// The one group of buffers of a ring.
pub const GROUP: u16 = 0;
/// Bytes of a buffer, and so of the largest receive.
pub const BUFFER_BYTES: usize = 32 * 1024;
/// Buffers a ring can grow to; a power of two. What arrives beyond waits in the sockets.
const BUFFERS_MAX: u16 = 64;
/// Buffers a ring starts with where receives share them.
const BUFFERS_FIRST_SHARED: u16 = 4;
/// Buffers a ring starts with where each receive takes one.
const BUFFERS_FIRST_WHOLE: u16 = 32;

/// How the kernel uses buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// A receive takes what it needs and leaves the rest of the buffer to the next one (`IOU_PBUF_RING_INC`, Linux 6.12).
    Shared,
    /// A receive takes a whole buffer.
    Whole,
}

/// Buffers shared with the kernel.
///
/// Their memory is never freed: the kernel may write to it until every operation of the ring has ended, which closing
/// the ring does not wait for. A shard has one for the life of the process; pages that are not used cost nothing.
pub struct BufferRing {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    filling: Filling,
    /// Bytes of each buffer that were filled and handled.
    used: Vec<usize>,
    tail: u16,
}

impl BufferRing {
    /// A ring without buffers.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new() -> io::Result<BufferRing> {
        let entries = map(usize::from(BUFFERS_MAX) * size_of::<BufRingEntry>())?.cast();
        let memory = map(usize::from(BUFFERS_MAX) * BUFFER_BYTES)?;
        Ok(BufferRing { entries, memory, filling: Filling::Whole, used: Vec::new(), tail: 0 })
    }

    /// The kernel has the ring and will fill buffers this way: supplies the first ones.
    pub fn begin(&mut self, filling: Filling) {
        self.filling = filling;
        self.supply(match filling {
            Filling::Shared => BUFFERS_FIRST_SHARED,
            Filling::Whole => BUFFERS_FIRST_WHOLE,
        });
    }

    /// Where the ring lies.
    pub fn address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// How many entries it has.
    pub fn entries(&self) -> u16 {
        BUFFERS_MAX
    }

    /// The kernel ran out of buffers: doubles them as long as there is room.
    pub fn grow(&mut self) {
        self.supply(self.supplied().saturating_mul(2).min(BUFFERS_MAX));
    }

    /// The `length` bytes of a buffer that the kernel has filled since the buffer was supplied or last [`consumed`].
    ///
    /// [`consumed`]: BufferRing::consume
    ///
    /// # Errors
    /// When there is no such buffer, which only a kernel with another idea of this ring could say.
    pub fn filled(&self, buffer: u16, length: usize) -> io::Result<&[u8]> {
        let used = *self.used.get(usize::from(buffer)).ok_or(io::ErrorKind::InvalidData)?;
        if length > BUFFER_BYTES - used {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: the bytes lie within `memory`, which is initialised and never freed. The kernel does not write to them
        // again before the buffer is supplied again, which needs `&mut self` and so the end of this borrow.
        Ok(unsafe { std::slice::from_raw_parts(self.at(buffer).add(used), length) })
    }

    /// `length` bytes were handled, 0 where a receive failed. Gives the buffer back to the kernel when it is used up.
    ///
    /// Whether it is used up is counted here: what kernels say of a receive of nothing differs.
    pub fn consume(&mut self, buffer: u16, length: usize) {
        let Some(used) = self.used.get_mut(usize::from(buffer)) else { return };
        *used = (*used + length).min(BUFFER_BYTES);
        if *used == BUFFER_BYTES || self.filling == Filling::Whole {
            *used = 0;
            self.supply_one(buffer);
        }
    }

    fn supply_one(&mut self, buffer: u16) {
        let slot = usize::from(self.tail & (BUFFERS_MAX - 1));
        let address = self.at(buffer) as u64;
        // SAFETY: `slot` is within the ring. The kernel reads entries before the tail only, and this one is behind it
        // because there are never more buffers than entries.
        let entry = unsafe { self.entries.add(slot).as_mut() };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry (io_uring_register(2)); it is aligned and written by us alone.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    fn supply(&mut self, count: u16) {
        while self.supplied() < count {
            let buffer = self.supplied();
            self.used.push(0);
            self.supply_one(buffer);
        }
    }

    /// Buffers the kernel was given; never more than `BUFFERS_MAX`.
    fn supplied(&self) -> u16 {
        self.used.len() as u16
    }

    fn at(&self, buffer: u16) -> *const u8 {
        // SAFETY: buffers are numbered below `BUFFERS_MAX`, which is what `memory` holds.
        unsafe { self.memory.as_ptr().add(usize::from(buffer) * BUFFER_BYTES) }
    }
}

/// Zeroed memory on page borders, as the kernel demands of the ring. Pages are taken when they are first used.
fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new private mapping where the kernel finds room touches nobody else's memory.
    let mapped = unsafe {
        mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?
    };
    NonNull::new(mapped.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
