//! The reader's end of the ring buffer.

use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::wire::Record;

pub struct Ring {
    ring: RingBuf<MapData>,
}

impl Ring {
    pub(crate) fn new(ring: RingBuf<MapData>) -> Ring {
        Ring { ring }
    }

    /// Wait until the ring fills beyond its watermark, `timeout` at most.
    pub fn wait(&self, timeout: Duration) {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut ready = [PollFd::new(&self.ring, PollFlags::IN)];
        let _ = poll(&mut ready, Some(&timeout)); // an interrupted wait is a short one
    }

    /// Hand every record that is there to `take`. Returns how many bytes of records that were.
    pub fn drain(&mut self, mut take: impl FnMut(Record<'_>)) -> usize {
        let mut bytes = 0;
        while let Some(item) = self.ring.next() {
            bytes += item.len();
            if let Some(record) = Record::parse(&item) {
                take(record);
            }
        }
        bytes
    }
}
