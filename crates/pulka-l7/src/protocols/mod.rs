//! One file per protocol; `../registry.rs` lists them.

pub mod http1;
pub mod mysql;
pub mod postgresql;
pub mod redis;
