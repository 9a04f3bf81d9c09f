//! Services that are asked for each topic: `http` in `[[authorization.sources]]`.

use super::answer::judge_topic;
use super::request::{Form, Requests};
use super::template::Scene;
use crate::sources::config::{HttpRulesConfig, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::LogThrottle;
use crate::sources::topics::{Judging, TopicSource};
use ringmq_shards::access::{Entry, Judgement, Question};
use tokio::sync::Semaphore;

const ID: &str = "authorization http";
/// Questions that may be open at one source at a time; to further ones it says nothing, at once.
pub const QUESTIONS_MAX: usize = 4096;

/// A service that is asked for each topic.
#[derive(Debug)]
pub struct HttpTopics {
    requests: Requests,
    open: Semaphore,
    log: LogThrottle,
}

impl HttpTopics {
    /// The source.
    ///
    /// # Errors
    /// Something in the configuration that cannot be.
    pub fn new(config: &HttpRulesConfig) -> Result<HttpTopics, SetupError> {
        let form = Form {
            method: config.method,
            url: &config.url,
            headers: &config.headers,
            body: &config.body,
            ssl: &config.ssl,
            asks_topics: true,
        };
        let terms = pool_terms(config.pool_size, "request_timeout", config.request_timeout)?;
        let open = Semaphore::new(QUESTIONS_MAX);
        Ok(HttpTopics { requests: Requests::new(form, terms)?, open, log: LogThrottle::default() })
    }

    async fn ask(&self, question: Question) -> Judgement {
        let Ok(_place) = self.open.try_acquire() else {
            self.log.failed(ID, &SourceError::Busy);
            return None;
        };
        let entry = Entry { subject: question.subject.clone(), password: None, version: question.version };
        let filled = self.requests.fill_in(Scene { entry: &entry, question: Some(&question) });
        let Ok(filled) = filled else { return None };
        match self.requests.send(filled).await {
            Ok(reply) => {
                self.log.answered(ID);
                judge_topic(&reply).unwrap_or_else(|fault| {
                    self.log.unusable(ID, &fault);
                    None
                })
            }
            Err(error) => {
                self.log.failed(ID, &error);
                None
            }
        }
    }
}

impl TopicSource for HttpTopics {
    fn judge(&self, question: Question) -> Judging<'_> {
        Box::pin(self.ask(question))
    }
}
