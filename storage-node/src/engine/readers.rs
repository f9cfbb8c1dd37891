//! The reader of a group's file that all reads share.
//!
//! Opening one costs as much as a look-up, so it is kept until the file changes: the flush takes it
//! away with every commit, and the first read behind it opens another. So what a reader pins, and the
//! file grows by, is what one commit replaces.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::EngineError;
use crate::engine::file::{FileReader, GroupFile};

/// The current reader, shared by the worker, which reads, and the flush, which commits.
pub(super) struct Readers {
    file: Arc<GroupFile>,
    current: Mutex<Option<Arc<FileReader>>>,
}

impl Readers {
    /// Of this file.
    pub(super) fn new(file: Arc<GroupFile>) -> Self {
        Self { file, current: Mutex::default() }
    }

    /// The file as it is now, or was before a commit that is just being made.
    pub(super) fn get(&self) -> Result<Arc<FileReader>, EngineError> {
        let mut current = self.lock();
        if let Some(reader) = current.as_ref().filter(|reader| reader.is_live()) {
            return Ok(Arc::clone(reader));
        }
        // Opened under the lock: one that is of before a commit is here when the commit takes it away.
        let reader = Arc::new(self.file.reader()?);
        *current = Some(Arc::clone(&reader));
        Ok(reader)
    }

    /// Takes the reader away. To be called behind every commit.
    pub(super) fn renew(&self) {
        let old = self.lock().take();
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<FileReader>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
