//! From the arguments to the logs: data directories, log folders, and files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::ids::{ClusterId, NodeId, StoreId};
use serde::Deserialize;

use super::format::{Inspector, LogIdentity, RealFs};

/// The folder of the log in a data directory.
const LOG_FOLDER: &str = "log";
/// The file in a data directory that says whose it is.
const IDENTITY_FILE: &str = "node.json";

/// One log to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder with a log.
    Folder {
        /// The folder of the segments.
        log: PathBuf,
        /// Whose it is, if it is in a data directory.
        identity: Option<LogIdentity>,
    },
    /// Files of one folder.
    Files {
        /// Their folder.
        folder: PathBuf,
        /// The files.
        files: Vec<PathBuf>,
    },
}

/// An argument that leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// It cannot be looked at.
    #[error("cannot read {}: {source}", path.display())]
    Path { path: PathBuf, source: std::io::Error },
    /// The data directory does not say whose it is.
    #[error("cannot use {}: {reason}; to look at the log without it, name its folder", path.display())]
    Identity { path: PathBuf, reason: String },
}

impl Place {
    /// The logs that `paths` name, in their order; files of one folder belong together.
    pub(super) fn all(paths: &[PathBuf]) -> Result<Vec<Self>, PlaceError> {
        let mut places = Vec::new();
        let mut files: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for path in paths {
            let about = std::fs::metadata(path)
                .map_err(|source| PlaceError::Path { path: path.clone(), source })?;
            if about.is_dir() {
                places.push(Self::of_directory(path)?);
            } else {
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                files.entry(folder).or_default().push(path.clone());
            }
        }
        places.extend(files.into_iter().map(|(folder, files)| Self::Files { folder, files }));
        Ok(places)
    }

    fn of_directory(path: &Path) -> Result<Self, PlaceError> {
        let data = path.join(IDENTITY_FILE);
        if !data.exists() {
            return Ok(Self::Folder { log: path.to_owned(), identity: None });
        }
        Ok(Self::Folder { log: path.join(LOG_FOLDER), identity: Some(read_identity(&data)?) })
    }

    /// The folder that is looked at.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Folder { log, .. } => log,
            Self::Files { folder, .. } => folder,
        }
    }

    /// Begins to look at it.
    pub(super) fn inspector(&self) -> Inspector {
        let fs = Arc::new(RealFs);
        match self {
            Self::Folder { log, identity } => Inspector::of_folder(fs, log, *identity),
            Self::Files { files, .. } => Inspector::of_files(fs, files.iter().cloned()),
        }
    }
}

#[derive(Deserialize)]
struct IdentityFile {
    cluster: String,
    node: String,
    store_id: String,
}

fn read_identity(path: &Path) -> Result<LogIdentity, PlaceError> {
    let refused = |reason: String| PlaceError::Identity { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| refused(e.to_string()))?;
    let file: IdentityFile = serde_json::from_str(&text).map_err(|e| refused(e.to_string()))?;
    let store =
        u128::from_str_radix(&file.store_id, 16).map_err(|e| refused(format!("store_id: {e}")))?;
    Ok(LogIdentity {
        store: StoreId(store),
        cluster: ClusterId::of_name(&file.cluster),
        node: NodeId::of_name(&file.node),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_directories_log_folders_and_files_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let (data, log) = (root.path().join("a1"), root.path().join("a1/log"));
        std::fs::create_dir_all(&log).unwrap();
        let identity = r#"{"format":2,"cluster":"demo","node":"a1","store_id":"ff"}"#;
        std::fs::write(data.join(IDENTITY_FILE), identity).unwrap();
        let files = [root.path().join("x"), log.join("1"), log.join("2")];
        files.iter().for_each(|file| std::fs::write(file, "").unwrap());
        let [x, one, two] = files;

        let whose = LogIdentity {
            store: StoreId(255),
            cluster: ClusterId::of_name("demo"),
            node: NodeId::of_name("a1"),
        };
        let places = Place::all(&[one.clone(), data.clone(), x.clone(), two.clone(), log.clone()]);
        let expected = [
            Place::Folder { log: log.clone(), identity: Some(whose) },
            Place::Folder { log: log.clone(), identity: None },
            Place::Files { folder: root.path().to_owned(), files: vec![x] },
            Place::Files { folder: log, files: vec![one, two] },
        ];
        assert_eq!(places.unwrap(), expected);

        std::fs::write(data.join(IDENTITY_FILE), "{").unwrap();
        let refused = Place::all(std::slice::from_ref(&data)).unwrap_err().to_string();
        assert!(refused.contains("node.json") && refused.contains("name its folder"), "{refused}");
        let absent = Place::all(&[root.path().join("nothing")]).unwrap_err().to_string();
        assert!(absent.contains("nothing: No such file"), "{absent}");
    }
}
