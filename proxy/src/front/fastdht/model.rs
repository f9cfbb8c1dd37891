//! A cluster in a `BTreeMap`, for the tests of the fronts: executes each operation when it is
//! submitted and keeps the response, in the wire's encoding, until it is asked for.

use std::collections::{BTreeMap, VecDeque};

use common::address::{Address, Field, Object};
use common::failure::{Failure, FailureCode};
use common::hash::KeyHash;
use common::ids::{Epoch, Lane, LogicGroup, ServerIndex};
use common::op::{Action, Batch, Expiry, Get, Op, Range, Test, Want, Write};
use common::reply::{
    BatchReply, Existed, Found, Lookup, ObjectKind, RangeField, RangeReply, Reply, Written,
};
use common::version::{Hlc, Version};
use common::wire::response;

use crate::front::call::{Durability, Submit};

type Name = Vec<u8>;
type Fields = BTreeMap<Option<Name>, Record>;

#[derive(Clone, Debug)]
struct Record {
    value: Vec<u8>,
    expire_at: u64,
    version: Version,
}

/// The cluster.
#[derive(Debug)]
pub(in crate::front) struct Model {
    /// Its time.
    pub(in crate::front) now_ms: u64,
    /// Most bytes of any part or page, where smaller than what is asked for.
    pub(in crate::front) part_max: usize,
    /// Lanes that answer with a failure.
    pub(in crate::front) failing: BTreeMap<Lane, FailureCode>,
    /// What was submitted, in order: part, operation, durability.
    pub(in crate::front) submitted: Vec<(u32, String, Durability)>,
    objects: BTreeMap<(Name, Name), Fields>,
    writes: u64,
    answers: VecDeque<(u32, Vec<u8>)>,
}

const LOGIC_GROUPS: u16 = 7;
const SERVERS: u8 = 2;

impl Model {
    /// An empty one.
    pub(in crate::front) fn new(now_ms: u64) -> Self {
        Self {
            now_ms,
            part_max: usize::MAX,
            failing: BTreeMap::new(),
            submitted: Vec::new(),
            objects: BTreeMap::new(),
            writes: 0,
            answers: VecDeque::new(),
        }
    }

    /// Stores a value past the fronts.
    pub(in crate::front) fn put(&mut self, at: Address<'_>, value: &[u8]) {
        self.write(&Write::put(at, value, true)).unwrap();
    }

    /// The oldest response that was not taken: part and bytes.
    pub(in crate::front) fn take_answer(&mut self) -> Option<(u32, Vec<u8>)> {
        self.answers.pop_front()
    }

    fn fields(&self, object: Object<'_>) -> Vec<(&Option<Name>, &Record)> {
        let key = (object.namespace.to_vec(), object.name.to_vec());
        let all = self.objects.get(&key).into_iter().flatten();
        all.filter(|(_, record)| record.expire_at == 0 || record.expire_at > self.now_ms).collect()
    }

    fn kind(&self, object: Object<'_>) -> ObjectKind {
        match self.fields(object).first() {
            None => ObjectKind::Missing,
            Some((None, _)) => ObjectKind::String,
            Some((Some(_), _)) => ObjectKind::Hash,
        }
    }

    fn wrong_kind(&self, at: Address<'_>) -> bool {
        match at.field {
            Field::Unnamed => self.kind(at.object) == ObjectKind::Hash,
            Field::Named(_) => self.kind(at.object) == ObjectKind::String,
        }
    }

    fn record(&self, at: Address<'_>) -> Option<&Record> {
        let name = field_name(at.field);
        self.fields(at.object).into_iter().find(|(field, _)| **field == name).map(|(_, r)| r)
    }

    fn get(&self, get: &Get<'_>) -> Lookup<'_> {
        if self.wrong_kind(get.at) {
            return Lookup::WrongKind;
        }
        let Some(record) = self.record(get.at) else {
            return Lookup::Missing;
        };
        let start = (get.part.offset as usize).min(record.value.len());
        let limit = (get.part.limit as usize).min(self.part_max);
        let end = (start + limit).min(record.value.len());
        Lookup::Found(found(record, &record.value[start..end]))
    }

    fn get_many(&self, at: &[Address<'_>], bytes_max: u32) -> Vec<Lookup<'_>> {
        let bytes_max = (bytes_max as usize).min(self.part_max);
        let (mut lookups, mut bytes) = (Vec::new(), 0);
        for &at in at {
            let part = common::op::Part { offset: 0, limit: u32::MAX };
            let mut lookup = self.get(&Get { at, part });
            if let Lookup::Found(found) = &mut lookup {
                bytes += found.total as usize;
                if bytes > bytes_max && !lookups.is_empty() {
                    break;
                }
                found.value = &found.value[..found.value.len().min(bytes_max)];
            }
            lookups.push(lookup);
        }
        lookups
    }

    fn range(&self, range: &Range<'_>) -> RangeReply<'_> {
        let kind = self.kind(range.object);
        let bytes_max = (range.bytes_max as usize).min(self.part_max);
        let (mut fields, mut bytes, mut more) = (Vec::new(), 0, false);
        for (name, record) in self.fields(range.object) {
            let Some(name) = name else { continue };
            if range.after.is_some_and(|after| &name[..] <= after) {
                continue;
            }
            bytes += name.len() + if range.values { record.value.len() } else { 0 };
            let full = bytes > bytes_max || fields.len() == range.count_max as usize;
            if full && !fields.is_empty() {
                more = true;
                break;
            }
            let value = if range.values { &record.value[..] } else { b"" };
            let value = &value[..value.len().min(bytes_max)];
            fields.push(RangeField { name, found: found(record, value) });
        }
        RangeReply { kind, expire_at: 0, fields, more }
    }

    fn write(&mut self, write: &Write<'_>) -> Result<Owned, FailureCode> {
        let object = write.at.object;
        let key = (object.namespace.to_vec(), object.name.to_vec());
        if let Action::DeleteObject = write.action {
            let existed = self.kind(object) != ObjectKind::Missing;
            self.objects.remove(&key);
            return Ok(self.owned(existed, existed, None));
        }
        if let Action::Put { replace: true, .. } = write.action
            && self.wrong_kind(write.at)
        {
            self.objects.remove(&key);
        }
        if self.wrong_kind(write.at) {
            return Err(FailureCode::WrongKind);
        }
        let old = self.record(write.at).cloned();
        let existed = old.is_some();
        let value = match write.action {
            Action::Put { value, .. } => Some(value.to_vec()),
            Action::Add { delta, .. } => {
                let number = old.as_ref().map_or(0, |record| lenient(&record.value));
                Some(number.wrapping_add(delta).to_string().into_bytes())
            }
            Action::Touch { .. } => old.as_ref().map(|record| record.value.clone()),
            Action::Delete => None,
            other => panic!("the model does not know {other:?}"),
        };
        let fields = self.objects.entry(key.clone()).or_default();
        let name = field_name(write.at.field);
        fields.remove(&name);
        let Some(value) = value else {
            return Ok(self.owned(existed, existed, old.filter(|_| write.want == Want::Value)));
        };
        self.writes += 1;
        let expire_at = resolve(write.expiry, self.now_ms, old.map_or(0, |old| old.expire_at));
        let record = Record { value, expire_at, version: self.version() };
        self.objects.entry(key).or_default().insert(name, record.clone());
        let mut owned = self.owned(true, existed, Some(record));
        owned.tell = write.want == Want::Value || matches!(write.action, Action::Add { .. });
        Ok(owned)
    }

    fn version(&self) -> Version {
        Version { epoch: Epoch(1), hlc: Hlc(self.writes), ..Version::default() }
    }

    fn owned(&self, applied: bool, existed: bool, record: Option<Record>) -> Owned {
        Owned { applied, existed, record, tell: true, version: self.version() }
    }

    fn batch(&mut self, batch: &Batch<'_>) -> Result<(Option<u32>, Vec<Owned>), FailureCode> {
        let refused = batch.conditions.iter().position(|condition| {
            let record = self.record(condition.at);
            !match condition.test {
                Test::Exists => record.is_some(),
                Test::Absent => record.is_none(),
                Test::VersionIs(version) => record.is_some_and(|record| record.version == version),
                other => panic!("the model does not know {other:?}"),
            }
        });
        if let Some(index) = refused {
            let present = batch.writes.iter().map(|write| {
                let record = self.record(write.at).cloned();
                let version = record.as_ref().map(|record| record.version).unwrap_or_default();
                let existed = record.is_some();
                Owned { applied: false, existed, record, tell: false, version }
            });
            return Ok((u32::try_from(index).ok(), present.collect()));
        }
        let before = self.objects.clone();
        let written = batch.writes.iter().map(|write| self.write(write)).collect();
        if let Err(code) = written {
            self.objects = before;
            return Err(code);
        }
        written.map(|written| (None, written))
    }

    fn execute(&mut self, op: &Op<'_>) -> Result<Vec<u8>, FailureCode> {
        let mut out = Vec::new();
        match op {
            Op::Get(get) => response::encode_reply(&mut out, &Reply::Lookup(self.get(get))),
            Op::GetMany(many) => {
                let lookups = self.get_many(&many.at, many.bytes_max);
                response::encode_reply(&mut out, &Reply::Lookups(lookups));
            }
            Op::Range(range) => response::encode_reply(&mut out, &Reply::Range(self.range(range))),
            Op::Write(write) => {
                let owned = self.write(write)?;
                response::encode_reply(&mut out, &Reply::Written(owned.written()));
            }
            Op::Batch(batch) => {
                let (refused, owned) = self.batch(batch)?;
                let written = owned.iter().map(Owned::written).collect();
                response::encode_reply(&mut out, &Reply::Batch(BatchReply { refused, written }));
            }
            other => panic!("the model does not know {other:?}"),
        }
        Ok(out)
    }
}

impl Submit for Model {
    fn submit(&mut self, part: u32, op: &Op<'_>, durability: Durability) {
        self.submitted.push((part, format!("{op:?}"), durability));
        let lane = self.lane_of(op.object().unwrap());
        let failing = self.failing.get(&lane).copied();
        let outcome = failing.map_or_else(|| self.execute(op), Err);
        let bytes = outcome.unwrap_or_else(|code| {
            let mut out = Vec::new();
            response::encode_failure(&mut out, &Failure::new(code, format!("{lane}: {code:?}")));
            out
        });
        self.answers.push_back((part, bytes));
    }

    fn submit_to(&mut self, _part: u32, _lane: Lane, op: &Op<'_>) {
        panic!("the model does not know {op:?}");
    }

    fn lane_of(&self, object: Object<'_>) -> Lane {
        KeyHash::of(object).lane(LOGIC_GROUPS, SERVERS)
    }

    fn logic_groups(&self) -> u16 {
        LOGIC_GROUPS
    }

    fn lanes_of(&self, group: LogicGroup) -> Vec<Lane> {
        (0..SERVERS).map(|server| Lane { group, server: ServerIndex(server) }).collect()
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }
}

/// A [`Written`] that owns its value.
struct Owned {
    applied: bool,
    existed: bool,
    record: Option<Record>,
    tell: bool,
    version: Version,
}

impl Owned {
    fn written(&self) -> Written<'_> {
        let record = self.record.as_ref();
        Written {
            applied: self.applied,
            existed: if self.existed { Existed::Yes } else { Existed::No },
            version: record.map_or(self.version, |record| record.version),
            expire_at: record.map_or(0, |record| record.expire_at),
            total: record.map_or(0, |record| u32::try_from(record.value.len()).unwrap()),
            value: record.filter(|_| self.tell).map(|record| &record.value[..]),
        }
    }
}

fn found<'a>(record: &Record, value: &'a [u8]) -> Found<'a> {
    let total = u32::try_from(record.value.len()).unwrap();
    Found { version: record.version, expire_at: record.expire_at, total, value }
}

fn field_name(field: Field<'_>) -> Option<Name> {
    match field {
        Field::Unnamed => None,
        Field::Named(name) => Some(name.to_vec()),
    }
}

fn resolve(expiry: Expiry, now_ms: u64, present: u64) -> u64 {
    match expiry {
        Expiry::Keep => present,
        Expiry::Never => 0,
        Expiry::At(ms) => ms.max(1),
        Expiry::After(ms) => now_ms + ms,
        Expiry::AfterSeconds(seconds) => {
            (now_ms / 1000).saturating_add_signed(i64::from(seconds)).max(1) * 1000
        }
    }
}

fn lenient(text: &[u8]) -> i64 {
    if text.len() > 27 {
        return 0;
    }
    let text = text.trim_ascii_start();
    let signs = usize::from(text.starts_with(b"-") || text.starts_with(b"+"));
    let digits = text.iter().skip(signs).take_while(|byte| byte.is_ascii_digit()).count();
    let number = String::from_utf8_lossy(&text[..signs + digits]);
    number.parse().unwrap_or(0)
}
