//! A log of records that survives: records are put and removed by id, batched into aligned writes, synced together, and
//! found again after a crash. It knows records, not MQTT, and keeps no payload in memory; `record` holds the payloads
//! the broker stores, apart from the log.
//!
//! - [`log`] is a state machine that gives out operations and takes answers; it performs no IO.
//! - [`storage`] performs them: in files through io_uring ([`storage::direct`]), in blocking files, in a memory that crashes.
//! - [`driver`] connects the two: [`open`] gives a [`Log`] to append to and a [`Driver`] to run.
//! - [`recovery`] reads a directory back, with the help of a checkpoint if there is one; [`tools`] does so for an operator.
//!
//! `FORMAT.md` describes the files.

#![deny(unsafe_code)]

pub mod driver;
pub mod error;
pub mod format;
pub mod log;
pub mod options;
pub mod record;
pub mod recovery;
pub mod storage;
pub mod tools;
mod window;

pub use driver::{Begun, Driver, Log, open, open_machine};
pub use error::{OpenError, PutError, ReadError, StorageError};
pub use log::{Figures, Id, Level, Machine, Position, ReadDone, ReadTicket, Stored};
pub use options::Options;
pub use recovery::Report;
