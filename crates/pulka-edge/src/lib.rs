//! What every source of the edge shares: `tracker` follows connections and feeds their bytes to the decoders, `red` counts the
//! transactions that come out, `histogram` holds their durations. The same bytes give the same figures whatever source saw them.
#![forbid(unsafe_code)]

pub mod event;
pub mod flow;
pub mod histogram;
pub mod http_sys;
pub mod red;
pub mod replay;
pub mod report;
pub mod tracker;
pub mod windivert;
