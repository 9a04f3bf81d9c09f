//! One ban: who, until when, why, and by whom.

use crate::authorization::{RegexError, Wording, Wordings};
use ringmq_core::authorization::{Network, NetworkError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Bytes of what names who is banned.
const WHO_BYTES_MAX: usize = 65_535;

/// By what a ban finds whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BannedKind {
    /// A client identifier.
    #[serde(rename = "clientid")]
    Client,
    /// A user name.
    #[serde(rename = "username")]
    User,
    /// An address.
    #[serde(rename = "peerhost")]
    Host,
    /// A network.
    #[serde(rename = "peerhost_net")]
    Network,
    /// A regular expression of client identifiers.
    #[serde(rename = "clientid_re")]
    ClientPattern,
    /// A regular expression of user names.
    #[serde(rename = "username_re")]
    UserPattern,
}

impl BannedKind {
    /// Its name in files and in the management API.
    pub const fn name(self) -> &'static str {
        match self {
            BannedKind::Client => "clientid",
            BannedKind::User => "username",
            BannedKind::Host => "peerhost",
            BannedKind::Network => "peerhost_net",
            BannedKind::ClientPattern => "clientid_re",
            BannedKind::UserPattern => "username_re",
        }
    }
}

/// Why this cannot be banned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BannedError {
    /// Nothing, or too much, to go by.
    #[error("a {0} of {1} bytes cannot be banned; name 1 to {WHO_BYTES_MAX} bytes")]
    Length(&'static str, usize),
    /// Not an address.
    #[error("peerhost {0:?} is not an IP address; ban networks as peerhost_net")]
    Address(String),
    /// Not a network.
    #[error("peerhost_net {0:?}: {1}")]
    Network(String, #[source] NetworkError),
    /// Not a regular expression that is allowed.
    #[error("{0}")]
    Regex(#[from] RegexError),
}

/// Who is banned.
#[derive(Debug, Clone)]
pub enum Banned {
    /// The client with this identifier.
    Client(Box<str>),
    /// Clients with this user name.
    User(Box<str>),
    /// Clients from this address.
    Host(IpAddr),
    /// Clients from this network.
    Network(Network),
    /// Clients whose identifier the expression matches, with its text.
    ClientPattern(Wording, Box<str>),
    /// Clients whose user name the expression matches, with its text.
    UserPattern(Wording, Box<str>),
}

impl Banned {
    /// Reads who is meant.
    ///
    /// # Errors
    /// The text is not of this kind.
    pub fn parse(kind: BannedKind, who: &str) -> Result<Banned, BannedError> {
        if who.is_empty() || who.len() > WHO_BYTES_MAX {
            return Err(BannedError::Length(kind.name(), who.len()));
        }
        let pattern = |text: &str| Wordings::default().pattern(text);
        Ok(match kind {
            BannedKind::Client => Banned::Client(who.into()),
            BannedKind::User => Banned::User(who.into()),
            BannedKind::Host => {
                let address: IpAddr = who.parse().map_err(|_| BannedError::Address(who.to_owned()))?;
                Banned::Host(address.to_canonical())
            }
            BannedKind::Network => {
                Banned::Network(who.parse().map_err(|error| BannedError::Network(who.to_owned(), error))?)
            }
            BannedKind::ClientPattern => Banned::ClientPattern(pattern(who)?, who.into()),
            BannedKind::UserPattern => Banned::UserPattern(pattern(who)?, who.into()),
        })
    }

    /// By what it finds whom it is for.
    pub fn kind(&self) -> BannedKind {
        match self {
            Banned::Client(_) => BannedKind::Client,
            Banned::User(_) => BannedKind::User,
            Banned::Host(_) => BannedKind::Host,
            Banned::Network(_) => BannedKind::Network,
            Banned::ClientPattern(..) => BannedKind::ClientPattern,
            Banned::UserPattern(..) => BannedKind::UserPattern,
        }
    }
}

impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Banned::Client(text)
            | Banned::User(text)
            | Banned::ClientPattern(_, text)
            | Banned::UserPattern(_, text) => f.write_str(text),
            Banned::Host(address) => address.fmt(f),
            Banned::Network(network) => network.fmt(f),
        }
    }
}

/// A ban.
#[derive(Debug, Clone)]
pub struct Ban {
    /// Who.
    pub who: Banned,
    /// Who said so.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// Since when, in seconds since 1970.
    pub at_s: u64,
    /// Until when, in seconds since 1970; none for good.
    pub until_s: Option<u64>,
}

impl Ban {
    /// Whether it holds at this time.
    pub fn holds_at(&self, now_s: u64) -> bool {
        self.until_s.is_none_or(|until| now_s < until)
    }
}
