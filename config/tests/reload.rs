//! The watched file on a real file system: every way in which editors and orchestrators change it,
//! and every way in which it can be broken. A bad, partial or older file changes nothing (I12).

#![expect(clippy::unwrap_used, reason = "the helpers of the tests panic like the tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::ids::FileEpoch;
use config::{Topology, TopologyHandle, WatchGuard, WatchOptions, watch};
use tempfile::TempDir;

/// Longest wait for something that has to happen.
const DEADLINE: Duration = Duration::from_secs(20);
/// Long enough for every polling in a test to be a fault.
const NEVER: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_millis(10);

fn text(epoch: u64) -> String {
    let sample = include_str!("../samples/namespaces.yaml");
    sample.replace("epoch: 3", &format!("epoch: {epoch}"))
}

/// A watched file that holds epoch 1 at first.
struct Watched {
    directory: TempDir,
    path: PathBuf,
    handle: TopologyHandle,
    changes: mpsc::Receiver<u64>,
    guard: Option<WatchGuard>,
}

impl Watched {
    fn start(poll: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("topology.yaml");
        fs::write(&path, text(1)).unwrap();
        Self::start_at(directory, path, poll)
    }

    fn start_at(directory: TempDir, path: PathBuf, poll: Duration) -> Self {
        let handle = TopologyHandle::new(Topology::load(&path).unwrap(), "start", 0);
        let (sender, changes) = mpsc::channel();
        handle.subscribe(move |topology| sender.send(topology.version().epoch.0).unwrap());
        let clock = AtomicU64::new(1_000);
        let now_ms = move || clock.fetch_add(1, Ordering::Relaxed);
        let options = WatchOptions { settle: SOON, poll, now_ms: Box::new(now_ms) };
        let guard = Some(watch(&path, handle.clone(), options).unwrap());
        Self { directory, path, handle, changes, guard }
    }

    fn expect_epoch(&self, epoch: u64) {
        assert_eq!(self.changes.recv_timeout(DEADLINE), Ok(epoch));
        assert_eq!(self.handle.load_full().version().epoch, FileEpoch(epoch));
    }

    /// Waits until the last error contains `part`; the topology in force stays meanwhile.
    fn expect_error(&self, part: &str) {
        let before = self.handle.load_full();
        let error = || self.handle.status().last_error.unwrap_or_default();
        self.wait_for(part, || error().contains(part));
        assert!(Arc::ptr_eq(&before, &self.handle.load_full()));
        assert!(self.changes.try_recv().is_err());
    }

    fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while !condition() {
            assert!(waited < DEADLINE, "{what}: {:?}", self.handle);
            std::thread::park_timeout(step);
            waited += step;
        }
    }

    fn replace(&self, text: impl AsRef<[u8]>) {
        let new = self.directory.path().join("topology.yaml.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.path).unwrap();
    }
}

#[test]
fn a_file_written_in_place_is_followed() {
    let watched = Watched::start(NEVER);
    fs::write(&watched.path, text(2)).unwrap();
    watched.expect_epoch(2);
    let status = watched.handle.status();
    assert_eq!(status.source, watched.path.display().to_string());
    assert!(status.loaded_at_ms >= 1_000);
    assert_eq!(status.last_error, None);
}

#[test]
fn a_file_renamed_over_it_is_followed_again_and_again() {
    let watched = Watched::start(NEVER);
    for epoch in 2..6 {
        watched.replace(text(epoch));
        watched.expect_epoch(epoch);
    }
}

#[test]
fn a_swapped_symlink_is_followed() {
    // As an orchestrator mounts a ConfigMap: file -> ..data/file, ..data -> ..1, swapped by rename.
    let directory = tempfile::tempdir().unwrap();
    swap(directory.path(), 1);
    let path = directory.path().join("topology.yaml");
    symlink("..data/topology.yaml", &path).unwrap();
    let root = directory.path().to_owned();
    let watched = Watched::start_at(directory, path, NEVER);
    for n in 2..4 {
        swap(&root, n);
        watched.expect_epoch(n);
    }
}

/// One step of an orchestrator's update: a new directory, then the link to it.
fn swap(root: &Path, n: u64) {
    let name = format!("..{n}");
    fs::create_dir(root.join(&name)).unwrap();
    fs::write(root.join(&name).join("topology.yaml"), text(n)).unwrap();
    symlink(&name, root.join("..link")).unwrap();
    fs::rename(root.join("..link"), root.join("..data")).unwrap();
}

#[test]
fn a_change_that_nobody_notifies_is_found_by_polling() {
    // What the path points to lies in another directory, which is not watched.
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("real.yaml");
    fs::write(&real, text(1)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("topology.yaml");
    symlink(&real, &path).unwrap();
    let watched = Watched::start_at(directory, path, SOON);
    fs::write(&real, text(2)).unwrap();
    watched.expect_epoch(2);
}

#[test]
fn a_half_written_file_changes_nothing_until_it_is_whole() {
    let watched = Watched::start(NEVER);
    let whole = text(2);
    let (half, _) = whole.split_at(whole.find("physical_groups").unwrap());
    fs::write(&watched.path, half).unwrap();
    watched.expect_error("missing key `physical_groups`");
    fs::write(&watched.path, &whole).unwrap();
    watched.expect_epoch(2);
    assert_eq!(watched.handle.status().last_error, None);
}

#[test]
fn a_bad_an_older_and_a_moved_file_are_refused_and_the_good_one_clears_it() {
    let watched = Watched::start(NEVER);
    watched.replace(text(5));
    watched.expect_epoch(5);
    watched.replace(text(4));
    watched.expect_error("epoch: 4 is older than 5");
    watched.replace(text(6).replace("cluster: demo", "cluster: prod"));
    watched.expect_error("it is for prod, this cluster is demo");
    watched.replace(text(6).replace("acks: all", "acks: every"));
    watched.expect_error("namespaces.billing.write.acks: \"every\" is not a level");
    watched.replace("\u{0}\u{1}garbage");
    watched.expect_error("is refused:\nline 1: ");
    watched.replace(b"\xff\xfe");
    watched.expect_error("is not UTF-8");
    watched.replace(format!("{}{}", text(6), "#".repeat(1 << 20)));
    watched.expect_error("larger than 1 MiB");
    assert_eq!(watched.handle.status().refused, 6);

    watched.replace(text(5));
    watched.wait_for("no error", || watched.handle.status().last_error.is_none());
    assert!(watched.changes.try_recv().is_err(), "the same text is no change");
}

#[test]
fn a_deleted_file_leaves_the_last_good_one_in_force() {
    let watched = Watched::start(NEVER);
    fs::remove_file(&watched.path).unwrap();
    watched.expect_error("cannot read the topology file");
    fs::write(&watched.path, text(2)).unwrap();
    watched.expect_epoch(2);
}

#[test]
fn a_file_refused_once_is_not_refused_again_at_every_poll() {
    let watched = Watched::start(SOON);
    watched.replace("format: 2\n");
    watched.expect_error("format 2 is not known");
    // A later change proves that pollings lie between.
    let other = watched.directory.path().join("other");
    for n in 0..20 {
        fs::write(&other, n.to_string()).unwrap();
        std::thread::park_timeout(SOON);
    }
    assert_eq!(watched.handle.status().refused, 1);
    // What another process has in force is newer than the file: that is said once, too.
    watched.replace(text(2));
    watched.expect_epoch(2);
    watched.handle.adopt(Topology::parse(&text(9)).unwrap(), "node a1", 5).unwrap();
    watched.expect_epoch(9);
    watched.expect_error("epoch: 2 is older than 9");
    assert_eq!(watched.handle.status().refused, 2);
}

#[test]
fn dropping_the_guard_ends_the_thread() {
    let mut watched = Watched::start(NEVER);
    drop(watched.guard.take());
    watched.replace(text(2));
    assert!(watched.changes.recv_timeout(Duration::from_millis(100)).is_err());
}
