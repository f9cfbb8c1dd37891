//! Reading through the layers of a group: active memtable over frozen memtable over file. For each
//! key the topmost layer that has it decides: what is applied later is newer.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::ControlFlow;

use common::key::{KIND_HEADER, KIND_UNNAMED, UNNAMED_SUFFIX};
use common::reply::ObjectKind;
use common::stored::Stored;

use crate::engine::EngineError;
use crate::engine::file::{FileReader, FileRecord, FileRecords, decode};
use crate::engine::layout::split_key;
use crate::engine::memtable::{Entry, FieldIter, Memtable, Node};
use crate::engine::record::RecordRef;
use crate::engine::visible::Hiding;

/// Where a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a memtable; the file may hold an older one.
    Memory,
    /// In the file.
    File,
}

/// The layers to read, top first. A layer that is left out is not read.
#[derive(Clone, Copy)]
pub(super) struct Layers<'s, 'r> {
    pub(super) active: Option<&'s Memtable>,
    pub(super) frozen: Option<&'s Memtable>,
    pub(super) file: &'r FileReader,
    /// Whether the file has neither headers nor named values, but for objects that are in `frozen`.
    pub(super) only_unnamed: bool,
}

impl<'s> Layers<'s, '_> {
    /// The record of a physical key.
    pub(super) fn record(
        &self,
        prefix: &[u8],
        suffix: &[u8],
    ) -> Result<Option<RecordRef<'s>>, EngineError> {
        let mut nodes = self.nodes(prefix).into_iter().flatten();
        if let Some(entry) = nodes.find_map(|node| node.fields().get(suffix)) {
            return Ok(Some(RecordRef::Memory(entry.stored_bytes())));
        }
        Ok(self.file.get(&[prefix, suffix].concat())?.map(RecordRef::Page))
    }

    /// The object in the active and in the frozen memtable.
    pub(super) fn nodes(&self, prefix: &[u8]) -> [Option<Node<'s>>; 2] {
        let filled = |table: &&'s Memtable| table.objects() > 0;
        let tables = [self.active.filter(filled), self.frozen.filter(filled)];
        let Some(table) = tables.into_iter().flatten().next() else {
            return [None, None];
        };
        // The memtables of a group have one hasher.
        let key = table.key(prefix);
        tables.map(|table| table?.find_key(key))
    }

    /// Visits the records of an object in suffix order from the suffix `from` on, until `visit`
    /// breaks.
    pub(super) fn fields(
        &self,
        prefix: &[u8],
        from: &[u8],
        mut visit: impl FnMut(&[u8], Stored<'_>, Place) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let [mut active, mut frozen] = self.nodes(prefix).map(|node| {
            node.map_or(FieldIter::One(None), |node| node.fields().from(from)).peekable()
        });
        let mut file = FileFields::new(self.file, prefix, from)?;
        loop {
            let below = smaller(peek_suffix(&mut frozen), file.suffix());
            let Some(suffix) = smaller(peek_suffix(&mut active), below) else {
                return Ok(());
            };
            let from_active = active.next_if(|e| e.suffix() == suffix);
            let from_frozen = frozen.next_if(|e| e.suffix() == suffix);
            let in_file = file.suffix() == Some(suffix);
            let from_file = if in_file { file.take()? } else { None };
            let flow = match (from_active.or(from_frozen), &from_file) {
                (Some(entry), _) => visit(entry.suffix(), entry.stored(), Place::Memory),
                (None, Some((key, value))) => {
                    let suffix = key.value().split_at(prefix.len()).1;
                    visit(
                        suffix,
                        decode(self.file.path(), key.value(), value.value())?,
                        Place::File,
                    )
                }
                (None, None) => unreachable!("the smallest suffix is in one of the layers"),
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    /// Whether the object can have nothing but an unnamed record. That is known without a look at the file.
    pub(super) fn has_only_unnamed(&self, prefix: &[u8]) -> bool {
        let mut nodes = self.nodes(prefix).into_iter().flatten();
        self.only_unnamed && nodes.all(|node| node.only_unnamed().is_some())
    }

    /// What the object is at `now_ms`.
    pub(super) fn kind(&self, prefix: &[u8], now_ms: u64) -> Result<ObjectKind, EngineError> {
        let mut hiding = Hiding::new(None, None, now_ms);
        let mut kind = ObjectKind::Missing;
        if self.has_only_unnamed(prefix) {
            // A look-up is cheaper than a range.
            if let Some(record) = self.record(prefix, UNNAMED_SUFFIX)? {
                kind = kind_by(&mut hiding, UNNAMED_SUFFIX, &record.stored());
            }
            return Ok(kind);
        }
        self.fields(prefix, &[], |suffix, stored, _| {
            kind = kind_by(&mut hiding, suffix, &stored);
            if kind == ObjectKind::Missing {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(kind)
    }
}

/// What an object is, judged by its next record. Records come in suffix order: the header first,
/// then the unnamed one, so `hiding` is complete when the named ones come.
pub(super) fn kind_by(hiding: &mut Hiding, suffix: &[u8], stored: &Stored<'_>) -> ObjectKind {
    match suffix.first() {
        Some(&KIND_HEADER) => hiding.add_header(stored),
        Some(&KIND_UNNAMED) => {
            hiding.add_unnamed(stored);
            if hiding.unnamed_visible(stored) {
                return ObjectKind::String;
            }
        }
        _ if hiding.named_visible(stored) => return ObjectKind::Hash,
        _ => {}
    }
    ObjectKind::Missing
}

fn peek_suffix<'m>(fields: &mut Peekable<FieldIter<'m>>) -> Option<&'m [u8]> {
    fields.peek().copied().map(Entry::suffix)
}

fn smaller<'a>(one: Option<&'a [u8]>, other: Option<&'a [u8]>) -> Option<&'a [u8]> {
    match (one, other) {
        (Some(a), Some(b)) if a.cmp(b) == Ordering::Greater => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b,
    }
}

/// The records of one object in the file, one of them read ahead.
struct FileFields<'r> {
    records: FileRecords<'r>,
    ahead: Option<FileRecord>,
    prefix: Box<[u8]>,
}

impl<'r> FileFields<'r> {
    fn new(file: &'r FileReader, prefix: &[u8], from: &[u8]) -> Result<Self, EngineError> {
        let records = file.records_from(&[prefix, from].concat())?;
        let mut fields = Self { records, ahead: None, prefix: prefix.into() };
        fields.take()?;
        Ok(fields)
    }

    /// The suffix of the record that [`Self::take`] gives next.
    fn suffix(&self) -> Option<&[u8]> {
        self.ahead.as_ref().map(|(key, _)| key.value().split_at(self.prefix.len()).1)
    }

    fn take(&mut self) -> Result<Option<FileRecord>, EngineError> {
        let next = self.records.next()?;
        let next = next.filter(|(key, _)| key.value().starts_with(&self.prefix));
        Ok(std::mem::replace(&mut self.ahead, next))
    }
}

/// The objects of the file that have a prefix in a range, in key order.
pub(super) struct FileObjects<'r> {
    file: &'r FileReader,
    records: FileRecords<'r>,
    ahead: Option<Box<[u8]>>,
}

/// So many records of one object are stepped over before it is cheaper to search for the next
/// object.
const STEPS_MAX: usize = 16;

impl<'r> FileObjects<'r> {
    /// The objects from the key `from` on.
    pub(super) fn new(file: &'r FileReader, from: &[u8]) -> Result<Self, EngineError> {
        let mut objects = Self { file, records: file.records_from(from)?, ahead: None };
        objects.advance()?;
        Ok(objects)
    }

    /// The next object's prefix.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        self.ahead.as_deref()
    }

    /// Goes to the next object.
    pub(super) fn advance(&mut self) -> Result<(), EngineError> {
        let last = self.ahead.take();
        for _ in 0..STEPS_MAX {
            match self.next_prefix()? {
                Some(prefix) if last.as_deref() == Some(&prefix) => {}
                next => {
                    self.ahead = next;
                    return Ok(());
                }
            }
        }
        if let Some(last) = &last {
            // No kind byte is this large, so the search ends behind the object's last record.
            self.records = self.file.records_from(&[last, [u8::MAX].as_slice()].concat())?;
        }
        self.ahead = self.next_prefix()?;
        Ok(())
    }

    fn next_prefix(&mut self) -> Result<Option<Box<[u8]>>, EngineError> {
        let Some((key, _)) = self.records.next()? else {
            return Ok(None);
        };
        let (prefix, _) = split_key(key.value())
            .map_err(|e| EngineError::damaged(self.file.path(), format!("a key: {e}")))?;
        Ok(Some(prefix.into()))
    }
}
