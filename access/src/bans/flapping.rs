//! Clients that come and go too often. A state machine of fixed memory: it is told of every parting and the time, and says when
//! a client has gone too far. Banning it is for the caller.

use ringmq_core::config::Duration;
use ringmq_core::hash::hash_str;
use ringmq_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The `[flapping_detect]` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlappingConfig {
    /// Whether partings are counted.
    pub enable: bool,
    /// The time in which they are counted, beginning with the first.
    pub window_time: Duration,
    /// How many there may be before the client is banned. 1 to 65,535.
    pub max_count: u32,
    /// For how long it is banned.
    pub ban_time: Duration,
}

impl Default for FlappingConfig {
    fn default() -> FlappingConfig {
        FlappingConfig {
            enable: false,
            window_time: Duration::from_s(60),
            max_count: 15,
            ban_time: Duration::from_s(300),
        }
    }
}

/// Places of one bucket; a client has its place in one bucket.
const WAYS: usize = 8;
/// Buckets: 64Ki clients at a time, 1.5 MiB. Where more come and go within a window, those that began first are forgotten.
const BUCKETS: usize = 8192;

/// Counts partings.
#[derive(Debug)]
pub struct Flapping {
    window_ms: u64,
    count_max: u32,
    places: Box<[Place]>,
}

/// What is known of one client.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its identifier's hash under the process seed, which peers cannot aim at.
    client: u64,
    since: Timestamp,
    count: u32,
}

const VACANT: Place = Place { client: 0, since: Timestamp::ZERO, count: 0 };

impl Flapping {
    /// A counter; none where nothing is to be counted.
    pub fn new(config: &FlappingConfig) -> Option<Flapping> {
        config.enable.then(|| Flapping {
            window_ms: config.window_time.as_ms(),
            count_max: config.max_count.max(1),
            places: vec![VACANT; WAYS * BUCKETS].into(),
        })
    }

    /// A client has parted. True if it has done so too often and is to be banned; it is then counted anew.
    pub fn handle_parting(&mut self, client_id: &str, now: Timestamp) -> bool {
        let client = hash_str(client_id);
        let first = client as usize % BUCKETS * WAYS;
        let bucket = &mut self.places[first..first + WAYS];
        let is_over = |place: &Place| now.since_ms(place.since) >= self.window_ms;
        let place = match bucket.iter().position(|place| place.client == client && place.count > 0) {
            Some(at) => &mut bucket[at],
            None => {
                let worth = |place: &&mut Place| (place.count > 0 && !is_over(place), place.since);
                let least = bucket.iter_mut().min_by_key(worth).expect("a bucket has places");
                *least = Place { client, since: now, count: 0 };
                least
            }
        };
        if is_over(place) {
            (place.since, place.count) = (now, 0);
        }
        place.count += 1;
        if place.count < self.count_max {
            return false;
        }
        *place = VACANT;
        true
    }
}
