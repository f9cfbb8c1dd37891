//! The requests that were handed to the pool and not answered yet.
//!
//! A request keeps its encoded operation until it is answered, because it may have to be sent again;
//! the buffers are used again, so a request allocates nothing in the steady state. Every attempt of
//! every request travels under an id of its own: a late answer to a request that was given up finds
//! nothing, and of several attempts only the last one's answer counts. An earlier one may have been
//! refused or evaluated to nothing, while the last one is applied.

use common::ids::{Lane, LogicGroup};
use common::wire::frame::{self, FrameType};
use common::wire::request::RequestHead;
use slab::Slab;

use crate::pool::nodes::ConnectionKey;

/// Buffers of greater capacity are not kept for the next request.
const SPARE_BYTES_MAX: usize = 4 << 10;
/// Most buffers that are kept.
const SPARE_MAX: usize = 1024;

/// Whom an answer belongs to. The pool does not look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Place of the owner among the worker's owners.
    pub(crate) owner: usize,
    /// The owner's serial number: places are used again.
    pub(crate) serial: u64,
    /// The owner's command.
    pub(crate) sequence: u64,
    /// The command's operation.
    pub(crate) part: u32,
    /// The logic group it is about, for messages.
    pub(crate) group: LogicGroup,
}

/// Names a request. Keys order as the requests were submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    number: u64,
    place: usize,
}

/// Names the queue of a request: large ones have their own, so that small ones do not wait behind
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    pub(crate) lane: Lane,
    pub(crate) large: bool,
}

/// An attempt that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: ConnectionKey,
    pub(crate) at_ms: u64,
}

/// A request as it is known without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) ticket: Ticket,
    pub(crate) lane: LaneKey,
    /// When its client stops waiting, in milliseconds of the worker's clock.
    pub(crate) deadline_ms: u64,
    /// Whether it only reads: then nothing can have been applied.
    pub(crate) read: bool,
    /// The attempt that is on its way.
    pub(crate) sent: Option<Sent>,
    /// Whether an attempt before that may have been applied.
    pub(crate) maybe_applied: bool,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    about: About,
    head: RequestHead,
    /// How long the client was going to wait when it was submitted, in milliseconds.
    patience_ms: u32,
    /// Attempts that were sent, as far as the nodes want to know.
    attempts: u8,
    /// What the last attempt travels under; see [`Requests::of_id`].
    id: u64,
    op: Vec<u8>,
}

/// All unanswered requests of a worker.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    entries: Slab<Entry>,
    number: u64,
    /// Attempts of all requests that were sent.
    sends: u64,
    spare: Vec<Vec<u8>>,
    bytes: usize,
}

/// An id is the number of the attempt among all that were sent, and the request's place. Of the
/// former 40 bits: ids come again after days at a million requests a second, when nobody waits.
const PLACE_BITS: u32 = 24;
/// Most requests at a time: their places have to fit into an id.
const REQUESTS_MAX: usize = 1 << PLACE_BITS;

impl Requests {
    /// Adds a request whose operation `encode` writes. `None`: there are too many.
    pub(crate) fn add(
        &mut self,
        about: About,
        head: RequestHead,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Key> {
        if self.entries.len() >= REQUESTS_MAX {
            return None;
        }
        let mut op = self.spare.pop().unwrap_or_default();
        encode(&mut op);
        self.bytes += op.len();
        self.number += 1;
        let number = self.number;
        let patience_ms = head.remaining_ms;
        let entry = Entry { number, about, head, patience_ms, attempts: 0, id: 0, op };
        let place = self.entries.insert(entry);
        Some(Key { number, place })
    }

    /// What is known of a request, unless it left.
    pub(crate) fn get(&self, key: Key) -> Option<&About> {
        self.entry(key).map(|entry| &entry.about)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut About> {
        let entry = self.entries.get_mut(key.place)?;
        (entry.number == key.number).then_some(&mut entry.about)
    }

    /// Whether the request is still here.
    pub(crate) fn holds(&self, key: Key) -> bool {
        self.entry(key).is_some()
    }

    /// The request whose last attempt travels under this id.
    pub(crate) fn of_id(&self, id: u64) -> Option<Key> {
        let place = usize::try_from(id & ((1 << PLACE_BITS) - 1)).ok()?;
        let entry = self.entries.get(place)?;
        entry.about.sent?;
        (id == entry.id).then_some(Key { number: entry.number, place })
    }

    /// Appends the frame of the next attempt to `out`. `head` completes the request's head, whose
    /// attempt and times are brought up to date here. Whether the request is still here.
    pub(crate) fn send(
        &mut self,
        key: Key,
        sent: Sent,
        out: &mut Vec<u8>,
        head: impl FnOnce(&mut RequestHead),
    ) -> bool {
        let Some(entry) = self.entries.get_mut(key.place) else { return false };
        if entry.number != key.number {
            return false;
        }
        let remaining_ms = entry.about.deadline_ms.saturating_sub(sent.at_ms);
        let remaining_ms = u32::try_from(remaining_ms).unwrap_or(u32::MAX);
        entry.head.remaining_ms = remaining_ms;
        entry.head.age_ms = entry.patience_ms.saturating_sub(remaining_ms);
        entry.head.attempt = entry.attempts;
        head(&mut entry.head);
        entry.attempts = entry.attempts.saturating_add(1);
        entry.about.sent = Some(sent);
        self.sends += 1;
        entry.id = self.sends << PLACE_BITS | key.place as u64;
        frame::encode(out, FrameType::Request, entry.id, |body| {
            entry.head.encode(body);
            body.extend_from_slice(&entry.op);
        });
        true
    }

    /// Takes a request out.
    pub(crate) fn remove(&mut self, key: Key) -> Option<About> {
        self.entry(key)?;
        let Entry { about, mut op, .. } = self.entries.remove(key.place);
        self.bytes -= op.len();
        if op.capacity() <= SPARE_BYTES_MAX && self.spare.len() < SPARE_MAX {
            op.clear();
            self.spare.push(op);
        }
        Some(about)
    }

    /// All requests, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &About)> {
        self.entries
            .iter()
            .map(|(place, entry)| (Key { number: entry.number, place }, &entry.about))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of their operations.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn entry(&self, key: Key) -> Option<&Entry> {
        self.entries.get(key.place).filter(|entry| entry.number == key.number)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use common::durability::{Acks, Sync};
    use common::ids::{ClusterId, Epoch, FileEpoch, RequestId};
    use common::wire::frame::Decoded;
    use common::wire::request;

    use super::*;
    use crate::pool::nodes::LaneClass;

    const TO: ConnectionKey = ConnectionKey { node: 1, lane_class: LaneClass::Worker(0) };

    /// A key that no request has.
    pub(in crate::pool) fn key(number: u64) -> Key {
        Key { number, place: 0 }
    }

    fn add(requests: &mut Requests, request: u128) -> Key {
        let lane = Lane::default();
        let group = lane.group;
        let about = About {
            ticket: Ticket { owner: 0, serial: 1, sequence: 1, part: 0, group },
            lane: LaneKey { lane, large: false },
            deadline_ms: 5_100,
            read: false,
            sent: None,
            maybe_applied: false,
        };
        let head = RequestHead {
            cluster: ClusterId(1),
            file_epoch: FileEpoch(1),
            lane,
            acks: Acks::Step,
            sync: Sync::EverySecond,
            since: Epoch(0),
            request: RequestId(request),
            age_ms: 0,
            remaining_ms: 5_000,
            attempt: 0,
        };
        let op = common::op::Op::Count { namespace: b"n" };
        requests.add(about, head, |out| request::encode_op(out, &op)).unwrap()
    }

    fn send(requests: &mut Requests, key: Key, at_ms: u64) -> (u64, RequestHead) {
        let mut out = Vec::new();
        assert!(requests.send(key, Sent { to: TO, at_ms }, &mut out, |head| head.since = Epoch(7)));
        let Decoded::Frame(frame, length) = frame::decode(&out).unwrap() else { panic!("a frame") };
        assert_eq!(length, out.len());
        (frame.id, request::decode(frame.body).unwrap().0)
    }

    #[test]
    fn attempts_carry_one_request_id_and_their_own_number_and_times() {
        let mut requests = Requests::default();
        let key = add(&mut requests, 42);
        let (first, head) = send(&mut requests, key, 100);
        assert_eq!((head.request, head.attempt, head.since), (RequestId(42), 0, Epoch(7)));
        assert_eq!((head.age_ms, head.remaining_ms), (0, 5_000));
        let (second, head) = send(&mut requests, key, 1_100);
        assert_eq!((head.request, head.attempt), (RequestId(42), 1));
        assert_eq!((head.age_ms, head.remaining_ms), (1_000, 4_000));
        assert_eq!(requests.of_id(first), None, "an older attempt's answer does not count");
        assert_eq!(requests.of_id(second), Some(key));
        let mut last = second;
        for _ in 0..600 {
            let (next, _) = send(&mut requests, key, 1_200);
            assert_eq!((requests.of_id(last), requests.of_id(next)), (None, Some(key)));
            assert_eq!(requests.of_id(second), None);
            last = next;
        }
        assert_eq!(send(&mut requests, key, 1_200).1.attempt, 255, "it never falls back to 0");
    }

    #[test]
    fn an_answer_after_the_request_left_finds_nothing() {
        let mut requests = Requests::default();
        let first = add(&mut requests, 1);
        let (id, _) = send(&mut requests, first, 100);
        requests.remove(first).unwrap();
        let second = add(&mut requests, 2);
        let (other, _) = send(&mut requests, second, 100);
        assert_ne!(id, other, "the place is used again, the id is not");
        assert_eq!(requests.of_id(id), None);
        assert!(requests.remove(first).is_none() && !requests.holds(first));
        assert!(first < second, "keys order as submitted");
        requests.remove(second).unwrap();
        assert_eq!((requests.len(), requests.bytes()), (0, 0));
    }

    #[test]
    fn a_request_that_was_taken_back_has_no_answer_until_it_is_sent_again() {
        let mut requests = Requests::default();
        let key = add(&mut requests, 1);
        let (id, _) = send(&mut requests, key, 100);
        requests.get_mut(key).unwrap().sent = None;
        assert_eq!(requests.of_id(id), None);
        let (id, _) = send(&mut requests, key, 100);
        assert_eq!(requests.of_id(id), Some(key));
    }
}
