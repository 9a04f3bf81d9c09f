//! MySQL and MariaDB: users and rules in tables, by prepared statements.

mod link;
mod tables;

pub use tables::{MysqlTable, rules, users};
