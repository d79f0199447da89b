//! What a decoder finds: one request with its answer, or one message without.

use std::borrow::Cow;

/// Who of a connection speaks, once roles are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    Client,
    Server,
}

impl Party {
    pub fn other(self) -> Self {
        match self {
            Party::Client => Party::Server,
            Party::Server => Party::Client,
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }
}

/// The error class of a request that saw no answer before its connection ended.
pub const NO_RESPONSE: &str = "no_response";

/// The attribute of a transaction of which a part is not known: `true`, or the reason.
pub const PARTIAL: &str = "pulka.partial";

/// One exchange, or one one-way message. Texts are bounded and hold no secrets, no literals and no query arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    /// The name in the registry, as `http1`.
    pub protocol: &'static str,
    /// Who began it: a client's request, or a server's push.
    pub initiator: Initiator,
    /// Method, command or API: `GET`, `SELECT`, `Produce`.
    pub operation: Cow<'static, str>,
    /// Quantised path, normalised statement, topic, key space; empty when there is none.
    pub target: Cow<'static, str>,
    /// The status as the protocol writes it: `200`, `42P01`, `NXDOMAIN`; empty when there is none.
    pub status: Cow<'static, str>,
    /// OpenTelemetry's `error.type`, of low cardinality; None when it went well.
    pub error: Option<Cow<'static, str>>,
    /// Arrival of the request's first byte, of the answer's first byte, of the last byte of both; Unix time in ns.
    pub start_ns: i64,
    pub first_byte_ns: Option<i64>,
    pub end_ns: i64,
    /// On the wire, headers included; of bytes that were seen or known to be missing.
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// A few more facts under OpenTelemetry's names, as (`server.address`, `shop.example`).
    pub attributes: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Initiator {
    #[default]
    Client,
    Server,
    /// One-way messages, which have no answer, so that no duration is counted.
    ClientOneWay,
    ServerOneWay,
}

impl Transaction {
    pub fn duration_ns(&self) -> i64 {
        self.end_ns.saturating_sub(self.start_ns).max(0)
    }

    pub fn is_one_way(&self) -> bool {
        matches!(self.initiator, Initiator::ClientOneWay | Initiator::ServerOneWay)
    }
}

#[cfg(test)]
mod tests {
    use super::Transaction;

    #[test]
    fn no_times_make_a_duration_overflow() {
        let lasting = |start_ns, end_ns| Transaction { start_ns, end_ns, ..Transaction::default() }.duration_ns();
        assert_eq!([lasting(1, 3), lasting(3, 1), lasting(i64::MIN, i64::MAX), lasting(i64::MAX, i64::MIN)], [2, 0, i64::MAX, 0]);
    }
}
