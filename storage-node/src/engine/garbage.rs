//! Reclaiming fields that a header or a newer unnamed value hides.
//!
//! What hides must not leave the file before what it hides: a crash between two commits of a flush
//! would show the fields again. So hidden fields go first; only a later pass over the object that
//! finds none of them, and no tombstone in memory that may still stand over one in the file, lets
//! the expired unnamed value and the header go. A pass over a large object takes several slices; when
//! what hides its fields has changed meanwhile, it does not count and the object is passed again.
//!
//! How they go depends on what a crash, which forgets all of reclaim that was not flushed, would
//! bring back. Records that stay hidden by their own time or by the header become tombstones in
//! memory. A field that only an unnamed value hides, and the header, are *dropped*: reads go on
//! seeing them until the flush has removed them for good. Otherwise an operation could be evaluated
//! without them, be logged, and be applied again after the crash to an object that has them.
//!
//! Where other servers hold copies, the same holds for their reclaim: the leader evaluates on what its
//! own left, a follower applies the result to what is still there or already gone with it (I4, I9). So
//! nothing that evaluation reacts to goes at all. It reacts to
//!
//! * what is visible, which reclaim never touches;
//! * a header, its expiry and what it cleared: every header stays, and stays as it is. A hash that is
//!   written anew clears what the expired one left; without the header the leader would log the
//!   new field alone, and a follower that has the header would take the field for an old one;
//! * whether a deleted string may hide fields: that any named record is there, a tombstone as well as a
//!   value. So a dropped field leaves its tombstone, and the delete is logged with a header.
//!
//! It does not react to an unnamed value that has expired, besides its hiding older fields, which
//! are tombstones before it becomes one, and its superseding the expiry of an older header: whoever
//! writes an unnamed value resets such a header. A header that stays when its fields are gone leaves
//! the expiry index and its object the garbage index, so that no pass looks at it again; a field that
//! is written under it brings it back to the index.

use std::ops::ControlFlow;

use common::key::{HEADER_SUFFIX, KIND_HEADER, KIND_UNNAMED, NAMED_SUFFIX_START, UNNAMED_SUFFIX};
use common::stored::{Body, Stored, is_expired};
use common::version::Version;

use crate::engine::EngineError;
use crate::engine::file::FileReader;
use crate::engine::layers::Place;
use crate::engine::memtable::{GarbageMark, Origin};
use crate::engine::reclaim::SafeTimes;
use crate::engine::slice::Slice;
use crate::engine::store::Store;
use crate::engine::visible::Hiding;

/// An expired header stays at least so long: a field that was written just before, and is still on
/// its way to be applied, belongs to the expired object.
const HEADER_GRACE_MS: u64 = 10_000;
/// So many records of an object are looked at before what was found of them is removed: the clock is not
/// looked at for those.
const BATCH: usize = 32;

/// One object that is being looked at.
#[derive(Debug)]
pub(super) struct Pass {
    prefix: Box<[u8]>,
    /// The first suffix that was not looked at yet.
    from: Vec<u8>,
    /// Something hidden was found, or may be left in the file.
    unsettled: bool,
    /// What hid fields in the slice before.
    hiders: Option<Hiders>,
    /// It was not the same in all slices: what was taken for live may be hidden now.
    mixed: bool,
}

/// Version of what hides others, and whether it has expired: of the header and the unnamed value.
type Hiders = [Option<(Version, bool)>; 2];

/// The records of an object that hide others.
struct Heads {
    hiding: Hiding,
    header: Option<(Version, u64)>,
    unnamed: Option<(Version, u64)>,
    unnamed_tombstone_in_memory: bool,
}

impl Heads {
    fn hiders(&self, now_ms: u64) -> Hiders {
        let of = |(version, expire_at)| (version, is_expired(expire_at, now_ms));
        [self.header.map(of), self.unnamed.map(of)]
    }
}

impl Store {
    /// Looks at records of objects that may have hidden fields.
    pub(super) fn reclaim_garbage(
        &mut self,
        safe: &SafeTimes,
        slice: &mut Slice<'_>,
    ) -> Result<(), EngineError> {
        if slice.is_over() || !self.reclaim.has_garbage() {
            return Ok(());
        }
        let reader = self.reader()?;
        while let Some(pass) = self.next_pass(&reader, slice)? {
            let now_ms = safe.of(&pass.prefix)?;
            self.reclaim_fields(&reader, pass, now_ms, slice)?;
        }
        Ok(())
    }

    fn next_pass(
        &mut self,
        reader: &FileReader,
        slice: &mut Slice<'_>,
    ) -> Result<Option<Pass>, EngineError> {
        let state = &mut self.reclaim;
        if state.pass.is_some() || !state.fresh.is_empty() {
            let next = || state.pass.take().or_else(|| state.fresh.pop_front().map(Pass::new));
            return Ok(slice.step().then(next).flatten());
        }
        while !self.reclaim.walked {
            let next = reader.garbage_after(&self.reclaim.walk_after, 1)?;
            let Some(prefix) = next.into_iter().next() else {
                self.reclaim.walked = true;
                break;
            };
            if !slice.step() {
                break;
            }
            self.reclaim.walk_after = prefix.to_vec();
            if !self.is_closed(&prefix) {
                return Ok(Some(Pass::new(prefix)));
            }
        }
        Ok(None)
    }

    /// Whether a pass of before, not yet flushed, has found the object clean.
    fn is_closed(&self, prefix: &[u8]) -> bool {
        let tables = [Some(&*self.active.table), self.frozen_table()];
        let mut marks = tables.into_iter().flatten().filter_map(|table| table.find(prefix));
        let mark = marks.find(|node| node.marks().garbage != GarbageMark::Unchanged);
        mark.is_some_and(|node| node.marks().garbage == GarbageMark::Done)
    }

    /// Turns the next hidden named fields into tombstones; at the object's end, sees to the rest. Looks at
    /// one record at least.
    fn reclaim_fields(
        &mut self,
        reader: &FileReader,
        mut pass: Pass,
        now_ms: u64,
        slice: &mut Slice<'_>,
    ) -> Result<(), EngineError> {
        let heads = self.heads(reader, &pass.prefix, now_ms)?;
        let hiders = heads.hiders(now_ms);
        pass.mixed |= pass.hiders.replace(hiders).is_some_and(|before| before != hiders);
        let mut looked_at = 0;
        let mut dead = Vec::new();
        let mut next = None;
        self.layers(reader).fields(&pass.prefix, &pass.from, |suffix, stored, place| {
            if looked_at == BATCH || (looked_at > 0 && !slice.step()) {
                next = Some(suffix.to_vec());
                return ControlFlow::Break(());
            }
            looked_at += 1;
            if stored.body == Body::Tombstone {
                pass.unsettled |= place == Place::Memory;
            } else if !heads.hiding.named_visible(&stored) {
                let overlaid = heads.hiding.only_unnamed_hides(&stored);
                dead.push((suffix.to_vec(), stored.version, overlaid));
            }
            ControlFlow::Continue(())
        })?;
        pass.unsettled |= !dead.is_empty();
        for (suffix, version, overlaid) in dead {
            if overlaid {
                self.drop_record(&pass.prefix, &suffix, version);
            } else {
                self.bury(&pass.prefix, &suffix, version);
            }
        }
        if let Some(next) = next {
            pass.from = next;
            self.reclaim.pass = Some(pass);
        } else if pass.mixed {
            self.reclaim.fresh.push_back(pass.prefix);
        } else if self.reclaim_heads(&heads, &mut pass, now_ms) {
            self.close_garbage(&pass.prefix);
        }
        Ok(())
    }

    fn heads(&self, reader: &FileReader, prefix: &[u8], now_ms: u64) -> Result<Heads, EngineError> {
        let mut heads = Heads {
            hiding: Hiding::new(None, None, now_ms),
            header: None,
            unnamed: None,
            unnamed_tombstone_in_memory: false,
        };
        self.layers(reader).fields(prefix, &[], |suffix, stored, place| {
            match (suffix.first(), stored.body) {
                (Some(&KIND_HEADER), Body::Header { expire_at, .. }) => {
                    heads.hiding.add_header(&stored);
                    heads.header = Some((stored.version, expire_at));
                }
                (Some(&KIND_UNNAMED), Body::Value { expire_at, .. }) => {
                    heads.hiding.add_unnamed(&stored);
                    heads.unnamed = Some((stored.version, expire_at));
                }
                (Some(&KIND_UNNAMED), Body::Tombstone) => {
                    heads.unnamed_tombstone_in_memory = place == Place::Memory;
                }
                (Some(&(KIND_HEADER | KIND_UNNAMED)), _) => {}
                _ => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        })?;
        Ok(heads)
    }

    /// Lets the unnamed value and the header go where nothing needs them, here or elsewhere. Returns whether the object
    /// is clean.
    fn reclaim_heads(&mut self, heads: &Heads, pass: &mut Pass, now_ms: u64) -> bool {
        if let Some((version, expire_at)) = heads.unnamed {
            let cleared = heads.hiding.cleared(version);
            if cleared || (is_expired(expire_at, now_ms) && !pass.unsettled) {
                self.bury(&pass.prefix, UNNAMED_SUFFIX, version);
                self.reclaim.on_uncounted(&pass.prefix);
            }
            pass.unsettled |= cleared;
        } else {
            self.reclaim.on_uncounted(&pass.prefix);
        }
        pass.unsettled |= heads.unnamed_tombstone_in_memory;
        if pass.unsettled {
            return false;
        }
        let Some((version, expire_at)) = heads.header else {
            return true;
        };
        let expired = is_expired(expire_at, now_ms);
        if expired && now_ms - expire_at < HEADER_GRACE_MS {
            return false;
        }
        // Where other servers hold copies, it stays in the file and only leaves the expiry index.
        if expired || (self.options.purge_tombstones && expire_at == 0) {
            self.drop_record(&pass.prefix, HEADER_SUFFIX, version);
        }
        true
    }

    fn bury(&mut self, prefix: &[u8], suffix: &[u8], version: Version) {
        let tombstone = Stored { version, body: Body::Tombstone };
        self.put(prefix, suffix, &tombstone, Origin::Reclaim);
    }
}

impl Pass {
    fn new(prefix: Box<[u8]>) -> Self {
        let from = NAMED_SUFFIX_START.to_vec();
        Self { prefix, from, unsettled: false, hiders: None, mixed: false }
    }
}
