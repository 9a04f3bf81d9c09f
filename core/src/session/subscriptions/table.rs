//! The subscriptions of one session by filter, packed into bytes: a session may hold a hundred thousand of them.
//!
//! A subscription is seven bytes and its filter. A few are looked through one by one; of many, a table of their places is kept
//! beside the bytes. It never checks a filter.

use super::Subscription;
use crate::codec::{ProtocolVersion, SubscriptionOptions};
use crate::hash::{hash_bytes, hash_str};
use crate::limits::STRING_BYTES_MAX;
use hashbrown::HashTable;

/// Subscriptions that are looked through one by one; more are hashed.
const FEW: usize = 8;
/// What stands before an entry's filter: options, the filter's length, the identifier or 0.
const HEAD_BYTES: usize = 7;
/// In an entry's first byte, above the options: it was removed, and its bytes wait for the next compaction.
const GONE: u8 = 0x80;
/// Bytes of all entries together: places are numbers of four bytes.
#[cfg(not(test))]
const BYTES_MAX: usize = u32::MAX as usize;
#[cfg(test)]
const BYTES_MAX: usize = 1 << 20;

/// The subscriptions of a session. A client with a few of them pays for these and no table.
#[derive(Debug)]
pub struct Subscriptions(Place);

#[derive(Debug)]
enum Place {
    /// Entries without gaps, in an allocation of their size.
    Few(Vec<u8>),
    Many(Box<Many>),
}

#[derive(Debug, Default)]
struct Many {
    entries: Vec<u8>,
    /// Bytes of entries that are gone.
    gone_bytes: usize,
    /// Where each entry that is not gone begins.
    starts: HashTable<u32>,
}

impl Default for Subscriptions {
    fn default() -> Subscriptions {
        Subscriptions(Place::Few(Vec::new()))
    }
}

impl Subscriptions {
    /// Number of subscriptions.
    pub(super) fn len(&self) -> usize {
        match &self.0 {
            Place::Few(entries) => read(entries).count(),
            Place::Many(many) => many.starts.len(),
        }
    }

    /// Adds or replaces a subscription; whether it is new. One for which there is no room is neither.
    pub(in crate::session) fn set(&mut self, filter: &str, subscription: Subscription) -> bool {
        !self.replace(filter, subscription) && self.insert(filter, subscription)
    }

    /// Gives a known filter another subscription; whether it is known.
    pub(super) fn replace(&mut self, filter: &str, subscription: Subscription) -> bool {
        let (entries, start) = match &mut self.0 {
            Place::Few(entries) => {
                let start = find(entries, filter).map(|entry| entry.start);
                (entries, start)
            }
            Place::Many(many) => {
                let start = many.find(filter);
                (&mut many.entries, start)
            }
        };
        let Some(start) = start else { return false };
        entries[start..start + HEAD_BYTES].copy_from_slice(&head(filter, subscription));
        true
    }

    /// Adds a subscription that is not there; false if four gigabytes of them are, or the filter is longer than MQTT allows.
    pub(super) fn insert(&mut self, filter: &str, subscription: Subscription) -> bool {
        if filter.len() > STRING_BYTES_MAX {
            return false;
        }
        match &mut self.0 {
            Place::Few(entries) if read(entries).count() < FEW => {
                entries.reserve_exact(HEAD_BYTES + filter.len());
                write(entries, filter, subscription);
                true
            }
            Place::Few(entries) => {
                let mut many = Many::of(std::mem::take(entries));
                let is_in = many.insert(filter, subscription);
                self.0 = Place::Many(Box::new(many));
                is_in
            }
            Place::Many(many) => many.insert(filter, subscription),
        }
    }

    pub(super) fn remove(&mut self, filter: &str) -> Option<Subscription> {
        match &mut self.0 {
            Place::Few(entries) => {
                let Entry { start, end, subscription, .. } = find(entries, filter)?;
                entries.drain(start..end);
                entries.shrink_to_fit();
                Some(subscription)
            }
            Place::Many(many) => {
                let removed = many.remove(filter)?;
                if many.starts.is_empty() {
                    *self = Subscriptions::default();
                }
                Some(removed)
            }
        }
    }

    pub(in crate::session) fn iter(&self) -> impl Iterator<Item = (&str, Subscription)> {
        let entries = match &self.0 {
            Place::Few(entries) => entries,
            Place::Many(many) => &many.entries,
        };
        read(entries).map(|entry| (entry.text(), entry.subscription))
    }
}

impl Many {
    /// The entries that are in these bytes and not gone, and a table of them.
    fn of(entries: Vec<u8>) -> Many {
        let mut starts = HashTable::with_capacity(read(&entries).count() + 1);
        for entry in read(&entries) {
            starts.insert_unique(hash_bytes(entry.filter), entry.start as u32, |start| {
                hash_bytes(Entry::read(&entries, *start as usize).filter)
            });
        }
        Many { starts, gone_bytes: 0, entries }
    }

    fn find(&self, filter: &str) -> Option<usize> {
        let is_it = |start: &u32| Entry::read(&self.entries, *start as usize).filter == filter.as_bytes();
        self.starts.find(hash_str(filter), is_it).map(|start| *start as usize)
    }

    fn insert(&mut self, filter: &str, subscription: Subscription) -> bool {
        let size = HEAD_BYTES + filter.len();
        if self.entries.len() + size > BYTES_MAX {
            self.compact();
            if self.entries.len() + size > BYTES_MAX {
                return false;
            }
        }
        if self.entries.capacity() - self.entries.len() < size {
            // A quarter more instead of twice as much: what a session holds is mostly these bytes.
            self.entries.reserve_exact(size.max(self.entries.len() / 4));
        }
        let start = self.entries.len() as u32;
        write(&mut self.entries, filter, subscription);
        let entries = &self.entries;
        self.starts.insert_unique(hash_str(filter), start, |start| {
            hash_bytes(Entry::read(entries, *start as usize).filter)
        });
        true
    }

    fn remove(&mut self, filter: &str) -> Option<Subscription> {
        let entries = &mut self.entries;
        let is_it = |start: &u32| Entry::read(entries, *start as usize).filter == filter.as_bytes();
        let (start, _) = self.starts.find_entry(hash_str(filter), is_it).ok()?.remove();
        let Entry { start, end, subscription, .. } = Entry::read(entries, start as usize);
        entries[start] |= GONE;
        self.gone_bytes += end - start;
        if self.gone_bytes > self.entries.len() / 2 {
            self.compact();
        }
        Some(subscription)
    }

    /// Moves what is left into memory of its size.
    fn compact(&mut self) {
        let mut left = Vec::with_capacity(self.entries.len() - self.gone_bytes);
        for Entry { start, end, .. } in read(&self.entries) {
            left.extend_from_slice(&self.entries[start..end]);
        }
        *self = Many::of(left);
    }
}

/// A subscription as it lies in the bytes.
#[derive(Debug)]
struct Entry<'a> {
    start: usize,
    end: usize,
    is_gone: bool,
    subscription: Subscription,
    filter: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(entries: &'a [u8], start: usize) -> Entry<'a> {
        let head = entries[start..].first_chunk().expect("an entry begins here");
        let [flags, low, high, id @ ..]: &[u8; HEAD_BYTES] = head;
        let options = SubscriptionOptions::from_u8(flags & !GONE, ProtocolVersion::V5);
        let options = options.expect("options are written from options");
        let id = u32::from_le_bytes(*id);
        let text = start + HEAD_BYTES;
        let end = text + usize::from(u16::from_le_bytes([*low, *high]));
        Entry {
            start,
            end,
            is_gone: flags & GONE != 0,
            subscription: Subscription { options, id: (id != 0).then_some(id) },
            filter: &entries[text..end],
        }
    }

    fn text(&self) -> &'a str {
        std::str::from_utf8(self.filter).expect("filters are written from text")
    }
}

/// The entries that are not gone.
fn read(entries: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut next = 0;
    let all = std::iter::from_fn(move || {
        let entry = (next < entries.len()).then(|| Entry::read(entries, next))?;
        next = entry.end;
        Some(entry)
    });
    all.filter(|entry| !entry.is_gone)
}

fn find<'a>(entries: &'a [u8], filter: &str) -> Option<Entry<'a>> {
    read(entries).find(|entry| entry.filter == filter.as_bytes())
}

fn write(entries: &mut Vec<u8>, filter: &str, subscription: Subscription) {
    entries.extend_from_slice(&head(filter, subscription));
    entries.extend_from_slice(filter.as_bytes());
}

fn head(filter: &str, Subscription { options, id }: Subscription) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[0] = options.to_u8(ProtocolVersion::V5);
    head[1..3].copy_from_slice(&(filter.len() as u16).to_le_bytes());
    head[3..].copy_from_slice(&id.unwrap_or(0).to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{QoS, RetainHandling};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn subscription() -> impl Strategy<Value = Subscription> {
        (0..3_u8, any::<bool>(), any::<bool>(), 0..3_u8, prop::option::of(1..=268_435_455_u32)).prop_map(
            |(qos, no_local, retain_as_published, handling, id)| {
                let retain_handling =
                    [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
                let options = SubscriptionOptions {
                    qos: QoS::from_u8(qos).unwrap(),
                    no_local,
                    retain_as_published,
                    retain_handling: retain_handling[usize::from(handling)],
                };
                Subscription { options, id }
            },
        )
    }

    #[derive(Debug, Clone)]
    enum Operation {
        Set(u8, Subscription),
        Remove(u8),
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        // Up to forty filters: few, many, and back again.
        let operation = prop_oneof![
            3 => (0..40_u8, subscription()).prop_map(|(filter, known)| Operation::Set(filter, known)),
            2 => (0..40_u8).prop_map(Operation::Remove),
        ];
        prop::collection::vec(operation, 0..200)
    }

    fn name(number: u8) -> String {
        match number {
            0 => String::from("#"),
            1 => "ä/".repeat(300),
            _ => format!("filter/{number}").repeat(usize::from(number) % 4 + 1),
        }
    }

    fn assert_same(table: &Subscriptions, model: &BTreeMap<String, Subscription>) {
        assert_eq!(table.len(), model.len());
        let mut all: Vec<_> = table.iter().map(|(filter, known)| (filter.to_owned(), known)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn a_table_agrees_with_a_map(operations in operations()) {
            let mut table = Subscriptions::default();
            let mut model = BTreeMap::new();
            for operation in operations {
                match operation {
                    Operation::Set(filter, known) => {
                        let filter = name(filter);
                        prop_assert_eq!(table.set(&filter, known), model.insert(filter, known).is_none());
                    }
                    Operation::Remove(filter) => {
                        let filter = name(filter);
                        prop_assert_eq!(table.replace(&filter, Subscription::default()), model.contains_key(&filter));
                        if let Some(known) = model.get_mut(&filter) {
                            *known = Subscription::default();
                        }
                        prop_assert_eq!(table.remove(&filter), model.remove(&filter));
                    }
                }
                assert_same(&table, &model);
            }
        }
    }

    fn heap_bytes(table: &Subscriptions) -> usize {
        match &table.0 {
            Place::Few(entries) => entries.capacity(),
            Place::Many(many) => size_of::<Many>() + many.entries.capacity() + many.starts.allocation_size(),
        }
    }

    #[test]
    fn a_subscription_takes_its_filter_and_little_more() {
        let filter = |n: usize| format!("fleet/region{}/device{n}/state", n % 7);
        let mut table = Subscriptions::default();
        for n in 0..10_000 {
            assert!(table.set(&filter(n), Subscription::default()));
        }
        let text_bytes: usize = (0..10_000).map(|n| filter(n).len()).sum();
        assert!(heap_bytes(&table) <= text_bytes * 5 / 4 + 10_000 * 16, "{} bytes", heap_bytes(&table));
        for n in (0..10_000).filter(|n| n % 100 != 0) {
            assert!(table.remove(&filter(n)).is_some());
        }
        assert_eq!(table.len(), 100);
        assert!(heap_bytes(&table) <= 100 * 128, "{} bytes", heap_bytes(&table));
        for n in (0..10_000).step_by(100) {
            assert!(table.remove(&filter(n)).is_some());
        }
        assert_eq!(heap_bytes(&table), 0);
    }

    #[test]
    fn what_has_no_room_is_refused_until_something_goes() {
        let filter = |n: usize| format!("{n:02}{}", "x".repeat(60_000));
        let mut table = Subscriptions::default();
        let count = (0..).take_while(|n| table.set(&filter(*n), Subscription::default())).count();
        assert_eq!((count, table.len()), (BYTES_MAX / 60_009, BYTES_MAX / 60_009));
        assert!(!table.replace(&filter(count), Subscription::default()));
        // The gap it leaves is found although it lies in the middle.
        assert!(table.remove(&filter(3)).is_some());
        assert!(table.set(&filter(count), Subscription::default()));
        assert_eq!(table.len(), count);
        assert!(table.iter().any(|(text, _)| text == filter(count)));
    }
}
