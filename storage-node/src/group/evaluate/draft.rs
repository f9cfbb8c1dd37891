//! The changed keys of one operation.

use common::ids::Lsn;
use common::log_record::Mutation;
use common::stored::Stored;

use super::keys::KeyBuffer;
use crate::group::changes::Changes;

/// Most buffers that are kept for the next operation.
const KEPT_SLOTS: usize = 4;
/// Most bytes that a kept buffer may have.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What one operation changes: each key once, with its final content. Reused between operations, so
/// that a write of one record allocates nothing.
#[derive(Debug, Default)]
pub struct Draft {
    pub(super) keys: KeyBuffer,
    /// The changes of a single write, or of the present write of a batch.
    pub(super) step: Step,
    /// The changes of a batch's earlier writes.
    pub(super) batch: Changes,
}

impl Draft {
    /// The changed keys, each once: those of a single write in the order of writing, those of a
    /// batch in key order.
    pub fn iter(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.step.iter().chain(self.batch.iter())
    }

    /// Whether the operation changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.step.used == 0 && self.batch.is_empty()
    }

    /// Forgets the operation.
    pub fn clear(&mut self) {
        self.step.clear();
        if !self.batch.is_empty() {
            self.batch.clear();
        }
    }

    /// Ends a write of a batch: later ones see what it changed.
    pub(super) fn absorb_step(&mut self) {
        for slot in self.step.slots.iter_mut().take(self.step.used) {
            let stored = std::mem::take(&mut slot.stored);
            self.batch.set(slot.key.as_slice().into(), stored, Lsn::default(), false);
        }
        self.step.clear();
    }
}

/// The changes of one write. May name a key twice; then the later one counts.
#[derive(Debug, Default)]
pub(super) struct Step {
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Debug, Default)]
struct Slot {
    key: Vec<u8>,
    stored: Vec<u8>,
}

impl Step {
    /// Adds a changed key. `tail` belongs behind the record's value.
    pub(super) fn push(&mut self, key: &[u8], stored: &Stored<'_>, tail: &[u8]) {
        if self.used == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let slot = self.slots.get_mut(self.used).expect("a slot was added if none was free");
        self.used += 1;
        slot.key.clear();
        slot.key.extend_from_slice(key);
        slot.stored.clear();
        slot.stored.reserve(stored.encoded_bytes() + tail.len());
        stored.encode(&mut slot.stored);
        // The value is the last part of the encoding.
        slot.stored.extend_from_slice(tail);
    }

    fn iter(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.slots.iter().take(self.used).map(|slot| Mutation {
            key: &slot.key,
            stored: Stored::decode(&slot.stored).expect("slots hold what Stored encoded"),
        })
    }

    fn clear(&mut self) {
        self.used = 0;
        self.slots.truncate(KEPT_SLOTS);
        for slot in &mut self.slots {
            if slot.stored.capacity() > KEPT_BYTES_MAX {
                slot.stored = Vec::new();
            }
        }
    }
}
