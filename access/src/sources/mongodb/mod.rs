//! MongoDB: users and rules in collections. Only in builds that ask for it, since its library is a large one.

mod documents;
mod options;
mod tables;

pub use tables::{MongoTable, rules, users};
