//! The folder of a measurement. A shell waits for the end of a pipe that only this process holds and
//! removes the folder then, so that no gigabytes stay behind, however this process ends.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::bench::BenchError;

/// `$1` is the folder.
const GUARD: &str = r#"
trap "" INT TERM HUP
cat >/dev/null
rm -rf -- "$1" 2>/dev/null || { sleep 1; rm -rf -- "$1"; }
"#;

/// A folder that lives as long as this. What is open in it must be closed before.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    guard: Child,
}

impl Place {
    /// Makes a folder in `parent`.
    pub(super) fn create(parent: Option<&Path>) -> Result<Self, BenchError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("fdht-bench-engine-{}", std::process::id()));
        let what = || format!("make the folder {} (--dir)", path.display());
        fs::create_dir(&path).map_err(|e| failed(what(), e))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "guard"]).arg(&path);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match shell.spawn() {
            Ok(guard) => Ok(Self { path, guard }),
            Err(source) => {
                drop(fs::remove_dir(&path));
                Err(BenchError::Child { what: "shell that removes the files at the end", source })
            }
        }
    }

    /// Makes a folder for a part of the measurement.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(|e| failed(format!("make {}", path.display()), e))?;
        Ok(path)
    }

    /// Removes such a folder, to have its space for the next part.
    pub(super) fn clear(&self, name: &str) -> Result<(), BenchError> {
        let path = self.path.join(name);
        fs::remove_dir_all(&path).map_err(|e| failed(format!("remove {}", path.display()), e))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}

/// The error of something the measurement had to do.
pub(super) fn failed(what: impl Into<String>, reason: impl Display) -> BenchError {
    BenchError::Engine { what: what.into(), reason: reason.to_string() }
}
