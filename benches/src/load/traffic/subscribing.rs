//! SUBSCRIBE after SUBSCRIBE until a client holds all its filters: one packet at a time, each within bounds that every
//! broker takes. It begins when the gate opens, so that memory can be read between connecting and subscribing.

use crate::load::traffic::plan::Plan;
use crate::net::wire;
use anyhow::{Result, ensure};
use ringmq_core::codec::Suback;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Filters in one SUBSCRIBE.
const FILTERS_MAX: usize = 500;
/// Bytes of the filters in one SUBSCRIBE.
const FILTER_BYTES_MAX: usize = 16 * 1024;

/// What the main thread and the workers say to each other about subscribing.
#[derive(Debug, Default)]
pub struct Gate {
    open: AtomicBool,
    subscribed: AtomicU64,
}

impl Gate {
    /// Lets all clients subscribe.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Whether clients may subscribe.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Subscribers that hold all their filters.
    pub fn subscribed(&self) -> u64 {
        self.subscribed.load(Ordering::Acquire)
    }

    /// One more subscriber holds all its filters.
    pub fn note_subscribed(&self) {
        self.subscribed.fetch_add(1, Ordering::AcqRel);
    }
}

/// How far one subscriber is.
#[derive(Debug)]
pub struct Subscribing {
    subscriber: u32,
    next: u32,
    awaited: usize,
}

impl Subscribing {
    /// A subscriber without filters.
    pub fn new(subscriber: u32) -> Subscribing {
        Subscribing { subscriber, next: 0, awaited: 0 }
    }

    /// Appends the next SUBSCRIBE; `false` when there is no filter left.
    ///
    /// # Errors
    /// When a filter is too long for MQTT.
    pub fn poll_packet(&mut self, plan: &Plan, out: &mut Vec<u8>) -> Result<bool> {
        let (mut filters, mut bytes) = (Vec::new(), 0);
        while filters.len() < FILTERS_MAX && bytes < FILTER_BYTES_MAX {
            let Some(filter) = plan.filter(self.subscriber, self.next) else { break };
            bytes += filter.len() + 3;
            filters.push(filter);
            self.next += 1;
        }
        self.awaited = filters.len();
        if filters.is_empty() {
            return Ok(false);
        }
        out.extend_from_slice(&wire::subscribe(plan.target.version(), &filters, plan.qos)?);
        Ok(true)
    }

    /// Checks the answer to the last SUBSCRIBE.
    ///
    /// # Errors
    /// When the broker refused a filter, or answers what was not asked.
    pub fn handle_suback(&self, suback: &Suback) -> Result<()> {
        let (asked, answered) = (self.awaited, suback.reasons.len());
        ensure!(asked > 0 && answered == asked, "SUBACK of {answered} filters, asked for {asked}");
        wire::check_granted(suback)
    }
}
