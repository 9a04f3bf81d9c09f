//! Tables that are looked things up in, whatever keeps them, and what users and rules found there come to.

mod answer_cache;
mod log_throttle;
mod question;
mod row_rules;
mod rules;
mod sql_query;
mod table;
#[cfg(test)]
pub mod tests;
mod users;

pub use answer_cache::AnswerCache;
pub use log_throttle::LogThrottle;
pub use question::{NoQuestion, values_of};
pub use row_rules::rules_of;
pub use rules::{RuleAnswer, RuleSource, Rules};
pub use sql_query::SqlQuery;
pub use table::{ROWS_MAX, Row, Table};
pub use users::{UserColumns, Users};
