//! A redb database for as long as somebody reads or writes it: a file may be replaced, or opened again
//! after an error, while others still read what it was.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::Database;
use rt::panics;

use crate::engine::backend::BackendState;

/// A database, open for as long as somebody reads or writes it.
#[derive(Debug)]
pub(super) struct OpenFile {
    database: Option<Database>,
    state: BackendState,
    replaced: AtomicBool,
}

impl OpenFile {
    /// A database that was opened or made.
    pub(super) fn new((database, state): (Database, BackendState)) -> Self {
        Self { database: Some(database), state, replaced: AtomicBool::new(false) }
    }

    /// What happened to its file.
    pub(super) fn state(&self) -> &BackendState {
        &self.state
    }

    /// The file has lost its name: nothing is written to it any more, not even when it is closed.
    pub(super) fn abandon(&self) {
        self.replaced.store(true, Ordering::Release);
    }
}

impl Deref for OpenFile {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.database.as_ref().expect("it is there until this is dropped")
    }
}

impl Drop for OpenFile {
    /// redb writes when it is closed; what it reads for that may be damaged, and a file that was
    /// replaced is not worth it.
    fn drop(&mut self) {
        if self.replaced.load(Ordering::Acquire) {
            self.state.fence();
        }
        if let Err(text) = panics::guard(|| drop(self.database.take())) {
            tracing::error!(text, "a damaged redb file was not closed in order");
        }
    }
}
