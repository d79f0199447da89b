//! Rate, errors and duration per operation: transactions counted under a bounded number of keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::capture::Seen;
use crate::histogram::Histogram;

/// The operation of what had no key left; one per protocol.
pub const OVERFLOW: &str = "_OVERFLOW";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub protocol: &'static str,
    /// None in the overflow.
    pub server: Option<SocketAddr>,
    pub operation: Cow<'static, str>,
    pub target: Cow<'static, str>,
    pub status: Cow<'static, str>,
}

#[derive(Clone, Debug, Default)]
pub struct Series {
    pub count: u64,
    pub errors: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// In seconds; of exchanges, not of one-way messages.
    pub durations: Histogram,
}

pub struct Red {
    keys: usize,
    table: BTreeMap<Key, Series>,
}

impl Red {
    /// At most `keys` keys, beside an overflow per protocol.
    pub fn new(keys: usize) -> Self {
        Red { keys, table: BTreeMap::new() }
    }

    pub fn record(&mut self, seen: &Seen) {
        let transaction = &seen.transaction;
        let key = Key {
            protocol: transaction.protocol,
            server: Some(seen.server),
            operation: transaction.operation.clone(),
            target: transaction.target.clone(),
            status: transaction.status.clone(),
        };
        let key = if self.table.len() < self.keys || self.table.contains_key(&key) { key } else { overflow(transaction.protocol) };
        let series = self.table.entry(key).or_default();
        series.count += 1;
        series.errors += u64::from(transaction.error.is_some());
        series.request_bytes = series.request_bytes.saturating_add(transaction.request_bytes);
        series.response_bytes = series.response_bytes.saturating_add(transaction.response_bytes);
        if !transaction.is_one_way() {
            series.durations.record(transaction.duration_ns() as f64 / 1e9);
        }
    }

    pub fn series(&self) -> impl Iterator<Item = (&Key, &Series)> {
        self.table.iter()
    }
}

fn overflow(protocol: &'static str) -> Key {
    Key { protocol, server: None, operation: OVERFLOW.into(), target: "".into(), status: "".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::{Initiator, Transaction};

    fn seen(target: String, error: bool, initiator: Initiator) -> Seen {
        let transaction = Transaction {
            protocol: "http1",
            operation: "GET".into(),
            target: target.into(),
            error: error.then(|| "500".into()),
            end_ns: 2_000_000_000,
            request_bytes: 3,
            initiator,
            ..Transaction::default()
        };
        Seen { transaction, client: ([10, 0, 0, 1], 5000).into(), server: ([10, 0, 0, 2], 80).into(), connection: 0 }
    }

    #[test]
    fn counts_errors_and_durations() {
        let mut red = Red::new(10);
        red.record(&seen("/a".into(), false, Initiator::Client));
        red.record(&seen("/a".into(), true, Initiator::Client));
        red.record(&seen("/a".into(), false, Initiator::ClientOneWay));
        let (_, series) = red.series().next().expect("a key");
        assert_eq!((series.count, series.errors, series.request_bytes, series.durations.count, series.durations.sum), (3, 1, 9, 2, 4.0));
    }

    #[test]
    fn keys_are_bounded_and_nothing_is_lost() {
        let mut red = Red::new(10);
        for index in 0..100 {
            red.record(&seen(format!("/{index}"), false, Initiator::Client));
        }
        assert_eq!(red.series().count(), 11);
        assert_eq!(red.series().map(|(_, series)| series.count).sum::<u64>(), 100);
        assert!(red.series().any(|(key, series)| key.operation == OVERFLOW && series.count == 90));
    }
}
