//! Names of what the broker counts, and the plain counters the state machines add to.
//!
//! A [`Tally`] is not shared: the shard that owns it publishes it to the control plane once per pass.

macro_rules! metrics {
    ($($variant:ident = $name:literal,)*) => {
        /// A counter; its name is the one users of EMQX know, where EMQX has it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each counter is documented by the name it is exported under")]
        pub enum Metric { $($variant,)* }

        impl Metric {
            /// Every counter, in the order of its index.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant,)*];

            /// The dotted name, for example `packets.publish.received`.
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name,)* }
            }
        }
    };
}

metrics! {
    BytesReceived = "bytes.received",
    BytesSent = "bytes.sent",
    PacketsReceived = "packets.received",
    PacketsSent = "packets.sent",
    PacketsConnectReceived = "packets.connect.received",
    PacketsConnackSent = "packets.connack.sent",
    PacketsConnackError = "packets.connack.error",
    PacketsConnackAuthError = "packets.connack.auth_error",
    PacketsPublishReceived = "packets.publish.received",
    PacketsPublishSent = "packets.publish.sent",
    PacketsPublishInuse = "packets.publish.inuse",
    PacketsPublishError = "packets.publish.error",
    PacketsPublishAuthError = "packets.publish.auth_error",
    PacketsPublishDropped = "packets.publish.dropped",
    PacketsPubackReceived = "packets.puback.received",
    PacketsPubackSent = "packets.puback.sent",
    PacketsPubackMissed = "packets.puback.missed",
    PacketsPubrecReceived = "packets.pubrec.received",
    PacketsPubrecSent = "packets.pubrec.sent",
    PacketsPubrecMissed = "packets.pubrec.missed",
    PacketsPubrelReceived = "packets.pubrel.received",
    PacketsPubrelSent = "packets.pubrel.sent",
    PacketsPubrelMissed = "packets.pubrel.missed",
    PacketsPubcompReceived = "packets.pubcomp.received",
    PacketsPubcompSent = "packets.pubcomp.sent",
    PacketsPubcompMissed = "packets.pubcomp.missed",
    PacketsSubscribeReceived = "packets.subscribe.received",
    PacketsSubscribeError = "packets.subscribe.error",
    PacketsSubscribeAuthError = "packets.subscribe.auth_error",
    PacketsSubackSent = "packets.suback.sent",
    PacketsUnsubscribeReceived = "packets.unsubscribe.received",
    PacketsUnsubscribeError = "packets.unsubscribe.error",
    PacketsUnsubackSent = "packets.unsuback.sent",
    PacketsPingreqReceived = "packets.pingreq.received",
    PacketsPingrespSent = "packets.pingresp.sent",
    PacketsDisconnectReceived = "packets.disconnect.received",
    PacketsDisconnectSent = "packets.disconnect.sent",
    PacketsAuthReceived = "packets.auth.received",
    PacketsAuthSent = "packets.auth.sent",
    MessagesReceived = "messages.received",
    MessagesSent = "messages.sent",
    MessagesQos0Received = "messages.qos0.received",
    MessagesQos0Sent = "messages.qos0.sent",
    MessagesQos1Received = "messages.qos1.received",
    MessagesQos1Sent = "messages.qos1.sent",
    MessagesQos2Received = "messages.qos2.received",
    MessagesQos2Sent = "messages.qos2.sent",
    MessagesPublish = "messages.publish",
    MessagesDropped = "messages.dropped",
    MessagesDroppedAwaitPubrelTimeout = "messages.dropped.await_pubrel_timeout",
    MessagesDroppedNoSubscribers = "messages.dropped.no_subscribers",
    MessagesDroppedExpired = "messages.dropped.expired",
    MessagesDroppedQuotaExceeded = "messages.dropped.quota_exceeded",
    MessagesDroppedTooLarge = "messages.dropped.too_large",
    MessagesRefusedQueueFull = "messages.refused.queue_full",
    MessagesRefusedQuotaExceeded = "messages.refused.quota_exceeded",
    MessagesRefusedTooLarge = "messages.refused.too_large",
    MessagesDroppedRetainedFull = "messages.dropped.retained_full",
    MessagesDroppedRetainedTooLarge = "messages.dropped.retained_too_large",
    MessagesForward = "messages.forward",
    MessagesDelivered = "messages.delivered",
    MessagesAcked = "messages.acked",
    MessagesRetained = "messages.retained",
    MessagesRedispatched = "messages.redispatched",
    DeliveryDropped = "delivery.dropped",
    DeliveryDroppedNoLocal = "delivery.dropped.no_local",
    DeliveryDroppedTooLarge = "delivery.dropped.too_large",
    DeliveryDroppedQos0Msg = "delivery.dropped.qos0_msg",
    DeliveryDroppedQueueFull = "delivery.dropped.queue_full",
    DeliveryDroppedExpired = "delivery.dropped.expired",
    DeliveryDroppedStoreFull = "delivery.dropped.store_full",
    DeliveryDroppedStoreLost = "delivery.dropped.store_lost",
    DeliveryDroppedMountpoint = "delivery.dropped.mountpoint",
    DeliveryDroppedSessionEnded = "delivery.dropped.session_ended",
    DeliveryDroppedPeerRefused = "delivery.dropped.peer_refused",
    ClientConnect = "client.connect",
    ClientConnack = "client.connack",
    ClientConnected = "client.connected",
    ClientDisconnected = "client.disconnected",
    ClientSubscribe = "client.subscribe",
    ClientUnsubscribe = "client.unsubscribe",
    ClientAuthenticate = "client.authenticate",
    ClientAuthAnonymous = "client.auth.anonymous",
    ClientAuthorize = "client.authorize",
    AuthenticationSuccess = "authentication.success",
    AuthenticationFailure = "authentication.failure",
    AuthorizationAllow = "authorization.allow",
    AuthorizationDeny = "authorization.deny",
    SessionCreated = "session.created",
    SessionResumed = "session.resumed",
    SessionTakenover = "session.takenover",
    SessionDiscarded = "session.discarded",
    SessionTerminated = "session.terminated",
    LaneMessages = "lane.messages",
    LaneStalls = "lane.stalls",
    PublisherHolds = "publisher.holds",
    OverloadDelayOk = "overload_protection.delay.ok",
    OverloadDelayTimeout = "overload_protection.delay.timeout",
    ConnectionsDelayed = "connections.delayed",
    PublisherThrottles = "publisher.throttles",
    ConnectionsRefused = "connections.refused",
    PersistenceRecordsPut = "persistence.records.put",
    PersistenceRecordsRemoved = "persistence.records.removed",
    PersistenceBytesWritten = "persistence.bytes.written",
    PersistenceWrites = "persistence.writes",
    PersistenceSyncs = "persistence.syncs",
    PersistenceCompactionCopies = "persistence.compaction.copies",
    PersistenceCheckpoints = "persistence.checkpoints",
    PersistencePublicationsRefused = "persistence.publications.refused",
    PersistenceBodiesEvicted = "persistence.bodies.evicted",
    PersistenceBodiesReadBack = "persistence.bodies.read_back",
}

/// The number of counters.
pub const METRICS: usize = Metric::ALL.len();

/// Counts of one shard since they were last published.
#[derive(Debug, Clone)]
pub struct Tally {
    counts: [u64; METRICS],
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { counts: [0; METRICS] }
    }
}

/// Counters that are passed over together where a pass has touched none of them.
const GROUP: usize = 16;

impl Tally {
    /// Adds `n` to a counter.
    #[inline]
    pub fn add(&mut self, metric: Metric, n: u64) {
        let count = &mut self.counts[metric as usize];
        *count = count.wrapping_add(n);
    }

    /// Adds one to a counter.
    #[inline]
    pub fn bump(&mut self, metric: Metric) {
        self.add(metric, 1);
    }

    /// The count so far.
    pub fn count(&self, metric: Metric) -> u64 {
        self.counts[metric as usize]
    }

    /// Hands every count that is not zero to `publish` and sets it to zero.
    pub fn drain(&mut self, mut publish: impl FnMut(Metric, u64)) {
        for (counts, metrics) in self.counts.chunks_mut(GROUP).zip(Metric::ALL.chunks(GROUP)) {
            if counts.iter().fold(0, |any, count| any | count) == 0 {
                continue;
            }
            for (count, &metric) in counts.iter_mut().zip(metrics) {
                let count = std::mem::take(count);
                if count > 0 {
                    publish(metric, count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_handed_over_once() {
        let mut tally = Tally::default();
        for (n, metric) in (0..).zip(Metric::ALL) {
            // Some are left out, and whole groups of them.
            if n % 3 > 0 && !(GROUP as u64..2 * GROUP as u64).contains(&n) {
                tally.add(*metric, n);
            }
        }
        let mut counted = Tally::default();
        tally.clone().drain(|metric, count| counted.add(metric, count));
        for metric in Metric::ALL {
            assert_eq!(counted.count(*metric), tally.count(*metric), "{}", metric.name());
        }
        tally.drain(|_, _| ());
        tally.drain(|metric, _| panic!("{} is handed over twice", metric.name()));
    }
}
