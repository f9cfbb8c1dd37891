//! Objects of a lane in the order of their hash positions: what SCAN, KEYS and export are made of.

use std::ops::ControlFlow;

use common::address::Object;
use common::hash::POSITION_BITS;
use common::ids::ServerIndex;
use common::key::{decode_object_prefix, put_namespace_prefix, put_position_prefix};
use common::reply::ObjectKind;

use crate::engine::EngineError;
use crate::engine::file::FileReader;
use crate::engine::layers::FileObjects;
use crate::engine::slice::Slice;
use crate::engine::store::{Layer, Store, server_of};

/// A scan looks at so many objects for each one it was asked for before it returns with fewer:
/// dead ones and other lanes' must not make one call long.
const LOOKED_AT_PER_OBJECT: usize = 8;
/// And at so many in any case.
const LOOKED_AT_MIN: usize = 1_024;

/// What [`Store::scan`] calls for each object: position, name and what the object is.
pub type VisitObject<'v> = dyn FnMut(u64, &[u8], ObjectKind) + 'v;

/// Which page of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanFrom<'a> {
    /// Whose objects.
    pub namespace: &'a [u8],
    /// Only those of this home server.
    pub server: ServerIndex,
    /// The position to begin at.
    pub position: u64,
    /// It ends after so many objects.
    pub max: usize,
}

impl Store {
    /// Prepares what is in memory for [`Self::scan`], as far as the slice goes; a step is an object. Returns
    /// whether it is ready.
    pub fn prepare_scan(&self, slice: &mut Slice<'_>) -> bool {
        let layers = [self.frozen.as_ref(), Some(&self.active)];
        layers.into_iter().flatten().all(|layer| extend_order(layer, slice))
    }

    /// Visits the live objects of a namespace in a lane, in the order of their positions, beginning
    /// at a position. Stops after `max` objects, after looking at many more dead ones, or when the slice is
    /// over, but never between two objects of one position, and not before the first; a step is an object
    /// that is looked at. Returns the position to go on from, or `None` at the end. What
    /// [`Self::prepare_scan`] has not done is done before, at once.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn scan(
        &self,
        from: &ScanFrom<'_>,
        now_ms: u64,
        slice: &mut Slice<'_>,
        visit: &mut VisitObject<'_>,
    ) -> Result<Option<u64>, EngineError> {
        let ScanFrom { namespace, server, position: from, max } = *from;
        if from >> POSITION_BITS != 0 {
            return Ok(None);
        }
        let reader = self.reader()?;
        let layers = self.layers(&reader);
        let mut within = Vec::new();
        put_namespace_prefix(&mut within, namespace);
        let mut start = Vec::new();
        put_position_prefix(&mut start, namespace, from);

        let looked_at_max = max.saturating_mul(LOOKED_AT_PER_OBJECT).max(LOOKED_AT_MIN);
        let (mut visited, mut looked_at, mut last_position) = (0, 0, None);
        let mut next = None;
        self.objects(&reader, &start, |prefix, object, position| {
            if !prefix.starts_with(&within) {
                return Ok(ControlFlow::Break(()));
            }
            let full = visited >= max || looked_at >= looked_at_max || !slice.step();
            if full && last_position.is_some_and(|last| last != position) {
                next = Some(position);
                return Ok(ControlFlow::Break(()));
            }
            last_position = Some(position);
            looked_at += 1;
            if server_of(prefix, self.options.servers) == server {
                let kind = layers.kind(prefix, now_ms)?;
                if kind != ObjectKind::Missing {
                    visit(position, object.name, kind);
                    visited += 1;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next)
    }

    /// Visits the objects of all layers and lanes in key order, dead ones included, beginning at the
    /// first prefix that is not below `start`, until `visit` breaks: prefix, object and position.
    pub(super) fn objects(
        &self,
        reader: &FileReader,
        start: &[u8],
        mut visit: impl FnMut(&[u8], Object<'_>, u64) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<(), EngineError> {
        self.prepare_scan(&mut Slice::unbounded());
        let mut active_order = self.active.order.borrow_mut();
        let mut active = active_order.from(&self.active.table, start).peekable();
        let frozen = self.frozen.as_ref();
        let mut frozen_order = frozen.map(|frozen| (frozen.order.borrow_mut(), &frozen.table));
        let frozen_order = frozen_order.iter_mut();
        let mut frozen =
            frozen_order.flat_map(|(order, table)| order.from(table, start)).peekable();
        let mut file = FileObjects::new(reader, start)?;
        loop {
            let memory = [active.peek(), frozen.peek()].into_iter().flatten().copied();
            let Some(prefix) = memory.chain(file.peek()).min() else {
                return Ok(());
            };
            let (object, position) = decode_object_prefix(prefix).map_err(|e| {
                EngineError::damaged(reader.path(), format!("a key is no key: {e}"))
            })?;
            if visit(prefix, object, position)?.is_break() {
                return Ok(());
            }
            active.next_if(|p| *p == prefix);
            frozen.next_if(|p| *p == prefix);
            if file.peek() == Some(prefix) {
                file.advance()?;
            }
        }
    }
}

fn extend_order(layer: &Layer, slice: &mut Slice<'_>) -> bool {
    layer.order.borrow_mut().extend(&layer.table, slice)
}
