//! Power cuts under everything a node has: log, group files and control file, cut together, at every
//! sync of any of them; and what it says when parts of its directory are gone or of another time.

use std::path::Path;

use common::durability::Sync;
use common::failure::FailureCode;
use common::ids::Epoch;

use super::answer::{self, Answer, DONE};
use super::client::Client;
use super::node::{LOG, Node, Setup};
use super::request::{Request, add, get, set};
use crate::files::{Fs, MemFs, PowerCut};

/// Writes of one run.
const WRITES: u64 = 14;

/// At which level records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Each second one with `sync: always`, the others with `everysec`.
    Always,
    /// `everysec`.
    EverySecond,
    /// `none`.
    None,
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Acknowledged at any level.
    any: Vec<u64>,
    /// Acknowledged with `sync: always`, or behind which the log was synced.
    sure: Vec<u64>,
    /// Increments with `sync: always` that were answered, with their answers.
    added: Vec<(Request, i64)>,
    /// So many writes were sent, in the order of their numbers.
    sent: u64,
}

fn key(number: u64) -> String {
    format!("key {number}")
}

/// Values that differ in length, so that segments and pages end anywhere.
fn bytes(number: u64) -> Vec<u8> {
    let mut value = format!("{number} ").into_bytes();
    value.resize(usize::try_from(100 + number * 331 % 1_500).unwrap(), b'.');
    value
}

/// Writes until the power is cut, flushing now and then.
fn write(node: &mut Node, client: &mut Client, level: Level, told: &mut Told) {
    for number in 0..WRITES {
        if node.disk.is_cut() {
            return;
        }
        let request = set(&key(number), bytes(number));
        let always = level == Level::Always && number % 2 == 1;
        let request = match level {
            Level::Always if always => request.always(),
            Level::None => request.with(|head| head.sync = Sync::None),
            Level::Always | Level::EverySecond => request,
        };
        told.sent = number + 1;
        let [id] = node.turn(client, [request]);
        if !always {
            if client.answer(id) != DONE {
                assert!(node.disk.is_cut(), "without a reason");
                return;
            }
            told.any.push(number);
        } else {
            node.try_sync();
            if client.answer(id) != DONE {
                assert!(node.disk.is_cut(), "without a reason");
                return;
            }
            told.any.push(number);
            told.sure.push(number);
            let request = add("counter", 3).always();
            let [id] = node.turn(client, [request.clone()]);
            node.try_sync();
            let sum = told.added.last().map_or(3, |(_, sum)| sum + 3);
            if client.answer(id) != answer::number(sum) {
                assert!(node.disk.is_cut(), "without a reason");
                return;
            }
            told.added.push((request, sum));
        }
        if number % 4 == 3 {
            node.tick();
            node.try_sync();
            if node.core.shared.log.durable() == node.core.shared.log.appended() {
                told.sure.clone_from(&told.any);
            }
            node.run_flush_thread();
        }
    }
}

/// Looks at what is there after the restart.
fn check(node: &mut Node, told: &Told, mode: PowerCut, story: &str) {
    let mut client = node.connect();
    let mut there = Vec::new();
    for number in 0..told.sent {
        let [read] = node.turn(&mut client, [get(&key(number))]);
        match client.answer(read) {
            Answer::Missing => {}
            found => {
                assert_eq!(found, answer::value(bytes(number)), "{story}: {number}");
                there.push(number);
            }
        }
    }
    // What the kernel wrote back by itself is as good as synced.
    let kept = if matches!(mode, PowerCut::KeepAll) { &told.any } else { &told.sure };
    for number in kept {
        assert!(there.contains(number), "{story}: {number} of {there:?} is lost (I1)");
    }
    // What is lost is the end: nothing that came before something that is there.
    let prefix: Vec<u64> = (0..there.len() as u64).collect();
    assert_eq!(there, prefix, "{story}");
    for (request, sum) in &told.added {
        let [again] = node.turn(&mut client, [request.again()]);
        node.try_sync();
        assert_eq!(client.answer(again), answer::number(*sum), "{story}: repeated (I7)");
    }
    let [after] = node.turn(&mut client, [add("counter", 0)]);
    let Answer::Number(sum) = client.answer(after) else { panic!("{story}: a number") };
    let sum: i64 = String::from_utf8(sum).unwrap().parse().unwrap();
    let acknowledged = told.added.last().map_or(0, |(_, sum)| *sum);
    assert!(sum == acknowledged || sum == acknowledged + 3, "{story}: {sum}, {acknowledged}");
}

fn promised(node: &Node) -> Epoch {
    let lane = super::node::lane(0);
    node.core.shared.life.promises.get(&lane).copied().unwrap_or_default()
}

/// Cuts the power at each sync of the script, at each level.
fn sweep(mode: fn(u64) -> PowerCut) {
    for (level, enough) in [(Level::Always, 30), (Level::EverySecond, 15), (Level::None, 15)] {
        for cut in 1.. {
            if !cut_at(cut, level, mode(cut)) {
                assert!(cut > enough, "{level:?}: there were enough syncs to cut at: {cut}");
                break;
            }
        }
    }
}

/// Runs the script once; whether there were so many syncs.
fn cut_at(cut: u64, level: Level, mode: PowerCut) -> bool {
    let setup = Setup { memtable_bytes: 0, segment_bytes: 8 << 10, ..Setup::default() };
    let mut node = Node::new(setup);
    // As far as it has come, another process start knows it.
    node = node.restart_after_kill();
    let (life, promise) = (node.core.shared.life.life, promised(&node));
    node.disk.faults_below(Path::new("/"));
    node.disk.cut_power_at_sync(node.disk.syncs() + cut);
    let mut client = node.connect();
    let mut told = Told::default();
    write(&mut node, &mut client, level, &mut told);
    let is_cut = node.disk.is_cut();
    let story = format!("{level:?}, cut at sync {cut}, {mode:?}");
    let mut node = node.restart_after_power_cut(mode);
    assert!(node.core.shared.life.life > life, "{story}: a process start is a new one");
    assert!(promised(&node) >= promise, "{story}: a promise fell");
    check(&mut node, &told, mode, &story);
    is_cut
}

#[test]
fn a_power_cut_at_any_sync_that_loses_all_unsynced_breaks_no_promise() {
    sweep(|_| PowerCut::LoseUnsynced);
}

#[test]
fn a_power_cut_at_any_sync_that_tears_what_is_unsynced_breaks_no_promise() {
    sweep(PowerCut::TornSectors);
}

#[test]
fn a_power_cut_at_any_sync_that_keeps_everything_breaks_no_promise() {
    sweep(|_| PowerCut::KeepAll);
}

/// A node whose log has several segments and two streams, nothing of them in the group's file.
fn with_segments() -> Node {
    let mut node = Node::new(Setup { segment_bytes: 8 << 10, ..Setup::default() });
    for _ in 0..2 {
        let mut client = node.connect();
        for number in 0..12 {
            let [id] = node.turn(&mut client, [set(&key(number), [7; 1 << 10]).always()]);
            node.sync();
            assert_eq!(client.answer(id), DONE);
        }
        node = node.restart_after_kill();
    }
    node
}

fn segments(disk: &MemFs) -> Vec<String> {
    let mut names = disk.list(Path::new(LOG)).unwrap();
    names.sort();
    names
}

#[test]
fn a_log_that_begins_behind_a_groups_file_is_refused() {
    let node = with_segments();
    let names = segments(&node.disk);
    assert!(names.len() > 4, "{names:?}");
    // The first segments are gone: of the first stream, then all of it.
    for gone in [1, names.len() - 2] {
        let disk = node.disk.after_kill();
        for name in &names[..gone] {
            disk.remove(&Path::new(LOG).join(name)).unwrap();
        }
        let refused = with_segments().restart_on(disk).err().map(|e| e.to_string());
        let refused = refused.unwrap_or_else(|| panic!("{gone} segments are missing"));
        assert!(refused.contains("missing"), "{refused}");
    }
}

#[test]
fn a_log_with_a_segment_missing_in_the_middle_is_refused_with_its_name() {
    let node = with_segments();
    let names = segments(&node.disk);
    let disk = node.disk.after_kill();
    disk.remove(&Path::new(LOG).join(&names[1])).unwrap();
    let refused = node.restart_on(disk).err().unwrap().to_string();
    assert!(refused.contains("0000000000000002"), "{refused}");
}

#[test]
fn files_of_another_node_are_refused() {
    let (one, other) = (with_segments(), with_segments());
    for (place, what) in [("/a1/groups", "the file is of"), (LOG, "log")] {
        let disk = one.disk.after_kill();
        disk.take_dir(&other.disk, Path::new(place));
        let refused = with_segments().restart_on(disk).err().unwrap().to_string();
        assert!(refused.contains(what), "{place}: {refused}");
    }
}

#[test]
fn a_flush_that_finds_the_disk_full_is_tried_again_and_the_group_serves_meanwhile() {
    let mut node = Node::new(Setup { memtable_bytes: 0, ..Setup::default() });
    let mut client = node.connect();
    node.disk.faults_below(Path::new("/a1/groups"));
    node.disk.limit_space(Some(0));
    let large = vec![7; 3 << 20];
    let [write] = node.turn(&mut client, [set("large", &large)]);
    assert_eq!(client.answer(write), DONE);
    for round in 0..4 {
        node.tick();
        node.sync();
        node.run_flush_thread();
        assert_eq!(node.group(0).stopped, None);
        let [write] = node.turn(&mut client, [set(&key(round), "1")]);
        let [read, small] = node.turn(&mut client, [get("large"), get(&key(round))]);
        assert_eq!(client.answer(write), DONE);
        assert_eq!(client.answer(read), answer::value(&large));
        assert_eq!(client.answer(small), answer::value("1"));
    }
    assert!(node.group(0).store.checkpoint().positions.is_empty(), "nothing could be flushed");
    node.disk.limit_space(None);
    for _ in 0..6 {
        node.tick();
        node.sync();
        node.run_flush_thread();
    }
    assert_eq!(node.group(0).store.oldest_unflushed(), None, "all of it is flushed");
    let mut node = node.restart_after_kill();
    let [read] = node.turn(&mut client, [get("large")]);
    assert_eq!(client.answer(read), answer::value(&large));
}

#[test]
fn a_failed_sync_of_a_groups_file_stops_the_group_and_a_restart_has_everything() {
    let mut node = Node::new(Setup { memtable_bytes: 0, ..Setup::default() });
    let mut client = node.connect();
    let [write] = node.turn(&mut client, [set("a", "1")]);
    assert_eq!(client.answer(write), DONE);
    node.disk.faults_below(Path::new("/a1/groups"));
    node.disk.fail_sync(1);
    node.tick();
    node.sync();
    node.run_flush_thread();
    let stopped = node.group(0).stopped.clone().unwrap();
    assert!(stopped.contains("00000.redb") && stopped.contains("restart the node"), "{stopped}");
    let [write] = node.turn(&mut client, [set("a", "2")]);
    assert_eq!(client.answer(write), Answer::Failed(FailureCode::Stopped));
    // What the sync lost is hidden by the kernel until the power is cut.
    let mut node = node.restart_after_kill();
    let [write] = node.turn(&mut client, [set("b", "1")]);
    assert_eq!(client.answer(write), DONE);
    node.tick();
    node.sync();
    node.run_flush_thread();
    assert_eq!(node.group(0).store.oldest_unflushed(), None, "it is flushed");
    let mut node = node.restart_after_power_cut(PowerCut::LoseUnsynced);
    for key in ["a", "b"] {
        let [read] = node.turn(&mut client, [get(key)]);
        assert_eq!(client.answer(read), answer::value("1"), "{key}");
    }
}
