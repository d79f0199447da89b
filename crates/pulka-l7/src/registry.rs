//! The one list of protocols. Order decides between two that both say yes, which no capture of the tests may need.

use crate::decoder::Protocol;
use crate::protocols::http1;

pub static PROTOCOLS: &[&Protocol] = &[&http1::PROTOCOL];

pub fn named(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().copied().find(|protocol| protocol.name == name)
}
