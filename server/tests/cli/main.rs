//! The binary as an operator meets it: words, refusals, exit codes, signals, log lines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

mod announcement;
mod capacity;
mod check;
mod log_command;
mod logs;
mod measured;
mod process;
mod refusals;
mod signals;
mod users;
mod words;
