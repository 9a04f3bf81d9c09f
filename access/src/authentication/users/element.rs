//! The element `password_based:built_in_database`.

use super::table::UserTable;
use crate::authentication::chain::{Authenticator, Comparison, Decision};
use crate::authentication::password::HashAlgorithm;
use ringmq_shards::access::{Entry, Grant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What of a client is its user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserIdType {
    /// The user name.
    #[default]
    UserName,
    /// The client id.
    ClientId,
}

impl UserIdType {
    /// The user id of a client; none without user name.
    pub fn of(self, entry: &Entry) -> Option<&str> {
        match self {
            UserIdType::UserName => entry.subject.user_name.as_deref(),
            UserIdType::ClientId => Some(&entry.subject.client_id),
        }
    }
}

/// Users in a file, by name or client id.
#[derive(Debug)]
pub struct BuiltInDatabase {
    table: Arc<UserTable>,
    user_id_type: UserIdType,
    /// What a comparison costs while no user tells.
    algorithm: HashAlgorithm,
}

impl BuiltInDatabase {
    /// The element over a table.
    pub fn new(table: Arc<UserTable>, user_id_type: UserIdType, algorithm: HashAlgorithm) -> BuiltInDatabase {
        BuiltInDatabase { table, user_id_type, algorithm }
    }
}

impl Authenticator for BuiltInDatabase {
    fn id(&self) -> &str {
        "password_based:built_in_database"
    }

    /// One comparison for every client that has a password, whether the user is known or not.
    fn decide(&self, entry: &Entry) -> Decision {
        let Some(user_id) = self.user_id_type.of(entry) else { return Decision::Ignore };
        if entry.password.is_none() {
            return Decision::Unknown;
        }
        let row = self.table.find(user_id);
        let known = row.and_then(|row| row.password.map(|stored| (stored, row.is_superuser)));
        let comparison = match known {
            Some((stored, is_superuser)) => {
                Comparison { stored, granted: Some(Grant { is_superuser, ..Grant::default() }) }
            }
            None => Comparison { stored: self.table.decoy(user_id, &self.algorithm), granted: None },
        };
        Decision::Compare(Box::new(comparison))
    }
}
