//! Between what the core means and what the log holds: the one place where both are known.

use ringmq_core::codec::{PacketId, QoS, RetainHandling, SubscriptionOptions, Will};
use ringmq_core::config::QueueFullPolicy;
use ringmq_core::publication::{Origin, Publication, PublicationRef};
use ringmq_core::session::{Outgoing, QueueTerms, Session, SessionNumber, Subscription};
use ringmq_core::time::Timestamp;
use ringmq_persistence::record;
use std::num::NonZeroU64;
use std::time::{SystemTime, UNIX_EPOCH};

/// How the broker's clock and the wall clock go together. Deadlines are stored by the wall clock, so that they hold across
/// restarts.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// Milliseconds since 1970 at the broker clock's zero.
    epoch_ms: u64,
}

impl WallClock {
    /// The wall clock as it is at this moment of the broker's clock.
    pub fn at(now: Timestamp) -> WallClock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallClock { epoch_ms: (since_1970.as_millis() as u64).saturating_sub(now.as_ms()) }
    }

    /// In milliseconds since 1970.
    pub fn to_wall_ms(self, at: Timestamp) -> u64 {
        self.epoch_ms.saturating_add(at.as_ms())
    }

    fn to_deadline_ms(self, at: Timestamp) -> Option<u64> {
        (!at.is_never()).then(|| self.to_wall_ms(at))
    }

    /// The moment of a deadline; what passed before the start is due at once.
    pub fn moment_of(self, ms: u64) -> Timestamp {
        Timestamp::from_ms(ms.saturating_sub(self.epoch_ms))
    }
}

/// A message's body as it is stored.
pub fn body<'a>(publication: &'a Publication, clock: &WallClock, now_ms: u64) -> record::Body<'a> {
    body_of(publication.view(), clock, now_ms)
}

fn body_of<'a>(view: PublicationRef<'a>, clock: &WallClock, now_ms: u64) -> record::Body<'a> {
    record::Body {
        topic: view.topic,
        payload: view.payload,
        properties: view.properties,
        qos: view.qos as u8,
        retain: view.retain,
        expires_at_ms: clock.to_deadline_ms(view.expires_at),
        stored_at_ms: now_ms,
    }
}

/// The message of a stored body; its publisher is not known any more.
pub fn publication(body: &record::ArchivedBody<'_>, clock: &WallClock) -> Publication {
    let expires_at = body.expires_at_ms.as_ref().map(|ms| clock.moment_of(ms.to_native()));
    PublicationRef {
        topic: &body.topic,
        properties: &body.properties,
        payload: &body.payload,
        qos: QoS::from_u8(body.qos).unwrap_or_default(),
        retain: body.retain,
        expires_at: expires_at.unwrap_or(Timestamp::NEVER),
        origin: Origin::BROKER,
    }
    .to_shared()
}

/// A message of a session as it is stored.
pub fn queued(
    session: SessionNumber,
    message: &Outgoing,
    body: u64,
    packet_id: Option<PacketId>,
    replaces: u64,
) -> record::Queued<'_> {
    record::Queued {
        session: session.0.get(),
        body,
        packet_id: packet_id.map(PacketId::as_u16),
        replaces,
        share: message.share().unwrap_or(0),
        qos: message.qos as u8,
        retain: message.retain,
        identifiers: message.subscription_ids(),
    }
}

/// A retained message as it is stored.
pub fn retained<'a>(view: PublicationRef<'a>, clock: &WallClock, now_ms: u64) -> record::Retained<'a> {
    record::Retained { body: body_of(view, clock, now_ms) }
}

/// A session as it is stored.
pub fn session(
    number: SessionNumber,
    session: &Session,
    created_ms: u64,
    expires_at_ms: Option<u64>,
    will_due_at_ms: Option<u64>,
) -> record::Session {
    let will = session.will().map(|will| record::Will {
        topic: will.topic.to_string(),
        payload: will.payload.to_vec(),
        qos: will.qos as u8,
        retain: will.retain,
        delay_s: will.delay_interval_s,
        expiry_interval_s: will.message_expiry_interval_s,
        properties: will.forward.to_vec(),
        due_at_ms: will_due_at_ms,
    });
    record::Session {
        number: number.0.get(),
        client_id: session.client_id().to_owned(),
        created_ms,
        expires_at_ms,
        expiry_interval_s: session.expiry_interval_s(),
        will,
    }
}

/// The will of a stored session, and when it is due.
pub fn will(stored: &record::ArchivedSession) -> Option<(Box<Will>, Option<u64>)> {
    let will = stored.will.as_ref()?;
    let due_at_ms = will.due_at_ms.as_ref().map(|ms| ms.to_native());
    let will = Will {
        topic: will.topic.as_str().into(),
        payload: will.payload.to_vec().into(),
        qos: QoS::from_u8(will.qos).unwrap_or_default(),
        retain: will.retain,
        delay_interval_s: will.delay_s.to_native(),
        message_expiry_interval_s: will.expiry_interval_s.as_ref().map(|s| s.to_native()),
        forward: will.properties.as_slice().into(),
    };
    Some((Box::new(will), due_at_ms))
}

/// A subscription as it is stored.
pub fn subscription(
    number: SessionNumber,
    filter: &str,
    subscription: &Subscription,
) -> record::Subscription {
    let SubscriptionOptions { qos, no_local, retain_as_published, retain_handling } = subscription.options;
    record::Subscription {
        session: number.0.get(),
        filter: filter.to_owned(),
        qos: qos as u8,
        no_local,
        retain_as_published,
        retain_handling: retain_handling as u8,
        identifier: subscription.id,
    }
}

/// What a client asks of its queue, as it is stored.
pub fn queue_terms(session: SessionNumber, terms: QueueTerms) -> record::QueueTerms {
    let policy = terms.policy().map(|policy| match policy {
        QueueFullPolicy::DropOldest => 1,
        QueueFullPolicy::DropNewest => 2,
        QueueFullPolicy::Reject => 3,
        QueueFullPolicy::Block => 4,
    });
    record::QueueTerms { session: session.0.get(), len_max: terms.asked_len(), policy }
}

/// The zone of a session as it is stored.
pub fn zone(session: SessionNumber, name: &str) -> record::SessionZone {
    record::SessionZone { session: session.0.get(), zone: name.to_owned() }
}

/// What was stored of a client's wishes for its queue.
pub fn queue_terms_of(stored: &record::ArchivedQueueTerms) -> QueueTerms {
    let policy = stored.policy.as_ref().and_then(|policy| match policy {
        1 => Some(QueueFullPolicy::DropOldest),
        2 => Some(QueueFullPolicy::DropNewest),
        3 => Some(QueueFullPolicy::Reject),
        4 => Some(QueueFullPolicy::Block),
        _ => None,
    });
    QueueTerms::restored(stored.len_max.as_ref().map(|len| len.to_native()), policy)
}

/// A stored subscription.
pub fn subscription_of(stored: &record::ArchivedSubscription) -> Subscription {
    Subscription {
        options: SubscriptionOptions {
            qos: QoS::from_u8(stored.qos).unwrap_or_default(),
            no_local: stored.no_local,
            retain_as_published: stored.retain_as_published,
            retain_handling: match stored.retain_handling {
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => RetainHandling::Send,
            },
        },
        id: stored.identifier.as_ref().map(|id| id.to_native()),
    }
}

/// A session's number as it is stored; 0 names none.
pub fn number(stored: u64) -> Option<SessionNumber> {
    NonZeroU64::new(stored).map(SessionNumber)
}
