//! Matching a topic against a shard's table of filters: 1,000 to 1,000,000 filters, or 10,000,000 when asked, hit and
//! miss, for each kind of filter; entering and removing filters; and the comparisons of one filter with one topic.

use crate::filters::{KINDS, Kind, TOPICS, filters, topics};
use crate::subject::Subject;
use ringmq_core::routing::FilterIndex;
use ringmq_core::topic::{TopicFilter, filter_matches, validate_topic_name};
use std::cell::OnceCell;
use std::hint::black_box;
use std::rc::Rc;

/// Sizes of tables, with their names.
const SIZES: [(usize, &str); 3] = [(1_000, "1k"), (100_000, "100k"), (1_000_000, "1M")];
/// Measured only when asked: two gigabytes, and a minute to fill.
const LARGEST: (usize, &str) = (10_000_000, "10M");
/// Set to anything, it adds the largest table.
const ASK_FOR_LARGEST: &str = "RINGMQ_BENCH_10M";
/// Tables beyond this take long to fill under callgrind.
const COUNTED_MAX: usize = 100_000;
/// Changes are measured in a table of this size.
const CHANGED: usize = 100_000;

/// A table that is filled when it is first used, shared by the subjects that look things up in it, and freed with the
/// last of them.
type Table = Rc<OnceCell<FilterIndex<u32>>>;

/// Look-ups by size, changes, and single comparisons.
pub fn all() -> Vec<Subject> {
    let mut sizes = SIZES.to_vec();
    if std::env::var_os(ASK_FOR_LARGEST).is_some() {
        sizes.push(LARGEST);
    }
    let mut subjects = Vec::new();
    for (count, size) in sizes {
        let table = Table::default();
        for (kind, name) in KINDS {
            subjects.push(look_up(&table, kind, count, true, format!("match/{size}/{name}_hit")));
            subjects.push(look_up(&table, kind, count, false, format!("match/{size}/{name}_miss")));
        }
    }
    subjects.extend(KINDS.map(|(kind, name)| change(kind, format!("filters/enter_and_remove/{name}"))));
    subjects.extend([parse(), validate(), compare()]);
    subjects
}

fn fill(count: usize) -> FilterIndex<u32> {
    let mut index = FilterIndex::new();
    for (at, filter) in filters(count).enumerate() {
        *index.entry(&filter) = at as u32;
    }
    index
}

fn look_up(table: &Table, kind: Kind, count: usize, is_hit: bool, name: String) -> Subject {
    let table = Rc::clone(table);
    let prepare = move || {
        let table = Rc::clone(&table);
        table.get_or_init(|| fill(count));
        let topics = topics(kind, count, is_hit);
        let mut at = 0;
        move || {
            let index = table.get_or_init(|| fill(count));
            at = (at + 1) % TOPICS;
            let mut found = 0;
            index.for_each_match(black_box(&topics[at]), |value| {
                black_box(value);
                found += 1;
            });
            assert_eq!(found, usize::from(is_hit));
        }
    };
    Subject::new(name, prepare).counted(count <= COUNTED_MAX)
}

fn change(kind: Kind, name: String) -> Subject {
    Subject::new(name, move || {
        let mut index = fill(CHANGED);
        // Numbers beyond those of the table: filters that are new.
        let new: Vec<String> = (CHANGED..CHANGED + TOPICS).map(|number| kind.filter(number)).collect();
        let mut at = 0;
        move || {
            at = (at + 1) % TOPICS;
            *index.entry(black_box(&new[at])) = 1;
            assert_eq!(index.remove(black_box(&new[at])), Some(1));
        }
    })
}

fn parse() -> Subject {
    Subject::new("filters/parse", || {
        || {
            let parsed = TopicFilter::parse(black_box("$share/group/site/+/device/#"));
            assert!(black_box(parsed).is_ok());
        }
    })
}

fn validate() -> Subject {
    Subject::new("filters/validate_topic_name", || {
        || assert!(validate_topic_name(black_box("site/12/device/3456/temperature"), 128).is_ok())
    })
}

fn compare() -> Subject {
    Subject::new("filters/one_filter_one_topic", || {
        || {
            let topic = black_box("site/12/device/3456/temperature");
            assert!(filter_matches(black_box("site/+/device/3456/#"), topic));
        }
    })
}
