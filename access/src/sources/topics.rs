//! Sources that are asked for each topic. A shard asks through [`TopicSources`] when a policy answers
//! [`Decision::Ask`](ringmq_core::authorization::Decision::Ask), and goes on with the answer later.

use ringmq_core::authorization::SourceIndex;
use ringmq_shards::access::{Judgement, Question};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::runtime::Handle;

/// A judgement that is still to come.
pub type Judging<'a> = Pin<Box<dyn Future<Output = Judgement> + Send + 'a>>;

/// Says what a client may do with a topic.
pub trait TopicSource: Send + Sync {
    /// Asks. It takes at most the time of a request; a source that does not answer in it says nothing.
    fn judge(&self, question: Question) -> Judging<'_>;
}

/// All of them, by their places in policies.
#[derive(Clone)]
pub struct TopicSources {
    sources: Arc<[Box<dyn TopicSource>]>,
    runtime: Handle,
}

impl TopicSources {
    /// These sources, asked on this runtime.
    pub fn new(sources: Vec<Box<dyn TopicSource>>, runtime: Handle) -> TopicSources {
        TopicSources { sources: sources.into(), runtime }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Asks without waiting: `answered` is called once, on another thread, or at once where there is no such
    /// source.
    pub fn ask(
        &self,
        source: SourceIndex,
        question: Question,
        answered: impl FnOnce(Judgement) + Send + 'static,
    ) {
        let place = usize::from(source.0);
        if place >= self.sources.len() {
            return answered(None);
        }
        let sources = Arc::clone(&self.sources);
        self.runtime.spawn(async move { answered(sources[place].judge(question).await) });
    }
}

impl fmt::Debug for TopicSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicSources").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}
