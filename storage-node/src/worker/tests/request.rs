//! Requests as the tests write them.

use common::address::{Address, Object};
use common::durability::{Acks, Sync};
use common::ids::{ClusterId, Epoch, FileEpoch, Lane, LogicGroup, RequestId, ServerIndex};
use common::op::{Batch, Condition, Get, Op, Part, Scan, Test, Write};
use common::wire::request::{RequestHead, encode_op};

/// Namespace of everything the tests write.
pub(super) const NAMESPACE: &[u8] = b"n";

/// The cluster of the tests.
pub(super) const CLUSTER: &str = "demo";

/// A request frame's body in the making. Of group 0, `everysec`, until told otherwise.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    op: Vec<u8>,
}

impl Request {
    fn new(op: &Op<'_>) -> Self {
        let head = RequestHead {
            cluster: ClusterId::of_name(CLUSTER),
            file_epoch: FileEpoch(1),
            lane: Lane { group: LogicGroup(0), server: ServerIndex(0) },
            acks: Acks::One,
            sync: Sync::EverySecond,
            since: Epoch(1),
            request: RequestId(7),
            age_ms: 0,
            remaining_ms: 5_000,
        };
        let mut encoded = Vec::new();
        encode_op(&mut encoded, op);
        Self { head, op: encoded }
    }

    /// With `sync: always`.
    pub(super) fn always(mut self) -> Self {
        self.head.sync = Sync::Always;
        self
    }

    /// To another group.
    pub(super) fn to(mut self, group: u16) -> Self {
        self.head.lane.group = LogicGroup(group);
        self
    }

    /// With another head.
    pub(super) fn with(mut self, change: impl FnOnce(&mut RequestHead)) -> Self {
        change(&mut self.head);
        self
    }

    /// The frame's body.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.head.encode(&mut body);
        body.extend_from_slice(&self.op);
        body
    }
}

fn string(name: &str) -> Address<'_> {
    Object { namespace: NAMESPACE, name: name.as_bytes() }.unnamed()
}

/// Stores a string without a look at what is there.
pub(super) fn set(name: &str, value: impl AsRef<[u8]>) -> Request {
    Request::new(&Op::Write(Write::put(string(name), value.as_ref(), true)))
}

/// Stores a string if there is none.
pub(super) fn set_new(name: &str, value: &str) -> Request {
    let absent = Condition { at: string(name), test: Test::ObjectAbsent };
    let write = Write::put(string(name), value.as_bytes(), true);
    Request::new(&Op::Batch(Batch { conditions: vec![absent], writes: vec![write] }))
}

/// Stores many strings at once, all or none.
pub(super) fn set_all<'a>(all: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Request {
    let put = |(name, value)| Write::put(string(name), value, true);
    let writes = all.into_iter().map(put).collect();
    Request::new(&Op::Batch(Batch { conditions: Vec::new(), writes }))
}

/// Deletes a string.
pub(super) fn delete(name: &str) -> Request {
    Request::new(&Op::Write(Write::delete(string(name))))
}

/// Reads a string.
pub(super) fn get(name: &str) -> Request {
    let part = Part { offset: 0, limit: u32::MAX };
    Request::new(&Op::Get(Get { at: string(name), part }))
}

/// Reads the first bytes of a string.
pub(super) fn get_start(name: &str, limit: u32) -> Request {
    Request::new(&Op::Get(Get { at: string(name), part: Part { offset: 0, limit } }))
}

/// Counts the lane's objects.
pub(super) fn count() -> Request {
    Request::new(&Op::Count { namespace: NAMESPACE })
}

/// The names of the lane's objects.
pub(super) fn scan() -> Request {
    Request::new(&Op::Scan(Scan { namespace: NAMESPACE, from: 0, count_max: 1_000 }))
}
