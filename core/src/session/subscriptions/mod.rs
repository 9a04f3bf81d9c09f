//! The subscriptions of a session: what SUBSCRIBE and UNSUBSCRIBE do to them. The index that topics are matched against is the
//! driver's.

mod table;

pub(super) use table::Subscriptions;

use super::violation::Violation;
use super::{Cx, Session};
use crate::codec::{QoS, Subscribe, SubscribeFilter, SubscriptionOptions};
use crate::reason::ReasonCode;
use crate::topic::TopicFilter;

/// What a session asked for with one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscription {
    /// The options in force.
    pub options: SubscriptionOptions,
    /// Subscription Identifier.
    pub id: Option<u32>,
}

/// What SUBSCRIBE did to one filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The subscription did not exist.
    Added,
    /// Options or identifier of an existing subscription were replaced. [MQTT-3.8.4-3]
    Replaced,
}

/// The answer to one filter of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterVerdict {
    /// The filter, share prefix included: behind the mountpoint if it was granted.
    pub filter: Box<str>,
    /// The code for SUBACK.
    pub reason: ReasonCode,
    /// The subscription and what happened to it; `None` if it was refused.
    pub granted: Option<(Subscription, Change)>,
}

impl Session {
    /// Takes the filters of a SUBSCRIBE into the session, less those at the places in `denied`, which ascend. The driver enters
    /// the granted ones into the index.
    ///
    /// # Errors
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    pub fn handle_subscribe(
        &mut self,
        subscribe: Subscribe,
        denied: &[usize],
        cx: &mut Cx<'_>,
    ) -> Result<Vec<FilterVerdict>, Violation> {
        let Some(terms) = self.terms() else { return Ok(Vec::new()) };
        let bridge = terms.bridge;
        // All filters are checked before the first is granted: the driver enters nothing after a violation.
        let checked: Vec<Result<bool, ReasonCode>> = subscribe
            .filters
            .iter()
            .map(|SubscribeFilter { filter, options }| check(filter, *options, cx))
            .collect::<Result<_, _>>()?;
        let in_use = self.holds_id(subscribe.packet_id);
        let mut verdicts = Vec::with_capacity(checked.len());
        let filters = subscribe.filters.into_iter().zip(checked).enumerate();
        let mut denied = denied.iter().copied().peekable();
        for (index, (SubscribeFilter { filter, mut options }, checked)) in filters {
            let is_denied = denied.next_if_eq(&index).is_some();
            let checked = checked
                .and_then(|shared| if is_denied { Err(ReasonCode::NotAuthorized) } else { Ok(shared) });
            let shared = match checked {
                Ok(shared) if !in_use => shared,
                checked => {
                    let reason = checked.err().unwrap_or(ReasonCode::PacketIdentifierInUse);
                    verdicts.push(FilterVerdict { filter, reason, granted: None });
                    continue;
                }
            };
            if bridge {
                options.retain_as_published = true;
            }
            if (bridge || cx.config.ignore_loop_deliver) && !shared {
                options.no_local = true;
            }
            options.qos = options.qos.min(QoS::from_u8(cx.config.max_qos_allowed).unwrap_or_default());
            let subscription = Subscription { options, id: subscribe.subscription_id };
            verdicts.push(self.grant(filter, subscription, cx));
        }
        Ok(verdicts)
    }

    fn grant(&mut self, filter: Box<str>, subscription: Subscription, cx: &Cx<'_>) -> FilterVerdict {
        let filter = match self.mount.as_ref().map(|mount| mount.mount_filter(&filter)) {
            None => filter,
            Some(Ok(mounted)) => mounted,
            Some(Err(_)) => {
                return FilterVerdict { filter, reason: ReasonCode::TopicFilterInvalid, granted: None };
            }
        };
        let reason = match subscription.options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQos1,
            QoS::ExactlyOnce => ReasonCode::GrantedQos2,
        };
        if self.subscriptions.replace(&filter, subscription) {
            return FilterVerdict { filter, reason, granted: Some((subscription, Change::Replaced)) };
        }
        let has_room = self.subscriptions.len() < cx.config.max_subscriptions.0;
        if !has_room || !self.subscriptions.insert(&filter, subscription) {
            return FilterVerdict { filter, reason: ReasonCode::QuotaExceeded, granted: None };
        }
        FilterVerdict { filter, reason, granted: Some((subscription, Change::Added)) }
    }

    /// Removes a subscription; the driver takes it out of the index. `None` if there was none.
    pub fn unsubscribe(&mut self, filter: &str) -> Option<Subscription> {
        self.subscriptions.remove(filter)
    }

    /// All subscriptions with their filters.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, Subscription)> {
        self.subscriptions.iter()
    }

    /// The number of subscriptions.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }
}

/// Whether the filter is shared, or the code that refuses it.
fn check(
    filter: &str,
    options: SubscriptionOptions,
    cx: &Cx<'_>,
) -> Result<Result<bool, ReasonCode>, Violation> {
    let Ok(parsed) = TopicFilter::parse(filter) else { return Ok(Err(ReasonCode::TopicFilterInvalid)) };
    let shared = parsed.share.is_some();
    if shared && options.no_local {
        return Err(Violation::protocol("No Local on a shared subscription"));
    }
    if shared && !cx.config.shared_subscription {
        return Ok(Err(ReasonCode::SharedSubscriptionsNotSupported));
    }
    if !cx.config.wildcard_subscription && parsed.has_wildcard() {
        return Ok(Err(ReasonCode::WildcardSubscriptionsNotSupported));
    }
    if parsed.levels() > usize::from(cx.config.max_topic_levels) {
        return Ok(Err(ReasonCode::TopicFilterInvalid));
    }
    Ok(Ok(shared))
}
