//! The one list of protocols. Order decides between two that both say yes, which no capture of the tests may need.

use crate::decoder::Protocol;
use crate::protocols::{amqp, http1, kafka, mongodb, mysql, postgresql, redis};

pub static PROTOCOLS: &[&Protocol] = &[&http1::PROTOCOL, &postgresql::PROTOCOL, &mysql::PROTOCOL, &redis::PROTOCOL, &kafka::PROTOCOL, &mongodb::PROTOCOL, &amqp::PROTOCOL];

pub fn named(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().copied().find(|protocol| protocol.name == name)
}
