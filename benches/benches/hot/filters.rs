//! The filters of a large table and topics that match exactly one of them, or none. A third is exact, a third has a `+`
//! level, a third ends in `#`; each third has a first level of its own, so that a topic meets one kind.

/// A kind of filter, and what is published to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without wildcard.
    Exact,
    /// `+` in the middle.
    Plus,
    /// `#` at the end.
    All,
}

/// All kinds with their names.
pub const KINDS: [(Kind, &str); 3] = [(Kind::Exact, "exact"), (Kind::Plus, "plus"), (Kind::All, "all")];

/// Topics that are published to in turn: more than the nearest cache holds of a large table, and a divisor of the
/// operations that are counted.
pub const TOPICS: usize = 1024;

/// Devices of a site, so that every level has several children.
const DEVICES_PER_SITE: usize = 100;

impl Kind {
    /// The filter with this number.
    pub fn filter(self, number: usize) -> String {
        let site = number / DEVICES_PER_SITE;
        match self {
            Kind::Exact => format!("exact/{site}/device/{number}/temperature"),
            Kind::Plus => format!("plus/{site}/+/{number}/temperature"),
            Kind::All => format!("all/{site}/device/{number}/#"),
        }
    }

    /// A topic that only the filter with this number matches.
    pub fn hit(self, number: usize) -> String {
        let site = number / DEVICES_PER_SITE;
        let first = match self {
            Kind::Exact => "exact",
            Kind::Plus => "plus",
            Kind::All => "all",
        };
        format!("{first}/{site}/device/{number}/temperature")
    }

    /// A topic that no filter matches, although one has its first levels.
    pub fn miss(self, number: usize) -> String {
        let mut topic = self.hit(number);
        topic.insert(topic.len() - "/temperature".len(), 'x');
        topic
    }
}

/// `count` filters, the kinds in turn.
pub fn filters(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|at| KINDS[at % KINDS.len()].0.filter(at / KINDS.len()))
}

/// Topics spread over a table of `count` filters, each matched by one filter of this kind or, as a miss, by none.
pub fn topics(kind: Kind, count: usize, is_hit: bool) -> Vec<String> {
    let of_kind = count / KINDS.len();
    // A step without common factor with the table's size jumps about in it.
    let numbers = (0..TOPICS).map(|at| at * 7919 % of_kind);
    numbers.map(|number| if is_hit { kind.hit(number) } else { kind.miss(number) }).collect()
}
