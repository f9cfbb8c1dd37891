//! Another file in the place of a group's file: made beside it, complete and durable before it gets the
//! name, so that a crash leaves the one or the other.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::Database;

use crate::engine::EngineError;
use crate::engine::checked_pages;
use crate::engine::file::{GroupFile, builder, guarded};
use crate::engine::open_file::OpenFile;
use crate::files::{Fs, parent};

/// A file that has no name of its own yet. It is removed unless [`GroupFile::replace`] takes it.
pub(super) struct Unfinished {
    pub(super) path: PathBuf,
    fs: Arc<dyn Fs>,
    open: Option<Arc<OpenFile>>,
}

/// Why a file was not replaced.
pub(super) enum NotReplaced {
    /// It is as it was.
    Unchanged(EngineError),
    /// It has the name, and a power cut may take that away: nothing may be written to it.
    NotDurable(EngineError),
}

impl GroupFile {
    /// Makes a file without tables beside this one.
    pub(super) fn begin_copy(&self) -> Result<Unfinished, EngineError> {
        let path = unfinished(&self.path);
        remove_left_over(&*self.fs, &path)?;
        let mut copy = Unfinished { path, fs: Arc::clone(&self.fs), open: None };
        let open = guarded(&copy.path, "create", || {
            Ok(checked_pages::create(&*self.fs, &copy.path, &builder(self.cache_bytes))?)
        })?;
        copy.open = Some(Arc::new(OpenFile::new(open)));
        Ok(copy)
    }

    /// Gives the name of this file to a copy that is durable, and goes on with it. Whoever still reads
    /// the old one may do so to his end; nothing is written to it any more.
    pub(super) fn replace(&self, mut copy: Unfinished) -> Result<(), NotReplaced> {
        let io = |doing| move |error| EngineError::io(&self.path, doing, error);
        let old = {
            // Under the lock: a reader that opens the file again must not meet a half-way state.
            let mut handle = self.handle();
            let renamed = self.fs.rename(&copy.path, &self.path).map_err(io("replace"));
            renamed.map_err(NotReplaced::Unchanged)?;
            std::mem::replace(&mut handle.0, copy.open.take())
        };
        if let Some(old) = old {
            old.abandon();
        }
        let named = self.fs.sync_dir(parent(&self.path)).map_err(io("sync the directory of"));
        named.map_err(NotReplaced::NotDurable)
    }
}

impl Unfinished {
    /// The database.
    pub(super) fn database(&self) -> Result<&Database, redb::Error> {
        self.open.as_deref().map(|open| &**open).ok_or(redb::Error::DatabaseClosed)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.abandon();
        }
        // There is none if it got its name.
        if let Err(error) = remove_left_over(&*self.fs, &self.path) {
            tracing::warn!(%error, "the unfinished copy of a file stays until the next start");
        }
    }
}

/// The name of a group's file that is not complete.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Removes a file that was never completed, if there is one.
pub(super) fn remove_left_over(fs: &dyn Fs, path: &Path) -> Result<(), EngineError> {
    match fs.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(EngineError::io(path, "remove", error))
        }
        _ => Ok(()),
    }
}
