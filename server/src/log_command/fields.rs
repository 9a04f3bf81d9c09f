//! What each kind of record says, as named fields. The only file here that knows the shape of records; it resolves
//! nothing that a record refers to.

use super::line::{Field, Value};
use ringmq_persistence::record::{
    Applied, ArchivedApplied, ArchivedBody, ArchivedForwarding, ArchivedQueueTerms, ArchivedQueued,
    ArchivedReceived, ArchivedSent, ArchivedSession, ArchivedSessionZone, ArchivedSubscription, Body,
    Forwarding, QueueTerms, Queued, Received, Record, RecordError, Retained, Sent, Session, SessionZone,
    Subscription, access,
};

/// A record as its fields.
#[derive(Debug)]
pub struct Described {
    /// What it is called.
    pub kind: &'static str,
    /// What it says.
    pub fields: Vec<Field>,
    /// What other records it has to do with.
    pub tie: Tie,
}

/// How a record hangs together with others of its log.
#[derive(Debug, PartialEq, Eq)]
pub enum Tie {
    /// Not at all, or others name it by its id: messages.
    None,
    /// It is the session that others name by this number, and belongs to this client.
    Is {
        /// What others call it.
        session: u64,
        /// Its client.
        client: String,
    },
    /// It belongs to a session.
    To {
        /// Which.
        session: u64,
        /// The record of the message it is about.
        body: Option<u64>,
    },
}

/// Why a record has no fields.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A later release wrote it, or it is not the broker's.
    #[error("this release knows no records of kind {0:#06x}")]
    Kind(u16),
    /// Its bytes are those that were stored, but not what its kind says.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The fields of a record.
///
/// # Errors
/// [`Unreadable`].
pub fn describe(kind: u16, payload: &[u8]) -> Result<Described, Unreadable> {
    Ok(match kind {
        Session::KIND => session(access::<Session>(kind, payload)?),
        Subscription::KIND => subscription(access::<Subscription>(kind, payload)?),
        Body::KIND => of_message("body", access::<Body<'_>>(kind, payload)?),
        Queued::KIND => queued(access::<Queued<'_>>(kind, payload)?),
        Sent::KIND => sent(access::<Sent>(kind, payload)?),
        Received::KIND => received(access::<Received>(kind, payload)?),
        Retained::KIND => of_message("retained", &access::<Retained<'_>>(kind, payload)?.body),
        Forwarding::KIND => forwarding(access::<Forwarding>(kind, payload)?),
        Applied::KIND => applied(access::<Applied>(kind, payload)?),
        QueueTerms::KIND => queue_terms(access::<QueueTerms>(kind, payload)?),
        SessionZone::KIND => session_zone(access::<SessionZone>(kind, payload)?),
        _ => return Err(Unreadable::Kind(kind)),
    })
}

/// The fields of a message that are told again where it is queued; none if this record is no message.
pub fn message(kind: u16, payload: &[u8]) -> Vec<Field> {
    let body = access::<Body<'_>>(kind, payload);
    body.map_or_else(|_| unknown_message(), what_is_queued)
}

/// The same fields of a message that is not there.
pub fn unknown_message() -> Vec<Field> {
    vec![("topic", Value::Unknown)]
}

fn session(session: &ArchivedSession) -> Described {
    let number = session.number.to_native();
    let mut fields = vec![
        ("client", Value::Text(session.client_id.to_string())),
        ("session", Value::Number(number)),
        ("created_at", Value::Moment(session.created_ms.to_native())),
        ("expires_at", expiry(session.expires_at_ms.as_ref().map(|ms| ms.to_native()))),
        ("expiry_interval_s", interval(session.expiry_interval_s.to_native())),
    ];
    if let Some(will) = session.will.as_ref() {
        fields.extend([
            ("will_topic", Value::Text(will.topic.to_string())),
            ("will_qos", Value::Number(will.qos.into())),
            ("will_retain", Value::Flag(will.retain)),
            ("will_delay_s", Value::Number(will.delay_s.to_native().into())),
            ("will_properties_bytes", Value::Number(will.properties.len() as u64)),
            ("will_payload_bytes", Value::Number(will.payload.len() as u64)),
            Value::payload(&will.payload, "will_payload", "will_payload_hex"),
        ]);
        let expiry_s = will.expiry_interval_s.as_ref();
        fields.extend(expiry_s.map(|s| ("will_expiry_interval_s", Value::Number(s.to_native().into()))));
        fields.extend(will.due_at_ms.as_ref().map(|ms| ("will_due_at", Value::Moment(ms.to_native()))));
    }
    let tie = Tie::Is { session: number, client: session.client_id.to_string() };
    Described { kind: "session", fields, tie }
}

fn subscription(subscription: &ArchivedSubscription) -> Described {
    let mut fields = vec![
        ("filter", Value::Text(subscription.filter.to_string())),
        ("qos", Value::Number(subscription.qos.into())),
        ("no_local", Value::Flag(subscription.no_local)),
        ("retain_as_published", Value::Flag(subscription.retain_as_published)),
        ("retain_handling", Value::Number(subscription.retain_handling.into())),
    ];
    let identifier = subscription.identifier.as_ref();
    fields.extend(identifier.map(|number| ("identifier", Value::Number(number.to_native().into()))));
    of_session("subscription", subscription.session.to_native(), None, fields)
}

fn queued(queued: &ArchivedQueued<'_>) -> Described {
    let packet_id = queued.packet_id.as_ref().map(|number| number.to_native());
    let mut fields = vec![("state", Value::Word(if packet_id.is_some() { "sent" } else { "waits" }))];
    fields.extend(packet_id.map(|number| ("packet_id", Value::Number(number.into()))));
    fields.extend([
        ("qos", Value::Number(queued.qos.into())),
        ("retain", Value::Flag(queued.retain)),
        ("body", Value::Number(queued.body.to_native())),
    ]);
    fields.extend(replaces(queued.replaces.to_native()));
    let share = Some(queued.share.to_native()).filter(|&share| share != 0);
    fields.extend(share.map(|share| ("share", Value::Digits(format!("{share:016x}")))));
    if !queued.identifiers.is_empty() {
        let identifiers = queued.identifiers.iter().map(|number| number.to_native()).collect();
        fields.push(("identifiers", Value::Numbers(identifiers)));
    }
    of_session("queued", queued.session.to_native(), Some(queued.body.to_native()), fields)
}

fn sent(sent: &ArchivedSent) -> Described {
    let mut fields = vec![
        ("packet_id", Value::Number(sent.packet_id.to_native().into())),
        ("awaits", Value::Word("PUBCOMP")),
    ];
    fields.extend(replaces(sent.replaces.to_native()));
    of_session("sent", sent.session.to_native(), None, fields)
}

/// Both records are live only if the last write before a crash was cut in two; the later one counts.
fn replaces(id: u64) -> Option<Field> {
    (id != 0).then_some(("replaces", Value::Number(id)))
}

fn received(received: &ArchivedReceived) -> Described {
    let fields = vec![("packet_id", Value::Number(received.packet_id.to_native().into()))];
    of_session("received", received.session.to_native(), None, fields)
}

/// Its body is a record of its own, which tells the topic.
fn forwarding(forwarding: &ArchivedForwarding) -> Described {
    let shards = forwarding.targets.iter().map(|target| target.shard.to_native().into()).collect();
    let fields = vec![
        ("sequence", Value::Number(forwarding.sequence.to_native())),
        ("body", Value::Number(forwarding.body.to_native())),
        ("to_shards", Value::Numbers(shards)),
    ];
    Described { kind: "forwarding", fields, tie: Tie::None }
}

fn queue_terms(terms: &ArchivedQueueTerms) -> Described {
    let len_max = terms.len_max.as_ref().map(|len| ("len_max", Value::Number(len.to_native().into())));
    let policy = terms.policy.as_ref().map(|policy| ("policy", Value::Number((*policy).into())));
    of_session("queue_terms", terms.session.to_native(), None, len_max.into_iter().chain(policy).collect())
}

fn session_zone(zone: &ArchivedSessionZone) -> Described {
    let fields = vec![("zone", Value::Text(zone.zone.as_str().to_owned()))];
    of_session("session_zone", zone.session.to_native(), None, fields)
}

fn applied(applied: &ArchivedApplied) -> Described {
    let fields = vec![
        ("from_shard", Value::Number(applied.from.to_native().into())),
        ("sequence", Value::Number(applied.sequence.to_native())),
    ];
    Described { kind: "applied", fields, tie: Tie::None }
}

fn of_session(kind: &'static str, session: u64, body: Option<u64>, mut fields: Vec<Field>) -> Described {
    fields.insert(0, ("session", Value::Number(session)));
    Described { kind, fields, tie: Tie::To { session, body } }
}

fn of_message(kind: &'static str, body: &ArchivedBody<'_>) -> Described {
    let mut fields = vec![
        ("qos", Value::Number(body.qos.into())),
        ("retain", Value::Flag(body.retain)),
        ("stored_at", Value::Moment(body.stored_at_ms.to_native())),
        ("properties_bytes", Value::Number(body.properties.len() as u64)),
    ];
    fields.extend(what_is_queued(body));
    // The topic is what one looks for, so it stands first.
    fields.sort_by_key(|(name, _)| *name != "topic");
    Described { kind, fields, tie: Tie::None }
}

fn what_is_queued(body: &ArchivedBody<'_>) -> Vec<Field> {
    vec![
        ("topic", Value::Text(body.topic.to_string())),
        ("expires_at", expiry(body.expires_at_ms.as_ref().map(|ms| ms.to_native()))),
        ("payload_bytes", Value::Number(body.payload.len() as u64)),
        Value::payload(&body.payload, "payload", "payload_hex"),
    ]
}

fn expiry(ms: Option<u64>) -> Value {
    ms.map_or(Value::Never, Value::Moment)
}

fn interval(seconds: u32) -> Value {
    if seconds == u32::MAX { Value::Never } else { Value::Number(seconds.into()) }
}
