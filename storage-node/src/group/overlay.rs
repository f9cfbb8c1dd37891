//! The pending records of a lane: appended by its leader, not official yet.
//!
//! The leader evaluates on applied data plus these; a read that meets one of them waits until it is
//! official. When records became official and were applied, [`Overlay::drop_through`] removes them.
//! A key that a later pending record changed again stays, with the later content.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use common::address::{Address, Field, Object};
use common::ids::Lsn;
use common::key;
use common::log_record::Mutation;
use common::op::Op;

use crate::engine::view::View;
use crate::group::changes::{Changes, Layered};
use crate::group::evaluate::KeyBuffer;

/// Pending changes of one lane.
#[derive(Debug, Default)]
pub struct Overlay {
    changes: Changes,
    /// Every pushed key with its record, oldest first.
    order: VecDeque<(Lsn, Arc<[u8]>)>,
}

impl Overlay {
    /// Adds what the record `lsn` changes. Records come in the order of their numbers. Of a `weak`
    /// one (`acks: 1`) answers may tell before it is official.
    pub fn push<'m>(
        &mut self,
        lsn: Lsn,
        weak: bool,
        mutations: impl IntoIterator<Item = Mutation<'m>>,
    ) {
        assert!(
            self.order.back().is_none_or(|(last, _)| *last < lsn),
            "pending records are pushed in the order of their numbers"
        );
        for mutation in mutations {
            let key: Arc<[u8]> = mutation.key.into();
            let mut stored = Vec::with_capacity(mutation.stored.encoded_bytes());
            mutation.stored.encode(&mut stored);
            self.order.push_back((lsn, Arc::clone(&key)));
            self.changes.set(key, stored, lsn, weak);
        }
    }

    /// Forgets the records up to and with `through`: they are in the layer below now.
    pub fn drop_through(&mut self, through: Lsn) {
        while let Some((_, key)) = self.order.pop_front_if(|(lsn, _)| *lsn <= through) {
            self.changes.drop_through(&key, through);
        }
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether some of it is weak: an answer that does not wait has to tell of it.
    #[must_use]
    pub fn has_weak(&self) -> bool {
        self.changes.has_weak()
    }

    /// The records of which some content is weak, and was not changed again.
    #[must_use]
    pub fn weak(&self) -> BTreeSet<Lsn> {
        self.changes.weak()
    }

    /// Bytes of the pending keys and contents.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.changes.bytes()
    }

    /// The lane's latest data: `base` with the pending changes over it.
    #[must_use]
    pub fn over<'v, V: View>(&'v self, base: &'v V) -> Layered<'v, V> {
        Layered::new(base, &self.changes)
    }

    /// Whether the answer to `op` depends on something pending and so has to wait. For a write this
    /// matters when it changes nothing: its answer then tells about the present only.
    ///
    /// May say yes where a closer look would say no, never the other way round.
    #[must_use]
    pub fn touches(&self, op: &Op<'_>, keys: &mut KeyBuffer) -> bool {
        if self.is_empty() {
            return false;
        }
        match op {
            Op::Get(get) => self.touches_record(get.at, keys),
            Op::GetMany(many) => many.at.iter().any(|at| self.touches_record(*at, keys)),
            Op::Write(write) => self.touches_object(write.at.object, keys),
            Op::Batch(batch) => {
                let tested = batch.conditions.iter().map(|condition| condition.at.object);
                let written = batch.writes.iter().map(|write| write.at.object);
                tested.chain(written).any(|object| self.touches_object(object, keys))
            }
            Op::Range(range) => self.touches_object(range.object, keys),
            Op::Describe(describe) => self.touches_object(describe.object, keys),
            Op::Scan(scan) => {
                let (mut prefix, mut from) = (Vec::new(), Vec::new());
                key::put_namespace_prefix(&mut prefix, scan.namespace);
                key::put_position_prefix(&mut from, scan.namespace, scan.from);
                self.has(&prefix, &from)
            }
            Op::Count { namespace } => {
                let mut prefix = Vec::new();
                key::put_namespace_prefix(&mut prefix, namespace);
                self.has(&prefix, &prefix)
            }
        }
    }

    fn touches_record(&self, at: Address<'_>, keys: &mut KeyBuffer) -> bool {
        // Whether a missing string is a hash depends on every field.
        let Field::Named(_) = at.field else {
            return self.touches_object(at.object, keys);
        };
        if at.check().is_err() {
            return false;
        }
        keys.set_object(at.object);
        self.changes.contains(keys.field(at.field))
            || self.changes.contains(keys.field(Field::Unnamed))
            || self.changes.contains(keys.header())
    }

    fn touches_object(&self, object: Object<'_>, keys: &mut KeyBuffer) -> bool {
        // A name over its limit is refused by the evaluation, whatever is pending.
        if object.check().is_err() {
            return false;
        }
        keys.set_object(object);
        self.has(keys.prefix(), keys.prefix())
    }

    fn has(&self, prefix: &[u8], from: &[u8]) -> bool {
        self.changes.contains_from(prefix, from)
    }
}
