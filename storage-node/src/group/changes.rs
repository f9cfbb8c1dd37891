//! Changed keys as a layer over another [`View`]: what a batch sees of its own earlier writes, and
//! what a lane's leader sees of its pending records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use common::ids::Lsn;
use common::log_record::Mutation;
use common::stored::{Body, Stored};

use crate::engine::error::EngineError;
use crate::engine::record::RecordRef;
use crate::engine::view::{View, Visit};

/// The latest content of each changed key.
#[derive(Debug, Default)]
pub struct Changes {
    by_key: BTreeMap<Arc<[u8]>, Change>,
    headers: usize,
    bytes: usize,
    weak: usize,
}

/// One changed key's content and the record it came with.
#[derive(Debug)]
struct Change {
    lsn: Lsn,
    /// Nobody has to wait until it is official.
    weak: bool,
    stored: Vec<u8>,
}

impl Changes {
    /// Sets a key's content, encoded as [`Stored`]. `lsn` is the record it belongs to; a draft,
    /// which has no number yet, gives the default. Of what is `weak` an answer may tell before it is
    /// official.
    pub fn set(&mut self, key: Arc<[u8]>, stored: Vec<u8>, lsn: Lsn, weak: bool) {
        self.headers += usize::from(is_header(&stored));
        self.bytes += key.len() + stored.len();
        self.weak += usize::from(weak);
        let key_bytes = key.len();
        if let Some(old) = self.by_key.insert(key, Change { lsn, weak, stored }) {
            self.forget(key_bytes, &old);
        }
    }

    /// Removes a key unless a record behind `through` changed it again.
    pub fn drop_through(&mut self, key: &[u8], through: Lsn) {
        if self.by_key.get(key).is_some_and(|change| change.lsn <= through) {
            let old = self.by_key.remove(key).expect("it was just there");
            self.forget(key.len(), &old);
        }
    }

    fn forget(&mut self, key_bytes: usize, old: &Change) {
        self.headers -= usize::from(is_header(&old.stored));
        self.bytes -= key_bytes + old.stored.len();
        self.weak -= usize::from(old.weak);
    }

    /// The records with weak content.
    pub fn weak(&self) -> BTreeSet<Lsn> {
        let changes = self.by_key.values().filter(|change| change.weak);
        if self.weak == 0 { BTreeSet::new() } else { changes.map(|change| change.lsn).collect() }
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Number of changed keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Bytes of all keys and contents.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the key is changed, and not weakly.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.by_key.get(key).is_some_and(|change| !change.weak)
    }

    /// Whether a key from `from` on that begins with `prefix` is changed, and not weakly.
    #[must_use]
    pub fn contains_from(&self, prefix: &[u8], from: &[u8]) -> bool {
        (self.by_key.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)))
            .take_while(|(key, _)| key.starts_with(prefix))
            .any(|(_, change)| !change.weak)
    }

    /// Whether a change is weak.
    #[must_use]
    pub fn has_weak(&self) -> bool {
        self.weak > 0
    }

    /// The changed keys from `from` on that begin with `prefix`, in key order.
    pub fn range<'c>(
        &'c self,
        prefix: &'c [u8],
        from: &[u8],
    ) -> impl Iterator<Item = Mutation<'c>> + use<'c> {
        (self.by_key.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, change)| Mutation { key, stored: decode(&change.stored) })
    }

    /// All changed keys, in key order.
    pub fn iter(&self) -> impl Iterator<Item = Mutation<'_>> {
        self.by_key.iter().map(|(key, change)| Mutation { key, stored: decode(&change.stored) })
    }
}

fn decode(stored: &[u8]) -> Stored<'_> {
    Stored::decode(stored).expect("changes hold what Stored encoded")
}

fn is_header(stored: &[u8]) -> bool {
    matches!(decode(stored).body, Body::Header { .. })
}

/// A view with changes laid over it.
pub struct Layered<'v, V> {
    base: &'v V,
    changes: &'v Changes,
}

impl<'v, V: View> Layered<'v, V> {
    /// Lays `changes` over `base`.
    #[must_use]
    pub fn new(base: &'v V, changes: &'v Changes) -> Self {
        Self { base, changes }
    }
}

impl<V: View> View for Layered<'_, V> {
    fn record(&self, key: &[u8]) -> Result<Option<RecordRef<'_>>, EngineError> {
        match self.changes.by_key.get(key) {
            Some(change) => Ok(Some(RecordRef::Memory(&change.stored))),
            None => self.base.record(key),
        }
    }

    fn fields(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let start = [prefix, from].concat();
        let mut own = self.changes.range(prefix, &start).peekable();
        if own.peek().is_none() {
            return self.base.fields(prefix, from, visit);
        }
        let suffix = |key| <[u8]>::get(key, prefix.len()..).expect("the range has the prefix");
        let mut broken = false;
        self.base.fields(prefix, from, &mut |base_suffix, base_stored| {
            let mut replaced = false;
            while let Some(change) = own.next_if(|change| suffix(change.key) <= base_suffix) {
                replaced = suffix(change.key) == base_suffix;
                if visit(suffix(change.key), change.stored).is_break() {
                    broken = true;
                    return ControlFlow::Break(());
                }
            }
            let flow =
                if replaced { ControlFlow::Continue(()) } else { visit(base_suffix, base_stored) };
            broken = flow.is_break();
            flow
        })?;
        if !broken {
            let _: Option<_> =
                own.find(|change| visit(suffix(change.key), change.stored).is_break());
        }
        Ok(())
    }

    fn may_have_headers(&self) -> bool {
        self.changes.headers > 0 || self.base.may_have_headers()
    }
}
