//! Access control as the configuration has it: chains, rules and bans become the one value that the shards ask.

use crate::config::Config;
use ringmq_access::authentication::{Counts, Gate, OpenError, Workers, open};
use ringmq_access::authorization::{Authorizer, LoadError};
use ringmq_access::bans::{BanError, Bans};
use ringmq_access::guard::Guard;
use ringmq_shards::access::Access;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why access control cannot be made. The operator's to mend; the text names the key or file.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A chain of authentication.
    #[error(transparent)]
    Authentication(#[from] OpenError),
    /// A source of rules.
    #[error(transparent)]
    Authorization(#[from] LoadError),
    /// The list of bans.
    #[error(transparent)]
    Bans(#[from] BanError),
    /// The system gives no thread.
    #[error("the threads of access control do not start: {0}; see the limits on threads")]
    Threads(#[source] io::Error),
}

/// What lasts while configurations change.
pub struct AccessControl {
    workers: Arc<Workers>,
    counts: Arc<Counts>,
    bans: Arc<RwLock<Bans>>,
}

impl AccessControl {
    /// Starts the threads of access control, and reads everything.
    ///
    /// # Errors
    /// [`AccessError`]
    pub fn open(config: &Config) -> Result<(AccessControl, Arc<dyn Access>), AccessError> {
        let control = AccessControl {
            workers: Workers::start().map_err(AccessError::Threads)?,
            counts: Arc::new(Counts::default()),
            bans: Arc::new(RwLock::new(Bans::default())),
        };
        let access = control.load(config)?;
        Ok((control, access))
    }

    /// Reads everything anew: chains and their files, rules, bans.
    ///
    /// # Errors
    /// [`AccessError`]; then nothing has changed.
    pub fn load(&self, config: &Config) -> Result<Arc<dyn Access>, AccessError> {
        let data_dir = &config.node.data_dir;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let chains = open(&config.authentication(), data_dir)?;
        let authorizer = Authorizer::load(&config.authorization, data_dir)?;
        let bans = Bans::load(data_dir, now_s)?;
        *self.bans.write().unwrap_or_else(PoisonError::into_inner) = bans;
        let guard = Arc::new(Guard::new(authorizer, Arc::clone(&self.bans)));
        Ok(Arc::new(Gate::new(chains, Arc::clone(&self.workers), guard, Arc::clone(&self.counts))))
    }
}
