//! One file per protocol; `../registry.rs` lists them.

pub mod http1;
