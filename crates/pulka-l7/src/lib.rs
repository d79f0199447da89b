//! What services say to each other: bytes of connections come in, transactions go out.
//!
//! Read in this order: `transaction` (what comes out), `decoder` (the seam that every protocol implements), `registry`
//! (the one list of protocols), `connection` (what a source of bytes calls), `opening` (how a connection's protocol is
//! found), `stream` (how bytes reach a decoder). A protocol is one file of `protocols`.
//!
//! Every byte is untrusted: memory is bounded per connection, nothing panics, nothing loops. No I/O, no clock, no Python.
#![forbid(unsafe_code)]

pub mod buffer;
pub mod capture;
pub mod connection;
pub mod decoder;
pub mod flight;
pub mod frames;
pub mod opening;
pub mod path;
pub mod prepared;
pub mod protocols;
pub mod reader;
pub mod registry;
pub mod statement;
pub mod stream;
pub mod subject;
pub mod testing;
pub mod text;
pub mod transaction;
