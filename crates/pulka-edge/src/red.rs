//! Rate, errors and duration, per process, side, operation, status and peer: bounded keys, with the slowest and a failing one of each.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use hashbrown::{Equivalent, HashMap};
use pulka_l7::transaction::Transaction;

use crate::histogram::Histogram;

/// The process at one end: 0 when it is not known.
pub type Process = u32;

/// The other end. Ephemeral ports are left out: of a server's peers only the address is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// On this machine.
    pub process: Process,
    pub address: Option<IpAddr>,
    /// The server's port, of either side.
    pub port: u16,
}

/// Who counts: one end of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    pub process: Process,
    /// This end sent the request.
    pub is_client: bool,
    pub tls: bool,
    pub peer: Peer,
    /// Its own address, where the peer is not on this machine: both ends tell the same two addresses, by which they are found to be one call.
    pub own: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub end: End,
    pub protocol: &'static str,
    pub operation: String,
    pub target: String,
    pub status: String,
    pub error: Option<String>,
}

struct Borrowed<'a> {
    end: End,
    transaction: &'a Transaction,
}

fn hash_parts<H: Hasher>(end: &End, parts: [&str; 4], error: Option<&str>, state: &mut H) {
    end.hash(state);
    parts.hash(state);
    error.hash(state);
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_parts(&self.end, [self.protocol, &self.operation, &self.target, &self.status], self.error.as_deref(), state);
    }
}

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let t = self.transaction;
        hash_parts(&self.end, [t.protocol, &t.operation, &t.target, &t.status], t.error.as_deref(), state);
    }
}

impl Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let t = self.transaction;
        self.end == key.end
            && t.protocol == key.protocol
            && t.operation == key.operation.as_str()
            && t.target == key.target.as_str()
            && t.status == key.status.as_str()
            && t.error.as_deref() == key.error.as_deref()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Seconds. One-way messages are counted without a duration.
    pub durations: Histogram,
    pub one_way: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// The slowest one, and the last that failed.
    pub slowest: Option<Transaction>,
    pub failing: Option<Transaction>,
}

impl Series {
    fn add(&mut self, transaction: Transaction) {
        self.request_bytes += transaction.request_bytes;
        self.response_bytes += transaction.response_bytes;
        if transaction.is_one_way() {
            self.one_way += 1;
            return;
        }
        self.durations.record(transaction.duration_ns() as f64 / 1e9);
        if self.slowest.as_ref().is_none_or(|slowest| slowest.duration_ns() < transaction.duration_ns()) {
            if transaction.error.is_some() {
                self.failing = Some(transaction.clone());
            }
            self.slowest = Some(transaction);
        } else if transaction.error.is_some() && self.failing.is_none() {
            self.failing = Some(transaction);
        }
    }
}

/// What an operation is called once there are too many.
pub const OTHER: &str = "other";
const NOBODY: End = End { process: 0, is_client: false, tls: false, peer: Peer { process: 0, address: None, port: 0 }, own: None };

fn key_of(end: End, transaction: &Transaction) -> Key {
    Key {
        end,
        protocol: transaction.protocol,
        operation: transaction.operation.to_string(),
        target: transaction.target.to_string(),
        status: transaction.status.to_string(),
        error: transaction.error.as_deref().map(str::to_owned),
    }
}

pub struct Red {
    series: HashMap<Key, Series, ahash::RandomState>,
    keys_max: usize,
    pub overflowed: u64,
}

impl Red {
    pub fn new(keys_max: usize) -> Red {
        Red { series: HashMap::default(), keys_max, overflowed: 0 }
    }

    pub fn add(&mut self, end: End, mut transaction: Transaction) {
        let borrowed = Borrowed { end, transaction: &transaction };
        if let Some(series) = self.series.get_mut(&borrowed) {
            return series.add(transaction);
        }
        let key = self.key(end, &mut transaction);
        self.series.entry(key).or_default().add(transaction);
    }

    /// With room its own; beyond, operations of an end are one; at twice the bound ends are one as well, so that nothing stays uncounted.
    fn key(&mut self, end: End, transaction: &mut Transaction) -> Key {
        let full = self.series.len() >= self.keys_max;
        self.overflowed += u64::from(full);
        if full {
            (transaction.operation, transaction.target) = (OTHER.into(), "".into());
        }
        let key = key_of(end, transaction);
        if self.series.len() < self.keys_max * 2 || self.series.contains_key(&key) {
            return key;
        }
        transaction.status = "".into();
        transaction.error = transaction.error.take().map(|_| OTHER.into());
        key_of(NOBODY, transaction)
    }

    /// What was counted since it was taken last.
    pub fn series(&self) -> impl Iterator<Item = (&Key, &Series)> {
        self.series.iter()
    }

    /// Everything since the last time.
    pub fn take(&mut self) -> Vec<(Key, Series)> {
        self.series.drain().collect()
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(process: Process) -> End {
        End { process, is_client: false, tls: false, peer: Peer { process: 0, address: None, port: 80 }, own: None }
    }

    fn transaction(target: &str, ms: i64, error: Option<&'static str>) -> Transaction {
        Transaction {
            protocol: "http1",
            operation: "GET".into(),
            target: target.to_owned().into(),
            error: error.map(Into::into),
            end_ns: ms * 1_000_000,
            ..Transaction::default()
        }
    }

    #[test]
    fn equal_transactions_share_a_series_that_keeps_the_slowest_and_a_failing_one() {
        let mut red = Red::new(10);
        for ms in [3, 9, 4] {
            red.add(end(1), transaction("/a", ms, Some("500")));
        }
        red.add(end(2), transaction("/a", 1, None));
        let mut all = red.take();
        all.sort_by_key(|(key, _)| key.end.process);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].1.durations.count, 3);
        assert_eq!(all[0].1.slowest.as_ref().map(Transaction::duration_ns), Some(9_000_000));
        assert!(all[0].1.failing.is_some() && all[1].1.failing.is_none());
        assert!(red.is_empty());
    }

    #[test]
    fn beyond_the_limit_operations_are_other_ones() {
        let mut red = Red::new(3);
        for number in 0..100 {
            red.add(end(1), transaction(&format!("/{number}"), 1, None));
        }
        let all = red.take();
        assert_eq!(all.len(), 4);
        assert_eq!(all.iter().map(|(_, series)| series.durations.count).sum::<u64>(), 100);
        assert_eq!(red.overflowed, 97);
    }

    #[test]
    fn at_twice_the_limit_ends_are_one_and_nothing_is_lost() {
        let mut red = Red::new(3);
        for number in 0..100 {
            red.add(end(number), transaction("/a", 1, (number % 2 == 0).then_some("500")));
        }
        assert!(red.len() <= 8);
        assert_eq!(red.series().map(|(_, series)| series.durations.count).sum::<u64>(), 100);
        assert_eq!(red.series().filter(|(key, _)| key.error.is_some()).map(|(_, series)| series.durations.count).sum::<u64>(), 50);
    }
}
