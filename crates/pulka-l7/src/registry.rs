//! The one list of protocols. Order decides between two that both say yes, which no capture of the tests may need.

use crate::decoder::Protocol;
use crate::protocols::{amqp, cassandra, dns, grpc, http1, http2, kafka, memcached, mongodb, mqtt, mysql, nats, postgresql, redis, tls, websocket};

pub static PROTOCOLS: &[&Protocol] = &[
    &http1::PROTOCOL,
    &http2::PROTOCOL,
    &grpc::PROTOCOL,
    &tls::PROTOCOL,
    &dns::PROTOCOL,
    &postgresql::PROTOCOL,
    &mysql::PROTOCOL,
    &redis::PROTOCOL,
    &kafka::PROTOCOL,
    &mongodb::PROTOCOL,
    &amqp::PROTOCOL,
    &nats::PROTOCOL,
    &mqtt::PROTOCOL,
    &memcached::PROTOCOL,
    &cassandra::PROTOCOL,
    &websocket::PROTOCOL,
];

pub fn named(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().copied().find(|protocol| protocol.name == name)
}
