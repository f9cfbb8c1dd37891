//! The watched file on a real file system: every way in which editors and orchestrators change it,
//! and every way in which it can be broken. A bad, partial or older file changes nothing (I12).

#![expect(clippy::unwrap_used, reason = "the helpers of the tests panic like the tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::durability::{Acks, Sync as Disk};
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
        Self::start_with(SOON, poll)
    }

    fn start_with(settle: Duration, poll: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("topology.yaml");
        fs::write(&path, text(1)).unwrap();
        Self::start_over(directory, path, settle, poll)
    }

    fn start_at(directory: TempDir, path: PathBuf, poll: Duration) -> Self {
        Self::start_over(directory, path, SOON, poll)
    }

    fn start_over(directory: TempDir, path: PathBuf, settle: Duration, poll: Duration) -> Self {
        let handle = TopologyHandle::new(Topology::load(&path).unwrap(), "start", 0);
        let (sender, changes) = mpsc::channel();
        handle.subscribe(move |topology| sender.send(topology.version().epoch.0).unwrap());
        let clock = AtomicU64::new(1_000);
        let now_ms = move || clock.fetch_add(1, Ordering::Relaxed);
        let options = WatchOptions { settle, poll, now_ms: Box::new(now_ms) };
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
fn no_beginning_of_a_file_changes_anything() {
    let watched = Watched::start_with(Duration::from_millis(1), NEVER);
    let before = watched.handle.load_full();
    let whole = text(2);
    for end in 0..whole.len() {
        // Written in place, byte by byte, by a writer that takes its time.
        fs::write(&watched.path, &whole.as_bytes()[..end]).unwrap();
        std::thread::park_timeout(Duration::from_millis(4));
        assert!(Arc::ptr_eq(&before, &watched.handle.load_full()), "after {end} bytes");
    }
    let refused = watched.handle.status().refused;
    assert!(refused > 50, "only {refused} beginnings were looked at");
    fs::write(&watched.path, whole).unwrap();
    watched.expect_epoch(2);
    assert_eq!(watched.handle.status().last_error, None);
}

#[test]
fn a_file_that_lost_its_end_for_good_counts_after_a_while() {
    let watched = Watched::start(SOON);
    let text = text(2);
    let (shorter, _) = text.split_at(text.find("namespaces:").unwrap());
    fs::write(&watched.path, shorter).unwrap();
    watched.expect_epoch(2);
    assert!(watched.handle.load_full().namespaces().is_empty());
}

#[test]
fn what_may_change_takes_effect() {
    let watched = Watched::start(NEVER);
    let new = text(2)
        .replace("\"127.0.0.1:12300\"", "\"a1.example.com:12300\"")
        .replace("voters:", "  idle: { address: \"10.0.0.9:1\", admin: \"10.0.0.9:2\" }\nvoters:")
        .replace("write: { acks: step }", "write: { acks: all, sync: always }")
        .replace("  files: { database: 3 }", "  files: { database: 9 }\n  more: { database: 3 }");
    watched.replace(new);
    watched.expect_epoch(2);
    let topology = watched.handle.load_full();
    assert_eq!(topology.server("a1").unwrap().address, "a1.example.com:12300");
    let idle = topology.server("idle").unwrap();
    assert_eq!(topology.place_of_server(idle.id), None);
    let write = topology.write_options(b"files");
    assert_eq!((write.acks, write.sync), (Acks::All, Disk::Always));
    assert_eq!([3, 9].map(|n| topology.namespace_of_database(n).into_owned()), ["more", "files"]);
}

#[test]
fn the_same_epoch_with_another_content_is_shown_as_a_conflict() {
    let watched = Watched::start(NEVER);
    watched.replace(text(1).replace("database: 3", "database: 5"));
    watched.expect_error("epoch: conflict, 1 has another content");
    watched.replace(text(2).replace("database: 3", "database: 5"));
    watched.expect_epoch(2);
    assert_eq!(watched.handle.status().last_error, None);
}

#[test]
fn an_assignment_of_logic_groups_does_not_change() {
    let watched = Watched::start(NEVER);
    let two = "[a1, a2]";
    let server = "  a2: { address: \"10.0.0.9:1\", admin: \"10.0.0.9:2\" }\nvoters:";
    let new =
        text(2).replace("voters:", server).replace("servers: [a1]", &format!("servers: {two}"));
    watched.replace(new);
    watched.expect_error("logic groups 0-16 would change from servers [a1] to [a1, a2]");
    watched.expect_error("groups do not move by editing, restore the list");
}

#[test]
fn a_file_replaced_while_it_was_gone_is_followed() {
    let watched = Watched::start(NEVER);
    fs::remove_file(&watched.path).unwrap();
    watched.expect_error("cannot read the topology file");
    watched.replace(text(2));
    watched.expect_epoch(2);
    fs::remove_file(&watched.path).unwrap();
    watched.replace(text(3));
    watched.expect_epoch(3);
    assert_eq!(watched.handle.status().last_error, None);
}

#[test]
fn a_replaced_directory_is_followed() {
    let parent = tempfile::tempdir().unwrap();
    let (here, new) = (parent.path().join("etc"), parent.path().join("etc.new"));
    fs::create_dir(&here).unwrap();
    let path = here.join("topology.yaml");
    fs::write(&path, text(1)).unwrap();
    let watched = Watched::start_at(parent, path.clone(), SOON);
    for epoch in 2..4 {
        fs::create_dir(&new).unwrap();
        fs::write(new.join("topology.yaml"), text(epoch)).unwrap();
        fs::rename(&here, watched.directory.path().join(format!("etc.{epoch}"))).unwrap();
        fs::rename(&new, &here).unwrap();
        watched.expect_epoch(epoch);
    }
    fs::write(&path, text(4)).unwrap();
    watched.expect_epoch(4);
}

#[test]
fn a_file_that_may_not_be_read_changes_nothing() {
    let watched = Watched::start(SOON);
    fs::set_permissions(&watched.path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&watched.path).is_err() {
        watched.expect_error("Permission denied");
    } // Else this is root, who may read everything.
    // What nobody can read as a file.
    fs::remove_file(&watched.path).unwrap();
    fs::create_dir(&watched.path).unwrap();
    watched.expect_error("Is a directory");
    fs::remove_dir(&watched.path).unwrap();
    symlink("topology.yaml", &watched.path).unwrap();
    watched.expect_error("symbolic links");
    fs::remove_file(&watched.path).unwrap();
    fs::write(&watched.path, text(2)).unwrap();
    watched.expect_epoch(2);
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
fn what_was_adopted_is_the_files_once_the_file_says_the_same() {
    let watched = Watched::start(SOON);
    let source = || watched.handle.status().source;
    watched.handle.adopt(Topology::parse(&text(9)).unwrap(), "node a1", 5).unwrap();
    watched.expect_epoch(9);
    assert_eq!(source(), "node a1");
    watched.expect_error("epoch: 1 is older than 9");
    watched.replace(text(9));
    watched.wait_for("the file is the source", || source() == watched.path.display().to_string());
    assert_eq!(watched.handle.status().last_error, None);
    // Another node that knows the same changes nothing.
    watched.handle.adopt(Topology::parse(&text(9)).unwrap(), "node b1", 6).unwrap();
    assert_eq!(source(), watched.path.display().to_string());
}

#[test]
fn dropping_the_guard_ends_the_thread() {
    let mut watched = Watched::start(NEVER);
    drop(watched.guard.take());
    watched.replace(text(2));
    assert!(watched.changes.recv_timeout(Duration::from_millis(100)).is_err());
}
