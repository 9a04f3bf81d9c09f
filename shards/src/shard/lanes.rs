//! What shards say to each other.

use super::Shard;
use super::admission::Pass;
use super::credit::CreditChange;
use super::journal::{Outcome, Receipt};
use super::publish::Errand;
use super::retained::{RetainedPage, RetainedQuery};
use crate::reactor::Parcel;
use crate::transport::Pipeline;
use ringmq_core::codec::Connect;
use ringmq_core::publication::Publication;
use ringmq_core::routing::{InterestKey, ShardId};
use ringmq_core::session::ShareTag;
use std::net::SocketAddr;
use std::sync::Arc;

/// A message on a lane.
#[derive(Debug)]
pub enum LaneMessage {
    /// A publication, once for each shard that wants it.
    Publish {
        /// The message, shared by all shards that get it.
        publication: Publication,
        /// Subscribers of the receiving shard want it.
        deliver: bool,
        /// The receiving shard owns its topic's retained message.
        retain: bool,
        /// Shared subscriptions whose member the receiving shard is to pick.
        groups: Option<Box<[GroupPick]>>,
        /// The sender waits until the receiving shard has stored what it must.
        receipt: Option<Receipt>,
    },
    /// A publication that only one shared subscription wants: as [`LaneMessage::Publish`], without the list.
    Share {
        /// The message.
        publication: Publication,
        /// The group whose member the receiving shard is to pick.
        pick: GroupPick,
        /// As with [`LaneMessage::Publish`].
        receipt: Option<Receipt>,
    },
    /// A publication that must not be taken twice.
    Forward(Box<Forward>),
    /// What the receiving shard waits for is stored, or cannot be.
    Stored {
        /// Its receipts.
        tokens: Box<[u32]>,
        /// Which of both.
        outcome: Outcome,
    },
    /// A shard's interest changed. Changes of a shard are numbered by its epoch.
    Interest {
        /// The number of the last of these changes.
        epoch: u64,
        /// The changes in their order, shared by all shards that are told.
        changes: Arc<[InterestChange]>,
    },
    /// All changes up to this epoch of the receiving shard are in force at the sender.
    InterestApplied {
        /// The epoch.
        epoch: u64,
    },
    /// The sender lacks room for some topics, or does not any more.
    Credit {
        /// The changes in their order, shared by all shards that are told.
        changes: Arc<[CreditChange]>,
    },
    /// A connection for a client whose home is the receiving shard.
    Handover(Box<Handover>),
    /// A subscription asks for retained messages.
    RetainedQuery(Box<RetainedQuery>),
    /// An answer to it.
    RetainedPage(Box<RetainedPage>),
}

/// A publication that the sending shard forwards until the receiving one has stored it, which it does once.
#[derive(Debug)]
pub struct Forward {
    /// The message.
    pub publication: Publication,
    /// What to do with it.
    pub errand: Errand,
    /// Its place among all that the sender forwards to anybody: ascending.
    pub sequence: u64,
    /// The sender waits for this.
    pub receipt: Receipt,
}

/// A change of what a shard wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterestChange {
    /// The first subscriber to a filter came.
    Add(InterestKey),
    /// The last subscriber to a filter went.
    Remove(InterestKey),
    /// The members of a shared subscription on the sending shard.
    Members {
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
        /// Sessions that belong to the group.
        members: u32,
        /// Those of them that are connected.
        online: u32,
    },
    /// The sending shard has subscriptions of sessions that outlive the process.
    Durable,
    /// Whether the sending shard has sessions that have messages refused rather than lose one.
    Rejecting(bool),
}

/// Which member of a shared subscription gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPick {
    /// The group.
    pub tag: ShareTag,
    /// Its member on the receiving shard, counted among those that are connected if there are any.
    pub nth: u32,
    /// The publisher, if it sticks to one member.
    pub sticky: Option<u64>,
    /// The receiving shard takes the group's turn and picks among all shards.
    pub take_turn: bool,
    /// How often the message was passed on because its member was gone.
    pub hops: u8,
}

/// A connection on its way to its home shard.
#[derive(Debug)]
pub struct Handover {
    /// The client's CONNECT.
    pub connect: Box<Connect>,
    /// The broker made up the client id.
    pub assigned: bool,
    /// Bytes received after CONNECT.
    pub rest: Vec<u8>,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Index of the listener that accepted it.
    pub listener: u16,
    /// What lies below MQTT.
    pub pipeline: Option<Box<Pipeline>>,
    /// What it may do.
    pub pass: Pass,
    /// The socket; put in when the reactor let go of it.
    pub socket: Option<Parcel>,
}

impl Shard {
    pub(super) fn handle_lane_message(&mut self, from: ShardId, message: LaneMessage) {
        match message {
            LaneMessage::Publish { publication, deliver, retain, groups, receipt } => {
                let groups = groups.as_deref().unwrap_or_default();
                self.handle_forwarded(&publication, deliver, retain, groups, receipt);
            }
            LaneMessage::Share { publication, pick, receipt } => {
                self.handle_forwarded(&publication, false, false, std::slice::from_ref(&pick), receipt);
            }
            LaneMessage::Forward(forward) => self.handle_forward(*forward),
            LaneMessage::Stored { tokens, outcome } => self.handle_stored(&tokens, outcome),
            LaneMessage::Interest { epoch, changes } => self.apply_interest(from, epoch, &changes),
            LaneMessage::InterestApplied { epoch } => self.handle_interest_applied(from, epoch),
            LaneMessage::Credit { changes } => self.handle_credit(from, &changes),
            LaneMessage::Handover(handover) => self.handle_handover(*handover),
            LaneMessage::RetainedQuery(query) => self.keep_query(from, query),
            LaneMessage::RetainedPage(page) => self.keep_page(*page),
        }
    }
}
