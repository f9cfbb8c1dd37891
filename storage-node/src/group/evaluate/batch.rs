//! Conditional batches: all conditions are tested, then all writes are done, or nothing is.

use std::ops::Range;

use common::address::{Address, Field};
use common::limits::{BATCH_ITEMS_MAX, FRAME_BYTES_MAX};
use common::op::{Action as OpAction, Batch, Condition, Test, Write};
use common::reply::{BatchReply, Existed, ObjectKind, Reply, Written};
use common::version::Version;
use common::wire::reply;

use super::action::Action;
use super::draft::Draft;
use super::keys::KeyBuffer;
use super::moment::Moment;
use super::object::{self, ObjectState};
use super::outcome::Outcome;
use super::refused::Refused;
use crate::engine::view::View;
use crate::group::changes::Layered;

/// Most bytes that a batch may change and answer together: they go into one log record. What is left
/// of a frame is for the record's head.
const RESULT_BYTES_MAX: usize = FRAME_BYTES_MAX - (64 << 10);
/// Most changed keys of one log record.
const CHANGES_MAX: usize = 2 * BATCH_ITEMS_MAX;
/// Bytes of one change or one answer besides its key, content and value.
const ITEM_BYTES: usize = 48;

/// Executes a batch; on an error the caller clears the draft.
pub(super) fn run<V: View>(
    view: &V,
    batch: &Batch<'_>,
    at: &Moment,
    draft: &mut Draft,
    answer: &mut Vec<u8>,
) -> Result<(), Refused> {
    let items = batch.conditions.len() + batch.writes.len();
    if items > BATCH_ITEMS_MAX {
        return Err(Refused::over_limit("items of the batch:", items, BATCH_ITEMS_MAX));
    }
    let refused = first_refused(view, &batch.conditions, at.now_ms, &mut draft.keys)?;
    let mut answers = Answers::default();
    for write in &batch.writes {
        if refused.is_some() {
            answers.push(&present(view, write, at.now_ms, &mut draft.keys)?.written());
        } else {
            let Draft { keys, step, batch: earlier } = &mut *draft;
            let layered = Layered::new(view, earlier);
            let mut action = Action { view: &layered, earlier: Some(earlier), at, keys, step };
            answers.push(&action.run(write)?.written());
            draft.absorb_step();
        }
        check_result(draft, &answers)?;
    }
    reply::encode(answer, &Reply::Batch(BatchReply { refused, written: answers.written() }));
    Ok(())
}

fn check_result(draft: &Draft, answers: &Answers) -> Result<(), Refused> {
    let changes = draft.batch.len();
    if changes > CHANGES_MAX {
        return Err(Refused::over_limit("records changed by the batch:", changes, CHANGES_MAX));
    }
    let items = changes + answers.written.len();
    let bytes = draft.batch.bytes() + answers.values.len() + items * ITEM_BYTES;
    if bytes > RESULT_BYTES_MAX {
        let what = "bytes of what the batch changes and answers:";
        return Err(Refused::over_limit(what, bytes, RESULT_BYTES_MAX));
    }
    Ok(())
}

fn first_refused<V: View>(
    view: &V,
    conditions: &[Condition<'_>],
    now_ms: u64,
    keys: &mut KeyBuffer,
) -> Result<Option<u32>, Refused> {
    for (index, condition) in (0..).zip(conditions) {
        condition.at.check()?;
        keys.set_object(condition.at.object);
        if !holds(view, condition, now_ms, keys)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Whether a condition on the object that `keys` is turned to holds.
fn holds<V: View>(
    view: &V,
    condition: &Condition<'_>,
    now_ms: u64,
    keys: &mut KeyBuffer,
) -> Result<bool, Refused> {
    let at = condition.at;
    let kind = |keys: &mut _| ObjectState::load(view, keys, now_ms)?.kind(view, keys);
    let record = |keys: &mut _| object::record(view, keys, at, now_ms);
    Ok(match condition.test {
        Test::Exists => record(keys)?.is_some(),
        Test::Absent => record(keys)?.is_none(),
        Test::ObjectExists => kind(keys)? != ObjectKind::Missing,
        Test::ObjectAbsent => kind(keys)? == ObjectKind::Missing,
        Test::NotHash => kind(keys)? != ObjectKind::Hash,
        Test::NotString => ObjectState::load(view, keys, now_ms)?.string().is_none(),
        Test::VersionIs(version) => {
            record(keys)?.is_some_and(|record| object::live(&record).version == version)
        }
        Test::ValueIs(value) => {
            record(keys)?.is_some_and(|record| object::live(&record).value == value)
        }
    })
}

/// What stands where a write would have written.
fn present<'v, V: View>(
    view: &'v V,
    write: &Write<'_>,
    now_ms: u64,
    keys: &mut KeyBuffer,
) -> Result<Outcome<'v>, Refused> {
    write.at.check()?;
    keys.set_object(write.at.object);
    let of_object = match write.action {
        OpAction::DeleteObject | OpAction::TouchObject { .. } => true,
        OpAction::Put { .. }
        | OpAction::Delete
        | OpAction::Add { .. }
        | OpAction::Append { .. }
        | OpAction::Touch { .. } => false,
    };
    let field = if of_object { Field::Unnamed } else { write.at.field };
    if let Some(record) = object::record(view, keys, Address { field, ..write.at }, now_ms)? {
        return Ok(Outcome::present(record, write.want));
    }
    if of_object {
        let state = ObjectState::load(view, keys, now_ms)?;
        if state.any_field(view, keys)? {
            return Ok(Outcome::present_hash(state.hash_expire_at()));
        }
    }
    Ok(Outcome::missing())
}

/// The answers to the writes so far. Their values are copied, since the data that they were read
/// from changes with the next write.
#[derive(Default)]
struct Answers {
    written: Vec<Answer>,
    values: Vec<u8>,
}

struct Answer {
    applied: bool,
    existed: Existed,
    version: Version,
    expire_at: u64,
    total: u32,
    value: Option<Range<usize>>,
}

impl Answers {
    fn push(&mut self, written: &Written<'_>) {
        let start = self.values.len();
        self.values.extend_from_slice(written.value.unwrap_or_default());
        self.written.push(Answer {
            applied: written.applied,
            existed: written.existed,
            version: written.version,
            expire_at: written.expire_at,
            total: written.total,
            value: written.value.map(|value| start..start + value.len()),
        });
    }

    fn written(&self) -> Vec<Written<'_>> {
        let value_in = |range: Range<usize>| self.values.get(range).expect("the range was filled");
        let each = self.written.iter().map(|answer| Written {
            applied: answer.applied,
            existed: answer.existed,
            version: answer.version,
            expire_at: answer.expire_at,
            total: answer.total,
            value: answer.value.clone().map(value_in),
        });
        each.collect()
    }
}
