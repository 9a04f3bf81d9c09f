//! An application message on its way through the broker.
//!
//! A publication is first a [`PublicationRef`] into the publisher's receive buffer. Only a message that must outlive the
//! pass (queued, in flight, retained, or wanted by another shard) is copied, once, into a shared [`Publication`];
//! [`LazyPublication`] makes that copy on first demand.

use crate::codec::{ForwardProperty, ForwardPropertyIter, QoS};
use crate::time::Timestamp;
use std::cell::OnceCell;
use triomphe::ThinArc;

/// Who published a message: the home shard and the session's slot there. Only compared, never followed, by other shards;
/// it serves No Local and the per-publisher strategies of shared subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Home shard of the publisher's session.
    pub shard: u8,
    /// Slot of the session on that shard; [`Origin::BROKER`] uses `u32::MAX`.
    pub session: u32,
}

impl Origin {
    /// The broker itself (wills of ended sessions, system topics): never equal to a subscriber.
    pub const BROKER: Origin = Origin { shard: u8::MAX, session: u32::MAX };
}

/// A borrowed view of an application message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicationRef<'a> {
    /// The topic name, valid and without wildcards.
    pub topic: &'a str,
    /// The forwardable properties as they are encoded on the wire, in the publisher's order: payload format
    /// indicator, content type, response topic, correlation data, user properties. Empty for 3.x publishers.
    pub properties: &'a [u8],
    /// The application payload.
    pub payload: &'a [u8],
    /// The QoS at which it was published.
    pub qos: QoS,
    /// The RETAIN flag of the publisher's packet.
    pub retain: bool,
    /// When the message expires; [`Timestamp::NEVER`] without an expiry interval.
    pub expires_at: Timestamp,
    /// Who published it.
    pub origin: Origin,
}

impl PublicationRef<'_> {
    /// The value of the first user property of this name.
    pub fn user_property(&self, name: &str) -> Option<&str> {
        ForwardPropertyIter::new(self.properties).find_map(|property| match property {
            ForwardProperty::UserProperty(found, value) if found == name => Some(value),
            _ => None,
        })
    }

    /// Bytes of topic, properties and payload together: what the message weighs in a queue.
    pub fn weight_bytes(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len()
    }

    /// Copies the message into a shared one.
    pub fn to_shared(&self) -> Publication {
        let head = Head {
            expires_at: self.expires_at,
            properties_bytes: self.properties.len() as u32,
            topic_bytes: self.topic.len() as u16,
            origin: self.origin,
            qos: self.qos,
            retain: self.retain,
        };
        let mut on_stack = [0; BODY_ON_STACK_BYTES];
        if let Some(body) = on_stack.get_mut(..self.weight_bytes()) {
            let (topic, rest) = body.split_at_mut(self.topic.len());
            let (properties, payload) = rest.split_at_mut(self.properties.len());
            topic.copy_from_slice(self.topic.as_bytes());
            properties.copy_from_slice(self.properties);
            payload.copy_from_slice(self.payload);
            return Publication(ThinArc::from_header_and_slice(head, body));
        }
        let body = [self.topic.as_bytes(), self.properties, self.payload].concat();
        Publication(ThinArc::from_header_and_slice(head, &body))
    }
}

/// A body up to this size is put together without an allocation of its own.
const BODY_ON_STACK_BYTES: usize = 512;

/// What an allocation has beside its content: the counter and the length, and the allocator's own word.
const ALLOCATION_BYTES: usize = 24;

/// An application message that outlives its packet, shared by reference between queues and shards. Immutable. One
/// allocation holds all of it: topic, properties and payload follow one another behind the numbers that tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication(ThinArc<Head, u8>);

/// What is known of a message besides its bytes.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    expires_at: Timestamp,
    properties_bytes: u32,
    topic_bytes: u16,
    origin: Origin,
    qos: QoS,
    retain: bool,
}

impl Publication {
    /// The borrowed view.
    pub fn view(&self) -> PublicationRef<'_> {
        let head = &self.0.header.header;
        let (topic, rest) = self.0.slice.split_at(usize::from(head.topic_bytes));
        let (properties, payload) = rest.split_at(head.properties_bytes as usize);
        PublicationRef {
            topic: std::str::from_utf8(topic).unwrap_or_default(),
            properties,
            payload,
            qos: head.qos,
            retain: head.retain,
            expires_at: head.expires_at,
            origin: head.origin,
        }
    }

    /// Whether this is the very same message, not just an equal one.
    pub fn is_same(&self, other: &Publication) -> bool {
        std::ptr::eq(self.0.slice.as_ptr(), other.0.slice.as_ptr())
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        self.view().topic
    }

    /// The bytes of the topic name, for comparisons: equal and ordered as the names are, without their UTF-8 check.
    pub fn raw_topic(&self) -> &[u8] {
        &self.0.slice[..usize::from(self.0.header.header.topic_bytes)]
    }

    /// Bytes of topic, properties and payload together.
    pub fn weight_bytes(&self) -> usize {
        self.0.slice.len()
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        ALLOCATION_BYTES + size_of::<Head>() + self.weight_bytes()
    }

    /// What is known of it without its body.
    pub fn outline(&self) -> Outline {
        let weight_bytes = u32::try_from(self.weight_bytes()).unwrap_or(u32::MAX);
        Outline { weight_bytes, qos: self.qos(), expires_at: self.expires_at() }
    }

    /// The QoS at which it was published.
    pub fn qos(&self) -> QoS {
        self.0.header.header.qos
    }

    /// When the message expires; [`Timestamp::NEVER`] if it does not.
    pub fn expires_at(&self) -> Timestamp {
        self.0.header.header.expires_at
    }
}

/// What is known of a message whose body is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Bytes of topic, properties and payload together.
    pub weight_bytes: u32,
    /// The QoS at which it was published.
    pub qos: QoS,
    /// When it expires; [`Timestamp::NEVER`] if it does not.
    pub expires_at: Timestamp,
}

/// A message that is copied into shared memory only if somebody must keep it.
#[derive(Debug)]
pub struct LazyPublication<'a> {
    view: PublicationRef<'a>,
    shared: OnceCell<Publication>,
}

impl<'a> LazyPublication<'a> {
    /// A message that still lies in the receive buffer.
    pub fn borrowed(view: PublicationRef<'a>) -> LazyPublication<'a> {
        LazyPublication { view, shared: OnceCell::new() }
    }

    /// A message that is shared already.
    pub fn of(publication: &'a Publication) -> LazyPublication<'a> {
        LazyPublication { view: publication.view(), shared: OnceCell::from(publication.clone()) }
    }

    /// The borrowed view, always at hand.
    pub fn view(&self) -> PublicationRef<'a> {
        self.view
    }

    /// The shared message; the first call copies.
    pub fn shared(&self) -> Publication {
        self.shared.get_or_init(|| self.view.to_shared()).clone()
    }
}
