//! What every source that keeps rows is asked, and answers.

use crate::sources::error::SourceError;
use ringmq_shards::access::Entry;
use serde_json::{Map, Value};
use std::future::Future;

/// The most rows of one answer; a list of rules that is longer is not used in part.
pub const ROWS_MAX: usize = 1_000;

/// One row: columns by name.
pub type Row = Map<String, Value>;

/// Something that can be asked about a client.
pub trait Table: Send + Sync {
    /// What is asked for a client: one value for each place in the question. `None` where the client lacks one of them, a
    /// user name for example; then there is nothing to ask.
    fn values(&self, entry: &Entry) -> Option<Vec<String>>;

    /// The rows for these values, in order. Of more than [`ROWS_MAX`], one more than that.
    fn rows(&self, values: Vec<String>) -> impl Future<Output = Result<Vec<Row>, SourceError>> + Send;
}
