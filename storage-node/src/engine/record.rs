//! A stored record wherever it lies: in a memtable or in a page of the file.

use common::stored::Stored;

use crate::engine::sealed::content;

/// One encoded record ([`Stored`]), in the file behind its checksum, borrowed from memory or kept alive by a page guard.
pub enum RecordRef<'m> {
    /// In a memtable or a pending change.
    Memory(&'m [u8]),
    /// In the file; the guard keeps the page.
    Page(redb::AccessGuard<'static, &'static [u8]>),
}

impl RecordRef<'_> {
    /// The record. It was checked when it was looked up.
    #[must_use]
    pub fn stored(&self) -> Stored<'_> {
        let bytes = match self {
            Self::Memory(bytes) => bytes,
            Self::Page(guard) => content(guard.value()),
        };
        Stored::decode(bytes).expect("a record is checked when it is looked up")
    }
}
