//! Live objects per namespace and lane, without counting them all: the file's settled counts, plus
//! how the objects of the memtables differ from the layers below them.
//!
//! A put is blind: whether its object existed is found out when somebody counts, and remembered,
//! or when the flush visits the object anyway. Before the first count of a memtable nothing is
//! noted down at all. A count looks at every object of the memtables that was not looked at since it was
//! changed, in slices; it is exact when a slice has come to the end.
//!
//! Settled counts and differences ignore expiry: an expired object stays in them until reclaim has
//! turned it into tombstones. A count subtracts what is due and not yet reclaimed, as long as that
//! is not more than [`DUE_MAX`] records of an index and can be looked at in one slice; beyond, it is exact
//! as of the reclaim pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use common::ids::ServerIndex;
use common::key::decode_object_prefix;
use common::reply::ObjectKind;

use crate::engine::EngineError;
use crate::engine::layers::Layers;
use crate::engine::layout::{count_key, split_expiry_key, split_key};
use crate::engine::memtable::{BELOW_ALIVE, BELOW_UNKNOWN, Memtable};
use crate::engine::slice::Slice;
use crate::engine::store::{Store, server_of};
use crate::engine::visible::BEFORE_ALL_EXPIRY;

/// At most so many due records of each expiry index are looked at by one count.
const DUE_MAX: usize = 512;
/// So many due objects in any case, however long it takes.
const DUE_MIN: usize = 32;

// Values of `Marks::counted`.
/// In no list: it was not looked at yet.
pub(super) const COUNTED_NO: u8 = 0;
/// In the list of objects to look at.
const COUNTED_PENDING: u8 = 1;
/// In the sums: the object is dead and was alive below.
const COUNTED_LOST: u8 = 2;
/// In the sums: no difference.
const COUNTED_SAME: u8 = 3;
/// In the sums: the object is alive and was dead below.
const COUNTED_GAINED: u8 = 4;

/// How a memtable's objects differ from the layers below.
#[derive(Debug, Default)]
pub(super) struct CountCache {
    /// The objects with smaller numbers were looked at; those of them that changed since are pending.
    looked_at: u32,
    sums: BTreeMap<Vec<u8>, i64>,
    pending: Vec<u32>,
}

impl CountCache {
    /// The object was written to.
    pub(super) fn changed(&mut self, table: &Memtable, number: u32, servers: u8) {
        if number >= self.looked_at {
            return;
        }
        let node = table.node(number);
        let difference = match node.marks().counted.swap(COUNTED_PENDING, Ordering::Relaxed) {
            COUNTED_PENDING => return,
            COUNTED_LOST => -1,
            COUNTED_GAINED => 1,
            _ => 0,
        };
        if difference != 0 {
            *self.sums.entry(object_count_key(node.prefix(), servers)).or_default() -= difference;
        }
        self.pending.push(number);
    }

    /// The next object to look at.
    fn next(&self, table: &Memtable) -> Option<u32> {
        let new = || (self.looked_at < table.objects()).then_some(self.looked_at);
        self.pending.last().copied().or_else(new)
    }

    /// Looks at every object that was not looked at since it changed, as far as the slice goes. Returns
    /// whether that was all.
    fn settle(
        &mut self,
        table: &Memtable,
        layers: Layers<'_, '_>,
        below: Layers<'_, '_>,
        servers: u8,
        slice: &mut Slice<'_>,
    ) -> Result<bool, EngineError> {
        while let Some(number) = self.next(table) {
            if !slice.step() {
                return Ok(false);
            }
            let node = table.node(number);
            let alive = is_alive(layers, node.prefix())?;
            let was_alive = match node.marks().below.load(Ordering::Acquire) {
                BELOW_UNKNOWN => {
                    let found = is_alive(below, node.prefix())?;
                    // The flush notes what it found before it commits. So if nothing is noted yet,
                    // the older state of the file that was just read is without this object.
                    if node.marks().below.load(Ordering::Acquire) == BELOW_UNKNOWN {
                        node.set_below(found);
                    }
                    node.marks().below.load(Ordering::Acquire) == BELOW_ALIVE
                }
                noted => noted == BELOW_ALIVE,
            };
            let (counted, difference) = match (was_alive, alive) {
                (true, false) => (COUNTED_LOST, -1),
                (false, true) => (COUNTED_GAINED, 1),
                _ => (COUNTED_SAME, 0),
            };
            if difference != 0 {
                let key = object_count_key(node.prefix(), servers);
                *self.sums.entry(key).or_default() += difference;
            }
            node.marks().counted.store(counted, Ordering::Relaxed);
            if self.pending.pop().is_none() {
                self.looked_at += 1;
            }
        }
        Ok(true)
    }

    fn difference(&self, key: &[u8]) -> i64 {
        self.sums.get(key).copied().unwrap_or(0)
    }
}

impl Store {
    /// The live objects of a namespace in a lane; `None` if the slice ended before that is known. The next
    /// slice goes on, with what changed meanwhile. A step is an object that is looked at.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn count(
        &self,
        namespace: &[u8],
        server: ServerIndex,
        now_ms: u64,
        slice: &mut Slice<'_>,
    ) -> Result<Option<u64>, EngineError> {
        let reader = self.reader()?;
        let all = self.layers(&reader);
        let below_active = Layers { active: None, ..all };
        let below_frozen = Layers { frozen: None, ..below_active };
        let key = count_key(server, namespace);
        let mut difference = 0;
        let layers = [
            self.frozen.as_ref().map(|frozen| (frozen, below_active, below_frozen)),
            Some((&self.active, all, below_active)),
        ];
        for (layer, layers, below) in layers.into_iter().flatten() {
            let mut counts = layer.counts.borrow_mut();
            if !counts.settle(&layer.table, layers, below, self.options.servers, slice)? {
                return Ok(None);
            }
            difference += counts.difference(&key);
        }
        difference -= self.due_objects(&key, server, all, now_ms, &mut slice.again())?;
        let settled = self.totals.live.get(&key).copied().unwrap_or(0);
        Ok(Some(settled.saturating_add_signed(difference)))
    }

    /// Objects under a count key that have expired and are still in the counts, as far as the
    /// slice goes.
    fn due_objects(
        &self,
        key: &[u8],
        server: ServerIndex,
        layers: Layers<'_, '_>,
        now_ms: u64,
        slice: &mut Slice<'_>,
    ) -> Result<i64, EngineError> {
        let mut seen: BTreeSet<Box<[u8]>> =
            self.reclaim.deferred().take(DUE_MAX).cloned().collect();
        for due in self.due_keys(server, layers.file, now_ms, DUE_MAX)? {
            let (_, physical) = split_expiry_key(&due)?;
            seen.insert(split_key(physical)?.0.into());
        }
        let mut due = 0;
        for (number, prefix) in seen.into_iter().enumerate() {
            if !slice.step() && number >= DUE_MIN {
                break;
            }
            let counted = object_count_key(&prefix, self.options.servers) == key
                && is_alive(layers, &prefix)?;
            if counted && layers.kind(&prefix, now_ms)? == ObjectKind::Missing {
                due += 1;
            }
        }
        Ok(due)
    }
}

fn is_alive(layers: Layers<'_, '_>, prefix: &[u8]) -> Result<bool, EngineError> {
    Ok(layers.kind(prefix, BEFORE_ALL_EXPIRY)? != ObjectKind::Missing)
}

/// The count key of the object with this prefix.
pub(super) fn object_count_key(prefix: &[u8], servers: u8) -> Vec<u8> {
    let (object, _) = decode_object_prefix(prefix).expect("checked when it was applied");
    count_key(server_of(prefix, servers), object.namespace)
}
