//! What sessions have remembered of their messages.

use super::{Journal, nonzero, records};
use ringmq_core::codec::PacketId;
use ringmq_core::publication::{Publication, PublicationRef};
use ringmq_core::retained::Removed;
use ringmq_core::session::{Body, BodyKey, Memory, Outgoing, SessionNumber, Stored};
use ringmq_persistence::Id;
use ringmq_persistence::record::{Received, Sent, encode};
use std::num::NonZeroU64;

impl Memory for Journal {
    fn keep(
        &mut self,
        session: SessionNumber,
        message: &Outgoing,
        packet_id: Option<PacketId>,
    ) -> Option<Stored> {
        let body = self.keep_body(message.publication()?)?;
        let queued = records::queued(session, message, self.body_record(body), packet_id, 0);
        match self.put(encode(&queued)).and_then(nonzero) {
            Some(record) => Some(Stored { record, body }),
            None => {
                self.release_body(body);
                None
            }
        }
    }

    fn sent(
        &mut self,
        session: SessionNumber,
        message: &Outgoing,
        stored: Stored,
        packet_id: PacketId,
    ) -> Stored {
        let body = self.body_record(stored.body);
        let queued = records::queued(session, message, body, Some(packet_id), stored.record.get());
        let Some(record) = self.put_in_place(encode(&queued)).and_then(nonzero) else { return stored };
        self.remove(Id(stored.record.get()));
        Stored { record, body: stored.body }
    }

    fn taken(&mut self, session: SessionNumber, stored: Stored, packet_id: PacketId) -> Option<Stored> {
        let sent =
            Sent { session: session.0.get(), packet_id: packet_id.as_u16(), replaces: stored.record.get() };
        let Some(record) = self.put_in_place(encode(&sent)).and_then(nonzero) else { return Some(stored) };
        self.forget(stored);
        Some(Stored { record, body: BodyKey::NONE })
    }

    fn begun(&mut self, session: SessionNumber, packet_id: PacketId) -> Option<Stored> {
        let received = Received { session: session.0.get(), packet_id: packet_id.as_u16() };
        let record = self.put(encode(&received)).and_then(nonzero)?;
        Some(Stored { record, body: BodyKey::NONE })
    }

    fn forget(&mut self, stored: Stored) {
        self.remove(Id(stored.record.get()));
        if stored.body != BodyKey::NONE {
            self.release_body(stored.body);
        }
    }

    fn body(&self, body: BodyKey) -> Body {
        self.bodies.get(body)
    }

    fn want(&mut self, body: BodyKey, weight_bytes: usize, waiting: Option<SessionNumber>) -> bool {
        self.want_body(body, weight_bytes, waiting)
    }
}

impl Journal {
    /// Has a retained message remembered.
    pub fn keep_retained(&mut self, view: PublicationRef<'_>) -> Option<NonZeroU64> {
        let record = records::retained(view, &self.clock, self.now_ms);
        self.put(encode(&record)).and_then(nonzero)
    }

    /// A retained message is no more, which counts as something recorded: its publisher may wait for it.
    pub fn forget_retained(&mut self, removed: Removed) {
        if let Some(record) = removed.record {
            self.remove(Id(record.get()));
            self.puts += 1;
        }
    }

    /// The body of a message, stored once however many sessions keep it in this pass.
    pub fn keep_body(&mut self, publication: &Publication) -> Option<BodyKey> {
        if let Some((latest, body)) = &self.latest
            && latest.is_same(publication)
        {
            self.bodies.share(*body);
            return Some(*body);
        }
        let body = records::body(publication, &self.clock, self.now_ms);
        let Id(record) = self.put(encode(&body))?;
        let key = self.bodies.insert(record, Some(publication.clone()), 1);
        self.latest = Some((publication.clone(), key));
        Some(key)
    }

    /// The record of a body.
    pub fn body_record(&self, body: BodyKey) -> u64 {
        self.bodies.record(body).unwrap_or(0)
    }

    /// One record less refers to a body.
    pub fn release_body(&mut self, body: BodyKey) {
        let Some(record) = self.bodies.release(body) else { return };
        if self.latest.as_ref().is_some_and(|(_, latest)| *latest == body) {
            self.latest = None;
        }
        self.remove(Id(record));
    }
}
