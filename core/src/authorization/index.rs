//! The entries of a large policy by the levels of their filters, so that a decision takes the time of the topic's levels
//! and not of the rules.
//!
//! It only proposes entries: levels are known by their hash, and whether an entry matches is for the policy to say.

use crate::hash::{ProcessHasher, SeededMap};
use crate::topic::has_wildcard;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hasher};

/// No entry, or no node.
const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

/// A tree of levels.
#[derive(Debug)]
pub(super) struct Index {
    nodes: Vec<Node>,
    /// Child nodes by a hash of the node's number and the level. Two levels with one hash share a node.
    children: SeededMap<u64, u32>,
    /// The next entry that ends where this one does, in order.
    next: Box<[u32]>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The child for `+`.
    one: u32,
    /// The first entry that ends here.
    here: u32,
    /// The first entry that ends here with `#`.
    rest: u32,
}

impl Index {
    /// An index of entries, in order: the text of each, or none for one that matches everything, which is not proposed.
    pub fn of<'a>(entries: impl DoubleEndedIterator<Item = Option<&'a str>> + ExactSizeIterator) -> Index {
        let empty = Node { one: NONE, here: NONE, rest: NONE };
        let mut index = Index {
            nodes: vec![empty],
            children: SeededMap::default(),
            next: vec![NONE; entries.len()].into(),
        };
        // Backwards, so that each list begins with its first entry.
        for (at, text) in entries.enumerate().rev() {
            if let Some(text) = text {
                index.enter(at as u32, text);
            }
        }
        index.nodes.shrink_to_fit();
        index.children.shrink_to_fit();
        index
    }

    fn enter(&mut self, at: u32, text: &str) {
        let is_filter = has_wildcard(text);
        let (levels, is_open) = match text.strip_suffix('#').filter(|_| is_filter) {
            Some("") => (None, true),
            Some(before) if before.ends_with('/') => (before.strip_suffix('/'), true),
            _ => (Some(text), false),
        };
        let mut node = ROOT;
        for level in levels.iter().flat_map(|levels| levels.split('/')) {
            node = if level == "+" { self.one_of(node) } else { self.child_of(node, level) };
        }
        let node = &mut self.nodes[node as usize];
        let head = if is_open { &mut node.rest } else { &mut node.here };
        self.next[at as usize] = std::mem::replace(head, at);
    }

    fn one_of(&mut self, node: u32) -> u32 {
        if self.nodes[node as usize].one == NONE {
            self.nodes[node as usize].one = self.add_node();
        }
        self.nodes[node as usize].one
    }

    fn child_of(&mut self, node: u32, level: &str) -> u32 {
        let key = key(node, level);
        if let Some(child) = self.children.get(&key) {
            return *child;
        }
        let child = self.add_node();
        self.children.insert(key, child);
        child
    }

    fn add_node(&mut self) -> u32 {
        self.nodes.push(Node { one: NONE, here: NONE, rest: NONE });
        (self.nodes.len() - 1) as u32
    }

    /// The first entry from `from` on, and before `end`, that matches `asked`, a topic or a filter. `is_match` says which
    /// of the entries that may match do.
    pub fn find(&self, asked: &str, from: u32, end: u32, is_match: impl Fn(u32) -> bool) -> u32 {
        let mut best = end;
        // Nodes reached, each with what is left of the text; none when all levels have been taken.
        let mut open: SmallVec<[(u32, Option<&str>); 16]> = SmallVec::new();
        open.push((ROOT, Some(asked)));
        while let Some((at, rest)) = open.pop() {
            let node = self.nodes[at as usize];
            self.improve(&mut best, node.rest, from, &is_match);
            let Some(text) = rest else {
                self.improve(&mut best, node.here, from, &is_match);
                continue;
            };
            let (level, rest) = match text.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (text, None),
            };
            if node.one != NONE {
                open.push((node.one, rest));
            }
            if let Some(child) = self.children.get(&key(at, level)) {
                open.push((*child, rest));
            }
        }
        best
    }

    /// Takes the first entry of a list that matches, if it comes before the best one so far.
    fn improve(&self, best: &mut u32, head: u32, from: u32, is_match: &impl Fn(u32) -> bool) {
        let mut at = head;
        // Lists are in order, and NONE comes after everything.
        while at < *best {
            if at >= from && is_match(at) {
                *best = at;
                return;
            }
            at = self.next[at as usize];
        }
    }
}

fn key(node: u32, level: &str) -> u64 {
    let mut hasher = ProcessHasher.build_hasher();
    hasher.write_u32(node);
    hasher.write(level.as_bytes());
    hasher.finish()
}
