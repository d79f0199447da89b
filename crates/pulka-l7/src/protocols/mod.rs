//! One file per protocol; `../registry.rs` lists them.

pub mod dns;
pub mod grpc;
pub mod http1;
pub mod http2;
pub mod tls;
