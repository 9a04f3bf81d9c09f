//! `ringmq-bench` as a user runs it, against a broker that misbehaves on purpose: what it says must be true.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that does not hold")]

mod broker;
mod compare;
mod faults;
mod page;
mod scenarios;
mod tls;
