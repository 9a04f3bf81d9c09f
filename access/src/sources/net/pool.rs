//! A bounded pool of connections to one server. It connects when somebody asks, never ahead of need, and stands back for a
//! growing while from a server that cannot be reached.

use super::patience::Patience;
use crate::sources::error::SourceError;
use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// A connection nobody used for so long is closed when the next one is looked for: servers close theirs after a while.
pub const IDLE_MAX: Duration = Duration::from_secs(60);

/// Makes connections.
pub trait Connector: Send + Sync {
    /// A connection.
    type Link: Send;

    /// A new connection, ready to be asked.
    fn connect(&self) -> impl Future<Output = Result<Self::Link, SourceError>> + Send;

    /// Whether a connection that was used can be used again.
    fn is_usable(&self, _link: &mut Self::Link) -> bool {
        true
    }
}

/// Bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolTerms {
    /// The most connections.
    pub size: usize,
    /// The longest a question may take, waiting for a connection and making it included.
    pub timeout: Duration,
}

/// Connections to one server.
pub struct Pool<C: Connector> {
    connector: C,
    timeout: Duration,
    /// One for each connection in use.
    places: Semaphore,
    idle: Mutex<Vec<(C::Link, Instant)>>,
    patience: Patience,
}

impl<C: Connector> Pool<C> {
    /// A pool without connections yet.
    pub fn new(connector: C, terms: PoolTerms) -> Pool<C> {
        Pool {
            connector,
            timeout: terms.timeout,
            places: Semaphore::new(terms.size),
            idle: Mutex::default(),
            patience: Patience::default(),
        }
    }

    /// What makes the connections.
    pub fn connector(&self) -> &C {
        &self.connector
    }

    /// Asks over one of the connections. `work` gives the connection back with the answer. It may be called again where a
    /// connection that was used before turns out to be lost, so it must only read.
    ///
    /// # Errors
    /// [`SourceError`], after at most the time of a question.
    pub async fn ask<T, F, W>(&self, work: F) -> Result<T, SourceError>
    where
        F: Fn(C::Link) -> W,
        W: Future<Output = (C::Link, Result<T, SourceError>)>,
    {
        let deadline = Instant::now() + self.timeout;
        let place = timeout_at(deadline, self.places.acquire()).await;
        // Nobody closes the semaphore.
        let _place = place.map_err(|_| SourceError::Timeout)?.map_err(|_| SourceError::Busy)?;
        while let Some(link) = self.take_idle() {
            match self.work(deadline, link, &work).await {
                Err(SourceError::Lost(_)) => {}
                answer => return answer,
            }
        }
        let link = self.connect(deadline).await?;
        self.work(deadline, link, &work).await
    }

    async fn work<T, F, W>(&self, deadline: Instant, link: C::Link, work: &F) -> Result<T, SourceError>
    where
        F: Fn(C::Link) -> W,
        W: Future<Output = (C::Link, Result<T, SourceError>)>,
    {
        let Ok((mut link, answer)) = timeout_at(deadline, work(link)).await else {
            self.patience.record_failure();
            return Err(SourceError::Timeout);
        };
        let is_lost = matches!(&answer, Err(error) if error.is_link_lost());
        if !is_lost && self.connector.is_usable(&mut link) {
            self.lock_idle().push((link, Instant::now()));
        }
        answer
    }

    async fn connect(&self, deadline: Instant) -> Result<C::Link, SourceError> {
        if !self.patience.is_due() {
            return Err(SourceError::Waiting);
        }
        let connected = timeout_at(deadline, self.connector.connect()).await;
        match connected.unwrap_or(Err(SourceError::Timeout)) {
            Ok(link) => {
                self.patience.record_success();
                Ok(link)
            }
            Err(error) => {
                self.patience.record_failure();
                Err(error)
            }
        }
    }

    /// The connection that was used last, so that those that are not needed grow old.
    fn take_idle(&self) -> Option<C::Link> {
        let mut idle = self.lock_idle();
        idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        while let Some((mut link, _)) = idle.pop() {
            if self.connector.is_usable(&mut link) {
                return Some(link);
            }
        }
        None
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<(C::Link, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connector> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.lock_idle().len()).finish_non_exhaustive()
    }
}
