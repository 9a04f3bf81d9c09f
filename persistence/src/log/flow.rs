//! Operations out, answers in: which write, sync, creation or deletion may begin now. At most one write and one sync
//! are in flight; what is sealed meanwhile shares the next.

use super::batch::Delay;
use super::operation::{Answer, Entry, Operation, Purpose, Ticket};
use super::segments::Fate;
use super::{Machine, SegmentNumber};
use crate::error::StorageError;

impl Machine {
    /// The next operation that may begin now. After each answer and each seal there may be more.
    pub fn poll_operation(&mut self) -> Option<(Ticket, Operation)> {
        let (purpose, operation) = self.next_operation()?;
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.in_flight.insert(ticket, purpose);
        Some((ticket, operation))
    }

    /// Takes the answer to an operation.
    pub fn handle_answer(&mut self, ticket: Ticket, answer: Result<Answer, StorageError>) {
        let Some(purpose) = self.in_flight.remove(&ticket) else {
            return;
        };
        match (purpose, answer) {
            (Purpose::Read(request), answer) => self.handle_read(request, answer),
            (Purpose::Compaction, Ok(Answer::Bytes(bytes))) if self.failed.is_none() => {
                self.handle_compaction(&bytes)
            }
            // Nothing is lost by not compacting a segment.
            (Purpose::Compaction, _) => self.abandon_compaction(),
            // Nor by having no checkpoint; one that stays though it is not needed goes at the next opening.
            (Purpose::Checkpoint, Ok(answer)) => self.step_checkpoint(answer),
            (Purpose::Checkpoint, Err(_)) => self.checkpoints.abandon(),
            (Purpose::CheckpointGone, _) => {}
            (_, Err(error)) => self.failed = self.failed.take().or(Some(error)),
            (purpose, Ok(_)) if self.failed.is_none() => self.handle_done(purpose),
            _ => {}
        }
    }

    fn next_operation(&mut self) -> Option<(Purpose, Operation)> {
        // What is stored can be read even when nothing more can be written.
        if let Some(read) = self.next_read() {
            return Some(read);
        }
        if self.failed.is_some() {
            return None;
        }
        self.next_sync()
            .or_else(|| self.next_write())
            .or_else(|| self.next_file())
            .or_else(|| self.next_departure())
            .or_else(|| self.next_settling())
            .or_else(|| self.next_compaction())
            .or_else(|| self.next_checkpoint())
    }

    fn has_in_flight(&self, which: impl Fn(&Purpose) -> bool) -> bool {
        self.in_flight.values().any(which)
    }

    fn is_syncing(&self) -> bool {
        self.has_in_flight(|purpose| matches!(purpose, Purpose::Sync { .. }))
    }

    pub(super) fn next_sync(&mut self) -> Option<(Purpose, Operation)> {
        let queue = &self.queue;
        let (segment, end) = queue.completed_end?;
        let is_wanted = queue.wanted.front().is_some_and(|&batch| batch <= queue.completed);
        // A segment is on disk before the next one says where it ends.
        let is_due =
            queue.in_flight.is_none() && queue.waiting.front().is_some_and(|next| next.begins_segment);
        if queue.completed == queue.synced || !(is_wanted || is_due) || self.is_syncing() {
            return None;
        }
        let batch = queue.completed;
        Some((Purpose::Sync { batch, segment, end }, Operation::Sync { file: segment.into() }))
    }

    fn next_write(&mut self) -> Option<(Purpose, Operation)> {
        if self.queue.in_flight.is_some() {
            return None;
        }
        let is_syncing = self.is_syncing();
        let is_delayed = !self.options.commit_delay.is_zero();
        let synced = self.queue.synced;
        let batch = self.queue.waiting.front_mut()?;
        if !batch.is_closed {
            if !batch.is_sealed {
                return None;
            }
            if is_delayed && batch.delay != Delay::Over {
                let begins = batch.delay == Delay::Ahead;
                batch.delay = Delay::Running;
                let wait = Operation::Wait { duration: self.options.commit_delay };
                return begins.then_some((Purpose::CommitDelay(batch.number), wait));
            }
            // What waits for a sync can as well wait for the one in flight, and share its write with later passes.
            if is_syncing && !batch.wants_wal {
                return None;
            }
        }
        let is_ready = self.segments.find(batch.segment).is_some_and(|segment| segment.creating == 0);
        let follows = !batch.begins_segment || synced + 1 == batch.number;
        if !is_ready || !follows {
            return None;
        }
        if batch.begins_segment {
            let (segment, number) = (batch.segment, batch.number);
            self.open_segment(segment, number);
        }
        let flight = self.queue.launch()?;
        let (segment, offset, bytes) = (flight.segment, flight.offset, flight.bytes.clone());
        let end = offset + bytes.len() as u64;
        self.create_spare(segment, end);
        Some((Purpose::Write, Operation::Write { file: segment.into(), offset, bytes }))
    }

    /// From now on `number` is written to, and no segment before it. Those may leave when the batch is on disk that begins it:
    /// the header of the last one says which ids are free.
    fn open_segment(&mut self, number: SegmentNumber, batch: u64) {
        let closed: Vec<SegmentNumber> = self
            .segments
            .iter()
            .rev()
            .skip_while(|(other, _)| *other >= number)
            .take_while(|(other, _)| other.0 >= self.segments.first_open)
            .map(|(other, _)| other)
            .collect();
        for closed in &closed {
            if let Some(segment) = self.segments.find_mut(*closed) {
                segment.empty_since = segment.empty_since.max(batch);
            }
        }
        self.segments.first_open = number.0;
        self.segments.empties.extend(closed.iter().copied());
        self.segments.sparse.extend(closed);
    }

    /// Creates the next segment when three quarters of the last one are full, so that its use need not wait.
    fn create_spare(&mut self, segment: SegmentNumber, end: u64) {
        let Some(found) = self.segments.find(segment) else {
            return;
        };
        let is_last = segment.0 + 1 == self.next_number;
        let bytes = self.options.segment_bytes;
        let has_room = self.segments.allocated_bytes().saturating_add(bytes) <= self.options.max_bytes;
        if is_last && self.spare.is_none() && end > found.allocated / 4 * 3 && has_room {
            self.spare = Some(self.create_next(bytes));
        }
    }

    fn next_file(&mut self) -> Option<(Purpose, Operation)> {
        if self.has_in_flight(|purpose| matches!(purpose, Purpose::Create(_))) {
            return None;
        }
        let (segment, bytes) = self.to_create.pop_front()?;
        Some((Purpose::Create(segment), Operation::Create { file: segment.into(), bytes }))
    }

    fn next_settling(&mut self) -> Option<(Purpose, Operation)> {
        let is_settling = self.has_in_flight(|purpose| matches!(purpose, Purpose::Directory(_)));
        if self.to_settle.is_empty() || is_settling {
            return None;
        }
        Some((Purpose::Directory(std::mem::take(&mut self.to_settle)), Operation::SyncDirectory))
    }

    /// Deletes or renames a segment in which nothing is needed any more, once what made it so is on disk.
    fn next_departure(&mut self) -> Option<(Purpose, Operation)> {
        // What this pass has removed so far is no record yet: a segment may be empty for its sake only.
        if !self.removals.is_empty() || self.segments.empties.is_empty() {
            return None;
        }
        let compacted = self.compaction.as_ref().map(|compaction| compaction.segment);
        let mut found = None;
        let mut wanted = 0;
        let synced = self.queue.synced;
        let last = self.queue.last;
        let first_open = self.segments.first_open;
        let Self { segments, .. } = self;
        let empties = std::mem::take(&mut segments.empties);
        for number in empties {
            let Some(segment) = segments.find(number) else {
                continue;
            };
            if number.0 >= first_open
                || !segment.is_empty()
                || segment.is_leaving
                || compacted == Some(number)
            {
                continue;
            }
            if found.is_none() && segment.empty_since <= synced {
                found = Some((number, segment.fate));
                continue;
            }
            wanted = wanted.max(segment.empty_since);
            segments.empties.insert(number);
        }
        if wanted > 0 && wanted <= last {
            self.queue.want(wanted);
        }
        let Some((number, fate)) = found else {
            // What was wanted just now.
            return self.next_sync();
        };
        if let Some(segment) = self.segments.find_mut(number) {
            segment.is_leaving = true;
        }
        let operation = match fate {
            Fate::Delete => Operation::Delete { file: number.into() },
            Fate::Quarantine => Operation::Quarantine { segment: number },
        };
        Some((Purpose::Gone(number), operation))
    }

    fn handle_done(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Create(segment) => self.to_settle.push(Entry::Created(segment)),
            Purpose::Gone(segment) => self.to_settle.push(Entry::Gone(segment)),
            Purpose::Write => self.handle_written(),
            Purpose::Sync { batch, segment, end } => {
                self.figures.syncs += 1;
                self.queue.sync(batch, segment, end);
            }
            Purpose::Directory(entries) => entries.into_iter().for_each(|entry| self.handle_settled(entry)),
            Purpose::CommitDelay(number) => {
                if let Some(batch) = self.queue.waiting.iter_mut().find(|batch| batch.number == number) {
                    batch.delay = Delay::Over;
                }
            }
            Purpose::CompactionPause => self.resume_compaction(),
            Purpose::CheckpointPause => self.checkpoints.resume(),
            Purpose::Read(_) | Purpose::Compaction | Purpose::Checkpoint | Purpose::CheckpointGone => {}
        }
    }

    fn handle_written(&mut self) {
        let Some(flight) = &self.queue.in_flight else {
            return;
        };
        self.figures.writes += 1;
        self.figures.written_bytes += flight.bytes.len() as u64;
        self.checkpoints.note_written(flight.bytes.len() as u64);
        if let Some(segment) = self.segments.find_mut(flight.segment) {
            segment.end = flight.records_end;
        }
        self.queue.land();
    }

    fn handle_settled(&mut self, entry: Entry) {
        match entry {
            Entry::Created(number) => {
                if let Some(segment) = self.segments.find_mut(number) {
                    segment.creating -= 1;
                }
            }
            Entry::Gone(number) => {
                self.segments.remove(number);
                self.figures.segments_gone += 1;
                self.is_pressed = false;
            }
            Entry::Checkpoint(number) => {
                self.figures.checkpoints += u64::from(self.checkpoints.settle(number))
            }
        }
    }
}
