//! Statements that were prepared, by name or number. Bounded: the oldest goes when there are too many.

use std::collections::VecDeque;

use crate::statement::Statement;

/// Applications prepare some dozens; a search through them costs less than a table would hold.
pub struct Prepared<K> {
    statements: VecDeque<(K, Statement)>,
    text_bytes: usize,
    limit: usize,
}

impl<K: PartialEq> Prepared<K> {
    /// Holds so many statements.
    pub fn new(limit: usize) -> Self {
        Prepared { statements: VecDeque::new(), text_bytes: 0, limit }
    }

    pub fn insert(&mut self, key: K, statement: Statement) {
        self.remove(|known| *known == key);
        if self.statements.len() >= self.limit {
            self.text_bytes -= self.statements.pop_front().map_or(0, |(_, oldest)| oldest.text.len());
        }
        self.text_bytes += statement.text.len();
        self.statements.push_back((key, statement));
    }

    /// The latest first: it is the most likely.
    pub fn get(&self, is_it: impl Fn(&K) -> bool) -> Option<&Statement> {
        self.statements.iter().rev().find(|(key, _)| is_it(key)).map(|(_, statement)| statement)
    }

    pub fn remove(&mut self, is_it: impl Fn(&K) -> bool) {
        self.statements.retain(|(key, _)| !is_it(key));
        self.text_bytes = self.statements.iter().map(|(_, statement)| statement.text.len()).sum();
    }

    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    pub fn held_bytes(&self) -> usize {
        self.statements.capacity() * size_of::<(K, Statement)>() + self.text_bytes
    }
}
