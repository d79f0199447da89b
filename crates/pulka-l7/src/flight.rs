//! Requests that wait for their answers: in order, or found by a key. Bounded in bytes.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::transaction::{Initiator, NO_RESPONSE, PARTIAL, Transaction};

/// `T` is a request under way. Those that find no room are counted, so that answers in order still meet their requests.
pub struct Flight<T> {
    waiting: VecDeque<(T, u32)>,
    unseen: u64,
    text_bytes: usize,
    limit_bytes: usize,
}

impl<T> Flight<T> {
    pub fn new(limit_bytes: usize) -> Self {
        Flight { waiting: VecDeque::new(), unseen: 0, text_bytes: 0, limit_bytes }
    }

    pub fn has_room(&self, text_bytes: usize) -> bool {
        self.text_bytes + text_bytes + (self.waiting.len() + 1) * size_of::<(T, u32)>() <= self.limit_bytes
    }

    /// `text_bytes`: what the request holds on the heap. When there is no room it is given back and counted, and `pop` counts
    /// back: for protocols with one answer per request.
    pub fn push(&mut self, request: T, text_bytes: usize) -> Option<T> {
        if self.unseen > 0 || !self.has_room(text_bytes) {
            self.unseen += 1;
            return Some(request);
        }
        self.text_bytes += text_bytes;
        self.waiting.push_back((request, u32::try_from(text_bytes).unwrap_or(u32::MAX)));
        None
    }

    pub fn front(&mut self) -> Option<&mut T> {
        self.waiting.front_mut().map(|(request, _)| request)
    }

    pub fn back(&mut self) -> Option<&mut T> {
        if self.unseen > 0 { None } else { self.waiting.back_mut().map(|(request, _)| request) }
    }

    /// The oldest; None when there is none, or when it found no room.
    pub fn pop(&mut self) -> Option<T> {
        if self.waiting.is_empty() {
            self.unseen = self.unseen.saturating_sub(1);
        }
        let (request, text_bytes) = self.waiting.pop_front()?;
        self.text_bytes = self.text_bytes.saturating_sub(text_bytes as usize);
        Some(request)
    }

    /// The oldest that `is_it`, wherever it stands: answers mostly come in order, so it stands in front.
    pub fn take(&mut self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.waiting.iter().position(|(request, _)| is_it(request))?;
        let (request, text_bytes) = self.waiting.remove(index)?;
        self.text_bytes = self.text_bytes.saturating_sub(text_bytes as usize);
        Some(request)
    }

    /// For requests found by a key: the oldest gives way when there is no room.
    pub fn push_keyed(&mut self, request: T, text_bytes: usize) -> Option<T> {
        let given_up = if self.has_room(text_bytes) { None } else { self.pop() };
        let refused = self.push(request, text_bytes);
        self.unseen = 0;
        given_up.or(refused)
    }

    pub fn find(&mut self, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.waiting.iter_mut().map(|(request, _)| request).find(|request| is_it(request))
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter().map(|(request, _)| request)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.unseen == 0
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All that wait; answers that come without a request are passed over.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let waiting = std::mem::take(&mut self.waiting);
        self.clear();
        waiting.into_iter().map(|(request, _)| request)
    }

    pub fn clear(&mut self) {
        self.waiting = VecDeque::new();
        (self.unseen, self.text_bytes) = (0, 0);
    }

    pub fn held_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<(T, u32)>() + self.text_bytes
    }
}

impl Flight<Transaction> {
    /// The connection is over: all come out, unanswered.
    pub fn close(&mut self, at_ns: i64, out: &mut Vec<Transaction>) {
        out.extend(self.waiting.drain(..).map(|(request, _)| unanswered(request, at_ns)));
        self.clear();
    }
}

/// What becomes of a request whose connection ended before its answer was complete.
pub fn unanswered(mut request: Transaction, at_ns: i64) -> Transaction {
    request.error.get_or_insert(NO_RESPONSE.into());
    request.end_ns = at_ns.max(request.end_ns);
    request
}

/// The rest of an answer, `bytes` until `end_ns`, was not read: how it ended is not known.
pub fn answered_in_part(request: &mut Transaction, end_ns: i64, bytes: u64) {
    request.end_ns = end_ns.max(request.end_ns);
    request.first_byte_ns.get_or_insert(request.end_ns);
    request.response_bytes += bytes;
    request.attributes.push((PARTIAL, "true".to_owned()));
}

/// The value of `pulka.partial` of a request that was not followed, because too many were under way on its connection.
pub const IN_FLIGHT: &str = "in_flight";

/// A request for which there was no room: counted, as a message without an answer, because how it ends will not be known.
pub fn unfollowed(mut request: Transaction) -> Transaction {
    let pushed = matches!(request.initiator, Initiator::Server | Initiator::ServerOneWay);
    request.initiator = if pushed { Initiator::ServerOneWay } else { Initiator::ClientOneWay };
    request.attributes.push((PARTIAL, IN_FLIGHT.to_owned()));
    request
}

/// What a request holds on the heap.
pub fn text_bytes(request: &Transaction) -> usize {
    let text = |text: &Cow<'static, str>| if let Cow::Owned(text) = text { text.capacity() } else { 0 };
    let attributes = request.attributes.iter().map(|(_, value)| value.capacity() + size_of::<(&str, String)>()).sum::<usize>();
    text(&request.operation) + text(&request.target) + attributes
}

#[cfg(test)]
mod tests {
    use super::{Flight, unfollowed};
    use crate::transaction::{Initiator, Transaction};

    #[test]
    fn a_request_that_is_not_followed_is_a_message_of_whoever_sent_it() {
        for (initiator, message) in [(Initiator::Client, Initiator::ClientOneWay), (Initiator::Server, Initiator::ServerOneWay)] {
            let request = unfollowed(Transaction { initiator, ..Transaction::default() });
            assert_eq!((request.initiator, request.error, request.attributes), (message, None, vec![("pulka.partial", "in_flight".to_owned())]));
        }
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut flight = Flight::<u64>::new(3 * size_of::<(u64, u32)>());
        let refused: Vec<u64> = (1..=5).filter_map(|request| flight.push(request, 0)).collect();
        assert_eq!(refused, [4, 5]);
        assert_eq!((flight.pop(), flight.pop(), flight.pop()), (Some(1), Some(2), Some(3)));
        assert_eq!(flight.push(6, 0), Some(6));
        assert_eq!((flight.pop(), flight.pop(), flight.pop()), (None, None, None));
        assert!(flight.is_empty());
        assert_eq!(flight.push(7, 0), None);
        assert_eq!((flight.pop(), flight.held_bytes() >= size_of::<(u64, u32)>()), (Some(7), true));
    }

    #[test]
    fn with_keys_the_oldest_gives_way() {
        let mut flight = Flight::<u64>::new(2 * size_of::<(u64, u32)>() + 10);
        assert_eq!([flight.push_keyed(1, 5), flight.push_keyed(2, 5), flight.push_keyed(3, 5)], [None, None, Some(1)]);
        assert_eq!((flight.take(|request| *request == 3), flight.take(|request| *request == 1), flight.pop()), (Some(3), None, Some(2)));
    }
}
