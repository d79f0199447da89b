//! Keys of objects to fields. Events of one source list the same keys in the same order, so each key remembers which
//! one came after it: comparing its bytes costs less than hashing them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use hashbrown::HashTable;

use crate::batch::{BatchBuilder, FieldId};

use super::scan::{Fault, Scanner};

const NONE: u32 = u32::MAX;
/// How many successors are compared before hashing: optional fields are often absent.
const LOOKAHEAD: usize = 3;

/// An object at one path; the first is the event itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NodeId(u32);

pub const EVENT: NodeId = NodeId(0);

/// One key of one object, spelled one way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId(u32);

struct Node {
    /// Path before and after renaming.
    source: String,
    path: String,
    first: u32,
}

struct Key {
    node: NodeId,
    /// As it stands in the text, with the closing quote.
    raw: Box<[u8]>,
    source: String,
    field: FieldId,
    object: u32,
    next: u32,
    seen: Seen,
}

/// When a key was last met, and the builder's marks around the members of its object.
#[derive(Clone, Copy, Default)]
struct Seen {
    event: u32,
    start: u32,
    end: u32,
}

pub struct Keys {
    nodes: Vec<Node>,
    keys: Vec<Key>,
    table: HashTable<u32>,
    hasher: RandomState,
    rename: HashMap<String, String>,
    event: u32,
}

impl Keys {
    pub fn new(rename: &HashMap<String, String>) -> Self {
        Keys {
            nodes: vec![Node { source: String::new(), path: String::new(), first: NONE }],
            keys: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::new(),
            rename: rename.clone(),
            event: 0,
        }
    }

    /// Keys met before this are no duplicates of later ones.
    pub fn begin_event(&mut self) {
        self.event = self.event.wrapping_add(1);
    }

    pub fn field(&self, key: KeyId) -> FieldId {
        self.keys[key.0 as usize].field
    }

    /// Read the next key of an object, after key `last` of it.
    #[inline]
    pub fn read(
        &mut self, scan: &mut Scanner<'_>, node: NodeId, last: Option<KeyId>, builder: &mut BatchBuilder,
    ) -> Result<KeyId, Fault> {
        scan.expect(b'"', "a key")?;
        let first = match last {
            Some(last) => self.keys[last.0 as usize].next,
            None => self.nodes[node.0 as usize].first,
        };
        let mut guess = first;
        for _ in 0..LOOKAHEAD {
            let Some(key) = self.keys.get(guess as usize) else { break };
            if key.node == node && scan.take(&key.raw) {
                return Ok(KeyId(guess));
            }
            guess = key.next;
        }
        let key = self.find(scan, node, builder)?;
        match last {
            Some(last) => self.keys[last.0 as usize].next = key.0,
            None => self.nodes[node.0 as usize].first = key.0,
        }
        Ok(key)
    }

    /// Note that a key was met. When the same event had it before, the values it had are forgotten.
    #[inline]
    pub fn meet(&mut self, key: KeyId, builder: &mut BatchBuilder) {
        let key = &mut self.keys[key.0 as usize];
        if key.seen.event == self.event {
            let forgotten = usize::from(builder.forget(key.field)) + builder.forget_between(key.seen.start, key.seen.end);
            builder.count_duplicates(forgotten);
        }
        key.seen = Seen { event: self.event, start: 0, end: 0 };
    }

    /// Note what the object of a key has put into the builder.
    pub fn note_members(&mut self, key: KeyId, start: u32, end: u32) {
        let seen = &mut self.keys[key.0 as usize].seen;
        (seen.start, seen.end) = (start, end);
    }

    /// The object that is the value of a key.
    pub fn object(&mut self, key: KeyId, builder: &BatchBuilder) -> NodeId {
        let Key { object, source, field, .. } = &mut self.keys[key.0 as usize];
        if *object == NONE {
            *object = self.nodes.len() as u32;
            let path = builder.path(*field).to_string();
            self.nodes.push(Node { source: source.clone(), path, first: NONE });
        }
        NodeId(*object)
    }

    /// Read a key that was not foreseen.
    fn find(&mut self, scan: &mut Scanner<'_>, node: NodeId, builder: &mut BatchBuilder) -> Result<KeyId, Fault> {
        let start = scan.at;
        scan.skip_to_quote()?;
        let raw = scan.since(start);
        let hash = hash(&self.hasher, node, raw.as_bytes());
        let is_same = |index: &u32| {
            let key = &self.keys[*index as usize];
            key.node == node && *key.raw == *raw.as_bytes()
        };
        if let Some(index) = self.table.find(hash, is_same) {
            return Ok(KeyId(*index));
        }
        let mut scratch = String::new();
        let name = Scanner::new(scan.since(start - 1), 0).string(&mut scratch)?.to_string();
        Ok(self.add(node, raw, &name, hash, builder))
    }

    fn add(&mut self, node: NodeId, raw: &str, name: &str, hash: u64, builder: &mut BatchBuilder) -> KeyId {
        let parent = &self.nodes[node.0 as usize];
        let source = join(node, &parent.source, name);
        let path = self.rename.get(&source).cloned().unwrap_or_else(|| join(node, &parent.path, name));
        let index = self.keys.len() as u32;
        self.keys.push(Key {
            node,
            raw: raw.as_bytes().into(),
            source,
            field: builder.field(&path),
            object: NONE,
            next: NONE,
            seen: Seen { event: self.event.wrapping_sub(1), start: 0, end: 0 },
        });
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.table.insert_unique(hash, index, |index| {
            let key = &keys[*index as usize];
            self::hash(hasher, key.node, &key.raw)
        });
        KeyId(index)
    }
}

fn hash(hasher: &RandomState, node: NodeId, raw: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write_u32(node.0);
    hasher.write(raw);
    hasher.finish()
}

fn join(node: NodeId, path: &str, name: &str) -> String {
    if node == EVENT { name.to_string() } else { format!("{path}.{name}") }
}
