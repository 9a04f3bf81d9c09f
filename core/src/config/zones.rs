//! Zones: the `[mqtt]` sections that clients are served under, one for each zone of the listeners. Knows no listener.

use super::MqttConfig;

/// Names a zone's settings in the table of this process; another process may number them otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ZoneId(u8);

impl ZoneId {
    /// The zone of listeners that name none.
    pub const DEFAULT: ZoneId = ZoneId(0);
}

/// The settings of all zones: what a zone leaves out is as in the `[mqtt]` section. At most [`Zones::ZONES_MAX`].
#[derive(Debug, Clone, PartialEq)]
pub struct Zones {
    default: MqttConfig,
    /// By name; the first is number 1.
    others: Box<[(Box<str>, MqttConfig)]>,
    upgrades_qos: bool,
    copies_overlaps: bool,
    has_priorities: bool,
}

impl Zones {
    /// Zones beside [`ZoneId::DEFAULT`].
    pub const ZONES_MAX: usize = 254;
    /// The name of [`ZoneId::DEFAULT`].
    pub const DEFAULT_NAME: &str = "default";

    /// The settings of the zone `default`, and of those beside it by name. What is beyond [`Zones::ZONES_MAX`] is left out.
    pub fn new(default: MqttConfig, others: impl IntoIterator<Item = (String, MqttConfig)>) -> Zones {
        let others =
            others.into_iter().take(Zones::ZONES_MAX).map(|(name, settings)| (name.into(), settings));
        let others: Box<[(Box<str>, MqttConfig)]> = others.collect();
        let all = || std::iter::once(&default).chain(others.iter().map(|(_, settings)| settings));
        Zones {
            upgrades_qos: all().any(|settings| settings.upgrade_qos),
            copies_overlaps: all().any(|settings| settings.overlapping_subscription_copies),
            has_priorities: all().any(|settings| !settings.mqueue_priorities.is_empty()),
            default,
            others,
        }
    }

    /// The zone of this name.
    pub fn find(&self, name: &str) -> Option<ZoneId> {
        if name == Zones::DEFAULT_NAME {
            return Some(ZoneId::DEFAULT);
        }
        let place = self.others.iter().position(|(known, _)| **known == *name)?;
        u8::try_from(place + 1).ok().map(ZoneId)
    }

    /// The settings of a zone.
    #[inline]
    pub fn of(&self, zone: ZoneId) -> &MqttConfig {
        match zone {
            ZoneId::DEFAULT => &self.default,
            ZoneId(number) => {
                self.others.get(usize::from(number) - 1).map_or(&self.default, |(_, settings)| settings)
            }
        }
    }

    /// The name of a zone.
    pub fn name(&self, zone: ZoneId) -> &str {
        let other = usize::from(zone.0).checked_sub(1).and_then(|place| self.others.get(place));
        other.map_or(Zones::DEFAULT_NAME, |(name, _)| name)
    }

    /// Whether `upgrade_qos` is set in any of them.
    pub fn upgrade_qos(&self) -> bool {
        self.upgrades_qos
    }

    /// Whether `overlapping_subscription_copies` is set in any of them.
    pub fn copy_overlaps(&self) -> bool {
        self.copies_overlaps
    }

    /// Whether `mqueue_priorities` has any in any of them.
    pub fn has_priorities(&self) -> bool {
        self.has_priorities
    }
}

impl Default for Zones {
    fn default() -> Zones {
        Zones::from(MqttConfig::default())
    }
}

impl From<MqttConfig> for Zones {
    /// One zone for all.
    fn from(default: MqttConfig) -> Zones {
        Zones::new(default, [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_name_and_number() {
        let with = |max_inflight| MqttConfig { max_inflight, ..MqttConfig::default() };
        let upgrading = MqttConfig { upgrade_qos: true, ..with(3) };
        let zones = Zones::new(with(1), [("a".to_owned(), with(2)), ("b".to_owned(), upgrading)]);
        for (name, max_inflight) in [("default", 1), ("a", 2), ("b", 3)] {
            let zone = zones.find(name).unwrap();
            assert_eq!((zones.of(zone).max_inflight, zones.name(zone)), (max_inflight, name));
        }
        assert_eq!((zones.find("default"), zones.find("c")), (Some(ZoneId::DEFAULT), None));
        assert_eq!((zones.of(ZoneId(9)).max_inflight, zones.name(ZoneId(9))), (1, "default"));
        assert_eq!((zones.upgrade_qos(), zones.copy_overlaps()), (true, false));
        let many = Zones::new(with(1), (0..300).map(|n| (n.to_string(), with(2))));
        assert_eq!((many.find("253").map(|zone| zone.0), many.find("254")), (Some(254), None));
    }
}
