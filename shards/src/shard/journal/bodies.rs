//! The bodies of messages that are remembered: one for each message, however many sessions have it, and no more of them in
//! memory than configured. The oldest give way; the log has them all. Nothing here reads or writes.
//!
//! Why the oldest: what waits a moment for a client that is there is found in memory, and what waits for hours is not. A
//! queue that comes to its turn is read ahead, whose bodies are the youngest then.

use ringmq_core::publication::Publication;
use ringmq_core::session::{Body, BodyKey};
use ringmq_core::shelf::Shelf;

/// The end of the list of bodies in memory.
const END: u32 = u32::MAX;

/// All bodies of a shard.
#[derive(Debug)]
pub struct Bodies {
    cells: Shelf<Cell>,
    /// Bodies in memory are a list; its ends.
    oldest: u32,
    youngest: u32,
    /// What those in memory take.
    bytes: usize,
    bytes_max: usize,
    /// How many are in memory.
    cached: usize,
}

/// A message's body: one of these is kept for each message that waits, so it is small.
#[derive(Debug)]
struct Cell {
    /// `None`: only the log has it.
    publication: Option<Publication>,
    /// Its record.
    record: u64,
    /// How many records refer to it.
    references: u32,
    /// Its neighbours, while it is in memory.
    older: u32,
    younger: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Quiet,
    /// It is being read back.
    Asked,
    /// It cannot be.
    Lost,
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies::bounded(0)
    }
}

impl Bodies {
    /// None yet. At most so many bytes of them are kept in memory, 0 for no bound.
    pub fn bounded(bytes_max: u64) -> Bodies {
        let bytes_max = match bytes_max {
            0 => usize::MAX,
            bounded => usize::try_from(bounded).unwrap_or(usize::MAX),
        };
        Bodies { cells: Shelf::default(), oldest: END, youngest: END, bytes: 0, bytes_max, cached: 0 }
    }

    /// Messages whose bodies only the log has.
    pub fn away(&self) -> usize {
        self.cells.len() - self.cached
    }

    /// What those in memory take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a body can be kept in memory without another giving way.
    pub fn has_room(&self, publication: &Publication) -> bool {
        self.bytes.saturating_add(publication.memory_bytes()) <= self.bytes_max
    }

    /// Adds a body that so many records refer to.
    pub fn insert(&mut self, record: u64, publication: Option<Publication>, references: u32) -> BodyKey {
        let cell =
            Cell { publication: None, record, references, older: END, younger: END, state: State::Quiet };
        let key = BodyKey(self.cells.insert(cell) as u32);
        if let Some(publication) = publication {
            self.fill(key, publication);
        }
        key
    }

    /// Its record, if there is such a body.
    pub fn record(&self, key: BodyKey) -> Option<u64> {
        self.cells.get(key.0 as usize).map(|cell| cell.record)
    }

    /// How many records refer to it.
    pub fn references(&self, key: BodyKey) -> u32 {
        self.cells.get(key.0 as usize).map_or(0, |cell| cell.references)
    }

    /// The body, as far as it is at hand.
    pub fn get(&self, key: BodyKey) -> Body {
        match self.cells.get(key.0 as usize) {
            Some(Cell { publication: Some(publication), .. }) => Body::Here(publication.clone()),
            Some(cell) if cell.state != State::Lost => Body::Away,
            _ => Body::Lost,
        }
    }

    /// One record more refers to it.
    pub fn share(&mut self, key: BodyKey) {
        if let Some(cell) = self.cells.get_mut(key.0 as usize) {
            cell.references += 1;
        }
    }

    /// One record less refers to it; its own record, if that was the last.
    pub fn release(&mut self, key: BodyKey) -> Option<u64> {
        let cell = self.cells.get_mut(key.0 as usize)?;
        cell.references = cell.references.saturating_sub(1);
        if cell.references > 0 {
            return None;
        }
        self.empty(key);
        self.cells.try_remove(key.0 as usize).map(|cell| cell.record)
    }

    /// Notes that it is being read back; its record, if it is away and was not being read before.
    pub fn ask(&mut self, key: BodyKey) -> Option<u64> {
        let cell = self.cells.get_mut(key.0 as usize)?;
        if cell.publication.is_some() || cell.state != State::Quiet {
            return None;
        }
        cell.state = State::Asked;
        Some(cell.record)
    }

    /// Its body was read back: it is the youngest.
    pub fn fill(&mut self, key: BodyKey, publication: Publication) {
        let Some(cell) = self.cells.get_mut(key.0 as usize) else { return };
        debug_assert!(cell.publication.is_none(), "a body is read once");
        self.bytes += publication.memory_bytes();
        self.cached += 1;
        (cell.publication, cell.state) = (Some(publication), State::Quiet);
        (cell.older, cell.younger) = (self.youngest, END);
        match self.cells.get_mut(self.youngest as usize) {
            Some(before) => before.younger = key.0,
            None => self.oldest = key.0,
        }
        self.youngest = key.0;
    }

    /// Its body cannot be read back.
    pub fn lose(&mut self, key: BodyKey) {
        if let Some(cell) = self.cells.get_mut(key.0 as usize) {
            cell.state = State::Lost;
        }
    }

    /// Drops the oldest bodies from memory until the rest is within its bound, or one is met that the log does not give
    /// back yet; how many.
    pub fn evict(&mut self, is_written: impl Fn(u64) -> bool) -> u64 {
        let mut evicted = 0;
        while self.bytes > self.bytes_max {
            let key = BodyKey(self.oldest);
            if !self.record(key).is_some_and(&is_written) {
                break;
            }
            self.empty(key);
            evicted += 1;
        }
        evicted
    }

    /// Takes its body out of memory.
    fn empty(&mut self, key: BodyKey) {
        let Some(cell) = self.cells.get_mut(key.0 as usize) else { return };
        let Some(publication) = cell.publication.take() else { return };
        let (older, younger) = (cell.older, cell.younger);
        (cell.older, cell.younger) = (END, END);
        self.bytes -= publication.memory_bytes();
        self.cached -= 1;
        match self.cells.get_mut(older as usize) {
            Some(before) => before.younger = younger,
            None => self.oldest = younger,
        }
        match self.cells.get_mut(younger as usize) {
            Some(after) => after.older = older,
            None => self.youngest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_core::codec::QoS;
    use ringmq_core::publication::{Origin, PublicationRef};
    use ringmq_core::time::Timestamp;

    fn publication(number: u64, bytes: usize) -> Publication {
        PublicationRef {
            topic: "t",
            properties: &[],
            payload: &vec![number as u8; bytes],
            qos: QoS::AtLeastOnce,
            retain: false,
            expires_at: Timestamp::NEVER,
            origin: Origin::BROKER,
        }
        .to_shared()
    }

    /// `docs/durability.md` adds it up.
    #[test]
    fn a_body_that_is_away_takes_little() {
        assert!(size_of::<Cell>() <= 32, "{}", size_of::<Cell>());
    }

    #[test]
    fn the_oldest_give_way_and_come_back_as_the_youngest() {
        let one = publication(0, 100).memory_bytes();
        let mut bodies = Bodies::bounded(3 * one as u64);
        let keys: Vec<BodyKey> =
            (0..5).map(|number| bodies.insert(number, Some(publication(number, 100)), 1)).collect();
        let is_away =
            |bodies: &Bodies| keys.iter().map(|key| bodies.get(*key) == Body::Away).collect::<Vec<_>>();
        assert_eq!(bodies.evict(|record| record > 0), 0, "the oldest is not written");
        assert_eq!(bodies.evict(|_| true), 2);
        assert_eq!(is_away(&bodies), [true, true, false, false, false]);
        assert_eq!((bodies.away(), bodies.bytes()), (2, 3 * one));
        assert_eq!((bodies.ask(keys[2]), bodies.ask(keys[0]), bodies.ask(keys[0])), (None, Some(0), None));
        bodies.fill(keys[0], publication(0, 100));
        assert_eq!(bodies.evict(|_| true), 1);
        assert_eq!(is_away(&bodies), [false, true, true, false, false]);
        bodies.lose(keys[1]);
        assert_eq!(bodies.get(keys[1]), Body::Lost);
    }

    /// Against a plain list, over a small bound.
    #[test]
    fn bytes_and_order_are_kept_through_everything() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bodies = Bodies::bounded(2_000);
            let mut model: Vec<(BodyKey, u64, u32)> = Vec::new();
            // Those in memory, the oldest first.
            let mut cached: Vec<(BodyKey, usize)> = Vec::new();
            for record in 1..200 {
                match (random.u32(..6), random.choice(0..model.len())) {
                    (0..=2, _) | (_, None) => {
                        let publication = publication(record, random.usize(..400));
                        let bytes = publication.memory_bytes();
                        let key = bodies.insert(record, Some(publication), 1);
                        model.push((key, record, 1));
                        cached.push((key, bytes));
                    }
                    (3, Some(at)) => {
                        bodies.share(model[at].0);
                        model[at].2 += 1;
                    }
                    (4, Some(at)) => {
                        let (key, record, references) = &mut model[at];
                        *references -= 1;
                        let is_last = *references == 0;
                        assert_eq!(bodies.release(*key), is_last.then_some(*record));
                        if is_last {
                            cached.retain(|(other, _)| other != key);
                            model.swap_remove(at);
                        }
                    }
                    (_, Some(at)) => {
                        let (key, record, _) = model[at];
                        if bodies.ask(key) == Some(record) {
                            let publication = publication(record, 50);
                            cached.push((key, publication.memory_bytes()));
                            bodies.fill(key, publication);
                        }
                    }
                }
                bodies.evict(|_| true);
                while cached.iter().map(|(_, bytes)| bytes).sum::<usize>() > 2_000 {
                    cached.remove(0);
                }
                assert_eq!(bodies.bytes(), cached.iter().map(|(_, bytes)| bytes).sum::<usize>());
                assert_eq!(bodies.away(), model.len() - cached.len());
                for (key, record, references) in &model {
                    let is_cached = cached.iter().any(|(other, _)| other == key);
                    assert_eq!(matches!(bodies.get(*key), Body::Here(_)), is_cached);
                    assert_eq!((bodies.record(*key), bodies.references(*key)), (Some(*record), *references));
                }
            }
            model.iter().for_each(|(key, ..)| while bodies.release(*key).is_none() {});
            assert_eq!((bodies.cells.len(), bodies.bytes()), (0, 0));
            assert_eq!((bodies.oldest, bodies.youngest), (END, END));
        }
    }
}
