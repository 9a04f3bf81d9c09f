//! All bans, and the file in the data directory that keeps them. Whoever shares a list between threads guards it; nothing here
//! reads a clock.

use super::record::{Ban, Banned, BannedError, BannedKind};
use crate::json_lines::{JsonLines, LineError, ReadError};
use ringmq_core::authorization::{Network, Subject};
use ringmq_core::hash::SeededMap;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Bans a list can hold.
pub const BANS_MAX: usize = 100_000;
/// Bans by regular expression, each of which is compared at every CONNECT.
pub const PATTERNS_MAX: usize = 1000;
/// Bytes of the reason of a ban, and of who said so.
const NOTE_BYTES_MAX: usize = 4096;
const FILE: JsonLines =
    JsonLines { header: r#"{"format":"ringmq-banned","version":1}"#, line_bytes_max: 1 << 20 };

/// Why a ban is refused, or the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// The file cannot be read or written.
    #[error("cannot use the list of bans in {path}: {source}; correct its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{path}:{line}: {source}; correct the line, or restore the file from a copy")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        #[source]
        source: Box<BanError>,
    },
    /// Not a line of this file.
    #[error(transparent)]
    NoLine(#[from] LineError),
    /// Not a record.
    #[error("not a ban: {0}")]
    Json(#[from] serde_json::Error),
    /// Who is banned cannot be.
    #[error(transparent)]
    Who(#[from] BannedError),
    /// A note is too long.
    #[error("{0} has more than {1} bytes; shorten it")]
    TooLong(&'static str, u64),
    /// The list is full.
    #[error("there are {BANS_MAX} bans already; remove some, or ban networks")]
    Full,
    /// There are too many regular expressions.
    #[error("there are {PATTERNS_MAX} bans by regular expression already; remove some")]
    TooManyPatterns,
}

/// The bans.
#[derive(Debug, Default)]
pub struct Bans {
    clients: SeededMap<Box<str>, Ban>,
    users: SeededMap<Box<str>, Ban>,
    hosts: SeededMap<IpAddr, Ban>,
    networks: SeededMap<Network, Ban>,
    /// Lengths of prefixes of networks, with the number of networks that have each.
    prefixes: Vec<(u8, usize)>,
    patterns: Vec<Ban>,
    changes: u64,
}

impl Bans {
    /// Name of the file in the data directory.
    pub const FILE_NAME: &'static str = "banned.jsonl";

    /// The ban that keeps this client out at this time, if there is one. Bans by name and address are found by hash,
    /// networks with one look-up for each length of prefix, and regular expressions are compared one after another.
    pub fn find(&self, subject: &Subject, now_s: u64) -> Option<&Ban> {
        let user = subject.user_name.as_deref();
        let address = subject.peer.ip().to_canonical();
        let network = || {
            let networks = self.prefixes.iter().filter_map(|(bits, _)| Network::around(address, *bits));
            networks.filter_map(|network| self.networks.get(&network)).find(|ban| ban.holds_at(now_s))
        };
        let pattern = || {
            let mut patterns = self.patterns.iter().filter(|ban| ban.holds_at(now_s));
            patterns.find(|ban| match &ban.who {
                Banned::ClientPattern(wording, _) => wording.is(&subject.client_id),
                Banned::UserPattern(wording, _) => user.is_some_and(|name| wording.is(name)),
                _ => false,
            })
        };
        let by_name = [
            self.clients.get(&subject.client_id),
            user.and_then(|name| self.users.get(name)),
            self.hosts.get(&address),
        ];
        let by_name = by_name.into_iter().flatten().find(|ban| ban.holds_at(now_s));
        by_name.or_else(network).or_else(pattern)
    }

    /// Adds a ban, or replaces the one of the same kind for the same.
    ///
    /// # Errors
    /// The list is full, or a note is too long; nothing has changed then.
    pub fn add(&mut self, ban: Ban) -> Result<(), BanError> {
        for (name, note) in [("reason", &ban.reason), ("by", &ban.by)] {
            if note.len() > NOTE_BYTES_MAX {
                return Err(BanError::TooLong(name, NOTE_BYTES_MAX as u64));
            }
        }
        let replaced = self.remove(ban.who.kind(), &ban.who.to_string());
        let room = self.room_for(&ban);
        if let Err(error) = room {
            // Replacing never lacks room, so there was nothing to put back.
            debug_assert!(replaced.is_none());
            return Err(error);
        }
        self.changes += 1;
        match &ban.who {
            Banned::Client(id) => drop(self.clients.insert(id.clone(), ban)),
            Banned::User(name) => drop(self.users.insert(name.clone(), ban)),
            Banned::Host(address) => drop(self.hosts.insert(*address, ban)),
            Banned::Network(network) => {
                let network = *network;
                self.count_prefix(network.prefix_bits());
                self.networks.insert(network, ban);
            }
            Banned::ClientPattern(..) | Banned::UserPattern(..) => self.patterns.push(ban),
        }
        Ok(())
    }

    /// Takes a ban away.
    pub fn remove(&mut self, kind: BannedKind, who: &str) -> Option<Ban> {
        let removed = match kind {
            BannedKind::Client => self.clients.remove(who),
            BannedKind::User => self.users.remove(who),
            BannedKind::Host => {
                who.parse().ok().and_then(|address: IpAddr| self.hosts.remove(&address.to_canonical()))
            }
            BannedKind::Network => {
                let network: Option<Network> = who.parse().ok();
                let removed = network.and_then(|network| self.networks.remove(&network));
                if let (Some(network), Some(_)) = (network, &removed) {
                    self.discount_prefix(network.prefix_bits());
                }
                removed
            }
            BannedKind::ClientPattern | BannedKind::UserPattern => {
                let is_it = |ban: &Ban| ban.who.kind() == kind && ban.who.to_string() == who;
                let at = self.patterns.iter().position(is_it);
                at.map(|at| self.patterns.remove(at))
            }
        };
        self.changes += u64::from(removed.is_some());
        removed
    }

    /// Takes away all bans that no longer hold, and says how many those were.
    pub fn remove_expired(&mut self, now_s: u64) -> usize {
        let before = self.len();
        self.clients.retain(|_, ban| ban.holds_at(now_s));
        self.users.retain(|_, ban| ban.holds_at(now_s));
        self.hosts.retain(|_, ban| ban.holds_at(now_s));
        self.networks.retain(|_, ban| ban.holds_at(now_s));
        self.patterns.retain(|ban| ban.holds_at(now_s));
        let removed = before - self.len();
        self.recount_prefixes();
        self.changes += u64::from(removed > 0);
        removed
    }

    /// Every ban, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Ban> {
        let named = self.clients.values().chain(self.users.values());
        named.chain(self.hosts.values()).chain(self.networks.values()).chain(&self.patterns)
    }

    /// Number of bans, those included that no longer hold and were not removed.
    pub fn len(&self) -> usize {
        self.clients.len() + self.users.len() + self.hosts.len() + self.networks.len() + self.patterns.len()
    }

    /// Whether there is no ban.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that grows with every change: whoever saved the list at the same number has nothing to save.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Reads the file in a data directory, less the bans that no longer hold; without a file there are none.
    ///
    /// # Errors
    /// It cannot be read, or the first line that is wrong.
    pub fn load(data_dir: &Path, now_s: u64) -> Result<Bans, BanError> {
        let path = data_dir.join(Bans::FILE_NAME);
        let mut bans = Bans::default();
        match FILE.read(&path, |record| bans.take_record(record, now_s)) {
            Ok(()) => Ok(bans),
            Err(ReadError::Io(source)) => Err(BanError::Io { path, source }),
            Err(ReadError::Line(line, fault)) => Err(BanError::Line { path, line, source: Box::new(fault) }),
        }
    }

    /// Replaces the file in a data directory.
    ///
    /// # Errors
    /// It cannot be written; the old one is then still there.
    pub fn save(&self, data_dir: &Path) -> Result<(), BanError> {
        let path = data_dir.join(Bans::FILE_NAME);
        FILE.write(&path, self.iter().map(Line::of)).map_err(|source| BanError::Io { path, source })
    }

    fn take_record(&mut self, text: &[u8], now_s: u64) -> Result<(), BanError> {
        let Line { kind, who, by, reason, at, until } = serde_json::from_slice(text)?;
        let ban = Ban { who: Banned::parse(kind, &who)?, by, reason, at_s: at, until_s: until };
        if ban.holds_at(now_s) { self.add(ban) } else { Ok(()) }
    }

    fn room_for(&self, ban: &Ban) -> Result<(), BanError> {
        let is_pattern = matches!(ban.who, Banned::ClientPattern(..) | Banned::UserPattern(..));
        if is_pattern && self.patterns.len() >= PATTERNS_MAX {
            return Err(BanError::TooManyPatterns);
        }
        if self.len() >= BANS_MAX { Err(BanError::Full) } else { Ok(()) }
    }

    fn count_prefix(&mut self, bits: u8) {
        match self.prefixes.iter_mut().find(|(known, _)| *known == bits) {
            Some((_, count)) => *count += 1,
            None => self.prefixes.push((bits, 1)),
        }
    }

    fn discount_prefix(&mut self, bits: u8) {
        if let Some((_, count)) = self.prefixes.iter_mut().find(|(known, _)| *known == bits) {
            *count -= 1;
        }
        self.prefixes.retain(|(_, count)| *count > 0);
    }

    fn recount_prefixes(&mut self) {
        self.prefixes.clear();
        let lengths: Vec<u8> = self.networks.keys().map(Network::prefix_bits).collect();
        for bits in lengths {
            self.count_prefix(bits);
        }
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "as")]
    kind: BannedKind,
    who: String,
    #[serde(default)]
    by: Box<str>,
    #[serde(default)]
    reason: Box<str>,
    at: u64,
    /// Without it, the ban is for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl Line {
    fn of(ban: &Ban) -> Line {
        Line {
            kind: ban.who.kind(),
            who: ban.who.to_string(),
            by: ban.by.clone(),
            reason: ban.reason.clone(),
            at: ban.at_s,
            until: ban.until_s,
        }
    }
}
