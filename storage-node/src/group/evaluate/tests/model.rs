//! A naive model of the data: objects in a map, what expired is removed before each operation. No
//! headers, tombstones or versions that hide anything.

use std::collections::BTreeMap;
use std::ops::Bound;

use common::address::{Address, Field, Object};
use common::failure::FailureCode;
use common::op::{
    Action, AddStyle, Batch, Condition, Describe, Expiry, ExpiryRule, Op, Range, Test, Want, Write,
};
use common::reply::{
    BatchReply, Described, Existed, Found, Lookup, ObjectKind, RangeField, RangeReply, Reply,
    Written,
};
use common::version::Version;

type Answer<T> = Result<T, FailureCode>;

#[derive(Clone, Debug)]
struct Record {
    value: Vec<u8>,
    expire_at: u64,
    version: Version,
}

#[derive(Clone, Debug)]
enum Thing {
    String(Record),
    Hash { fields: BTreeMap<Vec<u8>, Record>, expire_at: u64 },
}

/// The lane's objects by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    things: BTreeMap<Vec<u8>, Thing>,
}

fn length(value: &[u8]) -> u32 {
    u32::try_from(value.len()).unwrap()
}

/// Values of replies live as long as the test.
fn leak(bytes: &[u8]) -> &'static [u8] {
    Box::leak(bytes.to_vec().into_boxed_slice())
}

impl Model {
    fn expire(&mut self, now_ms: u64) {
        let gone = |expire_at: u64| expire_at != 0 && expire_at <= now_ms;
        self.things.retain(|_, thing| match thing {
            Thing::String(record) => !gone(record.expire_at),
            Thing::Hash { fields, expire_at } => {
                fields.retain(|_, record| !gone(record.expire_at));
                !gone(*expire_at) && !fields.is_empty()
            }
        });
    }

    fn thing(&self, object: Object<'_>) -> Option<&Thing> {
        self.things.get(object.name)
    }

    fn record(&self, at: Address<'_>) -> Option<&Record> {
        match (self.thing(at.object)?, at.field) {
            (Thing::String(record), Field::Unnamed) => Some(record),
            (Thing::Hash { fields, .. }, Field::Named(name)) => fields.get(name),
            _ => None,
        }
    }

    fn is_other_kind(&self, at: Address<'_>) -> bool {
        matches!(
            (self.thing(at.object), at.field),
            (Some(Thing::String(_)), Field::Named(_)) | (Some(Thing::Hash { .. }), Field::Unnamed)
        )
    }

    fn set(&mut self, at: Address<'_>, record: Record) {
        match at.field {
            Field::Unnamed => {
                self.things.insert(at.object.name.to_vec(), Thing::String(record));
            }
            Field::Named(name) => {
                let thing = self.things.entry(at.object.name.to_vec());
                let new = || Thing::Hash { fields: BTreeMap::new(), expire_at: 0 };
                let thing = thing.or_insert_with(new);
                if let Thing::String(_) = thing {
                    *thing = new();
                }
                let Thing::Hash { fields, .. } = thing else { unreachable!() };
                fields.insert(name.to_vec(), record);
            }
        }
    }

    fn remove(&mut self, at: Address<'_>) {
        match (self.things.get_mut(at.object.name), at.field) {
            (Some(Thing::Hash { fields, .. }), Field::Named(name)) => {
                fields.remove(name);
            }
            _ => {
                self.things.remove(at.object.name);
            }
        }
    }

    /// The reply to an operation.
    pub(super) fn run(&mut self, op: &Op<'_>, now_ms: u64, version: Version) -> Answer<Reply<'_>> {
        self.expire(now_ms);
        match op {
            Op::Get(get) => Ok(Reply::Lookup(self.lookup(get.at))),
            Op::GetMany(many) => {
                Ok(Reply::Lookups(many.at.iter().map(|at| self.lookup(*at)).collect()))
            }
            Op::Range(range) => Ok(Reply::Range(self.range(range))),
            Op::Describe(describe) => Ok(Reply::Described(self.describe(describe))),
            Op::Write(write) => self.write(write, now_ms, version).map(Reply::Written),
            Op::Batch(batch) => self.batch(batch, now_ms, version).map(Reply::Batch),
            Op::Scan(_) | Op::Count { .. } => unreachable!("not generated"),
        }
    }

    fn lookup(&self, at: Address<'_>) -> Lookup<'static> {
        match self.record(at) {
            _ if self.is_other_kind(at) => Lookup::WrongKind,
            None => Lookup::Missing,
            Some(record) => Lookup::Found(found(record, true)),
        }
    }

    fn range(&self, range: &Range<'_>) -> RangeReply<'static> {
        let (kind, expire_at, fields) = match self.thing(range.object) {
            None => (ObjectKind::Missing, 0, None),
            Some(Thing::String(record)) => (ObjectKind::String, record.expire_at, None),
            Some(Thing::Hash { fields, expire_at }) => (ObjectKind::Hash, *expire_at, Some(fields)),
        };
        let after = range.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut all: Vec<_> = fields
            .into_iter()
            .flat_map(|fields| fields.range::<[u8], _>((after, Bound::Unbounded)))
            .map(|(name, record)| RangeField {
                name: leak(name),
                found: found(record, range.values),
            })
            .collect();
        let count_max = range.count_max as usize;
        let more = all.len() > count_max;
        all.truncate(count_max);
        RangeReply { kind, expire_at, fields: all, more }
    }

    fn describe(&self, describe: &Describe<'_>) -> Described {
        let version = Version::default();
        match self.thing(describe.object) {
            None => Described { kind: ObjectKind::Missing, expire_at: 0, version, size: 0 },
            Some(Thing::String(record)) => Described {
                kind: ObjectKind::String,
                expire_at: record.expire_at,
                version: record.version,
                size: record.value.len() as u64,
            },
            Some(Thing::Hash { fields, expire_at }) => {
                let size = if describe.count { fields.len() as u64 } else { 0 };
                Described { kind: ObjectKind::Hash, expire_at: *expire_at, version, size }
            }
        }
    }

    fn holds(&self, condition: &Condition<'_>) -> bool {
        let (record, thing) = (self.record(condition.at), self.thing(condition.at.object));
        match condition.test {
            Test::Exists => record.is_some(),
            Test::Absent => record.is_none(),
            Test::ObjectExists => thing.is_some(),
            Test::ObjectAbsent => thing.is_none(),
            Test::NotHash => !matches!(thing, Some(Thing::Hash { .. })),
            Test::NotString => !matches!(thing, Some(Thing::String(_))),
            Test::VersionIs(version) => record.is_some_and(|record| record.version == version),
            Test::ValueIs(value) => record.is_some_and(|record| record.value == value),
        }
    }

    fn batch(
        &mut self,
        batch: &Batch<'_>,
        now_ms: u64,
        version: Version,
    ) -> Answer<BatchReply<'static>> {
        if let Some(index) = batch.conditions.iter().position(|condition| !self.holds(condition)) {
            let written = batch.writes.iter().map(|write| self.present(write)).collect();
            return Ok(BatchReply { refused: Some(u32::try_from(index).unwrap()), written });
        }
        let mut after = self.clone();
        let mut written = Vec::new();
        for write in &batch.writes {
            after.expire(now_ms);
            written.push(after.write(write, now_ms, version)?);
        }
        *self = after;
        Ok(BatchReply { refused: None, written })
    }

    /// What stands at a write's address, as the answer of a write that did nothing.
    fn present(&self, write: &Write<'_>) -> Written<'static> {
        let at = match write.action {
            Action::DeleteObject | Action::TouchObject { .. } => write.at.object.unnamed(),
            _ => write.at,
        };
        let mut written = Written {
            applied: false,
            existed: Existed::No,
            version: Version::default(),
            expire_at: 0,
            total: 0,
            value: None,
        };
        if let Some(record) = self.record(at) {
            written.existed = Existed::Yes;
            written.version = record.version;
            written.expire_at = record.expire_at;
            written.total = length(&record.value);
            written.value = (write.want == Want::Value).then(|| leak(&record.value));
        } else if let (Action::DeleteObject | Action::TouchObject { .. }, Some(thing)) =
            (write.action, self.thing(at.object))
        {
            let Thing::Hash { expire_at, .. } = thing else { unreachable!() };
            written.existed = Existed::Yes;
            written.expire_at = *expire_at;
        }
        written
    }

    fn write(
        &mut self,
        write: &Write<'_>,
        now_ms: u64,
        version: Version,
    ) -> Answer<Written<'static>> {
        let replaces = matches!(write.action, Action::Put { replace: true, .. });
        let of_object = matches!(write.action, Action::DeleteObject | Action::TouchObject { .. });
        if self.is_other_kind(write.at) && !replaces && !of_object {
            return Err(FailureCode::WrongKind);
        }
        let present = self.present(write);
        let exists = present.existed == Existed::Yes;
        let old = exists.then_some(present.expire_at);
        let expire_at = resolve(write.expiry, now_ms, old);
        let written = Written { applied: true, version, expire_at, ..present };
        let old_value = self.record(write.at).map(|record| record.value.clone());
        let mut put = |value: Vec<u8>, told: Option<Vec<u8>>| {
            let total = length(&value);
            self.set(write.at, Record { value, expire_at, version });
            Written { total, value: told.map(|told| leak(&told)), ..written }
        };
        Ok(match write.action {
            Action::Put { value, .. } => {
                Written { value: present.value, ..put(value.to_vec(), None) }
            }
            Action::Add { delta, style } => {
                let sum = sum(old_value.as_deref(), delta, style)?.to_string().into_bytes();
                put(sum.clone(), Some(sum))
            }
            Action::Append { bytes } => put([&old_value.unwrap_or_default(), bytes].concat(), None),
            Action::Delete | Action::DeleteObject if exists => {
                let at = if of_object { write.at.object.unnamed() } else { write.at };
                self.remove(at);
                Written { expire_at: 0, total: 0, ..written }
            }
            Action::Touch { rule } | Action::TouchObject { rule }
                if exists && allows(rule, present.expire_at, expire_at) =>
            {
                match self.things.get_mut(write.at.object.name) {
                    Some(Thing::Hash { expire_at: of_hash, .. }) if of_object => {
                        *of_hash = expire_at;
                    }
                    _ => {
                        let at = if of_object { write.at.object.unnamed() } else { write.at };
                        let value = self.record(at).expect("it exists").value.clone();
                        self.set(at, Record { value, expire_at, version });
                    }
                }
                written
            }
            Action::Delete
            | Action::DeleteObject
            | Action::Touch { .. }
            | Action::TouchObject { .. } => present,
        })
    }
}

fn found(record: &Record, value: bool) -> Found<'static> {
    Found {
        version: record.version,
        expire_at: record.expire_at,
        total: length(&record.value),
        value: if value { leak(&record.value) } else { &[] },
    }
}

fn resolve(expiry: Expiry, now_ms: u64, old: Option<u64>) -> u64 {
    match expiry {
        Expiry::Keep => old.unwrap_or(0),
        Expiry::Never => 0,
        Expiry::At(ms) => ms,
        Expiry::After(ms) => now_ms + ms,
        Expiry::AfterSeconds(seconds) => {
            let now = i64::try_from(now_ms / 1000).unwrap();
            u64::try_from(now + i64::from(seconds)).unwrap() * 1000
        }
    }
}

fn allows(rule: ExpiryRule, old: u64, new: u64) -> bool {
    match rule {
        ExpiryRule::Always => true,
        ExpiryRule::IfNever => old == 0,
        ExpiryRule::IfExpiring => old != 0,
        ExpiryRule::IfLater => old != 0 && (new == 0 || new > old),
        ExpiryRule::IfEarlier => new != 0 && (old == 0 || new < old),
    }
}

fn sum(old: Option<&[u8]>, delta: i64, style: AddStyle) -> Answer<i64> {
    let text = std::str::from_utf8(old.unwrap_or(b"0")).unwrap();
    let spelled = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
    match style {
        AddStyle::Strict => {
            let number = spelled.ok_or(FailureCode::NotInteger)?;
            number.checked_add(delta).ok_or(FailureCode::Overflow)
        }
        AddStyle::Lenient => Ok(leading_number(text).wrapping_add(delta)),
    }
}

/// The longest front of a text that is a number. The generated texts have no blanks.
fn leading_number(text: &str) -> i64 {
    if text.len() > 27 {
        return 0;
    }
    let fronts = (0..=text.len()).rev().filter_map(|end| text.get(..end)?.parse::<i128>().ok());
    let number = fronts.into_iter().next().unwrap_or(0);
    i64::try_from(number.clamp(i64::MIN.into(), i64::MAX.into())).unwrap()
}
