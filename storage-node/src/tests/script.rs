//! What the suite writes, and what must be seen of it: a pure function of the records that are left.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::address::{Field, Object};
use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, Stream};
use common::key::{HEADER_SUFFIX, KIND_HEADER, KIND_UNNAMED, put_field_suffix, put_object_prefix};
use common::log_record::{LogHead, LogRecordWriter, Mutation};
use common::reply::ObjectKind;
use common::stored::{Body, Stored};
use common::version::{Hlc, Version};

use crate::engine::visible::Hiding;
use crate::engine::{ScanFrom, Slice, Store, View};

/// When some of what is written expires, in milliseconds.
const EXPIRY: u64 = 500_000;
/// Before that.
pub(super) const EARLY: u64 = 1_000;
/// Behind it, with the time that reclaim waits.
pub(super) const LATE: u64 = EXPIRY + 60_000;
/// Reclaim begins behind this record.
pub(super) const RECLAIM_FROM: u64 = 60;

/// One operation; each is a record of the log.
#[derive(Debug)]
enum Op {
    Set { name: String, bytes: usize, expire_at: u64 },
    Delete { name: String },
    HashSet { name: String, field: String, bytes: usize },
    HashClear { name: String },
    HashExpire { name: String },
}

/// The operation of the record with this number.
fn op(number: u64) -> Op {
    let string = format!("s{}", number % 7);
    let bytes = usize::try_from(20 + number * 37 % 400).unwrap();
    match number % 10 {
        0 => Op::Delete { name: format!("s{}", number / 3 % 7) },
        3 => Op::Set { name: string, bytes, expire_at: EXPIRY },
        1 | 2 => Op::Set { name: string, bytes, expire_at: 0 },
        8 if number.is_multiple_of(4) => Op::HashClear { name: format!("h{}", number % 3) },
        8 => Op::Set { name: string, bytes: 1_500, expire_at: 0 },
        9 if number % 20 == 9 => {
            Op::HashSet { name: format!("e{}", number / 20), field: "f".to_owned(), bytes }
        }
        9 => Op::HashExpire { name: format!("e{}", number / 20) },
        _ => {
            let (name, field) = (format!("h{}", number % 3), format!("f{}", number % 11));
            Op::HashSet { name, field, bytes }
        }
    }
}

/// The value of a record that was written in one of the lives of the store.
fn value(number: u64, life: u32, bytes: usize) -> Vec<u8> {
    let mut value = format!("{number}.{life} ").into_bytes();
    value.resize(value.len() + bytes, b'.');
    value
}

pub(super) fn stream() -> Stream {
    let lane = Lane { group: LogicGroup(3), server: ServerIndex(0) };
    Stream { lane, epoch: Epoch(1) }
}

fn prefix(name: &str) -> Vec<u8> {
    let mut prefix = Vec::new();
    put_object_prefix(&mut prefix, Object { namespace: b"ns", name: name.as_bytes() });
    prefix
}

pub(super) fn key(name: &str, field: Field<'_>) -> Vec<u8> {
    let mut key = prefix(name);
    put_field_suffix(&mut key, field);
    key
}

/// The record with this number.
pub(super) fn record(number: u64, life: u32) -> Vec<u8> {
    let head = LogHead {
        stream: stream(),
        lsn: Lsn(number),
        hlc: Hlc(number),
        node: NodeId(1),
        request: RequestId(u128::from(number)),
        open: 0,
    };
    let version = Version { epoch: Epoch(1), hlc: Hlc(number), node: NodeId(1) };
    let (key, value, expire_at) = match op(number) {
        Op::Set { name, bytes, expire_at } => {
            (key(&name, Field::Unnamed), value(number, life, bytes), expire_at)
        }
        Op::HashSet { name, field, bytes } => {
            (key(&name, Field::Named(field.as_bytes())), value(number, life, bytes), 0)
        }
        Op::Delete { name } => (key(&name, Field::Unnamed), Vec::new(), 0),
        Op::HashClear { name } => ([&prefix(&name), HEADER_SUFFIX].concat(), Vec::new(), 0),
        Op::HashExpire { name } => ([&prefix(&name), HEADER_SUFFIX].concat(), Vec::new(), EXPIRY),
    };
    let body = match op(number) {
        Op::Set { .. } | Op::HashSet { .. } => Body::Value { expire_at, value: &value },
        Op::Delete { .. } => Body::Tombstone,
        Op::HashClear { .. } => Body::Header { expire_at, cleared: version },
        Op::HashExpire { .. } => Body::Header { expire_at, cleared: Version::default() },
    };
    let mut out = Vec::new();
    let mut writer = LogRecordWriter::new(&mut out, &head);
    writer.mutation(&Mutation { key: &key, stored: Stored { version, body } });
    writer.finish(b"answer");
    out
}

/// An object as its readers see it; a string is its one unnamed field.
pub(super) type Shown = BTreeMap<String, Vec<u8>>;

/// What must be seen behind the first records; `lives` says in which life each was written.
pub(super) fn expected(lives: &[u32], now: u64) -> BTreeMap<String, Shown> {
    let mut objects: BTreeMap<String, (Shown, u64)> = BTreeMap::new();
    for (number, life) in (1..).zip(lives) {
        match op(number) {
            Op::Set { name, bytes, expire_at } => {
                let shown = [(String::new(), value(number, *life, bytes))].into();
                objects.insert(name, (shown, expire_at));
            }
            Op::Delete { name } | Op::HashClear { name } => drop(objects.remove(&name)),
            Op::HashSet { name, field, bytes } => {
                let (fields, _) = objects.entry(name).or_default();
                fields.insert(field, value(number, *life, bytes));
            }
            Op::HashExpire { name } => {
                if let Some((_, expire_at)) = objects.get_mut(&name) {
                    *expire_at = EXPIRY;
                }
            }
        }
    }
    let live = |(name, (shown, expire_at)): (String, (Shown, u64))| {
        (expire_at == 0 || expire_at > now).then_some((name, shown))
    };
    objects.into_iter().filter_map(live).collect()
}

/// What is seen in a store.
pub(super) fn shown(store: &Store, now: u64) -> Result<BTreeMap<String, Shown>, String> {
    let mut all = BTreeMap::new();
    for server in [ServerIndex(0), ServerIndex(1)] {
        let mut names = Vec::new();
        let visit = &mut |_: u64, name: &[u8], kind: ObjectKind| names.push((name.to_vec(), kind));
        let from = ScanFrom { namespace: b"ns", server, position: 0, max: 1_000 };
        let mut slice = Slice::unbounded();
        let next = store.scan(&from, now, &mut slice, visit).map_err(|e| e.to_string())?;
        assert_eq!(next, None);
        let count = store.count(b"ns", server, now, &mut slice).map_err(|e| e.to_string())?;
        if count != Some(names.len() as u64) {
            return Err(format!("{count:?} objects are counted, {} are there", names.len()));
        }
        for (name, _) in names {
            let name = String::from_utf8(name).unwrap();
            let fields = fields(store, &name, now)?;
            all.insert(name, fields);
        }
    }
    Ok(all)
}

fn fields(store: &Store, name: &str, now: u64) -> Result<Shown, String> {
    let mut hiding = Hiding::new(None, None, now);
    let mut shown = Shown::new();
    let mut visit = |suffix: &[u8], stored: Stored<'_>| {
        let visible = match suffix.first() {
            Some(&KIND_HEADER) => {
                hiding.add_header(&stored);
                false
            }
            Some(&KIND_UNNAMED) => {
                hiding.add_unnamed(&stored);
                hiding.unnamed_visible(&stored)
            }
            _ => hiding.named_visible(&stored),
        };
        if let (true, Body::Value { value, .. }) = (visible, stored.body) {
            shown.insert(String::from_utf8(suffix[1..].to_vec()).unwrap(), value.to_vec());
        }
        ControlFlow::Continue(())
    };
    store.fields(&prefix(name), &[], &mut visit).map_err(|e| e.to_string())?;
    Ok(shown)
}
