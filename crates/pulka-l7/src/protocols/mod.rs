//! One file per protocol; `../registry.rs` lists them.

pub mod amqp;
pub mod http1;
pub mod kafka;
pub mod mongodb;
pub mod mysql;
pub mod postgresql;
pub mod redis;
