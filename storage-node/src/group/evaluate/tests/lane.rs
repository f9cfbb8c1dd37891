//! A lane for tests: a map as the store, the pending overlay, a clock that is moved by hand.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use common::address::{Address, Field, Object};
use common::failure::Failure;
use common::ids::{Epoch, Lsn, NodeId};
use common::key::{self, PhysicalKey, Slot};
use common::log_record::Mutation;
use common::op::{
    Action, AddStyle, Batch, Condition, Describe, Expiry, ExpiryRule, Get, Op, Part, Want, Write,
};
use common::reply::{Existed, Found, Lookup, Reply, Written};
use common::stored::{Body, Stored};
use common::version::{Hlc, Version};
use common::wire::{reply, response};

use super::super::{Draft, KeyBuffer, Moment, Refused, read, write};
use crate::engine::error::EngineError;
use crate::engine::record::RecordRef;
use crate::engine::view::{View, Visit};
use crate::engine::visible::Hiding;
use crate::group::overlay::Overlay;

/// A store in memory that counts what is read.
#[derive(Debug, Default)]
pub(super) struct MemoryView {
    pub(super) records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) headers: bool,
    pub(super) reads: Cell<usize>,
}

impl View for MemoryView {
    fn record(&self, key: &[u8]) -> Result<Option<RecordRef<'_>>, EngineError> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.records.get(key).map(|stored| RecordRef::Memory(stored)))
    }

    fn fields(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        self.reads.set(self.reads.get() + 1);
        let start = [prefix, from].concat();
        for (key, stored) in self.records.range(start..) {
            let Some(suffix) = key.strip_prefix(prefix) else { break };
            if visit(suffix, Stored::decode(stored).unwrap()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn may_have_headers(&self) -> bool {
        self.headers
    }
}

impl MemoryView {
    /// Applies as the engine does: the greater version wins.
    pub(super) fn apply(&mut self, mutation: &Mutation<'_>) {
        let old = self.records.get(mutation.key);
        if old.is_some_and(|old| Stored::decode(old).unwrap().version >= mutation.stored.version) {
            return;
        }
        self.headers |= matches!(mutation.stored.body, Body::Header { .. });
        let mut stored = Vec::new();
        mutation.stored.encode(&mut stored);
        self.records.insert(mutation.key.to_vec(), stored);
    }

    /// Removes what no reader sees, as the engine's reclaim may: what hides leaves with, never
    /// before, what it hides.
    pub(super) fn reclaim(&mut self, now_ms: u64) {
        let mut kept = BTreeMap::new();
        for (key, stored) in &self.records {
            let parts = PhysicalKey::decode(key).unwrap();
            let of_object = |field| {
                let suffix = if field { key::UNNAMED_SUFFIX } else { key::HEADER_SUFFIX };
                let stored = self.records.get(&[&key[..parts.prefix_bytes], suffix].concat())?;
                Some(Stored::decode(stored).unwrap())
            };
            let hiding = Hiding::new(of_object(false).as_ref(), of_object(true).as_ref(), now_ms);
            let record = Stored::decode(stored).unwrap();
            let visible = match parts.slot {
                Slot::Field(Field::Unnamed) => hiding.unnamed_visible(&record),
                Slot::Field(Field::Named(_)) => hiding.named_visible(&record),
                Slot::Header => false,
            };
            if visible {
                kept.insert(key.clone(), stored.clone());
                let header = [&key[..parts.prefix_bytes], key::HEADER_SUFFIX].concat();
                if let Some(stored) = self.records.get(&header) {
                    kept.insert(header, stored.clone());
                }
            }
        }
        self.records = kept;
    }
}

/// A changed key and its encoded content.
type Changed = (Vec<u8>, Vec<u8>);

/// A lane with its leader.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) view: MemoryView,
    pub(super) overlay: Overlay,
    /// The records that the store has not applied yet.
    log: VecDeque<(u64, Vec<Changed>)>,
    pub(super) now_ms: u64,
    pub(super) ticks: u64,
    draft: Draft,
    keys: KeyBuffer,
    /// Whether writes stay pending until [`Lane::settle`].
    pub(super) pending: bool,
}

/// The version of a tick.
pub(super) fn version(tick: u64) -> Version {
    Version { epoch: Epoch(1), hlc: Hlc(tick), node: NodeId(1) }
}

impl Lane {
    pub(super) fn at(now_ms: u64) -> Self {
        Self { now_ms, ..Self::default() }
    }

    /// Evaluates the operation and applies what it changes; the response body.
    pub(super) fn run(&mut self, op: &Op<'_>) -> Vec<u8> {
        match self.try_run(op) {
            Ok(body) => body,
            Err(Refused::Failure(failure)) => {
                let mut body = Vec::new();
                response::encode_failure(&mut body, &failure);
                body
            }
            Err(Refused::Engine(error)) => panic!("{error}"),
        }
    }

    fn try_run(&mut self, op: &Op<'_>) -> Result<Vec<u8>, Refused> {
        let latest = self.overlay.over(&self.view);
        let mut out = b"before".to_vec();
        if op.is_read() {
            let done = read(&latest, op, self.now_ms, &mut self.keys, &mut out);
            return done.map(|()| out.split_off(b"before".len()));
        }
        self.ticks += 2;
        let (now_ms, version, cleared) =
            (self.now_ms, version(self.ticks), version(self.ticks - 1));
        let at = Moment { now_ms, version, cleared };
        let done = write(&latest, op, &at, &mut self.draft, &mut out);
        if done.is_err() {
            assert!(self.draft.is_empty(), "a refused operation leaves a draft: {op:?}");
            assert_eq!(out, b"before");
        }
        assert_eq!(done?, !self.draft.is_empty());
        assert!(self.draft.iter().all(|mutation| mutation.stored.version == version));
        self.overlay.push(Lsn(self.ticks), false, self.draft.iter());
        let changes = self.draft.iter().map(|mutation| {
            let mut stored = Vec::new();
            mutation.stored.encode(&mut stored);
            (mutation.key.to_vec(), stored)
        });
        self.log.push_back((self.ticks, changes.collect()));
        if !self.pending {
            self.settle(self.ticks);
        }
        let reply = out.split_off(b"before".len());
        let mut body = Vec::new();
        response::encode_reply(&mut body, &reply::decode(&reply).unwrap());
        Ok(body)
    }

    /// Makes the writes up to a tick official.
    pub(super) fn settle(&mut self, tick: u64) {
        while let Some((_, changes)) = self.log.pop_front_if(|(due, _)| *due <= tick) {
            for (key, stored) in &changes {
                let stored = Stored::decode(stored).unwrap();
                self.view.apply(&Mutation { key, stored });
            }
        }
        self.overlay.drop_through(Lsn(tick));
    }

    pub(super) fn settle_all(&mut self) {
        self.settle(self.ticks);
        assert!(self.overlay.is_empty());
    }

    /// One write; what it did, in words.
    pub(super) fn write(&mut self, write: Write<'_>) -> String {
        words(&self.run(&Op::Write(write)))
    }

    pub(super) fn batch(&mut self, conditions: &[Condition<'_>], writes: &[Write<'_>]) -> String {
        let (conditions, writes) = (conditions.to_vec(), writes.to_vec());
        words(&self.run(&Op::Batch(Batch { conditions, writes })))
    }

    pub(super) fn get(&mut self, at: Address<'_>) -> String {
        let part = Part { offset: 0, limit: u32::MAX };
        words(&self.run(&Op::Get(Get { at, part })))
    }

    /// The object: `missing`, `string` or `hash`, its expiry and size.
    pub(super) fn describe(&mut self, object: Object<'_>) -> String {
        words(&self.run(&Op::Describe(Describe { object, count: true })))
    }
}

/// A response in words.
pub(super) fn words(body: &[u8]) -> String {
    match response::decode(body).unwrap() {
        Err(Failure { code, .. }) => format!("{code:?}"),
        Ok(Reply::Lookup(lookup)) => lookup_words(&lookup),
        Ok(Reply::Lookups(lookups)) => {
            lookups.iter().map(lookup_words).collect::<Vec<_>>().join(", ")
        }
        Ok(Reply::Written(written)) => written_words(&written),
        Ok(Reply::Batch(batch)) => {
            let mut words: Vec<_> = batch.written.iter().map(written_words).collect();
            if let Some(index) = batch.refused {
                words.insert(0, format!("refused by {index}"));
            }
            words.join(", ")
        }
        Ok(Reply::Range(range)) => {
            let mut words = vec![format!("{:?} @{}", range.kind, range.expire_at)];
            for field in &range.fields {
                words.push(format!("{} {}", text(field.name), found_words(&field.found)));
            }
            if range.more {
                words.push("more".into());
            }
            words.join(", ")
        }
        Ok(Reply::Described(described)) => {
            format!("{:?} @{} #{}", described.kind, described.expire_at, described.size)
        }
        Ok(other) => panic!("{other:?}"),
    }
}

fn lookup_words(lookup: &Lookup<'_>) -> String {
    match lookup {
        Lookup::Missing => "missing".into(),
        Lookup::WrongKind => "wrong kind".into(),
        Lookup::Found(found) => found_words(found),
    }
}

fn found_words(found: &Found<'_>) -> String {
    format!("={} #{} @{}", text(found.value), found.total, found.expire_at)
}

fn written_words(written: &Written<'_>) -> String {
    let applied = if written.applied { "done" } else { "not done" };
    let existed = match written.existed {
        Existed::No => "new",
        Existed::Yes => "old",
        Existed::Unknown => "blind",
    };
    let value = written.value.map(|value| format!(" ={}", text(value))).unwrap_or_default();
    let (expire_at, total) = (written.expire_at, written.total);
    format!("{applied} {existed} #{total} @{expire_at}{value}")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The object with this name in the empty namespace.
pub(super) fn object(name: &str) -> Object<'_> {
    Object { namespace: b"", name: name.as_bytes() }
}

/// `name` is a string, `name.field` a field of a hash.
pub(super) fn at(path: &str) -> Address<'_> {
    match path.split_once('.') {
        None => object(path).unnamed(),
        Some((name, field)) => object(name).field(field.as_bytes()),
    }
}

/// SET for a string, HSET for a field.
pub(super) fn put<'a>(path: &'a str, value: &'a str) -> Write<'a> {
    let at = at(path);
    Write::put(at, value.as_bytes(), at.field == Field::Unnamed)
}

/// What the original protocol's SET and HTTP's PUT do.
pub(super) fn put_same_kind<'a>(path: &'a str, value: &'a str) -> Write<'a> {
    Write::put(at(path), value.as_bytes(), false)
}

pub(super) fn delete(path: &str) -> Write<'_> {
    Write::delete(at(path))
}

pub(super) fn delete_object(name: &str) -> Write<'_> {
    Write::delete_object(object(name))
}

pub(super) fn add(path: &str, delta: i64, style: AddStyle) -> Write<'_> {
    action(path, Action::Add { delta, style })
}

pub(super) fn append<'a>(path: &'a str, bytes: &'a str) -> Write<'a> {
    action(path, Action::Append { bytes: bytes.as_bytes() })
}

pub(super) fn touch(path: &str, expiry: Expiry) -> Write<'_> {
    let rule = ExpiryRule::Always;
    Write { expiry, ..action(path, Action::Touch { rule }) }
}

pub(super) fn touch_object(name: &str, expiry: Expiry) -> Write<'_> {
    let rule = ExpiryRule::Always;
    Write { expiry, ..action(name, Action::TouchObject { rule }) }
}

fn action<'a>(path: &'a str, action: Action<'a>) -> Write<'a> {
    Write { at: at(path), action, expiry: Expiry::Keep, want: Want::Nothing }
}

/// The write with another expiry or want.
pub(super) trait With: Sized {
    fn expiring(self, expiry: Expiry) -> Self;
    fn wanting(self, want: Want) -> Self;
}

impl With for Write<'_> {
    fn expiring(self, expiry: Expiry) -> Self {
        Self { expiry, ..self }
    }

    fn wanting(self, want: Want) -> Self {
        Self { want, ..self }
    }
}
