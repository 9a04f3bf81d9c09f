//! What the main thread asks of the workers of `conn`, step by step, and what they have counted of it.
//!
//! Like [`Shared`](crate::phase::Shared): only a step and counters with one writer each.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What the workers do with the connections they hold. Openings go on in every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Step {
    /// Open them.
    Opening,
    /// Ping.
    Quiet,
    /// Ping, and publish to the active ones.
    Active,
    /// Publish no more; what is on its way arrives.
    Draining,
    /// Subscribe all to the topic of the broadcast.
    Gathering,
    /// Publish it.
    Broadcasting,
}

/// What the threads of one run share.
#[derive(Debug)]
pub struct Board {
    step: AtomicU8,
    cells: Box<[Cell]>,
}

/// The counters of one worker, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    publishers: AtomicU64,
    pings: AtomicU64,
    pongs: AtomicU64,
    published: AtomicU64,
    settled: AtomicU64,
    gathered: AtomicU64,
    broadcasts: AtomicU64,
}

/// What workers count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Publishing connections whose handshake is over.
    pub publishers: u64,
    /// Pings sent.
    pub pings: u64,
    /// Pings answered.
    pub pongs: u64,
    /// Messages to active clients.
    pub published: u64,
    /// Those of them that nothing more is expected of: delivered and, at QoS 1, acknowledged.
    pub settled: u64,
    /// Clients subscribed to the broadcast.
    pub gathered: u64,
    /// Arrivals of the broadcast.
    pub broadcasts: u64,
}

impl Board {
    /// A board for this many workers, at [`Step::Opening`].
    pub fn new(workers: u16) -> Board {
        let cells = (0..workers).map(|_| Cell::default()).collect();
        Board { step: AtomicU8::new(Step::Opening as u8), cells }
    }

    /// What is to be done now.
    pub fn step(&self) -> Step {
        match self.step.load(Ordering::Acquire) {
            0 => Step::Opening,
            1 => Step::Quiet,
            2 => Step::Active,
            3 => Step::Draining,
            4 => Step::Gathering,
            _ => Step::Broadcasting,
        }
    }

    /// Asks for the next step.
    pub fn enter(&self, step: Step) {
        self.step.store(step as u8, Ordering::Release);
    }

    /// What a worker has counted so far; called by it alone.
    pub fn tell(&self, worker: u16, counts: &Counts) {
        let cell = &self.cells[usize::from(worker)];
        cell.publishers.store(counts.publishers, Ordering::Relaxed);
        cell.pings.store(counts.pings, Ordering::Relaxed);
        cell.pongs.store(counts.pongs, Ordering::Relaxed);
        cell.published.store(counts.published, Ordering::Relaxed);
        cell.settled.store(counts.settled, Ordering::Relaxed);
        cell.gathered.store(counts.gathered, Ordering::Relaxed);
        cell.broadcasts.store(counts.broadcasts, Ordering::Relaxed);
    }

    /// The sum over all workers.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for cell in &self.cells {
            sum.publishers += cell.publishers.load(Ordering::Relaxed);
            sum.pings += cell.pings.load(Ordering::Relaxed);
            sum.pongs += cell.pongs.load(Ordering::Relaxed);
            sum.published += cell.published.load(Ordering::Relaxed);
            sum.settled += cell.settled.load(Ordering::Relaxed);
            sum.gathered += cell.gathered.load(Ordering::Relaxed);
            sum.broadcasts += cell.broadcasts.load(Ordering::Relaxed);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_read_as_it_was_entered() {
        let board = Board::new(2);
        for step in
            [Step::Opening, Step::Quiet, Step::Active, Step::Draining, Step::Gathering, Step::Broadcasting]
        {
            board.enter(step);
            assert_eq!(board.step(), step);
        }
        board.tell(0, &Counts { pings: 1, ..Counts::default() });
        board.tell(1, &Counts { pings: 2, broadcasts: 5, ..Counts::default() });
        assert_eq!((board.counts().pings, board.counts().broadcasts), (3, 5));
    }
}
