//! One file per protocol; `../registry.rs` lists them.

pub mod amqp;
pub mod cassandra;
pub mod dns;
pub mod grpc;
pub mod http1;
pub mod http2;
pub mod kafka;
pub mod memcached;
pub mod mongodb;
pub mod mqtt;
pub mod mysql;
pub mod nats;
pub mod postgresql;
pub mod redis;
pub mod tls;
pub mod websocket;
