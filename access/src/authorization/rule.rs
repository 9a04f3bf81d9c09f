//! One rule: who may do what, where. It is reduced to what is left of it once it is known who asks.

use super::template::{TopicTemplate, topic_match};
use super::who::Who;
use ringmq_core::authorization::{Actions, ClientRule, Permission, PolicyBuilder, Subject, TopicMatch};

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What it says.
    pub permission: Permission,
    /// To whom.
    pub who: Who,
    /// Of which actions.
    pub actions: Actions,
    /// Where.
    pub topics: Topics,
}

/// The topics of a rule.
#[derive(Debug, Clone)]
pub enum Topics {
    /// Everywhere.
    Any,
    /// Where one of these matches.
    List(Box<[TopicTemplate]>),
}

impl Rule {
    /// Whether a topic of it must be filled in.
    pub fn is_open(&self) -> bool {
        match &self.topics {
            Topics::Any => false,
            Topics::List(topics) => topics.iter().any(TopicTemplate::is_open),
        }
    }

    /// Adds what is left of it for a client it is about.
    pub fn add_to(&self, subject: &Subject, policy: &mut PolicyBuilder, scratch: &mut String) {
        match &self.topics {
            Topics::Any => {
                policy.any(self.permission, self.actions);
            }
            Topics::List(topics) => {
                for topic in topics {
                    add_topic(self.permission, self.actions, topic, subject, policy, scratch);
                }
            }
        }
    }
}

/// Adds a rule of the client's own. A topic with a placeholder that does not exist stands for itself.
pub fn add_client_rule(
    rule: &ClientRule,
    subject: &Subject,
    policy: &mut PolicyBuilder,
    scratch: &mut String,
) {
    let (text, is_exact) = match &rule.topic {
        TopicMatch::Any => {
            policy.any(rule.permission, rule.actions);
            return;
        }
        TopicMatch::Filter(text) => (text, false),
        TopicMatch::Exact(text) => (text, true),
    };
    let topic = TopicTemplate::parse(text, is_exact)
        .unwrap_or_else(|_| TopicTemplate::Fixed(topic_match(text.clone(), is_exact)));
    add_topic(rule.permission, rule.actions, &topic, subject, policy, scratch);
}

fn add_topic(
    permission: Permission,
    actions: Actions,
    topic: &TopicTemplate,
    subject: &Subject,
    policy: &mut PolicyBuilder,
    scratch: &mut String,
) {
    let (text, is_exact) = match topic {
        TopicTemplate::Fixed(TopicMatch::Any) => {
            policy.any(permission, actions);
            return;
        }
        TopicTemplate::Fixed(TopicMatch::Filter(text)) => (&**text, false),
        TopicTemplate::Fixed(TopicMatch::Exact(text)) => (&**text, true),
        TopicTemplate::Open { .. } => match topic.fill_in(subject, scratch) {
            Some(is_exact) => (scratch.as_str(), is_exact),
            None => return,
        },
    };
    if is_exact {
        policy.exact(permission, actions, text)
    } else {
        policy.filter(permission, actions, text)
    };
}
