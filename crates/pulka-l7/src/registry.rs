//! The one list of protocols. Order decides between two that both say yes, which no capture of the tests may need.

use crate::decoder::Protocol;
use crate::protocols::{dns, grpc, http1, http2, tls};

pub static PROTOCOLS: &[&Protocol] = &[&http1::PROTOCOL, &http2::PROTOCOL, &grpc::PROTOCOL, &tls::PROTOCOL, &dns::PROTOCOL];

pub fn named(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().copied().find(|protocol| protocol.name == name)
}
