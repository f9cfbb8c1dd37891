//! What a local cluster keeps besides its topology: the proxy's ports and which nodes' data was
//! created.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::DevError;
use super::paths::{Paths, failed, replace};

/// The content of `settings.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Port of the proxy; 0 before the first run.
    pub(super) port: u16,
    /// Admin port of the proxy; 0 before the first run.
    pub(super) admin_port: u16,
    /// Nodes that hold data for good: they were created and have answered since.
    pub(super) created: Vec<String>,
}

impl Settings {
    /// The settings of the cluster, or those of a new one.
    pub(super) fn load(paths: &Paths) -> Result<Self, DevError> {
        let path = paths.settings();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| DevError::Settings { path, reason: e.to_string() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::found(paths),
            Err(e) => Err(failed("read", &path)(e)),
        }
    }

    /// Without the file, whatever has data counts as created: it is never created over.
    fn found(paths: &Paths) -> Result<Self, DevError> {
        let nodes = paths.root().join("nodes");
        let mut created = Vec::new();
        for entry in fs::read_dir(&nodes).map_err(failed("list", &nodes))? {
            let entry = entry.map_err(failed("list", &nodes))?;
            let mut content = fs::read_dir(entry.path()).map_err(failed("list", &entry.path()))?;
            if content.next().is_some() {
                created.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(Self { port: 0, admin_port: 0, created })
    }

    /// Keeps the settings durably.
    pub(super) fn store(&self, paths: &Paths) -> Result<(), DevError> {
        let text = serde_json::to_vec_pretty(self).expect("numbers and texts always serialise");
        replace(&paths.settings(), &text, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_kept_and_data_without_settings_counts_as_created() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        paths.create().unwrap();
        fs::create_dir(paths.node("a1")).unwrap();
        fs::create_dir(paths.node("a2")).unwrap();
        fs::write(paths.node("a2").join("x"), "").unwrap();

        let mut settings = Settings::load(&paths).unwrap();
        assert_eq!(settings.created, ["a2"]);
        settings.port = 7;
        settings.store(&paths).unwrap();
        assert_eq!(Settings::load(&paths).unwrap(), settings);

        fs::write(paths.settings(), "{").unwrap();
        assert!(matches!(Settings::load(&paths), Err(DevError::Settings { .. })));
    }
}
