//! Key sets of `jwt` from a service. An element that stands before `jwt` in the chain and says nothing itself: it sees that
//! the keys are there, and fetches them again when they are old. A client waits only while there are none yet.

use super::answer::NoAnswer;
use super::request::{Filled, Form, Requests};
use crate::authentication::jwt::{KeySet, KeySlot};
use crate::authentication::{Decision, RemoteAuthenticator, RemoteDecision};
use crate::sources::config::{BodyConfig, HttpMethod, JwksConfig, pool_terms};
use crate::sources::error::SetupError;
use crate::sources::lookup::LogThrottle;
use hyper::StatusCode;
use ringmq_core::config::Duration;
use ringmq_shards::access::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const ID: &str = "jwt endpoint";
/// How long a set that could not be fetched is left alone.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);
/// The shortest time between two fetches.
const INTERVAL_MIN: Duration = Duration::from_s(1);
const REQUEST_TIMEOUT: Duration = Duration::from_s(5);

/// The keys of a service.
pub struct Jwks(Arc<Fetcher>);

struct Fetcher {
    requests: Requests,
    request: Filled,
    keys: Arc<KeySlot>,
    interval: std::time::Duration,
    /// Held while the first keys are fetched, so that one client fetches for all.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    log: LogThrottle,
}

#[derive(Default)]
struct State {
    has_keys: bool,
    /// When they are fetched next; none for at once.
    due: Option<Instant>,
}

impl Jwks {
    /// Keeps this slot filled.
    ///
    /// # Errors
    /// Something in the configuration that cannot be.
    pub fn new(config: &JwksConfig, keys: Arc<KeySlot>) -> Result<Jwks, SetupError> {
        if config.refresh_interval < INTERVAL_MIN || config.refresh_interval.is_infinite() {
            let fault = format!("{} is not a duration of {INTERVAL_MIN} or more", config.refresh_interval);
            return Err(SetupError::key("refresh_interval", fault));
        }
        let form = Form {
            method: HttpMethod::Get,
            url: &config.endpoint,
            headers: &BodyConfig::new(),
            body: &BodyConfig::new(),
            ssl: &config.ssl,
            asks_topics: false,
        };
        let requests = Requests::new(form, pool_terms(1, "request_timeout", REQUEST_TIMEOUT)?);
        let requests = requests.map_err(|error| match error {
            SetupError::Key { key: "url", fault } => SetupError::Key { key: "endpoint", fault },
            other => other,
        })?;
        let request = requests.fixed().ok_or_else(|| {
            SetupError::key("endpoint", "keys are the same for all clients; leave placeholders out")
        })?;
        Ok(Jwks(Arc::new(Fetcher {
            requests,
            request,
            keys,
            interval: std::time::Duration::from_millis(config.refresh_interval.as_ms()),
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            log: LogThrottle::default(),
        })))
    }

    async fn ask(&self) -> Decision {
        let fetcher = &self.0;
        match fetcher.claim() {
            Claim::Nothing => {}
            Claim::Refresh => {
                // Who asks goes on with the old keys.
                let fetcher = Arc::clone(fetcher);
                tokio::spawn(async move { fetcher.fetch().await });
            }
            Claim::First => {
                let _turn = fetcher.turn.lock().await;
                if !matches!(fetcher.claim(), Claim::Nothing) {
                    fetcher.fetch().await;
                }
            }
        }
        Decision::Ignore
    }
}

/// What is to be done for the client at hand.
enum Claim {
    Nothing,
    /// There are no keys yet.
    First,
    /// They are old.
    Refresh,
}

impl Fetcher {
    /// What is due. Whoever is told to refresh is the only one for a while.
    fn claim(&self) -> Claim {
        let mut state = self.lock();
        let now = Instant::now();
        if state.due.is_some_and(|due| due > now) {
            return Claim::Nothing;
        }
        if !state.has_keys {
            return Claim::First;
        }
        state.due = Some(now + RETRY);
        Claim::Refresh
    }

    async fn fetch(&self) {
        let wait = match self.requests.send(self.request.clone()).await {
            Ok(reply) => {
                self.log.answered(ID);
                let text = std::str::from_utf8(&reply.body).unwrap_or_default();
                match KeySet::from_jwks(text) {
                    Ok(keys) if reply.status == StatusCode::OK => {
                        self.keys.set(keys);
                        self.lock().has_keys = true;
                        self.interval
                    }
                    Ok(_) => self.log_fault(&NoAnswer::Status(reply.status)),
                    Err(fault) => self.log_fault(&fault),
                }
            }
            Err(error) => {
                self.log.failed(ID, &error);
                RETRY
            }
        };
        self.lock().due = Instant::now().checked_add(wait);
    }

    fn log_fault(&self, fault: &dyn fmt::Display) -> std::time::Duration {
        self.log.unusable(ID, fault);
        RETRY
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RemoteAuthenticator for Jwks {
    fn id(&self) -> &str {
        ID
    }

    fn decide<'a>(&'a self, _entry: &'a Entry) -> RemoteDecision<'a> {
        Box::pin(self.ask())
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("has_keys", &self.0.lock().has_keys).finish_non_exhaustive()
    }
}
