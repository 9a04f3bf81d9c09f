//! The wildcard filters of a [`super::FilterIndex`], as a trie over topic levels that has nodes only where filters part.
//!
//! A filter is a leaf, which hangs below the levels it shares with any other filter and holds the rest of its text: a filter of
//! many levels costs one record, a level's text is stored where it leads and nowhere else, and the trie's shape depends on
//! what is in it, not on what came first. All literal edges lie in one hash table, so a node costs the same however many
//! children it has, and a level of a topic is hashed once however many nodes are looked at. Matching walks level by level over
//! a frontier of nodes: no recursion, each node and each leaf looked at no more than once, filters that do not match cost
//! nothing.

use crate::hash::hash_str;
use crate::shelf::Shelf;
use compact_str::CompactString;
use hashbrown::HashTable;
use smallvec::SmallVec;

/// A trie that never had more records than this is not worth compacting.
const COMPACTED_FROM: usize = 1024;
const ROOT: u32 = 0;
/// In a [`Child`]: it is a leaf.
const LEAF: u32 = 1 << 31;

/// What hangs on an edge: a node or a leaf, by its number, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Child(u32);

impl Child {
    const NOTHING: Child = Child(u32::MAX);

    fn of_leaf(leaf: u32) -> Child {
        Child(leaf | LEAF)
    }

    fn is_something(self) -> bool {
        self != Child::NOTHING
    }

    fn to_leaf(self) -> Option<u32> {
        (self.is_something() && self.0 & LEAF != 0).then_some(self.0 & !LEAF)
    }

    fn to_node(self) -> Option<u32> {
        (self.0 & LEAF == 0).then_some(self.0)
    }
}

/// A place where at least two filters have been the same and part, or go on together. The root is one in any case.
#[derive(Debug)]
struct Node {
    parent: u32,
    /// Level of the edge from the parent.
    level: CompactString,
    /// Child on the `+` edge.
    plus: Child,
    /// The leaf of the filter that ends here.
    ends_here: Child,
    /// The leaf of the filter that continues here with `#`.
    all_below: Child,
    /// Number of children on literal edges, and all of them under exclusive or: which one is left when there is one.
    literals: u32,
    literals_mixed: u32,
}

impl Node {
    fn new(parent: u32, level: &str) -> Node {
        Node {
            parent,
            level: level.into(),
            plus: Child::NOTHING,
            ends_here: Child::NOTHING,
            all_below: Child::NOTHING,
            literals: 0,
            literals_mixed: 0,
        }
    }

    fn places(&self) -> [Child; 3] {
        [self.plus, self.ends_here, self.all_below]
    }

    /// What hangs here, if it is one thing.
    fn only_child(&self) -> Option<Child> {
        let mut children = self.places().into_iter().filter(|child| child.is_something());
        match (self.literals, children.next(), children.next()) {
            (1, None, _) => Some(Child(self.literals_mixed)),
            (0, only, None) => only,
            _ => None,
        }
    }

    fn is_bare(&self) -> bool {
        self.literals == 0 && !self.places().iter().any(|child| child.is_something())
    }
}

/// A filter.
#[derive(Debug)]
struct Leaf<V> {
    parent: u32,
    /// What the filter has below its parent; empty if it ends there, which only the parent tells from an empty level.
    rest: CompactString,
    value: V,
}

/// How a filter goes on below a node.
enum Step<'a> {
    End,
    All,
    Plus,
    Literal(&'a str),
}

impl<'a> Step<'a> {
    /// The first step of what is left of a filter; `#` is a step of its own only at the end.
    fn of(rest: Option<&'a str>) -> Step<'a> {
        match rest.map(|rest| (rest, split_level(rest).0)) {
            None => Step::End,
            Some(("#", _)) => Step::All,
            Some((_, "+")) => Step::Plus,
            Some((_, level)) => Step::Literal(level),
        }
    }
}

/// Where the way of a filter along the nodes ends.
struct End<'a> {
    /// The last node.
    at: u32,
    /// What the filter has below it.
    rest: Option<&'a str>,
    /// What hangs where it goes on: nothing, or a leaf, its own or one that shares the next level with it.
    child: Child,
}

/// A trie from wildcard filters to values.
#[derive(Debug)]
pub(super) struct WildcardTrie<V> {
    nodes: Shelf<Node>,
    leaves: Shelf<Leaf<V>>,
    /// Children on literal edges; the key, parent and level, is read from the child.
    edges: HashTable<Child>,
    text_bytes: usize,
    #[cfg(test)]
    visits: std::cell::Cell<usize>,
}

impl<V> WildcardTrie<V> {
    pub(super) fn new() -> WildcardTrie<V> {
        WildcardTrie {
            nodes: Shelf::default(),
            leaves: Shelf::default(),
            edges: HashTable::new(),
            text_bytes: 0,
            #[cfg(test)]
            visits: std::cell::Cell::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.leaves.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    pub(super) fn get(&self, filter: &str) -> Option<&V> {
        let leaf = self.find(filter)?;
        Some(&self.leaves[leaf as usize].value)
    }

    pub(super) fn get_mut(&mut self, filter: &str) -> Option<&mut V> {
        let leaf = self.find(filter)?;
        Some(&mut self.leaves[leaf as usize].value)
    }

    /// The value of `filter`, created if it is new.
    pub(super) fn entry(&mut self, filter: &str) -> &mut V
    where
        V: Default,
    {
        let leaf = match self.find(filter) {
            Some(leaf) => leaf,
            None => self.insert(filter, V::default()),
        };
        &mut self.leaves[leaf as usize].value
    }

    /// Removes `filter` and every node that only it needed.
    pub(super) fn remove(&mut self, filter: &str) -> Option<V> {
        let leaf = self.find(filter)?;
        self.detach(Child::of_leaf(leaf));
        let Leaf { parent, rest, value } = self.leaves.try_remove(leaf as usize)?;
        self.text_bytes -= heap_bytes_of(&rest);
        self.fold(parent);
        let has_few = |len: usize, end: usize| end > COMPACTED_FROM && len < end / 8;
        if self.leaves.is_empty() {
            *self = WildcardTrie::new();
        } else if has_few(self.leaves.len(), self.leaves.end()) || has_few(self.nodes.len(), self.nodes.end())
        {
            self.compact();
        }
        Some(value)
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
        let mut rest = Some(topic);
        while let Some((level, below)) = rest.map(split_level) {
            // Hashed on first need: below a `+/+` chain no literal may be asked for at all.
            let mut level_hash = None;
            for at in frontier.drain(..) {
                let node = self.visit(at);
                if !hides_wildcards {
                    self.emit(node.all_below, &mut found);
                    self.follow(node.plus, below, &mut next, &mut found);
                }
                if node.literals > 0 {
                    let hash = *level_hash.get_or_insert_with(|| hash_str(level));
                    self.follow(self.literal_child(at, level, hash), below, &mut next, &mut found);
                }
            }
            if next.is_empty() {
                return;
            }
            std::mem::swap(&mut frontier, &mut next);
            hides_wildcards = false;
            rest = below;
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
        self.nodes.heap_bytes() + self.leaves.heap_bytes() + self.edges.allocation_size() + self.text_bytes
    }

    /// Nodes and leaves looked at by all matches so far.
    #[cfg(test)]
    pub(super) fn visits(&self) -> usize {
        self.visits.get()
    }

    /// Nodes in use, the root not counted.
    #[cfg(test)]
    pub(super) fn live_nodes(&self) -> usize {
        self.nodes.len().saturating_sub(1)
    }

    /// Bytes of texts that are not in place.
    #[cfg(test)]
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The nodes, and the leaves with what they hang on, as text: the same for two tries of the same shape.
    #[cfg(test)]
    pub(super) fn shape(&self) -> Vec<String> {
        let nodes = self.nodes.iter().map(|(at, _)| self.path(at as u32).join("/"));
        let leaves =
            self.leaves.iter().map(|(_, leaf)| format!("{:?} {}", self.path(leaf.parent), leaf.rest));
        let mut shape: Vec<String> = nodes.chain(leaves).collect();
        shape.sort_unstable();
        shape
    }

    fn visit(&self, at: u32) -> &Node {
        self.count_visit();
        &self.nodes[at as usize]
    }

    fn count_visit(&self) {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
    }

    /// A leaf that matches.
    fn emit(&self, child: Child, found: &mut impl FnMut(&V)) {
        if let Some(leaf) = child.to_leaf() {
            self.count_visit();
            found(&self.leaves[leaf as usize].value);
        }
    }

    /// Goes on to what a topic with these levels below reaches on an edge.
    fn follow(
        &self,
        child: Child,
        below: Option<&str>,
        next: &mut SmallVec<[u32; 16]>,
        found: &mut impl FnMut(&V),
    ) {
        if let Some(node) = child.to_node() {
            return next.push(node);
        }
        if let Some(leaf) = child.to_leaf() {
            self.count_visit();
            let leaf = &self.leaves[leaf as usize];
            if rest_matches(split_level(&leaf.rest).1, below) {
                found(&leaf.value);
            }
        }
    }

    fn literal_child(&self, parent: u32, level: &str, level_hash: u64) -> Child {
        let is_it = |child: &Child| {
            let (from, text) = self.edge_of(*child);
            from == parent && begins_with_level(text, level)
        };
        self.edges.find(edge_hash(parent, level_hash), is_it).copied().unwrap_or(Child::NOTHING)
    }

    /// The edge that `child` hangs on: from which node, and a text that begins with its level.
    fn edge_of(&self, child: Child) -> (u32, &str) {
        edge_of(&self.nodes, &self.leaves, child)
    }

    /// Follows `filter` as far as there are nodes.
    fn walk<'a>(&self, filter: &'a str) -> End<'a> {
        let mut at = ROOT;
        let mut rest = Some(filter);
        loop {
            let node = &self.nodes[at as usize];
            let child = match Step::of(rest) {
                Step::End => node.ends_here,
                Step::All => node.all_below,
                Step::Plus => node.plus,
                Step::Literal(level) => self.literal_child(at, level, hash_str(level)),
            };
            let Some(node) = child.to_node() else { return End { at, rest, child } };
            at = node;
            rest = rest.and_then(|rest| split_level(rest).1);
        }
    }

    /// The leaf of `filter`.
    fn find(&self, filter: &str) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let End { rest, child, .. } = self.walk(filter);
        child.to_leaf().filter(|leaf| self.leaves[*leaf as usize].rest == rest.unwrap_or_default())
    }

    /// Adds a filter that is not there; its leaf.
    fn insert(&mut self, filter: &str, value: V) -> u32 {
        if self.nodes.is_empty() {
            self.nodes.insert(Node::new(ROOT, ""));
        }
        let End { mut at, mut rest, child } = self.walk(filter);
        if let Some(other) = child.to_leaf() {
            (at, rest) = self.part(at, rest, other);
        }
        let text = CompactString::from(rest.unwrap_or_default());
        self.text_bytes += heap_bytes_of(&text);
        let leaf = self.leaves.insert(Leaf { parent: at, rest: text, value }) as u32;
        self.attach(at, rest, Child::of_leaf(leaf));
        leaf
    }

    /// Makes a node of each level that a filter, `rest` of which lies below `at`, has in common with the leaf that is in its
    /// way. Returns the last of these nodes and what the filter has below that.
    fn part<'a>(&mut self, mut at: u32, mut rest: Option<&'a str>, leaf: u32) -> (u32, Option<&'a str>) {
        self.detach(Child::of_leaf(leaf));
        let text = std::mem::take(&mut self.leaves[leaf as usize].rest);
        self.text_bytes -= heap_bytes_of(&text);
        let mut others = Some(&*text);
        while let (Some(one), Some(other)) = (rest, others) {
            let (level, below) = split_level(one);
            if level != split_level(other).0 || one == "#" || other == "#" {
                break;
            }
            let node = self.nodes.insert(Node::new(at, level)) as u32;
            self.text_bytes += heap_bytes_of(level);
            self.attach(at, rest, Child(node));
            at = node;
            rest = below;
            others = split_level(other).1;
        }
        self.hang(at, others, leaf);
        (at, rest)
    }

    /// Hangs a leaf that hung nowhere below `at`.
    fn hang(&mut self, at: u32, rest: Option<&str>, number: u32) {
        let leaf = &mut self.leaves[number as usize];
        leaf.parent = at;
        leaf.rest = rest.unwrap_or_default().into();
        self.text_bytes += heap_bytes_of(&leaf.rest);
        self.attach(at, rest, Child::of_leaf(number));
    }

    /// Puts `child` where the filters go on that have `rest` below `at`.
    fn attach(&mut self, at: u32, rest: Option<&str>, child: Child) {
        let node = &mut self.nodes[at as usize];
        match Step::of(rest) {
            Step::End => node.ends_here = child,
            Step::All => node.all_below = child,
            Step::Plus => node.plus = child,
            Step::Literal(level) => {
                node.literals += 1;
                node.literals_mixed ^= child.0;
                let hash_of = |child: &Child| {
                    let (parent, text) = edge_of(&self.nodes, &self.leaves, *child);
                    edge_hash(parent, hash_str(split_level(text).0))
                };
                self.edges.insert_unique(edge_hash(at, hash_str(level)), child, hash_of);
            }
        }
    }

    /// Takes `child` from where it hangs.
    fn detach(&mut self, child: Child) {
        let (parent, text) = self.edge_of(child);
        let hash = edge_hash(parent, hash_str(split_level(text).0));
        let node = &mut self.nodes[parent as usize];
        for place in [&mut node.plus, &mut node.ends_here, &mut node.all_below] {
            if *place == child {
                *place = Child::NOTHING;
                return;
            }
        }
        node.literals -= 1;
        node.literals_mixed ^= child.0;
        if let Ok(edge) = self.edges.find_entry(hash, |other| *other == child) {
            edge.remove();
        }
    }

    /// If one leaf is all that is left below `at`, the leaf takes the place of the nodes that have served it alone.
    fn fold(&mut self, mut at: u32) {
        if at == ROOT {
            return;
        }
        let node = &self.nodes[at as usize];
        let Some(leaf) = node.only_child().and_then(Child::to_leaf) else { return };
        let ends_here = node.ends_here == Child::of_leaf(leaf);
        self.detach(Child::of_leaf(leaf));
        let rest = std::mem::take(&mut self.leaves[leaf as usize].rest);
        self.text_bytes -= heap_bytes_of(&rest);
        let mut levels = Vec::new();
        if !ends_here {
            levels.push(rest);
        }
        while at != ROOT && self.nodes[at as usize].is_bare() {
            self.detach(Child(at));
            let Some(node) = self.nodes.try_remove(at as usize) else { return };
            self.text_bytes -= heap_bytes_of(&node.level);
            levels.push(node.level);
            at = node.parent;
        }
        levels.reverse();
        self.hang(at, Some(&levels.join("/")), leaf);
    }

    /// Moves what is left of a trie that was large into one of its size. Places that are free would keep, for as long as
    /// one filter lives, the memory of all that ever lived at once.
    fn compact(&mut self) {
        let mut old = std::mem::replace(self, WildcardTrie::new());
        let leaves: Vec<u32> = old.leaves.iter().map(|(leaf, _)| leaf as u32).collect();
        self.edges.reserve(leaves.len(), |_| 0);
        for number in leaves {
            let leaf = &old.leaves[number as usize];
            let ends_above = old.nodes[leaf.parent as usize].ends_here == Child::of_leaf(number);
            let mut filter = old.path(leaf.parent);
            if !ends_above {
                filter.push(&leaf.rest);
            }
            let filter = filter.join("/");
            if let Some(leaf) = old.leaves.try_remove(number as usize) {
                self.insert(&filter, leaf.value);
            }
        }
    }

    /// The levels from the root to a node.
    fn path(&self, mut at: u32) -> Vec<&str> {
        let mut levels = Vec::new();
        while at != ROOT {
            let node = &self.nodes[at as usize];
            levels.push(&*node.level);
            at = node.parent;
        }
        levels.reverse();
        levels
    }
}

fn edge_of<'a, V>(nodes: &'a Shelf<Node>, leaves: &'a Shelf<Leaf<V>>, child: Child) -> (u32, &'a str) {
    if child.0 & LEAF == 0 {
        let node = &nodes[child.0 as usize];
        return (node.parent, &node.level);
    }
    let leaf = &leaves[(child.0 & !LEAF) as usize];
    (leaf.parent, &leaf.rest)
}

/// The hash of a level's text is seeded, so a peer cannot choose edges that collide; the parent only has to spread them.
fn edge_hash(parent: u32, level_hash: u64) -> u64 {
    level_hash ^ u64::from(parent).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The first level, and what is below it.
fn split_level(text: &str) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == b'/') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn begins_with_level(text: &str, level: &str) -> bool {
    text.strip_prefix(level).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether what is left of a filter matches what is left of a topic, neither at its beginning.
fn rest_matches(mut filter: Option<&str>, mut topic: Option<&str>) -> bool {
    while let Some(wanted) = filter {
        // It matches all levels below, and the one above it by itself.
        if wanted == "#" {
            return true;
        }
        let Some(levels) = topic else { return false };
        let (level, topic_below) = split_level(levels);
        let (wanted, filter_below) = split_level(wanted);
        if wanted != "+" && wanted != level {
            return false;
        }
        filter = filter_below;
        topic = topic_below;
    }
    topic.is_none()
}

/// Bytes a text takes from the allocator: short ones are stored in place.
pub(super) fn heap_bytes_of(text: &str) -> usize {
    if text.len() <= size_of::<CompactString>() { 0 } else { text.len() }
}
