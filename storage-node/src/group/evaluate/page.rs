//! Pages of an object's fields, written into the response while the fields are visited.

use std::ops::ControlFlow;

use common::codec::Put;
use common::limits::BATCH_ITEMS_MAX;
use common::op::Range;
use common::reply::{ObjectKind, RangeReply, Reply};
use common::wire::response;

use super::keys::KeyBuffer;
use super::live::Live;
use super::object::ObjectState;
use super::read::ANSWER_BYTES_MAX;
use super::refused::Refused;
use crate::engine::view::View;

/// Answers a range: see [`Range`] for what a page may hold. A count or size of 0 is taken as 1: a
/// page of an existing field makes progress.
pub(super) fn read<V: View>(
    view: &V,
    range: &Range<'_>,
    now_ms: u64,
    keys: &mut KeyBuffer,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    range.object.check()?;
    range.object.field(range.after.unwrap_or_default()).check()?;
    keys.set_object(range.object);
    let state = ObjectState::load(view, keys, now_ms)?;
    let (kind, expire_at) = match state.string() {
        Some(string) => (ObjectKind::String, string.expire_at),
        None if state.any_field(view, keys)? => (ObjectKind::Hash, state.hash_expire_at()),
        None => (ObjectKind::Missing, 0),
    };
    let mut page = Page::begin(out, kind, expire_at, range);
    if kind == ObjectKind::Hash {
        state.fields(view, keys, range.after, |name, live| page.add(name, &live))?;
    }
    page.end();
    Ok(())
}

/// A page while it is written: an empty one as [`response`] encodes it, whose last two parts, `more`
/// and the count of fields, are set at the end.
struct Page<'o> {
    out: &'o mut Vec<u8>,
    values: bool,
    count_max: usize,
    bytes_left: usize,
    /// Where the fields begin, behind `more` and the count.
    fields_at: usize,
    count: usize,
    more: bool,
}

impl<'o> Page<'o> {
    fn begin(out: &'o mut Vec<u8>, kind: ObjectKind, expire_at: u64, range: &Range<'_>) -> Self {
        let empty = RangeReply { kind, expire_at, fields: Vec::new(), more: false };
        response::encode_reply(out, &Reply::Range(empty));
        let bounded = |asked: u32, max| usize::try_from(asked).map_or(max, |n| n.clamp(1, max));
        Self {
            values: range.values,
            count_max: bounded(range.count_max, BATCH_ITEMS_MAX),
            bytes_left: bounded(range.bytes_max, ANSWER_BYTES_MAX),
            fields_at: out.len(),
            count: 0,
            more: false,
            out,
        }
    }

    /// Adds a field, or notes that it is left for the next page.
    fn add(&mut self, name: &[u8], live: &Live<'_>) -> ControlFlow<()> {
        let mut value = if self.values { live.value } else { &[] };
        if name.len() + value.len() > self.bytes_left && self.count == 0 {
            let room = self.bytes_left.saturating_sub(name.len());
            value = value.get(..room).unwrap_or(value);
            self.bytes_left = name.len() + value.len();
        }
        let bytes = name.len() + value.len();
        if self.count == self.count_max || bytes > self.bytes_left {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.bytes_left -= bytes;
        self.count += 1;
        // The layout of `common::wire::reply`.
        self.out.put_bytes16(name);
        self.out.put_version(live.version);
        self.out.put_u64(live.expire_at);
        self.out.put_u32(live.total());
        self.out.put_bytes32(value);
        ControlFlow::Continue(())
    }

    fn end(self) {
        let count = u32::try_from(self.count).expect("at most BATCH_ITEMS_MAX").to_le_bytes();
        let tail_at = self.fields_at - 1 - count.len();
        let tail = self.out.get_mut(tail_at..self.fields_at).expect("the empty page was written");
        let (more, counted) = tail.split_first_mut().expect("more comes before the count");
        *more = u8::from(self.more);
        counted.copy_from_slice(&count);
    }
}
