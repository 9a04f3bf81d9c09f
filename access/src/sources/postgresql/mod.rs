//! PostgreSQL: users and rules in tables, by prepared statements.

mod cell;
mod link;
mod private;
mod tables;

pub use tables::{PostgresTable, rules, users};
