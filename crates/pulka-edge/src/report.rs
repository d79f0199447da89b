//! Series of processes become rows of services: workers of one service are one row, peers on this machine are named.

use std::net::IpAddr;

use hashbrown::HashMap;
use pulka_l7::transaction::Transaction;

use crate::red::{Key, Process, Series};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    pub service: String,
    pub is_client: bool,
    pub tls: bool,
    /// The peer's service where it is on this machine.
    pub peer: String,
    /// The peer's address: of clients only where the peer has no name.
    pub address: Option<IpAddr>,
    /// Its own address, where the peer has no name.
    pub own_address: Option<IpAddr>,
    /// The server's port.
    pub port: u16,
    pub protocol: &'static str,
    pub operation: String,
    pub target: String,
    pub status: String,
    pub error: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub key: RowKey,
    pub series: Series,
}

/// `name` gives the service of a process, None when it has none: it was gone before it could be asked. Then it is what process 0 is called.
pub fn rows(series: Vec<(Key, Series)>, name: impl Fn(Process) -> Option<String>) -> Vec<Row> {
    let mut rows: HashMap<RowKey, Series, ahash::RandomState> = HashMap::default();
    for (key, series) in series {
        let service = name(key.end.process).or_else(|| name(0)).unwrap_or_default();
        merge(rows.entry(row_key(key, service, &name)).or_default(), series);
    }
    let mut rows: Vec<Row> = rows.into_iter().map(|(key, series)| Row { key, series }).collect();
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.series.durations.count));
    rows
}

fn row_key(key: Key, service: String, name: &impl Fn(Process) -> Option<String>) -> RowKey {
    let end = key.end;
    let peer = if end.peer.process == 0 { String::new() } else { name(end.peer.process).unwrap_or_default() };
    RowKey {
        service,
        is_client: end.is_client,
        tls: end.tls,
        address: end.peer.address.filter(|_| end.is_client || peer.is_empty()),
        own_address: end.own.filter(|_| peer.is_empty()),
        peer,
        port: end.peer.port,
        protocol: key.protocol,
        operation: key.operation,
        target: key.target,
        status: key.status,
        error: key.error,
    }
}

fn merge(into: &mut Series, from: Series) {
    into.durations.merge(&from.durations);
    into.one_way += from.one_way;
    into.request_bytes += from.request_bytes;
    into.response_bytes += from.response_bytes;
    let duration = |of: &Option<Transaction>| of.as_ref().map_or(-1, Transaction::duration_ns);
    if duration(&from.slowest) > duration(&into.slowest) {
        into.slowest = from.slowest;
    }
    if duration(&from.failing) > duration(&into.failing) {
        into.failing = from.failing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::red::{End, Peer, Red};

    #[test]
    fn workers_of_one_service_are_one_row() {
        let mut red = Red::new(100);
        for (process, peer) in [(10, 20), (11, 20), (12, 0)] {
            let peer = Peer { process: peer, address: Some([10, 0, 0, 7].into()), port: 80 };
            let transaction = Transaction { protocol: "http1", operation: "GET".into(), end_ns: i64::from(process), ..Transaction::default() };
            red.add(End { process, is_client: false, tls: false, peer, own: None }, transaction);
        }
        let rows = rows(red.take(), |process| Some(if process < 20 { "shop".to_owned() } else { "cart".to_owned() }));
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].series.durations.count, rows[0].key.peer.as_str(), rows[0].key.address), (2, "cart", None));
        assert_eq!(rows[0].series.slowest.as_ref().map(Transaction::duration_ns), Some(11));
        assert_eq!((rows[1].key.peer.as_str(), rows[1].key.address), ("", Some([10, 0, 0, 7].into())));
    }

    #[test]
    fn who_is_gone_before_it_was_named_is_unknown_and_no_peer() {
        let mut red = Red::new(100);
        for (process, peer) in [(10, 11), (11, 10)] {
            let peer = Peer { process: peer, address: Some([10, 0, 0, 7].into()), port: 53 };
            red.add(End { process, is_client: process == 10, tls: false, peer, own: None }, Transaction { protocol: "dns", ..Transaction::default() });
        }
        let rows = rows(red.take(), |process| [(0, "unknown"), (11, "resolver")].iter().find(|known| known.0 == process).map(|known| known.1.to_owned()));
        let mut said: Vec<_> = rows.iter().map(|row| (row.key.service.as_str(), row.key.peer.as_str())).collect();
        said.sort_unstable();
        assert_eq!(said, [("resolver", ""), ("unknown", "resolver")]);
    }
}
