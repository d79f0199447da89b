//! The Linux source of `pulka edge`: loads the BPF programs, attaches them behind links, and drains what they see as records.
//!
//! In: the object of `bpf/` and a few limits. Out: `Record`s and which features work, with reasons. Guarantees: nothing is pinned, so
//! the end of the process (by whatever signal) detaches everything; packets are never changed or held up. Never: decodes a protocol
//! (that is `pulka-l7`, which `agent` feeds).
#![cfg(target_os = "linux")]

pub mod agent;
mod bpf;
mod cgroup;
pub mod feature;
pub mod library;
mod multi;
mod probe;
pub mod process;
mod ring;
mod sessions;
mod sockets;
pub mod targets;
pub mod watchdog;
pub mod wire;
mod x86;

pub use feature::{Answer, Feature};
pub use probe::{Error, Limits, Probe, Verdict};
pub use ring::Ring;
