//! The messages of one publisher: its window, and who has seen what of them. It never sends.

use crate::load::group_sequence::GroupSequence;
use crate::load::sequence::{Findings, Sequence};
use crate::load::traffic::plan::{Plan, Shape};
use crate::load::window::Window;
use crate::net::wire::PublishTemplate;
use anyhow::Result;
use ringmq_core::codec::QoS;

/// The messages of one publisher.
#[derive(Debug)]
pub struct Flow {
    /// Its number among all publishers of the run.
    pub publisher: u32,
    /// The client that publishes.
    pub client: u32,
    /// Its PUBLISH.
    pub template: PublishTemplate,
    /// What is on its way.
    pub window: Window,
    /// Whether it is on the list of flows that may publish.
    pub queued: bool,
    /// The oldest message on its way when stalls were last looked for.
    pub oldest_before: u64,
    receipts: Receipts,
}

/// What the receivers have seen.
#[derive(Debug)]
enum Receipts {
    /// Each message reaches every receiver; one sequence for each.
    Each(Vec<Sequence>),
    /// Each message reaches one of them.
    Group(GroupSequence),
}

impl Flow {
    /// The flow of this publisher of the plan, published by this client.
    ///
    /// # Errors
    /// When its messages cannot be encoded.
    pub fn new(plan: &Plan, publisher: u32, client: u32) -> Result<Flow> {
        let receivers = plan.receivers(publisher);
        let is_group = matches!(plan.shape, Shape::Shared { .. });
        let (version, topic) = (plan.target.version(), plan.topic(publisher));
        Ok(Flow {
            publisher,
            client,
            template: PublishTemplate::new(version, &topic, plan.qos, false, plan.payload_bytes)?,
            window: Window::new(plan.window_messages, receivers, plan.qos != QoS::AtMostOnce),
            queued: false,
            oldest_before: 0,
            receipts: match is_group {
                true => Receipts::Group(GroupSequence::default()),
                false => Receipts::Each((0..receivers).map(|_| Sequence::default()).collect()),
            },
        })
    }

    /// Takes the number of a message delivered to the receiver in this slot.
    pub fn handle_delivery(&mut self, number: u64, slot: usize) {
        match &mut self.receipts {
            Receipts::Each(sequences) => {
                for settled in sequences[slot].handle_delivery(number) {
                    self.window.handle_delivery(settled);
                }
            }
            Receipts::Group(sequence) => {
                if sequence.handle_delivery(number, slot as u32) {
                    self.window.handle_delivery(number);
                }
            }
        }
    }

    /// Whether nothing is on its way.
    pub fn is_drained(&self) -> bool {
        let published = self.window.published();
        self.window.is_empty()
            && match &self.receipts {
                Receipts::Each(sequences) => sequences.iter().all(|sequence| sequence.next() == published),
                Receipts::Group(sequence) => sequence.is_complete(published),
            }
    }

    /// What all receivers together should not have seen.
    pub fn findings(&self) -> Findings {
        let published = self.window.published();
        match &self.receipts {
            Receipts::Each(sequences) => {
                let mut findings = Findings::default();
                sequences.iter().for_each(|sequence| findings.add(sequence.findings(published)));
                findings
            }
            Receipts::Group(sequence) => sequence.findings(published),
        }
    }
}
