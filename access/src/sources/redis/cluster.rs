//! A cluster: keys belong to slots, slots to servers, and a server that is asked for another's slot says whose it is.

use super::link::{Login, accepted};
use super::resp::Reply;
use super::servers::{RedisConnector, ask};
use crate::sources::error::SourceError;
use crate::sources::net::{Endpoint, Pool, PoolTerms};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often one question may be sent on.
const HOPS_MAX: usize = 5;
/// The most servers a cluster has; what names more is not followed.
const NODES_MAX: usize = 1_000;
/// Slots of every cluster.
const SLOTS: u16 = 16_384;

type Node = Arc<Pool<RedisConnector>>;

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    seeds: Vec<Endpoint>,
    login: Login,
    terms: PoolTerms,
    map: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    nodes: HashMap<(Box<str>, u16), Node>,
    /// What servers said about slots.
    slots: HashMap<u16, Endpoint>,
}

/// Where to go on.
enum Hint {
    /// The slot is there from now on.
    Moved,
    /// This key is there already.
    Ask,
}

impl Cluster {
    /// The cluster that these servers belong to.
    pub fn new(seeds: Vec<Endpoint>, login: Login, terms: PoolTerms) -> Cluster {
        Cluster { seeds, login, terms, map: Mutex::default() }
    }

    /// Sends a command whose second word is the key to the server that has it.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn ask(&self, words: &[&[u8]]) -> Result<Reply, SourceError> {
        let slot = slot_of(words.get(1).copied().unwrap_or_default());
        let known = self.lock().slots.get(&slot).cloned();
        let mut failure = SourceError::Waiting;
        for endpoint in known.into_iter().chain(self.seeds.iter().cloned()) {
            let deadline = tokio::time::timeout(self.terms.timeout, self.follow(slot, endpoint, words));
            match deadline.await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error @ SourceError::Refused(_))) => return Err(error),
                Ok(Err(error)) => failure = error,
                // The time of the question is over.
                Err(_) => {
                    self.lock().slots.remove(&slot);
                    return Err(SourceError::Timeout);
                }
            }
            // Whoever had it may be gone.
            self.lock().slots.remove(&slot);
        }
        Err(failure)
    }

    async fn follow(&self, slot: u16, mut endpoint: Endpoint, words: &[&[u8]]) -> Result<Reply, SourceError> {
        let mut is_asking = false;
        for _ in 0..HOPS_MAX {
            let node = self.node(&endpoint)?;
            let reply = ask(&node, words, is_asking).await?;
            let Some((hint, next)) = read_hint(&reply, &endpoint) else { return accepted(reply) };
            is_asking = matches!(hint, Hint::Ask);
            if !is_asking {
                self.lock().slots.insert(slot, next.clone());
            }
            endpoint = next;
        }
        Err(SourceError::Answer("the servers of the cluster send a key round in circles"))
    }

    fn node(&self, endpoint: &Endpoint) -> Result<Node, SourceError> {
        let mut map = self.lock();
        let key = (endpoint.host.clone(), endpoint.port);
        if let Some(node) = map.nodes.get(&key) {
            return Ok(Arc::clone(node));
        }
        if map.nodes.len() == NODES_MAX {
            return Err(SourceError::Answer("the cluster has more than 1000 servers"));
        }
        let connector = RedisConnector::to(endpoint.clone(), self.login.clone());
        let node = Arc::new(Pool::new(connector, self.terms));
        map.nodes.insert(key, Arc::clone(&node));
        Ok(node)
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `MOVED 3999 127.0.0.1:6381` or `ASK 3999 127.0.0.1:6381`; without host it is the same one.
fn read_hint(reply: &Reply, from: &Endpoint) -> Option<(Hint, Endpoint)> {
    let Reply::Error(text) = reply else { return None };
    let mut words = text.split(' ');
    let hint = match words.next()? {
        "MOVED" => Hint::Moved,
        "ASK" => Hint::Ask,
        _ => return None,
    };
    let (host, port) = words.nth(1)?.rsplit_once(':')?;
    let host = if host.is_empty() { from.host.clone() } else { host.into() };
    Some((hint, Endpoint { host, port: port.parse().ok()?, tls: from.tls.clone() }))
}

/// The slot of a key: CRC16 (XMODEM) of what stands between the first `{` and the next `}`, or else of all of it.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|end| *end > 0).map(|end| &rest[..end])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8)
            .fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    crc % SLOTS
}
