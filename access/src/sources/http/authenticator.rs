//! The element `password_based:http`.

use super::answer::{Judgement, NoAnswer, judge_client};
use super::request::{Filled, Form, Requests};
use super::template::Scene;
use crate::authentication::{Decision, RemoteAuthenticator, RemoteDecision};
use crate::clock::since_1970;
use crate::sources::config::{HttpConfig, pool_terms};
use crate::sources::error::SetupError;
use crate::sources::lookup::{AnswerCache, LogThrottle};
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::Entry;
use std::time::Instant;

const ID: &str = "password_based:http";

/// A service that knows clients.
#[derive(Debug)]
pub struct HttpAuthenticator {
    requests: Requests,
    cache: AnswerCache<Judgement>,
    log: LogThrottle,
}

impl HttpAuthenticator {
    /// The element.
    ///
    /// # Errors
    /// Something in the configuration that cannot be.
    pub fn new(config: &HttpConfig) -> Result<HttpAuthenticator, SetupError> {
        let form = Form {
            method: config.method,
            url: &config.url,
            headers: &config.headers,
            body: &config.body,
            ssl: &config.ssl,
            asks_topics: false,
        };
        let terms = pool_terms(config.pool_size, "request_timeout", config.request_timeout)?;
        let cache = AnswerCache::new(config.cache)?;
        Ok(HttpAuthenticator { requests: Requests::new(form, terms)?, cache, log: LogThrottle::default() })
    }

    async fn ask(&self, entry: &Entry) -> Decision {
        let Ok(filled) = self.requests.fill_in(Scene { entry, question: None }) else {
            return Decision::Ignore;
        };
        let key = self.cache.key(values(&filled));
        let judgement = match self.cache.find(key.as_ref(), Instant::now()) {
            Some(judgement) => judgement,
            None => match self.requests.send(filled).await {
                Ok(reply) => {
                    self.log.answered(ID);
                    match judge_client(&reply, since_1970()) {
                        Ok(judgement) => {
                            self.cache.keep(key, judgement.clone(), Instant::now());
                            judgement
                        }
                        Err(fault) => self.read_fault(fault),
                    }
                }
                Err(error) => {
                    self.log.failed(ID, &error);
                    Judgement::Ignore
                }
            },
        };
        match judgement {
            Judgement::Allow(granted) => Decision::Allow(granted),
            Judgement::Deny => Decision::Deny(ReasonCode::NotAuthorized),
            Judgement::Ignore => Decision::Ignore,
        }
    }

    /// A service that lets a client in on terms that cannot be kept does not let it in.
    fn read_fault(&self, fault: NoAnswer) -> Judgement {
        self.log.unusable(ID, &fault);
        match fault {
            NoAnswer::Status(_) | NoAnswer::Body => Judgement::Ignore,
            NoAnswer::Acl | NoAnswer::Time => Judgement::Deny,
        }
    }
}

fn values(filled: &Filled) -> impl Iterator<Item = &[u8]> {
    let headers = filled.headers.iter().map(|(_, value)| value.as_bytes());
    [filled.path.as_bytes(), filled.body.as_bytes()].into_iter().chain(headers)
}

impl RemoteAuthenticator for HttpAuthenticator {
    fn id(&self) -> &str {
        ID
    }

    fn decide<'a>(&'a self, entry: &'a Entry) -> RemoteDecision<'a> {
        Box::pin(self.ask(entry))
    }
}
