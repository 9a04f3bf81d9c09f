//! MongoDB: users and rules in collections. What a client says of itself is always a text, never an operator.

mod documents;
mod options;
mod tables;

pub use tables::{MongoTable, rules, users};
