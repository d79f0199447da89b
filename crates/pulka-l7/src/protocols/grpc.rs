//! gRPC: what a call over HTTP/2 says of itself. Decoded by `http2`, which hands each finished call over.

use crate::decoder::{Protocol, Verdict};
use crate::protocols::http2::Http2;
use crate::text::printable;
use crate::transaction::Transaction;

pub static PROTOCOL: Protocol = Protocol {
    name: "grpc",
    title: "gRPC",
    versions: "over HTTP/2",
    shows: "service and method, status from trailers; unary calls and streams (one transaction from first to last byte)",
    streams: true,
    recognise: |_| Verdict::No, // never by itself: found within HTTP/2 by its content type
    decoder: |_, limits| Box::new(Http2::new(limits)),
};

const STATUS: [&str; 17] = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
];

/// Statuses that are errors of the server, by OpenTelemetry's conventions; the others blame the caller.
const ERRORS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// Makes a finished exchange a call: `path` is `/package.Service/Method`, `status` the trailer's number.
pub fn complete(transaction: &mut Transaction, path: Option<&[u8]>, status: Option<&[u8]>, http_status: &str, limit_bytes: usize) {
    transaction.protocol = PROTOCOL.name;
    transaction.operation = path.map(|path| printable(path.strip_prefix(b"/").unwrap_or(path), limit_bytes)).unwrap_or_default().into();
    let number = status.and_then(|status| std::str::from_utf8(status).ok()?.parse::<usize>().ok());
    let name = number.map(|number| STATUS.get(number).copied().unwrap_or("UNKNOWN"));
    transaction.status = name.unwrap_or_default().into();
    transaction.error = match name {
        Some(name) => ERRORS.contains(&name).then(|| name.into()),
        None if !http_status.is_empty() && http_status != "200" => Some(http_status.to_string().into()),
        None => None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_names_and_classes() {
        for (number, status, error) in [(&b"0"[..], "OK", None), (b"5", "NOT_FOUND", None), (b"14", "UNAVAILABLE", Some("UNAVAILABLE")), (b"99", "UNKNOWN", Some("UNKNOWN"))] {
            let mut call = Transaction::default();
            complete(&mut call, Some(b"/shop.Cart/Add"), Some(number), "200", 64);
            assert_eq!((&*call.operation, &*call.status, call.error.as_deref()), ("shop.Cart/Add", status, error));
        }
        let mut refused = Transaction::default();
        complete(&mut refused, None, None, "503", 64);
        assert_eq!(refused.error.as_deref(), Some("503"));
    }
}
