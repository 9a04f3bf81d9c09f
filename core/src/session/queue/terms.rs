//! What a client asks of its queue when it connects. Never more than the configuration grants.

use super::Bounds;
use crate::codec::{Connect, ProtocolVersion};
use crate::config::{MqttConfig, QueueFullPolicy};

/// The user property of CONNECT that says how many messages wait at most.
const LEN_PROPERTY: &str = "ringmq-mqueue-len";
/// The user property of CONNECT that says what happens to more.
const POLICY_PROPERTY: &str = "ringmq-mqueue-policy";
/// What a client asked for; the configuration decides the rest. The policy is in the three highest bits, so that it all fits
/// into a gap of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueTerms(u32);

/// A queue that is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueTermsError {
    /// Not a number, or above the configured one.
    #[error("ringmq-mqueue-len must be a whole number, not above the broker's mqtt.max_mqueue_len")]
    Len,
    /// No such policy.
    #[error("ringmq-mqueue-policy must be drop_oldest, drop_newest, reject or block")]
    Policy,
}

const LEN_BITS: u32 = 29;
/// Nothing was asked.
const LEN_UNASKED: u32 = (1 << LEN_BITS) - 1;

impl Default for QueueTerms {
    fn default() -> QueueTerms {
        QueueTerms::new(LEN_UNASKED, None)
    }
}

impl QueueTerms {
    /// What this CONNECT asks for. Of several properties of a name the last counts.
    ///
    /// # Errors
    /// Why the connection is to be refused: a value that is not to be had.
    pub fn of(connect: &Connect, config: &MqttConfig) -> Result<QueueTerms, QueueTermsError> {
        if connect.version != ProtocolVersion::V5 {
            return Ok(QueueTerms::default());
        }
        let (mut asked_len, mut asked_policy) = (LEN_UNASKED, None);
        for (name, value) in &connect.properties.user_properties {
            match &**name {
                LEN_PROPERTY => asked_len = len_max(value, config)?,
                POLICY_PROPERTY => asked_policy = Some(policy(value)?),
                _ => {}
            }
        }
        Ok(QueueTerms::new(asked_len, asked_policy))
    }

    fn new(len_max: u32, policy: Option<QueueFullPolicy>) -> QueueTerms {
        let policy = match policy {
            None => 0,
            Some(QueueFullPolicy::DropOldest) => 1,
            Some(QueueFullPolicy::DropNewest) => 2,
            Some(QueueFullPolicy::Reject) => 3,
            Some(QueueFullPolicy::Block) => 4,
        };
        QueueTerms(policy << LEN_BITS | len_max.min(LEN_UNASKED))
    }

    /// The policy that was asked for.
    pub fn policy(self) -> Option<QueueFullPolicy> {
        match self.0 >> LEN_BITS {
            1 => Some(QueueFullPolicy::DropOldest),
            2 => Some(QueueFullPolicy::DropNewest),
            3 => Some(QueueFullPolicy::Reject),
            4 => Some(QueueFullPolicy::Block),
            _ => None,
        }
    }

    /// Terms that were asked for in an earlier life. More than can be asked for counts as nothing asked.
    pub fn restored(len_max: Option<u32>, policy: Option<QueueFullPolicy>) -> QueueTerms {
        QueueTerms::new(len_max.unwrap_or(LEN_UNASKED), policy)
    }

    /// The length that was asked for.
    pub fn asked_len(self) -> Option<u32> {
        Some(self.0 & LEN_UNASKED).filter(|asked| *asked != LEN_UNASKED)
    }

    /// How much the queue holds.
    pub fn bounds(self, config: &MqttConfig) -> Bounds {
        let configured = Bounds::of(config);
        let len_max = match self.0 & LEN_UNASKED {
            LEN_UNASKED => configured.len_max,
            asked => configured.len_max.min(asked as usize),
        };
        Bounds { len_max, policy: self.policy().unwrap_or(configured.policy), ..configured }
    }
}

fn len_max(value: &str, config: &MqttConfig) -> Result<u32, QueueTermsError> {
    let asked = value.parse().ok().filter(|asked| *asked < LEN_UNASKED);
    asked.filter(|asked| *asked as usize <= config.max_mqueue_len.0).ok_or(QueueTermsError::Len)
}

fn policy(value: &str) -> Result<QueueFullPolicy, QueueTermsError> {
    match value {
        "drop_oldest" => Ok(QueueFullPolicy::DropOldest),
        "drop_newest" => Ok(QueueFullPolicy::DropNewest),
        "reject" => Ok(QueueFullPolicy::Reject),
        "block" => Ok(QueueFullPolicy::Block),
        _ => Err(QueueTermsError::Policy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::ConnectProperties;
    use crate::config::Limit;

    fn connect(version: ProtocolVersion, properties: &[(&str, &str)]) -> Connect {
        let user_properties =
            properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Connect {
            version,
            bridge: false,
            clean_start: false,
            keep_alive_s: 0,
            client_id: "client".into(),
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties { user_properties, ..ConnectProperties::default() },
        }
    }

    #[test]
    fn a_client_may_ask_for_less_and_for_another_policy() {
        use QueueFullPolicy::{Block, DropNewest, DropOldest, Reject};
        let config = MqttConfig { max_mqueue_len: Limit(10), ..MqttConfig::default() };
        let of =
            |properties: &[(&str, &str)]| QueueTerms::of(&connect(ProtocolVersion::V5, properties), &config);
        for (properties, len_max, policy) in [
            (&[][..], 10, DropOldest),
            (&[("other", "x"), (LEN_PROPERTY, "0")], 0, DropOldest),
            (&[(LEN_PROPERTY, "10"), (POLICY_PROPERTY, "reject")], 10, Reject),
            (&[(LEN_PROPERTY, "7"), (LEN_PROPERTY, "3"), (POLICY_PROPERTY, "drop_newest")], 3, DropNewest),
            (&[(POLICY_PROPERTY, "drop_oldest")], 10, DropOldest),
            (&[(LEN_PROPERTY, "4"), (POLICY_PROPERTY, "block")], 4, Block),
        ] {
            let bounds = of(properties).expect("terms").bounds(&config);
            assert_eq!((bounds.len_max, bounds.policy), (len_max, policy), "{properties:?}");
        }
        let wrong_lens = ["11", "-1", "", "x", "536870911", "99999999999"].map(|value| (LEN_PROPERTY, value));
        let wrong_policies = ["wait", "", "Reject"].map(|value| (POLICY_PROPERTY, value));
        for wrong in wrong_lens.into_iter().chain(wrong_policies) {
            assert!(of(&[wrong]).is_err(), "{wrong:?}");
        }
        let older = connect(ProtocolVersion::V311, &[(LEN_PROPERTY, "x")]);
        assert_eq!(QueueTerms::of(&older, &config), Ok(QueueTerms::default()));
    }
}
