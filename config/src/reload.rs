//! Decides what a reading of the topology file means; pure, [`crate::watch()`] does the reading.
//!
//! A file is looked at only when two readings in a row found the same, so that one that is just being
//! written is not taken for a finished one. What was looked at once is not looked at again until it
//! or the topology in force changes.

use std::path::PathBuf;

use tracing::{info, warn};

use crate::file::{LoadError, parse_text};
use crate::handle::TopologyHandle;
use common::ids::TopologyVersion;

use crate::topology::Topology;

/// What to do after a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for a change or for the next regular reading.
    Wait,
    /// Read again soon: what was found is new and may still be changing.
    ReadAgain,
}

/// What a reading found, as far as it matters whether another one found the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Content(u64),
    Unreadable(String),
}

/// The memory from reading to reading.
#[derive(Debug)]
pub(crate) struct Reload {
    path: PathBuf,
    /// What was looked at last, and the version that was in force afterwards.
    done: Option<(Found, TopologyVersion)>,
    /// What the previous reading found, if it is still to be looked at.
    pending: Option<Found>,
}

impl Reload {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, done: None, pending: None }
    }

    /// Takes a reading of the file.
    pub(crate) fn on_read(
        &mut self,
        read: Result<String, LoadError>,
        handle: &TopologyHandle,
        now_ms: u64,
    ) -> Step {
        let found = match &read {
            Ok(text) => Found::Content(xxhash_rust::xxh3::xxh3_64(text.as_bytes())),
            Err(error) => Found::Unreadable(error.to_string()),
        };
        let version = handle.load_full().version();
        if self.done.as_ref() == Some(&(found.clone(), version)) {
            self.pending = None;
            return Step::Wait;
        }
        if self.pending.as_ref() != Some(&found) {
            self.pending = Some(found);
            return Step::ReadAgain;
        }
        self.pending = None;
        let version = match read.and_then(|text| parse_text(&self.path, &text)) {
            Ok(topology) => self.offer(topology, version, handle, now_ms),
            Err(error) => {
                warn!(path = %self.path.display(), %error, "topology file refused");
                handle.refuse(error.to_string());
                version
            }
        };
        self.done = Some((found, version));
        Step::Wait
    }

    /// Offers what the file says. Gives the version that is in force by this, not by what others
    /// bring meanwhile: if it differs from what the next reading meets, the file is looked at again.
    fn offer(
        &self,
        topology: Topology,
        in_force: TopologyVersion,
        handle: &TopologyHandle,
        now_ms: u64,
    ) -> TopologyVersion {
        let path = self.path.display();
        let version = topology.version();
        match handle.offer(topology, &path.to_string(), now_ms) {
            Ok(_) if version == in_force => version,
            Ok(changes) => {
                info!(%path, %version, %changes, "topology changed");
                version
            }
            Err(refusals) => {
                for refusal in refusals {
                    warn!(%path, %version, %in_force, %refusal, "topology file refused");
                }
                in_force
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn text(epoch: u64) -> String {
        include_str!("../samples/dev-single.yaml").replace("epoch: 1", &format!("epoch: {epoch}"))
    }

    fn start() -> (Reload, TopologyHandle) {
        let topology = Topology::parse(&text(1)).unwrap();
        (Reload::new("t.yaml".into()), TopologyHandle::new(topology, "start", 0))
    }

    fn epoch(handle: &TopologyHandle) -> u64 {
        handle.load_full().version().epoch.0
    }

    #[test]
    fn a_file_counts_when_two_readings_in_a_row_find_the_same() {
        let (mut reload, handle) = start();
        // A writer at work: every reading finds more. None of it counts, though each is a topology.
        for length in 1..4 {
            let growing = format!("{}{}", text(2), "#\n".repeat(length));
            assert_eq!(reload.on_read(Ok(growing), &handle, 1), Step::ReadAgain);
            assert_eq!(epoch(&handle), 1);
        }
        assert_eq!(reload.on_read(Ok(text(2)), &handle, 1), Step::ReadAgain);
        assert_eq!(reload.on_read(Ok(text(2)), &handle, 2), Step::Wait);
        assert_eq!((epoch(&handle), handle.status().loaded_at_ms), (2, 2));
        assert_eq!(reload.on_read(Ok(text(2)), &handle, 3), Step::Wait);
        assert_eq!(handle.status().refused, 0);
    }

    #[test]
    fn a_file_that_is_away_for_one_reading_is_no_error() {
        let (mut reload, handle) = start();
        let away = || crate::file::read_text(Path::new("/nonexistent/topology.yaml"));
        assert_eq!(reload.on_read(away(), &handle, 1), Step::ReadAgain);
        assert_eq!(reload.on_read(Ok(text(2)), &handle, 1), Step::ReadAgain);
        assert_eq!(reload.on_read(Ok(text(2)), &handle, 1), Step::Wait);
        assert_eq!((epoch(&handle), handle.status().refused), (2, 0));
        for step in [Step::ReadAgain, Step::Wait, Step::Wait] {
            assert_eq!(reload.on_read(away(), &handle, 1), step);
        }
        assert_eq!((epoch(&handle), handle.status().refused), (2, 1));
    }
}
