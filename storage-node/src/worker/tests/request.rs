//! Requests as the tests write them.

use std::sync::atomic::{AtomicU64, Ordering};

use common::address::{Address, Object};
use common::durability::{Acks, Sync};
use common::ids::{ClusterId, Epoch, FileEpoch, Lane, LogicGroup, RequestId, ServerIndex};
use common::op::{
    Action, AddStyle, Batch, Condition, Expiry, Get, Op, Part, Scan, Test, Want, Write,
};
use common::wire::request::{RequestHead, encode_op};

/// Namespace of everything the tests write.
pub(super) const NAMESPACE: &[u8] = b"n";

/// The cluster of the tests.
pub(super) const CLUSTER: &str = "demo";

/// A since-epoch that stands for the one of the lane's register.
pub(super) const AS_REGISTERED: Epoch = Epoch(u64::MAX);

/// A request id that was not used yet.
fn new_id() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    RequestId(7 << 64 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A request frame's body in the making. Of group 0, `acks: step` and `sync: everysec`, until told
/// otherwise. A clone is the same request: it has the same id.
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
            acks: Acks::Step,
            sync: Sync::EverySecond,
            since: AS_REGISTERED,
            request: new_id(),
            age_ms: 0,
            remaining_ms: 5_000,
            attempt: 0,
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

    /// For so many servers.
    pub(super) fn acks(mut self, acks: Acks) -> Self {
        self.head.acks = acks;
        self
    }

    /// The same request, sent once more.
    pub(super) fn again(&self) -> Self {
        self.clone().with(|head| head.attempt += 1)
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

    /// The frame's body as it is.
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

/// Stores a string and asks for the one before.
pub(super) fn swap(name: &str, value: impl AsRef<[u8]>) -> Request {
    let mut write = Write::put(string(name), value.as_ref(), true);
    write.want = Want::Value;
    Request::new(&Op::Write(write))
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

fn write(name: &str, action: Action<'_>) -> Request {
    let write = Write { at: string(name), action, expiry: Expiry::Never, want: Want::Nothing };
    Request::new(&Op::Write(write))
}

/// Stores a string that lives so long.
pub(super) fn set_for(name: &str, ms: u64) -> Request {
    let mut write = Write::put(string(name), b"v", true);
    write.expiry = Expiry::After(ms);
    Request::new(&Op::Write(write))
}

/// Adds to a number.
pub(super) fn add(name: &str, delta: i64) -> Request {
    write(name, Action::Add { delta, style: AddStyle::Strict })
}

/// Appends to a string.
pub(super) fn append(name: &str, bytes: &str) -> Request {
    write(name, Action::Append { bytes: bytes.as_bytes() })
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
