//! Evaluation of writes.

use common::op::{Op, Write};
use common::reply::Reply;
use common::wire::reply;

use super::action::Action;
use super::batch;
use super::draft::Draft;
use super::moment::Moment;
use super::refused::Refused;
use crate::engine::view::View;

/// Evaluates a write or a batch at the moment `at`: what changes is in `draft` afterwards, the
/// encoded reply behind what `answer` held. Returns whether there is anything to log.
///
/// # Errors
/// The operation is refused or the data could not be read: `draft` is empty, `answer` as it was.
pub fn write<V: View>(
    view: &V,
    op: &Op<'_>,
    at: &Moment,
    draft: &mut Draft,
    answer: &mut Vec<u8>,
) -> Result<bool, Refused> {
    assert!(at.cleared < at.version, "a header must not clear the records of its own operation");
    draft.clear();
    let start = answer.len();
    let done = match op {
        Op::Write(write) => single(view, write, at, draft, answer),
        Op::Batch(batch) => batch::run(view, batch, at, draft, answer),
        Op::Get(_)
        | Op::GetMany(_)
        | Op::Range(_)
        | Op::Describe(_)
        | Op::Scan(_)
        | Op::Count { .. } => Err(Refused::misdirected("a write")),
    };
    if done.is_err() {
        draft.clear();
        answer.truncate(start);
    }
    done.map(|()| !draft.is_empty())
}

fn single<V: View>(
    view: &V,
    write: &Write<'_>,
    at: &Moment,
    draft: &mut Draft,
    answer: &mut Vec<u8>,
) -> Result<(), Refused> {
    let Draft { keys, step, batch: _ } = draft;
    let outcome = Action { view, earlier: None, at, keys, step }.run(write)?;
    reply::encode(answer, &Reply::Written(outcome.written()));
    Ok(())
}
