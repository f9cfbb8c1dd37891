//! Order and pace of a lane's requests.

use super::*;
use crate::pool::requests::tests::key;

const A: Leader = Leader { node: NodeId(1), since: Epoch(4) };
const B: Leader = Leader { node: NodeId(2), since: Epoch(5) };

fn led() -> LaneQueue {
    let mut lane = LaneQueue::default();
    lane.on_leader(Some(A), Some(NodeIndex(0)), 0);
    lane
}

/// Everything that goes out until the lane waits.
fn sent(lane: &mut LaneQueue, now_ms: u64) -> Vec<Key> {
    let mut sent = Vec::new();
    loop {
        match lane.step(now_ms) {
            Step::Wait => return sent,
            Step::Send(key) => sent.push(key),
            Step::TakeBack => panic!("nothing to take back"),
        }
    }
}

#[test]
fn without_a_leader_requests_wait_and_then_go_out_in_order_behind_a_probe() {
    let mut lane = LaneQueue::default();
    for number in 1..=3 {
        assert!(!lane.on_submit(key(number), 0));
    }
    assert_eq!((sent(&mut lane, 1_000), lane.waiting()), (vec![], 3));
    lane.on_leader(Some(A), Some(NodeIndex(0)), 1_000);
    assert_eq!(sent(&mut lane, 1_000), [key(1)]);
    assert!(!lane.on_submit(key(4), 1_000), "behind those that wait");
    assert_eq!(sent(&mut lane, 1_000), []);
    lane.on_answered();
    assert_eq!(sent(&mut lane, 1_001), [key(2), key(3), key(4)]);
    assert!(!lane.is_stalled());
    assert!(lane.on_submit(key(5), 1_001));
}

#[test]
fn nothing_is_repeated_before_everything_came_back() {
    let mut lane = led();
    for number in 1..=4 {
        assert!(lane.on_submit(key(number), 0));
    }
    // Answers come in any order: 3 is refused before 1, and 2 is lost.
    lane.on_returned(key(3), Some((A.node, "not leader")), 0, || 0);
    assert!(!lane.on_submit(key(5), 1));
    lane.on_answered();
    lane.on_returned(key(1), None, 2, || 0);
    assert_eq!(sent(&mut lane, 500), [], "2 is still on its way");
    lane.on_returned(key(2), None, 500, || 0);
    assert_eq!(sent(&mut lane, 500), [key(1)]);
    assert_eq!(lane.reason(), Some((A.node, "not leader")));
    lane.on_answered();
    assert_eq!(sent(&mut lane, 500), [key(2), key(3), key(5)]);
}

#[test]
fn a_refused_probe_waits_longer_each_time_and_a_new_view_ends_the_pause() {
    let mut lane = led();
    assert!(lane.on_submit(key(1), 0));
    let mut now_ms = 0;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        // The greatest jitter.
        let jitter = [5, 10, 20, 40, 50, 50][pauses.len()];
        lane.on_returned(key(1), None, now_ms, || jitter);
        let begun = now_ms;
        while sent(&mut lane, now_ms).is_empty() {
            now_ms += 1;
        }
        pauses.push(now_ms - begun);
    }
    assert_eq!(pauses, [10, 20, 40, 80, 100, 100]);
    lane.on_returned(key(1), None, now_ms, || 50);
    assert_eq!(sent(&mut lane, now_ms), []);
    lane.on_leader(Some(B), Some(NodeIndex(1)), now_ms);
    assert_eq!(sent(&mut lane, now_ms), [key(1)]);
    assert_eq!(lane.target(), Some((NodeIndex(1), B.since)));
}

#[test]
fn a_deposed_leader_may_answer_for_a_while_then_its_requests_are_taken_back() {
    let mut lane = led();
    for number in 1..=3 {
        assert!(lane.on_submit(key(number), 0));
    }
    lane.on_leader(Some(B), Some(NodeIndex(1)), 1_000);
    lane.on_answered();
    assert_eq!(sent(&mut lane, 1_000 + GRACE_MS - 1), []);
    assert!(!lane.begin_taking_back(1_000 + GRACE_MS - 1));
    assert_eq!(lane.step(1_000 + GRACE_MS), Step::TakeBack);
    assert!(lane.begin_taking_back(1_000 + GRACE_MS));
    assert!(!lane.begin_taking_back(1_000 + GRACE_MS), "once");
    for number in [3, 2] {
        lane.on_returned(key(number), None, 1_000 + GRACE_MS, || 9);
    }
    assert_eq!(sent(&mut lane, 1_000 + GRACE_MS), [key(2)], "at once: the view is new");
    lane.on_answered();
    assert_eq!(sent(&mut lane, 1_000 + GRACE_MS), [key(3)]);
}

#[test]
fn a_view_with_the_same_leader_disturbs_nothing() {
    let mut lane = led();
    assert!(lane.on_submit(key(1), 0));
    lane.on_leader(Some(A), Some(NodeIndex(7)), 1);
    assert!(lane.on_submit(key(2), 1), "I17: its place may change, its epoch did not");
    lane.on_answered();
    lane.on_answered();
    lane.on_leader(Some(B), Some(NodeIndex(1)), 2);
    assert!(!lane.is_stalled(), "nothing was on its way");
}

#[test]
fn clients_that_stop_waiting_hold_nobody_up() {
    let mut lane = led();
    for number in 1..=2 {
        assert!(lane.on_submit(key(number), 0));
    }
    lane.on_returned(key(1), None, 0, || 0);
    lane.on_given_up(10, || 0);
    assert_eq!(sent(&mut lane, 50), [key(1)]);
    assert!(!lane.on_submit(key(3), 50));
    // The probe's client leaves: nobody knows whether the leader serves.
    lane.on_given_up(60, || 0);
    assert_eq!(sent(&mut lane, 60), []);
    lane.retain(|held| held != key(3));
    assert_eq!(sent(&mut lane, 200), []);
    assert!(!lane.is_stalled());
}
