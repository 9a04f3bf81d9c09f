//! What an operator sees of a shard's log: what it holds and has done, how long commits take, how many publications share
//! one. It never changes what the log does.

use crate::metrics::{Distribution, Gauge};
use crate::shard::Shard;
use ringmq_core::metrics::Metric;
use ringmq_core::time::Timestamp;
use ringmq_persistence::Figures;
use std::collections::VecDeque;

/// Commits that are watched at once, for each level. Beyond, what is sealed counts as part of the commit before it.
const COMMITS_MAX: usize = 1024;

/// What was published of a log, and the commits somebody waits for.
#[derive(Debug)]
pub struct LogFigures {
    /// Something was recorded, or an operation has ended, since the figures were published.
    is_stale: bool,
    published: Figures,
    /// By what is waited for: `Wal` and `Fsync`.
    commits: [Commits; 2],
}

impl Default for LogFigures {
    fn default() -> LogFigures {
        // What the log held when it was opened is news.
        LogFigures { is_stale: true, published: Figures::default(), commits: <[Commits; 2]>::default() }
    }
}

impl LogFigures {
    /// The log may have got further.
    pub fn touch(&mut self) {
        self.is_stale = true;
    }

    /// So many publications, by what they wait for, lie before this position since now.
    pub fn note_sealed(&mut self, position: u64, publications: [usize; 2], now: Timestamp) {
        for (commits, count) in self.commits.iter_mut().zip(publications) {
            commits.seal(position, count as u64, now);
        }
    }

    /// Nobody is told any more that anything is stored.
    pub fn forget_commits(&mut self) {
        self.commits = <[Commits; 2]>::default();
    }
}

/// Commits that somebody waits for at one level, in the order of their positions.
#[derive(Debug, Default)]
struct Commits {
    waiting: VecDeque<Commit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Commit {
    position: u64,
    /// When the first of its passes was sealed.
    sealed_at: Timestamp,
    publications: u64,
}

impl Commits {
    fn seal(&mut self, position: u64, publications: u64, now: Timestamp) {
        if publications == 0 {
            return;
        }
        let is_full = self.waiting.len() >= COMMITS_MAX;
        match self.waiting.back_mut() {
            // Passes that were sealed before the batch was written share it.
            Some(last) if last.position == position || is_full => {
                last.position = position;
                last.publications += publications;
            }
            _ => self.waiting.push_back(Commit { position, sealed_at: now, publications }),
        }
    }

    /// A commit that lies before what was reached.
    fn poll_reached(&mut self, reached: u64) -> Option<Commit> {
        let first = self.waiting.front()?;
        if first.position <= reached { self.waiting.pop_front() } else { None }
    }
}

impl Shard {
    /// Counts the commits that these positions, written and synced, have ended.
    pub fn note_commits(&mut self, reached: [u64; 2]) {
        for (commits, reached) in self.log_figures.commits.iter_mut().zip(reached) {
            let mut publications = 0;
            while let Some(commit) = commits.poll_reached(reached) {
                self.cells.observe(Distribution::CommitLatency, self.now.since_ms(commit.sealed_at));
                publications += commit.publications;
            }
            if publications > 0 {
                self.cells.observe(Distribution::CommitBatch, publications);
            }
        }
    }

    /// Publishes what the log has and has done, if that may have changed.
    pub fn publish_log_figures(&mut self) {
        if !std::mem::take(&mut self.log_figures.is_stale) {
            return;
        }
        let Some(now) = self.journal.figures() else { return };
        let before = std::mem::replace(&mut self.log_figures.published, now);
        for (metric, now, before) in [
            (Metric::PersistenceRecordsPut, now.puts, before.puts),
            (Metric::PersistenceRecordsRemoved, now.removes, before.removes),
            (Metric::PersistenceBytesWritten, now.written_bytes, before.written_bytes),
            (Metric::PersistenceWrites, now.writes, before.writes),
            (Metric::PersistenceSyncs, now.syncs, before.syncs),
            (Metric::PersistenceCompactionCopies, now.copies, before.copies),
            (Metric::PersistenceCheckpoints, now.checkpoints, before.checkpoints),
        ] {
            self.tally.add(metric, now - before);
        }
        for (gauge, value) in [
            (Gauge::PersistenceRecords, now.records),
            (Gauge::PersistenceLiveBytes, now.live_bytes),
            (Gauge::PersistenceAllocatedBytes, now.allocated_bytes),
            (Gauge::PersistencePendingBytes, now.pending_bytes),
            (Gauge::PersistenceSegments, now.segments),
            (Gauge::PersistenceIndexBytes, now.index_bytes),
            (Gauge::PersistenceCachedBytes, self.journal.bodies().bytes() as u64),
            (Gauge::PersistenceBodiesAway, self.journal.bodies().away() as u64),
            (Gauge::PersistenceFailedLogs, u64::from(self.journal.has_failed())),
        ] {
            self.cells.set(gauge, value as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn a_commit_lasts_from_its_first_seal_until_its_position_is_reached() {
        let mut commits = Commits::default();
        commits.seal(4, 2, at(10));
        commits.seal(4, 3, at(12));
        commits.seal(5, 0, at(13));
        commits.seal(6, 1, at(20));
        assert_eq!(commits.poll_reached(3), None);
        let first = Commit { position: 4, sealed_at: at(10), publications: 5 };
        assert_eq!(commits.poll_reached(5), Some(first));
        assert_eq!(commits.poll_reached(5), None);
        let second = Commit { position: 6, sealed_at: at(20), publications: 1 };
        assert_eq!(commits.poll_reached(9), Some(second));
    }

    #[test]
    fn commits_beyond_the_bound_count_with_the_one_before() {
        let mut commits = Commits::default();
        let sealed = COMMITS_MAX as u64 + 10;
        for position in 1..=sealed {
            commits.seal(position, 1, at(position));
        }
        assert_eq!(commits.waiting.len(), COMMITS_MAX);
        let mut publications = 0;
        while let Some(commit) = commits.poll_reached(sealed - 1) {
            publications += commit.publications;
        }
        assert_eq!(publications, COMMITS_MAX as u64 - 1, "the last one waits for the last position");
        assert_eq!(commits.poll_reached(sealed).map(|commit| commit.publications), Some(11));
    }
}
