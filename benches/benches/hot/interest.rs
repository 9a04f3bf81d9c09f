//! The interest table: which of 64 shards want a topic, among many filters; and what an announcement costs.

use crate::filters::{KINDS, Kind, TOPICS, filters, topics};
use crate::subject::Subject;
use ringmq_core::routing::{Interest, InterestKey, ShardId, ShardSet};
use std::cell::OnceCell;
use std::hint::black_box;
use std::rc::Rc;

const SHARDS: usize = 64;
const FILTERS: usize = 100_000;

/// Filled when first used, shared by the look-ups.
type Table = Rc<OnceCell<Interest>>;

/// Look-ups of each kind, hit and miss, then announcements.
pub fn all() -> Vec<Subject> {
    let table = Table::default();
    let mut subjects = Vec::new();
    for (kind, name) in KINDS {
        subjects.push(look_up(&table, kind, true, format!("interest/100k/{name}_hit")));
        subjects.push(look_up(&table, kind, false, format!("interest/100k/{name}_miss")));
    }
    subjects.extend(KINDS.map(|(kind, name)| announce(kind, format!("interest/add_and_remove/{name}"))));
    subjects
}

/// Each filter is wanted by two shards.
fn fill() -> Interest {
    let mut interest = Interest::new();
    for (at, filter) in filters(FILTERS).enumerate() {
        let key = InterestKey::of(&filter);
        interest.add(&key, ShardId((at % SHARDS) as u8));
        interest.add(&key, ShardId(((at + 1) % SHARDS) as u8));
    }
    interest
}

fn look_up(table: &Table, kind: Kind, is_hit: bool, name: String) -> Subject {
    let table = Rc::clone(table);
    Subject::new(name, move || {
        let table = Rc::clone(&table);
        table.get_or_init(fill);
        let topics = topics(kind, FILTERS, is_hit);
        let mut at = 0;
        move || {
            let interest = table.get_or_init(fill);
            at = (at + 1) % TOPICS;
            let mut shards = ShardSet::new();
            interest.shards_for(black_box(&topics[at]), &mut shards);
            assert_eq!(shards.len(), if is_hit { 2 } else { 0 });
        }
    })
}

fn announce(kind: Kind, name: String) -> Subject {
    Subject::new(name, move || {
        let mut interest = fill();
        let new: Vec<String> = (FILTERS..FILTERS + TOPICS).map(|number| kind.filter(number)).collect();
        let before = interest.len();
        let mut at = 0;
        move || {
            at = (at + 1) % TOPICS;
            let key = InterestKey::of(black_box(&new[at]));
            interest.add(&key, ShardId(3));
            interest.remove(&key, ShardId(3));
            assert_eq!(interest.len(), before);
        }
    })
}
