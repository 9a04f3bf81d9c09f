//! Services that are asked for each topic: `http` in `[[authorization.sources]]`. A shard asks through [`TopicSources`] when a
//! policy answers [`Decision::Ask`](ringmq_core::authorization::Decision::Ask), and goes on with the answer later.

use super::answer::judge_topic;
use super::request::{Form, Requests};
use super::template::Scene;
use crate::sources::config::{HttpRulesConfig, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::LogThrottle;
use ringmq_core::authorization::{Action, SourceIndex, Subject};
use ringmq_core::codec::ProtocolVersion;
use ringmq_shards::access::Entry;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

const ID: &str = "authorization http";
/// Questions that may be open at one source at a time; further ones are answered with [`Answer::Ignore`] at once.
pub const QUESTIONS_MAX: usize = 4096;

/// What a client wants to do.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who it is, with the attributes that authentication gave it.
    pub subject: Subject,
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// What is put before its topics; empty for nothing.
    pub mountpoint: Box<str>,
    /// What it wants to do.
    pub action: Action,
    /// With which topic or filter.
    pub topic: Box<str>,
}

/// What a source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Allow,
    /// It may not.
    Deny,
    /// Nothing: the rules behind the source decide.
    Ignore,
}

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

    /// Asks. It takes at most the time of a request; a service that does not answer in it says nothing.
    pub async fn ask(&self, question: Question) -> Answer {
        let Ok(_place) = self.open.try_acquire() else {
            self.log.failed(ID, &SourceError::Busy);
            return Answer::Ignore;
        };
        let entry = Entry { subject: question.subject.clone(), password: None, version: question.version };
        let filled = self.requests.fill_in(Scene { entry: &entry, question: Some(&question) });
        let Ok(filled) = filled else { return Answer::Ignore };
        match self.requests.send(filled).await {
            Ok(reply) => {
                self.log.answered(ID);
                judge_topic(&reply).unwrap_or_else(|fault| {
                    self.log.unusable(ID, &fault);
                    Answer::Ignore
                })
            }
            Err(error) => {
                self.log.failed(ID, &error);
                Answer::Ignore
            }
        }
    }
}

/// All services that are asked for topics, by their place in policies.
#[derive(Clone)]
pub struct TopicSources {
    sources: Arc<[HttpTopics]>,
    runtime: Handle,
}

impl TopicSources {
    /// These sources, asked on this runtime.
    pub fn new(sources: Vec<HttpTopics>, runtime: Handle) -> TopicSources {
        TopicSources { sources: sources.into(), runtime }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Asks without waiting: `answered` is called once, on another thread, or at once with [`Answer::Ignore`] where there is
    /// no such source.
    pub fn ask(
        &self,
        source: SourceIndex,
        question: Question,
        answered: impl FnOnce(Answer) + Send + 'static,
    ) {
        let place = usize::from(source.0);
        if place >= self.sources.len() {
            return answered(Answer::Ignore);
        }
        let sources = Arc::clone(&self.sources);
        self.runtime.spawn(async move { answered(sources[place].ask(question).await) });
    }
}

impl fmt::Debug for TopicSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicSources").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}
