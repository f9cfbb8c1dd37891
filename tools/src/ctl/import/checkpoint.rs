//! The file that remembers how much of an input is acknowledged.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ImportError;
use crate::ctl::export::with_suffix;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    /// What was imported, so that a checkpoint is not used for another input.
    source: String,
    /// Records from the beginning that are all acknowledged.
    acknowledged: u64,
}

/// A checkpoint file of one input.
#[derive(Debug, Clone)]
pub(super) struct Checkpoint {
    path: PathBuf,
    source: String,
}

impl Checkpoint {
    /// The checkpoint at `path` for the input that `source` describes.
    pub(super) fn new(path: &Path, source: String) -> Self {
        Self { path: path.to_owned(), source }
    }

    /// How many records an earlier import got acknowledged; 0 when there was none.
    pub(super) fn load(&self) -> Result<u64, ImportError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(self.error(source)),
        };
        let text: Text = serde_json::from_slice(&bytes).map_err(|e| {
            ImportError::CheckpointText { path: self.path.clone(), reason: e.to_string() }
        })?;
        if text.source != self.source {
            return Err(ImportError::CheckpointOfOther {
                path: self.path.clone(),
                found: text.source,
                wanted: self.source.clone(),
            });
        }
        Ok(text.acknowledged)
    }

    /// Remembers `acknowledged` durably: the file is whole at any time.
    pub(super) fn store(&self, acknowledged: u64) -> Result<(), ImportError> {
        let text = Text { source: self.source.clone(), acknowledged };
        let text = serde_json::to_vec(&text).expect("a string and a number always serialise");
        let new = with_suffix(&self.path, ".new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> ImportError {
        ImportError::Checkpoint { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_kept_and_tied_to_its_input() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cp");
        let checkpoint = Checkpoint::new(&path, "tree /usr".to_owned());
        assert_eq!(checkpoint.load().unwrap(), 0);
        checkpoint.store(17).unwrap();
        assert_eq!(checkpoint.load().unwrap(), 17);

        let other = Checkpoint::new(&path, "tree /opt".to_owned()).load().unwrap_err();
        assert!(other.to_string().contains("is of tree /usr, this import reads tree /opt"));
        assert_eq!(other.status(), 2);

        fs::write(&path, "17").unwrap();
        assert!(matches!(checkpoint.load(), Err(ImportError::CheckpointText { .. })));
    }
}
