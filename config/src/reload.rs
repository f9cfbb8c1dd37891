//! Decides what a reading of the topology file means; pure, [`crate::watch()`] does the reading.
//!
//! A file is looked at only when two readings in a row found the same, so that one that is just being
//! written is not taken for a finished one. A whole topology can also be the beginning of a longer
//! file, whose writer is slow: one that has another end than the one in force, or lacks something,
//! has to stay the same for longer. What was looked at once is not looked at again until it, the
//! topology in force or the voter set in force changes.

use std::path::PathBuf;
use std::sync::Arc;

use common::ids::{NodeId, TopologyVersion};
use tracing::{info, warn};

use crate::diff::changes;
use crate::file::{LoadError, parse_text};
use crate::handle::TopologyHandle;
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

/// What a file is compared with: with other ones, it is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InForce {
    version: TopologyVersion,
    voters: Option<Arc<[NodeId]>>,
}

/// The memory from reading to reading.
#[derive(Debug)]
pub(crate) struct Reload {
    path: PathBuf,
    /// How long what may be half a file has to stay the same, in milliseconds.
    doubt_ms: u64,
    /// What was looked at last, and what was in force afterwards.
    done: Option<(Found, InForce)>,
    /// What the previous reading found, if it is still to be looked at.
    pending: Option<Found>,
    /// What may be half a file, and when it was found first.
    doubtful: Option<(Found, u64)>,
}

impl Reload {
    /// Begins without a memory. What may be half a file has to stay the same for `doubt_ms`.
    pub(crate) fn new(path: PathBuf, doubt_ms: u64) -> Self {
        Self { path, doubt_ms, done: None, pending: None, doubtful: None }
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
        let topology = handle.load_full();
        let in_force = InForce { version: topology.version(), voters: handle.voters() };
        if self.done.as_ref() == Some(&(found.clone(), in_force.clone())) {
            self.pending = None;
            return Step::Wait;
        }
        if self.pending.as_ref() != Some(&found) {
            self.pending = Some(found);
            return Step::ReadAgain;
        }
        let version = match read.and_then(|text| parse_text(&self.path, &text)) {
            Ok(new) if self.is_in_doubt(&found, &topology, &new, now_ms) => return Step::Wait,
            Ok(new) => self.offer(new, in_force.version, handle, now_ms),
            Err(error) => {
                warn!(path = %self.path.display(), %error, "topology file refused");
                handle.refuse(error.to_string());
                in_force.version
            }
        };
        self.pending = None;
        self.doubtful = None;
        self.done = Some((found, InForce { version, ..in_force }));
        Step::Wait
    }

    /// Whether what was found may be the beginning of a file that is still being written.
    fn is_in_doubt(&mut self, found: &Found, old: &Topology, new: &Topology, now_ms: u64) -> bool {
        let end = |topology: &Topology| {
            topology.text().split_inclusive('\n').next_back().map(str::to_owned)
        };
        if old == new || (end(old) == end(new) && !changes(old, new).takes_away()) {
            return false;
        }
        match &self.doubtful {
            // The clock may be set meanwhile; then the time counts as over.
            Some((same, since_ms)) if same == found => now_ms.abs_diff(*since_ms) < self.doubt_ms,
            _ => {
                self.doubtful = Some((found.clone(), now_ms));
                true
            }
        }
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

    const DOUBT_MS: u64 = 3_000;

    fn text(epoch: u64) -> String {
        include_str!("../samples/dev-single.yaml").replace("epoch: 1", &format!("epoch: {epoch}"))
    }

    fn start() -> (Reload, TopologyHandle) {
        let topology = Topology::parse(&text(1)).unwrap();
        (Reload::new("t.yaml".into(), DOUBT_MS), TopologyHandle::new(topology, "start", 0))
    }

    fn epoch(handle: &TopologyHandle) -> u64 {
        handle.load_full().version().epoch.0
    }

    #[test]
    fn a_file_counts_when_two_readings_in_a_row_find_the_same() {
        let (mut reload, handle) = start();
        // A writer at work: every reading finds more. None of it counts, though each is a topology.
        for length in 1..4 {
            let growing = format!("{}{}", "#\n".repeat(length), text(2));
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

    #[test]
    fn no_beginning_of_a_file_is_taken_for_the_file() {
        // I12. Sections behind the physical groups make every beginning that ends there a topology.
        for sample in [
            include_str!("../samples/namespaces.yaml"),
            include_str!("../samples/prod-two-groups.yaml"),
        ] {
            let handle = TopologyHandle::new(Topology::parse(sample).unwrap(), "start", 0);
            let old = handle.load_full();
            let epoch = old.version().epoch.0;
            let new = sample.replace(&format!("epoch: {epoch}"), "epoch: 99");
            let mut whole = 0;
            for end in 0..new.len() {
                let mut reload = Reload::new("t.yaml".into(), DOUBT_MS);
                let Some(half) = new.get(..end) else { continue };
                whole += usize::from(Topology::parse(half).is_ok());
                for now_ms in [100, 200, 300, 100 + DOUBT_MS] {
                    reload.on_read(Ok(half.to_owned()), &handle, now_ms);
                }
                assert!(Arc::ptr_eq(&old, &handle.load_full()), "{half}");
                // The rest arrives and counts as always; here it is the file in force that does.
                reload.on_read(Ok(sample.to_owned()), &handle, 9_000);
                assert_eq!(reload.on_read(Ok(sample.to_owned()), &handle, 9_001), Step::Wait);
                assert_eq!(handle.status().last_error, None, "{half}");
            }
            assert!(whole > 10, "only {whole} beginnings are topologies: nothing was tested");
        }
    }

    #[test]
    fn what_may_be_half_a_file_counts_when_it_stays() {
        let (mut reload, handle) = start();
        let shorter = text(2).trim_end().to_owned();
        assert_eq!(reload.on_read(Ok(shorter.clone()), &handle, 1_000), Step::ReadAgain);
        for now_ms in [1_100, 1_200, 1_100 + DOUBT_MS - 1] {
            assert_eq!(reload.on_read(Ok(shorter.clone()), &handle, now_ms), Step::Wait);
            assert_eq!(epoch(&handle), 1);
        }
        assert_eq!(reload.on_read(Ok(shorter), &handle, 1_100 + DOUBT_MS), Step::Wait);
        assert_eq!((epoch(&handle), handle.status().refused), (2, 0));
    }

    #[test]
    fn a_file_with_other_voters_is_looked_at_again_when_these_are_in_force() {
        let old = text(1).replace("voters: [a1]", "voters: [a1, a2, a3]");
        let server = |n| format!("  a{n}: {{ address: \"h{n}:1\", admin: \"h{n}:2\" }}\n");
        let old =
            old.replace("voters:", &format!("{}{}{}voters:", server(2), server(3), server(4)));
        let handle = TopologyHandle::new(Topology::parse(&old).unwrap(), "start", 0);
        let mut reload = Reload::new("t.yaml".into(), DOUBT_MS);
        let new = old.replace("[a1, a2, a3]", "[a1, a4, a3]").replace("epoch: 1", "epoch: 2");
        for _ in 0..3 {
            reload.on_read(Ok(new.clone()), &handle, 1);
        }
        assert_eq!((epoch(&handle), handle.status().refused), (1, 1));
        handle.set_voters(&["a1", "a3", "a4"].map(NodeId::of_name));
        for _ in 0..2 {
            reload.on_read(Ok(new.clone()), &handle, 2);
        }
        assert_eq!((epoch(&handle), handle.status().last_error), (2, None));
    }
}
