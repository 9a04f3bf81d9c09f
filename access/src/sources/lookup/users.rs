//! Elements that find a user's stored password in a table. The password itself is compared on the hashing pool.

use super::answer_cache::AnswerCache;
use super::log_throttle::LogThrottle;
use super::table::{Row, Table};
use crate::authentication::jwt::read_flag;
use crate::authentication::password::{HashAlgorithm, HashError, PasswordHash, from_columns};
use crate::authentication::{Comparison, Decision, RemoteAuthenticator, RemoteDecision};
use crate::sources::config::AnswerCacheConfig;
use crate::sources::error::SetupError;
use ringmq_shards::access::{Entry, Grant};
use serde_json::Value;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The columns of a user.
#[derive(Debug, Clone)]
pub struct UserColumns {
    /// With the hash.
    pub password_hash: Box<str>,
    /// With its salt.
    pub salt: Box<str>,
    /// That makes a superuser.
    pub is_superuser: Box<str>,
}

impl Default for UserColumns {
    fn default() -> UserColumns {
        UserColumns {
            password_hash: "password_hash".into(),
            salt: "salt".into(),
            is_superuser: "is_superuser".into(),
        }
    }
}

/// A user as found.
#[derive(Debug, Clone)]
struct Known {
    stored: PasswordHash,
    is_superuser: bool,
}

/// Users in a table.
pub struct Users<T> {
    id: &'static str,
    table: T,
    columns: UserColumns,
    algorithm: HashAlgorithm,
    cache: AnswerCache<Option<Known>>,
    log: LogThrottle,
    /// A hash like those in the table, to compare with while no user tells.
    decoy: Mutex<PasswordHash>,
}

impl<T: Table> Users<T> {
    /// The element over a table.
    ///
    /// # Errors
    /// `password_hash_algorithm` or `cache` is beyond its bounds.
    pub fn new(
        id: &'static str,
        table: T,
        columns: UserColumns,
        algorithm: HashAlgorithm,
        cache: AnswerCacheConfig,
    ) -> Result<Users<T>, SetupError> {
        let costs = |error: HashError| SetupError::key("password_hash_algorithm", error.to_string());
        algorithm.check().map_err(costs)?;
        let decoy = Mutex::new(algorithm.decoy());
        Ok(Users {
            id,
            table,
            columns,
            algorithm,
            cache: AnswerCache::new(cache)?,
            log: LogThrottle::default(),
            decoy,
        })
    }

    /// Where they are.
    pub fn table(&self) -> &T {
        &self.table
    }

    async fn ask(&self, entry: &Entry) -> Decision {
        let Some(values) = self.table.values(entry) else { return Decision::Ignore };
        if entry.password.is_none() {
            return Decision::Unknown;
        }
        let key = self.cache.key(values.iter().map(String::as_bytes));
        if let Some(known) = self.cache.find(key.as_ref(), Instant::now()) {
            return self.compare(known);
        }
        match self.table.rows(values).await {
            Ok(rows) => {
                self.log.answered(self.id);
                let known = rows.first().and_then(|row| self.read(row));
                self.cache.keep(key, known.clone(), Instant::now());
                self.compare(known)
            }
            Err(error) => {
                self.log.failed(self.id, &error);
                Decision::Ignore
            }
        }
    }

    /// A user whose hash cannot be used is as one who does not exist.
    fn read(&self, row: &Row) -> Option<Known> {
        let text = |column: &str| row.get(column).and_then(Value::as_str);
        let hash = text(&self.columns.password_hash).filter(|hash| !hash.is_empty())?;
        let salt = text(&self.columns.salt).unwrap_or_default();
        match from_columns(&self.algorithm, hash, salt) {
            Ok(stored) => {
                let is_superuser = read_flag(row.get(&*self.columns.is_superuser));
                Some(Known { stored, is_superuser })
            }
            Err(fault) => {
                self.log.unusable(self.id, &fault);
                None
            }
        }
    }

    /// One comparison, whether the user is known or not.
    fn compare(&self, known: Option<Known>) -> Decision {
        let mut decoy = self.decoy.lock().unwrap_or_else(PoisonError::into_inner);
        let comparison = match known {
            Some(Known { stored, is_superuser }) => {
                *decoy = stored.clone();
                Comparison { stored, granted: Some(Grant { is_superuser, ..Grant::default() }) }
            }
            None => Comparison { stored: decoy.clone(), granted: None },
        };
        Decision::Compare(Box::new(comparison))
    }
}

impl<T: Table> RemoteAuthenticator for Users<T> {
    fn id(&self) -> &str {
        self.id
    }

    fn decide<'a>(&'a self, entry: &'a Entry) -> RemoteDecision<'a> {
        Box::pin(self.ask(entry))
    }
}

impl<T> fmt::Debug for Users<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("id", &self.id).finish_non_exhaustive()
    }
}
