//! Questions that a shard asks of other threads, and what comes back: each question is answered exactly once.

use crate::mesh::Bell;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fmt;

/// What comes back to a shard.
#[derive(Debug)]
pub struct Answer<A> {
    /// Which question this answers; what it was about may be gone, and has taken its question with it.
    pub question: u64,
    /// What is answered.
    pub content: A,
}

impl<A> Answer<A> {
    /// The number of what the question was about.
    pub fn about(&self) -> u32 {
        self.question as u32
    }
}

/// Carries one answer to the shard that asked. Dropped unused, it gives the default answer, so that no client waits forever.
#[derive(Debug)]
pub struct Reply<A: Default> {
    question: u64,
    answers: Sender<Answer<A>>,
    bell: Bell,
    is_given: bool,
}

impl<A: Default> Reply<A> {
    /// A reply to this question.
    pub fn new(question: u64, answers: Sender<Answer<A>>, bell: Bell) -> Reply<A> {
        Reply { question, answers, bell, is_given: false }
    }

    /// Answers.
    pub fn give(mut self, content: A) {
        self.send(content);
    }

    /// Leaves the question: whoever asked is told otherwise, as by the value that [`super::Access::admit`] returns.
    pub fn withdraw(mut self) {
        self.is_given = true;
    }

    fn send(&mut self, content: A) {
        self.is_given = true;
        // A shard that has ended asks nobody any more.
        let _ = self.answers.send(Answer { question: self.question, content });
        self.bell.ring();
    }
}

impl<A: Default> Drop for Reply<A> {
    fn drop(&mut self) {
        if !self.is_given {
            self.send(A::default());
        }
    }
}

/// The questions of one shard, each about something with a number.
pub struct Questions<A> {
    /// Counts them.
    asked: u32,
    /// No more answers are on their way than somebody waits for.
    answers: (Sender<Answer<A>>, Receiver<Answer<A>>),
}

impl<A> fmt::Debug for Questions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl<A> Default for Questions<A> {
    fn default() -> Questions<A> {
        Questions { asked: 0, answers: unbounded() }
    }
}

impl<A: Default> Questions<A> {
    /// A question and the reply to it, which rings `bell`. It has what it is about in its lower half, and is never 0.
    pub fn ask(&mut self, about: u32, bell: Bell) -> (u64, Reply<A>) {
        self.asked = self.asked.checked_add(1).unwrap_or(1);
        let question = u64::from(self.asked) << 32 | u64::from(about);
        (question, Reply::new(question, self.answers.0.clone(), bell))
    }

    /// The next answer that has come.
    pub fn poll(&self) -> Option<Answer<A>> {
        if self.has_answers() { self.answers.1.try_recv().ok() } else { None }
    }

    /// Whether answers have come.
    pub fn has_answers(&self) -> bool {
        !self.answers.1.is_empty()
    }
}
