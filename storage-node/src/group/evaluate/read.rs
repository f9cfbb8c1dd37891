//! Evaluation of reads, straight into a response body.

use std::ops::ControlFlow;

use common::address::{Address, Field};
use common::limits::{BATCH_ITEMS_MAX, FRAME_BYTES_MAX};
use common::op::{Describe, Get, GetMany, Op, Part};
use common::reply::{Described, Lookup, ObjectKind, Reply};
use common::version::Version;
use common::wire::response;

use super::keys::KeyBuffer;
use super::object::{self, ObjectState};
use super::page;
use super::refused::Refused;
use crate::engine::error::EngineError;
use crate::engine::record::RecordRef;
use crate::engine::view::View;

/// Most bytes of names and values in one answer, whatever was asked for: with what belongs to each
/// of the most items they fit in one frame.
pub(super) const ANSWER_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;
/// Bytes of one item of an answer besides its name and value.
const ITEM_BYTES: usize = 48;
const _: () =
    assert!(ANSWER_BYTES_MAX + BATCH_ITEMS_MAX * ITEM_BYTES + (1 << 10) < FRAME_BYTES_MAX);

/// Evaluates a get, multi-get, range or describe at `now_ms`. The response body
/// ([`common::wire::response`]) goes behind what `out` held; a value is copied once. `keys` is only
/// a buffer.
///
/// # Errors
/// The operation is refused or the data could not be read: `out` is as it was.
pub fn read<V: View>(
    view: &V,
    op: &Op<'_>,
    now_ms: u64,
    keys: &mut KeyBuffer,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let start = out.len();
    let done = match op {
        Op::Get(get) => read_one(view, get, now_ms, keys, out),
        Op::GetMany(many) => read_many(view, many, now_ms, keys, out),
        Op::Range(range) => page::read(view, range, now_ms, keys, out),
        Op::Describe(describe) => read_object(view, describe, now_ms, keys, out),
        Op::Scan(_) | Op::Count { .. } | Op::Write(_) | Op::Batch(_) => {
            Err(Refused::misdirected("a read of records"))
        }
    };
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// What stands at an address, still stored.
enum Seen<'v> {
    Missing,
    WrongKind,
    Found(RecordRef<'v>),
}

impl Seen<'_> {
    /// The lookup as it is answered, with a part of the value.
    fn lookup(&self, part: Part) -> Lookup<'_> {
        let record = match self {
            Self::Missing => return Lookup::Missing,
            Self::WrongKind => return Lookup::WrongKind,
            Self::Found(record) => object::live(record),
        };
        let length = record.value.len();
        let clamp = |bytes: u32| usize::try_from(bytes).map_or(length, |bytes| bytes.min(length));
        let (offset, limit) = (clamp(part.offset), clamp(part.limit));
        let end = (offset + limit).min(length);
        let value = record.value.get(offset..end).expect("both ends are inside the value");
        Lookup::Found(record.found(value))
    }
}

const WHOLE: Part = Part { offset: 0, limit: u32::MAX };

fn see<'v, V: View>(
    view: &'v V,
    keys: &mut KeyBuffer,
    at: Address<'_>,
    now_ms: u64,
) -> Result<Seen<'v>, Refused> {
    at.check()?;
    keys.set_object(at.object);
    let state = ObjectState::load(view, keys, now_ms)?;
    Ok(match at.field {
        Field::Unnamed if state.string().is_none() => {
            if state.any_field(view, keys)? {
                Seen::WrongKind
            } else {
                Seen::Missing
            }
        }
        Field::Unnamed => Seen::Found(state.into_string().expect("it was just there")),
        Field::Named(_) if state.string().is_some() => Seen::WrongKind,
        Field::Named(name) => state.field(view, keys, name)?.map_or(Seen::Missing, Seen::Found),
    })
}

fn read_one<V: View>(
    view: &V,
    get: &Get<'_>,
    now_ms: u64,
    keys: &mut KeyBuffer,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let seen = see(view, keys, get.at, now_ms)?;
    response::encode_reply(out, &Reply::Lookup(seen.lookup(get.part)));
    Ok(())
}

fn read_many<V: View>(
    view: &V,
    many: &GetMany<'_>,
    now_ms: u64,
    keys: &mut KeyBuffer,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let bytes_max = usize::try_from(many.bytes_max).unwrap_or(usize::MAX).min(ANSWER_BYTES_MAX);
    let mut seen = Vec::with_capacity(many.at.len());
    let mut bytes = 0;
    for at in many.at.iter().take(BATCH_ITEMS_MAX) {
        let one = see(view, keys, *at, now_ms)?;
        if let Seen::Found(record) = &one {
            bytes += object::live(record).value.len();
        }
        if bytes > bytes_max && !seen.is_empty() {
            break;
        }
        seen.push(one);
    }
    // Only a first value can be over the bound.
    let limit = u32::try_from(bytes_max).unwrap_or(u32::MAX);
    let cut = Part { limit, ..WHOLE };
    let lookups = seen.iter().map(|one| one.lookup(cut)).collect();
    response::encode_reply(out, &Reply::Lookups(lookups));
    Ok(())
}

fn read_object<V: View>(
    view: &V,
    describe: &Describe<'_>,
    now_ms: u64,
    keys: &mut KeyBuffer,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    describe.object.check()?;
    keys.set_object(describe.object);
    let state = ObjectState::load(view, keys, now_ms)?;
    let described = match state.string() {
        Some(string) => Described {
            kind: ObjectKind::String,
            expire_at: string.expire_at,
            version: string.version,
            size: u64::from(string.total()),
        },
        None => describe_fields(view, &state, describe.count, keys)?,
    };
    response::encode_reply(out, &Reply::Described(described));
    Ok(())
}

fn describe_fields<V: View>(
    view: &V,
    state: &ObjectState<'_>,
    count: bool,
    keys: &mut KeyBuffer,
) -> Result<Described, EngineError> {
    let mut fields = 0u64;
    state.fields(view, keys, None, |_, _| {
        fields += 1;
        if count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let version = Version::default();
    if fields == 0 {
        return Ok(Described { kind: ObjectKind::Missing, expire_at: 0, version, size: 0 });
    }
    let size = if count { fields } else { 0 };
    Ok(Described { kind: ObjectKind::Hash, expire_at: state.hash_expire_at(), version, size })
}
