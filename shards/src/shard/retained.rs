//! Retained messages: each topic's is kept by the shard that the topic hashes to; a new subscription is sent them as a
//! stream of pages that its client's pace draws.

use super::Shard;
use super::journal::Outcome;
use super::lanes::LaneMessage;
use super::sessions::SessionKey;
use super::timers::TimerKey;
use crate::quota::Quota;
use ringmq_core::codec::QoS;
use ringmq_core::hash::SeededMap;
use ringmq_core::metrics::Metric;
use ringmq_core::publication::{LazyPublication, Publication, PublicationRef};
use ringmq_core::retained::{PageEnd, RetainedStore};
use ringmq_core::routing::ShardId;
use ringmq_core::session::{Delivery, Subscription};
use ringmq_core::time::Timestamp;
use ringmq_core::topic::has_wildcard;
use ringmq_core::wheel::TimerId;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Messages in one page.
const PAGE_ITEMS: usize = 256;
/// Topics looked at for one page, matching or not.
const PAGE_VISITS: usize = 4096;
/// Expired messages removed at once before other work gets its turn.
const EXPIRED_PER_PASS: usize = 4096;
/// Queued messages of a session above which no further page is asked for.
const STREAM_QUEUE_MAX: usize = 64;
/// Sessions served with a page in one pass.
const STREAMS_PER_PASS: usize = 64;

/// The retained messages this shard owns, and the sessions it streams to.
#[derive(Debug)]
pub struct Retained {
    store: RetainedStore,
    /// Retained messages of all shards.
    quota: Arc<Quota>,
    expiry: Option<(Timestamp, TimerId)>,
    /// Sessions that can take a page now.
    streaming: VecDeque<SessionKey>,
    /// Requests that wait until the lanes were drained once more.
    queries: Vec<(ShardId, Box<RetainedQuery>)>,
    /// Pages that came in this pass.
    pages: Vec<RetainedPage>,
}

impl Retained {
    /// An empty store under this quota.
    pub fn new(quota: Arc<Quota>) -> Retained {
        Retained {
            store: RetainedStore::new(),
            quota,
            expiry: None,
            streaming: VecDeque::new(),
            queries: Vec::new(),
            pages: Vec::new(),
        }
    }

    /// Retained messages of this shard.
    pub fn len(&self) -> usize {
        self.store.len()
    }
}

/// Topics a stream remembers as delivered live; beyond it a message that is published while the stream runs may come twice.
const LIVE_TOPICS_MAX: usize = 1024;

/// What a session is still to be sent.
#[derive(Debug, Default)]
pub struct Streams {
    waiting: VecDeque<Stream>,
    /// Topics whose retained message changed and was delivered as it was published, since the stream began.
    live: SeededMap<Box<str>, ()>,
    /// A page is on its way: the first stream waits for it.
    asked: bool,
    /// On the list of sessions that can take a page.
    listed: bool,
}

/// The retained messages of one owner for one subscription.
#[derive(Debug)]
struct Stream {
    filter: Arc<str>,
    subscription: Subscription,
    owner: ShardId,
    after: Option<Box<str>>,
}

/// A request for a page.
#[derive(Debug)]
pub struct RetainedQuery {
    session: SessionKey,
    attachment: u32,
    filter: Arc<str>,
    after: Option<Box<str>>,
}

/// A page, for the session that asked.
#[derive(Debug)]
pub struct RetainedPage {
    session: SessionKey,
    attachment: u32,
    items: Vec<Publication>,
    end: PageEnd,
}

impl Shard {
    /// Stores, replaces or clears the retained message of a topic this shard owns. [MQTT-3.3.1-5, MQTT-3.3.1-6]
    pub(super) fn retain(&mut self, message: &LazyPublication<'_>) {
        let view = message.view();
        if self.journal.is_refusing() && self.receipts.awaits_storage() {
            return self.receipts.note_refused(Outcome::Refused);
        }
        if view.payload.is_empty() {
            if let Some(removed) = self.retained.store.clear(view.topic) {
                self.retained.quota.leave(1);
                self.journal.forget_retained(removed);
            }
            return;
        }
        let config = &self.config.retainer;
        if view.payload.len() as u64 > config.max_payload_size.0 {
            self.tally.bump(Metric::MessagesDroppedRetainedTooLarge);
            return;
        }
        let enters = self.retained.quota.is_bounded() && !self.retained.store.contains(view.topic);
        if enters && !self.retained.quota.try_enter() {
            self.tally.bump(Metric::MessagesDroppedRetainedFull);
            return;
        }
        let default_expiry_ms = config.msg_expiry_interval.as_ms();
        let publication = if view.expires_at.is_never() && default_expiry_ms > 0 {
            let expires_at = self.now.after_ms(default_expiry_ms);
            PublicationRef { expires_at, ..view }.to_shared()
        } else {
            message.shared()
        };
        let record = self.journal.keep_retained(publication.view());
        if record.is_none() && self.journal.is_enabled() && self.receipts.awaits_storage() {
            // What is refused takes the place of nothing.
            self.retained.quota.leave(usize::from(enters));
            return self.receipts.note_refused(Outcome::Refused);
        }
        self.tally.bump(Metric::MessagesRetained);
        if let Some(replaced) = self.retained.store.set(publication, record) {
            self.journal.forget_retained(replaced);
        }
        self.schedule_expiry();
    }

    /// Takes over a retained message of an earlier life.
    pub(super) fn restore_retained(&mut self, publication: Publication, record: NonZeroU64) {
        // What was granted once is kept, whatever the limit is now.
        self.retained.quota.enter();
        if let Some(replaced) = self.retained.store.set(publication, Some(record)) {
            self.retained.quota.leave(1);
            self.journal.forget_retained(replaced);
        }
        self.schedule_expiry();
    }

    fn schedule_expiry(&mut self) {
        let Some(at) = self.retained.store.next_expiry() else { return };
        match self.retained.expiry {
            Some((scheduled, _)) if scheduled <= at => return,
            Some((_, timer)) => {
                self.wheel.cancel(timer);
            }
            None => {}
        }
        self.retained.expiry = Some((at, self.wheel.schedule(at, TimerKey::RetainedExpiry)));
    }

    /// Removes retained messages that expired.
    pub(super) fn expire_retained(&mut self) {
        self.retained.expiry = None;
        let mut removed = 0;
        while removed < EXPIRED_PER_PASS
            && let Some(expired) = self.retained.store.remove_expired(self.now)
        {
            self.journal.forget_retained(expired);
            removed += 1;
        }
        self.retained.quota.leave(removed);
        self.tally.add(Metric::MessagesDroppedExpired, removed as u64);
        self.schedule_expiry();
    }

    /// A subscription is to be sent the retained messages that match it.
    pub(super) fn begin_stream(&mut self, key: SessionKey, filter: Box<str>, subscription: Subscription) {
        let filter: Arc<str> = filter.into();
        let owners = if has_wildcard(&filter) {
            0..self.shards
        } else {
            let owner = self.topic_owner(&filter).index();
            owner..owner + 1
        };
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let streams = slot.streams.get_or_insert_default();
        for owner in owners {
            let owner = ShardId(owner as u8);
            streams.waiting.push_back(Stream {
                filter: Arc::clone(&filter),
                subscription,
                owner,
                after: None,
            });
        }
        self.resume_stream(key);
    }

    /// The client took something: its stream may go on.
    pub(super) fn resume_stream(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let Some(streams) = &mut slot.streams else { return };
        let Some(connection) = slot.connection.and_then(|token| self.connections.get(token as usize)) else {
            return;
        };
        let behind = slot.session.queued() > STREAM_QUEUE_MAX || connection.outbox.is_congested();
        if streams.asked || streams.listed || behind {
            return;
        }
        streams.listed = true;
        self.retained.streaming.push_back(key);
    }

    /// Whether sessions can take pages.
    pub(super) fn has_streams(&self) -> bool {
        !self.retained.streaming.is_empty()
    }

    /// Serves the sessions that can take a page, a bounded number of them.
    pub fn handle_streams(&mut self) {
        for _ in 0..self.retained.streaming.len().min(STREAMS_PER_PASS) {
            let Some(key) = self.retained.streaming.pop_front() else { return };
            self.ask_page(key);
        }
    }

    fn ask_page(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let attachment = slot.attachment;
        let Some(streams) = &mut slot.streams else { return };
        streams.listed = false;
        let Some(stream) = streams.waiting.front() else {
            slot.streams = None;
            return;
        };
        streams.asked = true;
        let owner = stream.owner;
        let (filter, after) = (Arc::clone(&stream.filter), stream.after.clone());
        let query = RetainedQuery { session: key, attachment, filter, after };
        if owner == self.id {
            let page = self.read_page(query);
            self.handle_retained_page(page);
        } else {
            self.mesh.stage(owner, LaneMessage::RetainedQuery(Box::new(query)));
        }
    }

    fn read_page(&self, query: RetainedQuery) -> RetainedPage {
        let RetainedQuery { session, attachment, filter, after } = query;
        let mut items = Vec::new();
        let end = self.retained.store.page(
            &filter,
            after.as_deref(),
            PAGE_ITEMS,
            PAGE_VISITS,
            self.now,
            &mut items,
        );
        RetainedPage { session, attachment, items, end }
    }

    /// Another shard asks for a page of what this shard owns.
    pub(super) fn keep_query(&mut self, from: ShardId, query: Box<RetainedQuery>) {
        self.retained.queries.push((from, query));
    }

    /// Whether requests wait for an answer.
    pub(super) fn has_queries(&self) -> bool {
        !self.retained.queries.is_empty()
    }

    /// The requests that came in earlier passes.
    pub(super) fn take_queries(&mut self) -> Vec<(ShardId, Box<RetainedQuery>)> {
        std::mem::take(&mut self.retained.queries)
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, from: ShardId, query: RetainedQuery) {
        let page = self.read_page(query);
        self.mesh.stage(from, LaneMessage::RetainedPage(Box::new(page)));
    }

    /// An answer came.
    pub(super) fn keep_page(&mut self, page: RetainedPage) {
        self.retained.pages.push(page);
    }

    /// Handles the answers of this pass.
    pub(super) fn handle_pages(&mut self) {
        if self.retained.pages.is_empty() {
            return;
        }
        for page in std::mem::take(&mut self.retained.pages) {
            self.handle_retained_page(page);
        }
    }

    /// A message with RETAIN is delivered to a session as it is published: its stream must not bring it again.
    pub(super) fn note_live(&mut self, key: SessionKey, topic: &str) {
        if let Some(streams) = self.sessions.get_mut(key).and_then(|slot| slot.streams.as_mut())
            && streams.live.len() < LIVE_TOPICS_MAX
        {
            streams.live.insert(topic.into(), ());
        }
    }

    /// A page came: its messages are delivered, and the stream goes on when the client can take more.
    pub(super) fn handle_retained_page(&mut self, page: RetainedPage) {
        let RetainedPage { session: key, attachment, mut items, end } = page;
        let Some(slot) = self.sessions.get_mut(key).filter(|slot| slot.attachment == attachment) else {
            return;
        };
        let Some(streams) = &mut slot.streams else { return };
        streams.asked = false;
        let Some(stream) = streams.waiting.front_mut() else { return };
        let subscription = stream.subscription;
        match end {
            PageEnd::More { after } => stream.after = Some(after),
            PageEnd::Complete => {
                streams.waiting.pop_front();
            }
        }
        let finished = streams.waiting.is_empty();
        if !streams.live.is_empty() {
            items.retain(|publication| !streams.live.contains_key(publication.topic()));
        }
        for publication in &items {
            self.deliver_retained(key, publication, subscription);
        }
        if finished {
            if let Some(slot) = self.sessions.get_mut(key) {
                slot.streams = None;
            }
        } else {
            self.resume_stream(key);
        }
    }

    /// Delivers a retained message to a new subscription, with RETAIN set. [MQTT-3.3.1-8]
    fn deliver_retained(&mut self, key: SessionKey, publication: &Publication, subscription: Subscription) {
        let message = LazyPublication::of(publication);
        let published: QoS = message.view().qos;
        let id = subscription.id.unwrap_or(0);
        let ids: &[u32] = if id > 0 { &[id] } else { &[] };
        let qos = self.delivery_qos(published, subscription.options.qos, key);
        self.templates.clear();
        self.deliver(
            key,
            Delivery { message: &message, qos, retain: true, subscription_ids: ids, share: None },
        );
    }
}
