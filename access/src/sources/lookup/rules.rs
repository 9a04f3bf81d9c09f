//! Rules that are fetched once, when a client enters, so that its shard need not ask for them.

use super::log_throttle::LogThrottle;
use super::row_rules::rules_of;
use super::table::Table;
use ringmq_core::authorization::ClientRule;
use ringmq_shards::access::Entry;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// The rules of a client, later.
pub type RuleAnswer<'a> = Pin<Box<dyn Future<Output = Vec<ClientRule>> + 'a>>;

/// Something that has rules about single clients.
pub trait RuleSource: Send + Sync {
    /// Its type, as in `postgresql`.
    fn id(&self) -> &str;

    /// The rules about a client that was let in, in order; none where the source does not answer in time.
    fn rules<'a>(&'a self, entry: &'a Entry) -> RuleAnswer<'a>;
}

/// Rules in a table.
pub struct Rules<T> {
    id: &'static str,
    table: T,
    log: LogThrottle,
}

impl<T: Table> Rules<T> {
    /// The source over a table.
    pub fn new(id: &'static str, table: T) -> Rules<T> {
        Rules { id, table, log: LogThrottle::default() }
    }

    async fn fetch(&self, entry: &Entry) -> Vec<ClientRule> {
        let Some(values) = self.table.values(entry) else { return Vec::new() };
        match self.table.rows(values).await {
            Ok(rows) => {
                self.log.answered(self.id);
                rules_of(rows, entry, |fault| self.log.unusable(self.id, &fault))
            }
            Err(error) => {
                self.log.failed(self.id, &error);
                Vec::new()
            }
        }
    }
}

impl<T: Table> RuleSource for Rules<T> {
    fn id(&self) -> &str {
        self.id
    }

    fn rules<'a>(&'a self, entry: &'a Entry) -> RuleAnswer<'a> {
        Box::pin(self.fetch(entry))
    }
}

impl<T> fmt::Debug for Rules<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("id", &self.id).finish_non_exhaustive()
    }
}
