//! The reader's end of the ring buffer.

use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::wire::Record;

pub struct Ring {
    ring: RingBuf<MapData>,
    wakes: OwnedFd,
}

impl Ring {
    /// Edge-triggered: a plain poll returns whenever there is one record, and the reader would chase the writers from cache line to cache line.
    pub(crate) fn new(ring: RingBuf<MapData>) -> std::io::Result<Ring> {
        let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&wakes, &ring, epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Ring { ring, wakes })
    }

    /// Wait until the ring fills beyond its watermark, `timeout` at most.
    pub fn wait(&self, timeout: Duration) {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 1];
        let _ = epoll::wait(&self.wakes, &mut events, Some(&timeout)); // an interrupted wait is a short one
    }

    /// Hand every record that is there to `take`, but `most` of them: a writer that is as fast as the reader would keep it busy for good. Returns how
    /// many bytes of records that were.
    pub fn drain(&mut self, most: u64, mut take: impl FnMut(Record<'_>)) -> usize {
        let mut bytes = 0;
        for _ in 0..most {
            let Some(item) = self.ring.next() else { break };
            bytes += item.len();
            if let Some(record) = Record::parse(&item) {
                take(record);
            }
        }
        bytes
    }
}
