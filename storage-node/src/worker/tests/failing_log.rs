//! A log that fails for good, and one whose disk is full for a while.

use common::failure::FailureCode;
use common::ids::Lsn;

use super::answer::{Answer, DONE, value};
use super::node::{Node, Setup};
use super::request::{count, delete, get, set, set_new};

const DISK_FULL: Answer = Answer::Failed(FailureCode::DiskFull);
const STOPPED: Answer = Answer::Failed(FailureCode::Stopped);
const UNKNOWN: Answer = Answer::Failed(FailureCode::Unknown);
/// What depended on a write that was taken back.
const VOID: Answer = Answer::Failed(FailureCode::Busy);

#[test]
fn a_failed_sync_leaves_pending_writes_unknown_and_acknowledged_ones_visible() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let [sure] = node.turn(&mut client, [set("sure", "0").always()]);
    node.sync();
    assert_eq!(client.answer(sure), DONE);
    node.gate.close();
    let [always, everysec, read] =
        node.turn(&mut client, [set("a", "1").always(), set("b", "2"), get("a")]);
    let [counted] = node.turn(&mut client, [count()]);
    node.fail_sync();
    assert_eq!((client.answer(always), client.answer(everysec)), (UNKNOWN, UNKNOWN));
    assert_eq!((client.answer(read), client.answer(counted)), (STOPPED, STOPPED));

    let [refused, refused_always] =
        node.turn(&mut client, [set("c", "3"), delete("sure").always()]);
    assert_eq!((client.answer(refused), client.answer(refused_always)), (STOPPED, STOPPED));
    let [c, sure] = node.turn(&mut client, [get("c"), get("sure")]);
    assert_eq!((client.answer(c), client.answer(sure)), (Answer::Missing, value("0")));
    // Nobody will ever know, so nobody has to wait for it.
    let [b, counted] = node.turn(&mut client, [get("b"), count()]);
    assert_eq!((client.answer(b), client.answer(counted)), (STOPPED, STOPPED));
}

#[test]
fn a_write_that_meets_the_failed_log_first_is_refused_and_taken_back() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.turn(&mut client, [set("a", "1")]);
    node.core.begin_turn();
    // Checked while the log was well, appended when it was not any more.
    let (write, body) = (client.next_id(), node.body(set("a", "2")));
    node.core.execute(&client.peer, write, &body);
    node.disk.cut_power();
    node.core.end_turn();
    let [read] = node.turn(&mut client, [get("a")]);
    assert_eq!(client.answer(write), UNKNOWN, "a part of it may have been written");
    assert_eq!(client.answer(read), value("1"));
    let [refused] = node.turn(&mut client, [set("a", "3")]);
    assert_eq!(client.answer(refused), STOPPED);
    assert_eq!(node.last(0), Lsn(2));
}

#[test]
fn a_full_log_takes_nothing_of_a_turn_and_voids_what_depended_on_it() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.turn(&mut client, [set("a", "1"), set("z", "26")]);
    node.disk.fill_up_writes(Some(10));
    let [write, read, condition, second, other, missing] = node.turn(
        &mut client,
        [set("a", "2"), get("a"), set_new("a", "3"), set("b", "1").always(), get("z"), get("y")],
    );
    assert_eq!((client.answer(write), client.answer(second)), (DISK_FULL, DISK_FULL));
    assert_eq!((client.answer(read), client.answer(condition)), (VOID, VOID));
    assert_eq!((client.answer(other), client.answer(missing)), (value("26"), Answer::Missing));
    assert!(!node.core.has_pending());
    let [counted, a, b] = node.turn(&mut client, [count(), get("a"), get("b")]);
    assert_eq!(client.answer(counted), Answer::Count(2));
    assert_eq!((client.answer(a), client.answer(b)), (value("1"), Answer::Missing));
}

#[test]
fn a_full_log_in_the_middle_of_a_turn_does_not_void_what_came_before_or_comes_after() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.turn(&mut client, [set("a", "1")]);
    node.disk.fill_up_writes(Some(0));
    // The count ends the first half of the turn.
    let [write, counted, read] = node.turn(&mut client, [set("b", "2"), count(), get("b")]);
    assert_eq!(client.answer(write), DISK_FULL);
    assert_eq!((client.answer(counted), client.answer(read)), (Answer::Count(1), Answer::Missing));
}

#[test]
fn writes_resume_without_a_gap_when_there_is_space_again() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.turn(&mut client, [set("a", "1")]);
    for _ in 0..3 {
        node.disk.fill_up_writes(Some(40));
        let [full, void] = node.turn(&mut client, [set("a", "2").always(), get("a")]);
        assert_eq!((client.answer(full), client.answer(void)), (DISK_FULL, VOID));
        node.disk.fill_up_writes(None);
        let [again] = node.turn(&mut client, [set("b", "2").always()]);
        node.sync();
        assert_eq!(client.answer(again), DONE);
    }
    assert_eq!(node.last(0), Lsn(5));
    let before = node.position(0);
    // The replay would refuse a gap.
    let mut node = node.restart_after_kill();
    let [a, b] = node.turn(&mut client, [get("a"), get("b")]);
    assert_eq!((client.answer(a), client.answer(b)), (value("1"), value("2")));
    assert_eq!(node.chain(0), [before, node.position(0)]);
}

#[test]
fn a_full_log_leaves_records_that_are_already_in_it_alone() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.gate.close();
    let [always, behind] = node.turn(&mut client, [set("a", "1").always(), set("b", "1")]);
    let [waits] = node.turn(&mut client, [get("a")]);
    let [counts] = node.turn(&mut client, [count()]);
    node.disk.fill_up_writes(Some(0));
    let [full, void] = node.turn(&mut client, [set("a", "2"), get("a")]);
    assert_eq!((client.answer(full), client.answer(void)), (DISK_FULL, VOID));
    let [present] = node.turn(&mut client, [get("a")]);
    for id in [always, waits, counts, present] {
        assert_eq!(client.answer(id), Answer::Nothing);
    }
    node.disk.fill_up_writes(None);
    node.sync();
    assert_eq!((client.answer(always), client.answer(behind)), (DONE, DONE));
    assert_eq!((client.answer(waits), client.answer(present)), (value("1"), value("1")));
    assert_eq!(client.answer(counts), Answer::Count(2));
}

#[test]
fn without_space_for_a_segment_what_fits_in_the_present_one_is_still_taken() {
    let mut node = Node::new(Setup { segment_bytes: 64 << 10, ..Setup::default() });
    let mut client = node.connect();
    node.disk.limit_space(Some(0));
    let large = vec![7; 100 << 10];
    let [full] = node.turn(&mut client, [set("large", &large)]);
    let [small] = node.turn(&mut client, [set("small", "1")]);
    assert_eq!((client.answer(full), client.answer(small)), (DISK_FULL, DONE));
    node.disk.limit_space(None);
    let [fits] = node.turn(&mut client, [set("large", &large)]);
    assert_eq!(client.answer(fits), DONE);
    let mut node = node.restart_after_kill();
    let [read, small] = node.turn(&mut client, [get("large"), get("small")]);
    assert_eq!((client.answer(read), client.answer(small)), (value(&large), value("1")));
}

#[test]
fn a_nearly_full_disk_refuses_writes_and_serves_reads() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.turn(&mut client, [set("a", "1")]);
    node.core.shared.set_disk_full(true);
    let [write, read] = node.turn(&mut client, [set("a", "2"), get("a")]);
    assert_eq!((client.answer(write), client.answer(read)), (DISK_FULL, value("1")));
    node.core.shared.set_disk_full(false);
    let [write] = node.turn(&mut client, [set("a", "2")]);
    assert_eq!(client.answer(write), DONE);
}
