//! The subscriptions of a session.

use super::violation::Violation;
use super::{Cx, Session};
use crate::codec::{QoS, Subscribe, SubscribeFilter, SubscriptionOptions};
use crate::hash::SeededMap;
use crate::reason::ReasonCode;
use crate::topic::TopicFilter;
use compact_str::CompactString;

/// What a session asked for with one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The options in force.
    pub options: SubscriptionOptions,
    /// Subscription Identifier.
    pub id: Option<u32>,
}

/// Subscriptions that are looked through one by one; more are hashed.
const FEW: usize = 8;

/// The subscriptions of a session by filter. A client with a few of them pays for these and no table.
#[derive(Debug)]
pub struct Subscriptions(Place);

#[derive(Debug)]
enum Place {
    Few(Vec<(CompactString, Subscription)>),
    Many(Box<SeededMap<CompactString, Subscription>>),
}

impl Default for Subscriptions {
    fn default() -> Subscriptions {
        Subscriptions(Place::Few(Vec::new()))
    }
}

impl Subscriptions {
    fn len(&self) -> usize {
        match &self.0 {
            Place::Few(list) => list.len(),
            Place::Many(table) => table.len(),
        }
    }

    fn find_mut(&mut self, filter: &str) -> Option<&mut Subscription> {
        match &mut self.0 {
            Place::Few(list) => {
                let known = list.iter_mut().find(|(known, _)| **known == *filter);
                known.map(|(_, subscription)| subscription)
            }
            Place::Many(table) => table.get_mut(filter),
        }
    }

    /// Adds a subscription that is not there.
    fn insert(&mut self, filter: CompactString, subscription: Subscription) {
        match &mut self.0 {
            Place::Few(list) if list.len() < FEW => {
                list.reserve_exact(1);
                list.push((filter, subscription));
            }
            Place::Few(list) => {
                let mut table: SeededMap<_, _> = std::mem::take(list).into_iter().collect();
                table.insert(filter, subscription);
                self.0 = Place::Many(Box::new(table));
            }
            Place::Many(table) => {
                table.insert(filter, subscription);
            }
        }
    }

    /// Adds or replaces a subscription; whether it is new.
    pub(super) fn set(&mut self, filter: &str, subscription: Subscription) -> bool {
        if let Some(known) = self.find_mut(filter) {
            *known = subscription;
            return false;
        }
        self.insert(CompactString::from(filter), subscription);
        true
    }

    fn remove(&mut self, filter: &str) -> Option<Subscription> {
        match &mut self.0 {
            Place::Few(list) => {
                let position = list.iter().position(|(known, _)| **known == *filter)?;
                let (_, subscription) = list.swap_remove(position);
                list.shrink_to_fit();
                Some(subscription)
            }
            Place::Many(table) => {
                let subscription = table.remove(filter)?;
                if table.is_empty() {
                    *self = Subscriptions::default();
                }
                Some(subscription)
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Subscription)> {
        let (few, many) = match &self.0 {
            Place::Few(list) => (&list[..], None),
            Place::Many(table) => (&[][..], Some(table)),
        };
        let few = few.iter().map(|(filter, subscription)| (&**filter, subscription));
        let many = many.into_iter().flat_map(|table| table.iter());
        few.chain(many.map(|(filter, subscription)| (&**filter, subscription)))
    }
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
        if let Some(known) = self.subscriptions.find_mut(&filter) {
            *known = subscription;
            return FilterVerdict { filter, reason, granted: Some((subscription, Change::Replaced)) };
        }
        if self.subscriptions.len() >= cx.config.max_subscriptions.0 {
            return FilterVerdict { filter, reason: ReasonCode::QuotaExceeded, granted: None };
        }
        self.subscriptions.insert(CompactString::from(&*filter), subscription);
        FilterVerdict { filter, reason, granted: Some((subscription, Change::Added)) }
    }

    /// Removes a subscription; the driver takes it out of the index. `None` if there was none.
    pub fn unsubscribe(&mut self, filter: &str) -> Option<Subscription> {
        self.subscriptions.remove(filter)
    }

    /// All subscriptions with their filters.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, &Subscription)> {
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
