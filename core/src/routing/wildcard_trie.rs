//! The wildcard filters of a [`super::FilterIndex`], as a trie over topic levels.
//!
//! All literal edges lie in one hash table keyed by (node, level id), so a node costs the same however many children it
//! has, and a level of a topic is hashed once however many nodes are looked at. Matching walks level by level over a
//! frontier of nodes: no recursion, each node looked at no more than once, filters that do not match cost nothing.

use super::level_table::{LevelId, LevelTable};
use crate::hash::ProcessHasher;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hasher};

/// A trie of fewer nodes than this is not worth compacting.
const COMPACTED_FROM: usize = 1024;
const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;
/// In [`Node::level`]: the node hangs on its parent's `+` edge.
const PLUS: u32 = u32::MAX;

#[derive(Debug, Clone)]
struct Node {
    parent: u32,
    /// Level id of the edge from the parent, or [`PLUS`]. In a free node: the next free node.
    level: u32,
    /// Child on the `+` edge.
    plus: u32,
    /// Number of children on literal edges.
    literals: u32,
    /// Value of the filter that ends here.
    ends_here: u32,
    /// Value of the filter that continues here with `#`.
    all_below: u32,
}

impl Node {
    fn new(parent: u32, level: u32) -> Node {
        Node { parent, level, plus: NONE, literals: 0, ends_here: NONE, all_below: NONE }
    }

    fn is_useless(&self) -> bool {
        self.plus == NONE && self.literals == 0 && self.ends_here == NONE && self.all_below == NONE
    }
}

/// One level of a filter, read from left to right.
enum Step<'a> {
    Literal(&'a str),
    Plus,
    All,
}

/// Splits a filter into steps; `#` is a step of its own only at the end.
fn steps(filter: &str) -> impl Iterator<Item = Step<'_>> {
    let mut levels = filter.split('/').peekable();
    std::iter::from_fn(move || {
        let level = levels.next()?;
        Some(match level {
            "+" => Step::Plus,
            "#" if levels.peek().is_none() => Step::All,
            _ => Step::Literal(level),
        })
    })
}

/// A trie from wildcard filters to values.
#[derive(Debug)]
pub(super) struct WildcardTrie<V> {
    levels: LevelTable,
    nodes: Vec<Node>,
    /// Head of the list of free nodes.
    free: u32,
    free_count: usize,
    /// Children on literal edges; the key, (parent, level), is read from the child.
    edges: HashTable<u32>,
    values: Slab<V>,
    #[cfg(test)]
    visits: std::cell::Cell<usize>,
}

impl<V> WildcardTrie<V> {
    pub(super) fn new() -> WildcardTrie<V> {
        WildcardTrie {
            levels: LevelTable::default(),
            nodes: Vec::new(),
            free: NONE,
            free_count: 0,
            edges: HashTable::new(),
            values: Slab::new(),
            #[cfg(test)]
            visits: std::cell::Cell::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn get(&self, filter: &str) -> Option<&V> {
        let (node, is_all) = self.find(filter)?;
        self.values.get(self.value_of(node, is_all) as usize)
    }

    pub(super) fn get_mut(&mut self, filter: &str) -> Option<&mut V> {
        let (node, is_all) = self.find(filter)?;
        let value = self.value_of(node, is_all);
        self.values.get_mut(value as usize)
    }

    /// The value of `filter`, created if it is new.
    pub(super) fn entry(&mut self, filter: &str) -> &mut V
    where
        V: Default,
    {
        let (node, is_all) = self.create(filter);
        let node = &mut self.nodes[node as usize];
        let value = if is_all { &mut node.all_below } else { &mut node.ends_here };
        if *value == NONE {
            *value = self.values.insert(V::default()) as u32;
        }
        &mut self.values[*value as usize]
    }

    /// Removes `filter` and every node that only it needed.
    pub(super) fn remove(&mut self, filter: &str) -> Option<V> {
        let (at, is_all) = self.find(filter)?;
        let node = &mut self.nodes[at as usize];
        let value = std::mem::replace(if is_all { &mut node.all_below } else { &mut node.ends_here }, NONE);
        let removed = self.values.try_remove(value as usize)?;
        self.prune(at);
        let live_count = self.nodes.len() - self.free_count;
        if self.values.is_empty() {
            *self = WildcardTrie::new();
        } else if self.nodes.len() > COMPACTED_FROM && live_count < self.nodes.len() / 8 {
            self.compact();
        }
        Some(removed)
    }

    /// Calls `found` with the value of every filter that matches `topic`.
    pub(super) fn for_each_match(&self, topic: &str, mut found: impl FnMut(&V)) {
        if self.is_empty() {
            return;
        }
        let mut frontier: SmallVec<[u32; 16]> = SmallVec::new();
        let mut next: SmallVec<[u32; 16]> = SmallVec::new();
        frontier.push(ROOT);
        // A leading wildcard does not match a topic that begins with `$`. [MQTT-4.7.2-1]
        let mut hides_wildcards = topic.starts_with('$');
        for level in topic.split('/') {
            // Hashed on first need: below a `+/+` chain no literal may be asked for at all.
            let mut level_id = None;
            for at in frontier.drain(..) {
                let node = self.visit(at);
                if !hides_wildcards {
                    self.emit(node.all_below, &mut found);
                    if node.plus != NONE {
                        next.push(node.plus);
                    }
                }
                if node.literals == 0 {
                    continue;
                }
                if let Some(level_id) = *level_id.get_or_insert_with(|| self.levels.find(level))
                    && let Some(child) = self.child(at, level_id)
                {
                    next.push(child);
                }
            }
            if next.is_empty() {
                return;
            }
            std::mem::swap(&mut frontier, &mut next);
            hides_wildcards = false;
        }
        for at in frontier {
            let node = self.visit(at);
            self.emit(node.ends_here, &mut found);
            // `a/#` matches `a` itself.
            self.emit(node.all_below, &mut found);
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        // A slab entry is a value or the index of the next free entry; both fit this pair's size.
        let value_bytes = size_of::<Result<V, usize>>();
        self.levels.heap_bytes()
            + self.nodes.capacity() * size_of::<Node>()
            + self.edges.allocation_size()
            + self.values.capacity() * value_bytes
    }

    /// Nodes looked at by all matches so far.
    #[cfg(test)]
    pub(super) fn visits(&self) -> usize {
        self.visits.get()
    }

    /// Nodes in use, the root not counted.
    #[cfg(test)]
    pub(super) fn live_nodes(&self) -> usize {
        (self.nodes.len() - self.free_count).saturating_sub(1)
    }

    /// Distinct level texts in use.
    #[cfg(test)]
    pub(super) fn live_levels(&self) -> usize {
        self.levels.len()
    }

    fn visit(&self, at: u32) -> &Node {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
        &self.nodes[at as usize]
    }

    fn emit(&self, value: u32, found: &mut impl FnMut(&V)) {
        if value != NONE {
            found(&self.values[value as usize]);
        }
    }

    fn value_of(&self, node: u32, is_all: bool) -> u32 {
        let node = &self.nodes[node as usize];
        if is_all { node.all_below } else { node.ends_here }
    }

    fn child(&self, parent: u32, level: LevelId) -> Option<u32> {
        let is_it = |child: &u32| {
            let node = &self.nodes[*child as usize];
            node.parent == parent && node.level == level.0
        };
        self.edges.find(edge_hash(parent, level.0), is_it).copied()
    }

    /// The node where `filter` ends, and whether its last level is `#`.
    fn find(&self, filter: &str) -> Option<(u32, bool)> {
        let mut at = ROOT;
        self.nodes.get(ROOT as usize)?;
        for step in steps(filter) {
            at = match step {
                Step::All => return Some((at, true)),
                Step::Plus => Some(self.nodes[at as usize].plus).filter(|child| *child != NONE)?,
                Step::Literal(level) => self.child(at, self.levels.find(level)?)?,
            };
        }
        Some((at, false))
    }

    /// As [`Self::find`], creating the nodes that are missing.
    fn create(&mut self, filter: &str) -> (u32, bool) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(NONE, PLUS));
        }
        let mut at = ROOT;
        for step in steps(filter) {
            at = match step {
                Step::All => return (at, true),
                Step::Plus => self.plus_child(at),
                Step::Literal(level) => self.literal_child(at, level),
            };
        }
        (at, false)
    }

    fn plus_child(&mut self, parent: u32) -> u32 {
        let child = self.nodes[parent as usize].plus;
        if child != NONE {
            return child;
        }
        let child = self.insert_node(Node::new(parent, PLUS));
        self.nodes[parent as usize].plus = child;
        child
    }

    fn literal_child(&mut self, parent: u32, level: &str) -> u32 {
        if let Some(child) = self.levels.find(level).and_then(|level| self.child(parent, level)) {
            return child;
        }
        let level = self.levels.acquire(level);
        let child = self.insert_node(Node::new(parent, level.0));
        self.nodes[parent as usize].literals += 1;
        self.insert_edge(child);
        child
    }

    /// Puts a node that hangs on a literal edge into the table of edges.
    fn insert_edge(&mut self, child: u32) {
        let nodes = &self.nodes;
        let hash_of = |child: &u32| {
            let node = &nodes[*child as usize];
            edge_hash(node.parent, node.level)
        };
        self.edges.insert_unique(hash_of(&child), child, hash_of);
    }

    fn insert_node(&mut self, node: Node) -> u32 {
        if self.free == NONE {
            self.nodes.push(node);
            return (self.nodes.len() - 1) as u32;
        }
        let at = self.free;
        self.free = self.nodes[at as usize].level;
        self.free_count -= 1;
        self.nodes[at as usize] = node;
        at
    }

    /// Frees `at` and its ancestors as far up as they serve no other filter. The root stays.
    fn prune(&mut self, mut at: u32) {
        while at != ROOT && self.nodes[at as usize].is_useless() {
            let Node { parent, level, .. } = self.nodes[at as usize];
            if level == PLUS {
                self.nodes[parent as usize].plus = NONE;
            } else {
                self.nodes[parent as usize].literals -= 1;
                if let Ok(edge) = self.edges.find_entry(edge_hash(parent, level), |child| *child == at) {
                    edge.remove();
                }
                self.levels.release(LevelId(level));
            }
            self.nodes[at as usize].level = self.free;
            self.free = at;
            self.free_count += 1;
            at = parent;
        }
    }

    /// Moves what is left of a trie that was large into one of its size. A free list alone would keep, for as long as
    /// one filter lives, the memory of all that ever lived at once.
    fn compact(&mut self) {
        let mut old = std::mem::replace(self, WildcardTrie::new());
        let mut moved_to = vec![NONE; old.nodes.len()];
        let mut live_count = 0;
        for (at, moved) in moved_to.iter_mut().enumerate() {
            // Pruning frees the useless nodes, and only those.
            if at as u32 == ROOT || !old.nodes[at].is_useless() {
                *moved = live_count;
                live_count += 1;
            }
        }
        let moved = |at: u32| if at == NONE { NONE } else { moved_to[at as usize] };
        self.nodes.reserve_exact(live_count as usize);
        for (at, node) in old.nodes.iter().enumerate().filter(|(at, _)| moved_to[*at] != NONE) {
            let mut value =
                |value| old.values.try_remove(value as usize).map(|value| self.values.insert(value) as u32);
            let is_literal = at as u32 != ROOT && node.level != PLUS;
            self.nodes.push(Node {
                parent: moved(node.parent),
                level: if is_literal {
                    self.levels.acquire(old.levels.text(LevelId(node.level))).0
                } else {
                    PLUS
                },
                plus: moved(node.plus),
                literals: node.literals,
                ends_here: value(node.ends_here).unwrap_or(NONE),
                all_below: value(node.all_below).unwrap_or(NONE),
            });
        }
        for at in 1..live_count {
            if self.nodes[at as usize].level != PLUS {
                self.insert_edge(at);
            }
        }
    }
}

fn edge_hash(parent: u32, level: u32) -> u64 {
    let mut hasher = ProcessHasher.build_hasher();
    hasher.write_u64(u64::from(parent) << 32 | u64::from(level));
    hasher.finish()
}
