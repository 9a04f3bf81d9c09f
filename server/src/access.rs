//! Access control as the configuration has it: chains, rules and bans become the one value that the shards ask.

use crate::config::Config;
use ringmq_access::authentication::{Counts, Gate, OpenError, Workers, open};
use ringmq_access::authorization::{Authorizer, LoadError};
use ringmq_access::bans::{BanError, BanKeeper};
use ringmq_access::guard::Guard;
use ringmq_access::sources::{RuleSourceError, TopicSources, rule_sources_of, topic_sources_of};
use ringmq_shards::access::Access;
use std::io;
use std::sync::Arc;

/// Why access control cannot be made. The operator's to mend; the text names the key or file.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A chain of authentication.
    #[error(transparent)]
    Authentication(#[from] OpenError),
    /// A source of rules.
    #[error(transparent)]
    Authorization(#[from] LoadError),
    /// A source of rules on another host.
    #[error(transparent)]
    RuleSource(#[from] RuleSourceError),
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
    bans: BanKeeper,
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
            bans: BanKeeper::start(&config.node.data_dir).map_err(AccessError::Threads)?,
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
        let chains = open(&config.authentication(), data_dir)?;
        let authorizer = Authorizer::load(&config.authorization, data_dir)?;
        let sources = &config.authorization.sources;
        let rule_sources = rule_sources_of(sources)?;
        let topic_sources =
            TopicSources::new(topic_sources_of(sources)?, self.workers.remote_runtime().clone());
        self.bans.load()?;
        let guard = Guard::new(authorizer, Arc::clone(self.bans.bans()));
        let guard = Arc::new(guard.with_flapping(&config.flapping_detect));
        let gate = Gate::new(chains, Arc::clone(&self.workers), guard, Arc::clone(&self.counts));
        let gate = gate.with_rule_sources(rule_sources);
        Ok(Arc::new(gate.with_topic_sources(topic_sources, config.authorization.cache.into())))
    }
}
