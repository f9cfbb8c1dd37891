//! Commands on many keys whose answers add up: DEL, EXISTS, MSET.

use common::address::{Address, Field, NameTooLong, Object};
use common::ids::Lane;
use common::limits::{BATCH_ITEMS_MAX, FRAME_BYTES_MAX, PHYSICAL_KEY_BYTES_MAX};
use common::op::{Action, Condition, Describe, Op, Write};
use common::reply::{Existed, ObjectKind, Reply};

use crate::front::call::{Answer, Durability, Progress, Submit};

use super::encode;
use super::error::{self, CommandError, unexpected};
use super::gathered::Gathered;
use super::kept::KeptNames;

/// Most addresses of one operation that may be cut into several.
pub(super) const ADDRESSES_MAX: usize = 2 << 10;
const _: () = assert!(ADDRESSES_MAX <= BATCH_ITEMS_MAX);
const _: () = assert!(ADDRESSES_MAX * (PHYSICAL_KEY_BYTES_MAX + 64) < FRAME_BYTES_MAX);
/// Most bytes of one batch: a node answers it, and logs what it changed, in one frame each.
const BATCH_BYTES_MAX: usize = FRAME_BYTES_MAX - (1 << 20);
/// What a write or condition costs there besides its names and its value, rounded up.
const ITEM_BYTES: usize = 192;
/// Most single-key questions of one command that are on the way together.
const WINDOW: usize = 4 << 10;

/// The indexes of `objects` by lane, in their order inside each lane.
pub(super) fn by_lane<'a>(
    submit: &dyn Submit,
    objects: impl Iterator<Item = Object<'a>>,
) -> Vec<(Lane, usize)> {
    let mut order: Vec<_> = objects.map(|object| submit.lane_of(object)).zip(0..).collect();
    order.sort_unstable();
    order
}

/// Refuses a batch that does not fit into one request to a node.
pub(super) fn check_batch(
    conditions: &[Condition<'_>],
    writes: &[Write<'_>],
) -> Result<(), CommandError> {
    let items = conditions.len() + writes.len();
    if items > BATCH_ITEMS_MAX {
        let text = format!("batch has {items} items, max {BATCH_ITEMS_MAX}");
        return Err(CommandError::Text(text));
    }
    let of_conditions = conditions.iter().map(|condition| item_bytes(condition.at));
    let bytes = of_conditions.chain(writes.iter().map(write_bytes)).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(NameTooLong { part: "batch", bytes, max: BATCH_BYTES_MAX }.into());
    }
    Ok(())
}

fn write_bytes(write: &Write<'_>) -> usize {
    let value = match write.action {
        Action::Put { value, .. } => value.len(),
        Action::Append { bytes } => bytes.len(),
        Action::Delete
        | Action::DeleteObject
        | Action::Add { .. }
        | Action::Touch { .. }
        | Action::TouchObject { .. } => 0,
    };
    item_bytes(write.at) + value
}

fn item_bytes(at: Address<'_>) -> usize {
    let Address { object, field } = at;
    let field = match field {
        Field::Unnamed => 0,
        Field::Named(name) => name.len(),
    };
    ITEM_BYTES + object.namespace.len() + object.name.len() + field
}

/// What the client is told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    /// How many existed.
    Existed,
    /// OK.
    Ok,
}

/// Adds up answers.
pub(super) struct Tally {
    total: Total,
    sum: i64,
    gathered: Gathered,
    unasked: Option<Unasked>,
}

/// Keys that are asked about as answers come in.
struct Unasked {
    namespace: Vec<u8>,
    names: KeptNames,
    next: usize,
}

impl Tally {
    /// Waits for `outstanding` batches.
    pub(super) fn of_batches(outstanding: usize, total: Total) -> Self {
        Self { total, sum: 0, gathered: Gathered::of(outstanding), unasked: None }
    }

    /// Asks whether objects exist, not about all of them at once.
    pub(super) fn of_existence<'a>(
        namespace: &'a [u8],
        names: impl Iterator<Item = &'a [u8]> + Clone,
        submit: &mut dyn Submit,
    ) -> Self {
        let mut tally = Self::of_batches(0, Total::Existed);
        for name in names.clone().take(WINDOW) {
            describe(submit, tally.gathered.outstanding(), Object { namespace, name });
            tally.gathered.add();
        }
        let names: KeptNames = names.skip(WINDOW).collect();
        if names.len() > 0 {
            tally.unasked = Some(Unasked { namespace: namespace.to_vec(), names, next: 0 });
        }
        tally
    }

    /// Whether more operations will follow.
    pub(super) fn is_asking(&self) -> bool {
        self.unasked.is_some()
    }

    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let taken = match answer {
            Ok(Reply::Batch(batch)) if batch.refused.is_none() => {
                let existed = |existed: Existed| i64::from(existed == Existed::Yes);
                self.sum += batch.written.iter().map(|write| existed(write.existed)).sum::<i64>();
                Ok(Progress::Done)
            }
            Ok(Reply::Described(described)) => {
                self.sum += i64::from(described.kind != ObjectKind::Missing);
                Ok(Progress::Done)
            }
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(failure),
        };
        if taken.is_err() {
            self.unasked = None;
        }
        self.ask_next(submit);
        if self.gathered.on_part(taken) == Progress::Waiting {
            return Progress::Waiting;
        }
        match (self.gathered.failure(), self.total) {
            (Some(failure), _) => error::failure(out, failure),
            (None, Total::Existed) => encode::integer(out, self.sum),
            (None, Total::Ok) => encode::ok(out),
        }
        Progress::Done
    }

    fn ask_next(&mut self, submit: &mut dyn Submit) {
        let Some(unasked) = &mut self.unasked else {
            return;
        };
        let name = unasked.names.get(unasked.next);
        let object = Object { namespace: &unasked.namespace, name };
        describe(submit, WINDOW + unasked.next, object);
        unasked.next += 1;
        self.gathered.add();
        if unasked.next == unasked.names.len() {
            self.unasked = None;
        }
    }
}

fn describe(submit: &mut dyn Submit, part: usize, object: Object<'_>) {
    let op = Op::Describe(Describe { object, count: false });
    submit.submit(part_number(part), &op, Durability::default());
}

/// A part's number; there are never more parts than arguments.
pub(super) fn part_number(part: usize) -> u32 {
    u32::try_from(part).expect("a command has fewer arguments than 32 bits can count")
}
