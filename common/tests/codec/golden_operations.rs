//! Every operation with every variant inside it against `golden/operations.hex`.

use common::address::{Address, Object};
use common::codec::DecodeError;
use common::durability::{Acks, Sync};
use common::ids::{ClusterId, Epoch, FileEpoch, Lane, NodeId, RequestId};
use common::op::{
    Action, AddStyle, Batch, Condition, Describe, Expiry, ExpiryRule, Get, GetMany, Op, Part,
    Range, Scan, Test, Want, Write,
};
use common::version::{Hlc, Version};
use common::wire::request::{self, RequestHead};

use crate::golden_file;

type Cases = Vec<(&'static str, Op<'static>)>;

const FOLDER: Object<'static> = Object { namespace: b"files", name: b"/usr/bin" };
const STRING: Object<'static> = Object { namespace: b"", name: b"k1" };
const AT_MS: u64 = 1_700_000_000_123;

fn ls() -> Address<'static> {
    FOLDER.field(b"ls")
}

fn reads() -> Cases {
    let get = |at, offset, limit| Op::Get(Get { at, part: Part { offset, limit } });
    let range =
        Range { object: FOLDER, after: None, count_max: 100, bytes_max: 65_536, values: true };
    vec![
        ("get", get(ls(), 0, 262_144)),
        ("get-of-an-unnamed-field", get(STRING.unnamed(), 262_144, 262_144)),
        ("get-of-a-field-with-an-empty-name", get(STRING.field(b""), 0, 1)),
        (
            "get-many",
            Op::GetMany(GetMany { at: vec![ls(), FOLDER.field(b"cp")], bytes_max: 65_536 }),
        ),
        ("range", Op::Range(range)),
        ("range-behind-a-field", Op::Range(Range { after: Some(b"ls"), values: false, ..range })),
        ("describe", Op::Describe(Describe { object: FOLDER, count: true })),
        ("scan", Op::Scan(Scan { namespace: b"files", from: 0x4189_a57c_c76b, count_max: 10 })),
        ("count", Op::Count { namespace: b"" }),
    ]
}

fn write(at: Address<'static>, action: Action<'static>, expiry: Expiry, want: Want) -> Op<'static> {
    Op::Write(Write { at, action, expiry, want })
}

fn writes() -> Cases {
    let k1 = STRING.unnamed();
    let hits = Object { namespace: b"", name: b"hits" }.unnamed();
    let views = Object { namespace: b"cnt", name: b"2026-01-01" }.field(b"pv");
    let put = Action::Put { value: b"", replace: true };
    let strict = Action::Add { delta: -2, style: AddStyle::Strict };
    let lenient = Action::Add { delta: i64::MAX, style: AddStyle::Lenient };
    let at = Expiry::At(AT_MS);
    let touch = |rule, expiry| write(k1, Action::Touch { rule }, expiry, Want::Existed);
    let object = Action::TouchObject { rule: ExpiryRule::Always };
    vec![
        ("write-put", Op::Write(Write::put(ls(), b"1024", false))),
        ("write-put-that-replaces-and-expires", write(k1, put, at, Want::Value)),
        ("write-delete", Op::Write(Write::delete(ls()))),
        ("write-delete-object", Op::Write(Write::delete_object(FOLDER))),
        ("write-add-strict", write(hits, strict, Expiry::Keep, Want::Nothing)),
        ("write-add-lenient", write(views, lenient, Expiry::AfterSeconds(-1), Want::Nothing)),
        ("write-append", write(k1, Action::Append { bytes: b"tail" }, Expiry::Keep, Want::Nothing)),
        ("write-touch-always", touch(ExpiryRule::Always, Expiry::After(60_000))),
        ("write-touch-if-never", touch(ExpiryRule::IfNever, at)),
        ("write-touch-if-expiring", touch(ExpiryRule::IfExpiring, at)),
        ("write-touch-if-later", touch(ExpiryRule::IfLater, at)),
        ("write-touch-if-earlier", touch(ExpiryRule::IfEarlier, at)),
        ("write-touch-object", write(FOLDER.unnamed(), object, Expiry::Never, Want::Value)),
    ]
}

fn batches() -> Cases {
    let version =
        Version { epoch: Epoch(1), hlc: Hlc(0x0193_0000_0000_0001), node: NodeId::of_name("a1") };
    let conditions = [
        Test::Exists,
        Test::Absent,
        Test::ObjectExists,
        Test::ObjectAbsent,
        Test::NotHash,
        Test::NotString,
        Test::VersionIs(version),
        Test::ValueIs(b"1024"),
    ]
    .map(|test| Condition { at: ls(), test })
    .into();
    let put = Write::put(ls(), b"2048", false);
    let writes = vec![
        Write { expiry: Expiry::Keep, want: Want::Value, ..put },
        Write { want: Want::Nothing, ..Write::delete(FOLDER.field(b"cp")) },
    ];
    vec![
        ("batch", Op::Batch(Batch { conditions, writes })),
        ("batch-of-nothing", Op::Batch(Batch { conditions: vec![], writes: vec![] })),
    ]
}

fn head() -> RequestHead {
    RequestHead {
        cluster: ClusterId(0),
        file_epoch: FileEpoch(0),
        lane: Lane::default(),
        acks: Acks::One,
        sync: Sync::None,
        since: Epoch(0),
        request: RequestId(0),
        age_ms: 0,
        remaining_ms: 0,
        attempt: 0,
    }
}

/// An operation is only decoded behind a head.
fn decode(bytes: &'static [u8]) -> Result<Op<'static>, DecodeError> {
    let mut body = Vec::new();
    head().encode(&mut body);
    body.extend_from_slice(bytes);
    request::decode(body.leak()).map(|(_, op)| op)
}

#[test]
fn every_operation_has_the_documented_bytes() {
    let cases = [reads(), writes(), batches()].concat();
    let encode = |op: &Op<'static>| {
        let mut out = Vec::new();
        request::encode_op(&mut out, op);
        out
    };
    golden_file::check("operations.hex", &cases, encode, decode);
}
