//! Requests that are repeated, and what their clients are told.

use super::super::connection::UNSENT_BYTES_MAX;
use super::*;

#[test]
fn a_node_that_dies_costs_time_only_and_order_is_kept() {
    let mut bench = Bench::led();
    (0..3).for_each(|_| bench.submit(false));
    let first = bench.received(0);
    assert_eq!(
        first.iter().map(|r| (r.request, r.attempt)).collect::<Vec<_>>(),
        [(1, 0), (2, 0), (3, 0)]
    );
    assert_eq!(bench.reply(first[1].id), Some(2));
    bench.down(0);
    bench.submit(false);
    assert!(bench.pass(1_000).is_empty());
    assert!(bench.received(1).is_empty(), "nothing is guessed");
    bench.view(2, "a2", 2);
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt, probe.since), (1, 1, 2));
    assert_eq!(probe.remaining_ms, 4_000, "the client waits no longer for it");
    assert_eq!(bench.reply(probe.id), Some(1));
    let rest: Vec<_> = bench.received(1).iter().map(|r| (r.request, r.attempt, r.since)).collect();
    assert_eq!(rest, [(3, 1, 2), (4, 0, 2)], "in their order, under their ids");
    assert_eq!(bench.reply(first[2].id), None, "only the last attempt's answer counts");
    bench.pass(10);
    assert!(!bench.pool.is_stalled());
    assert_eq!(bench.pool.take_counts(), (2, 2));
}

#[test]
fn a_planned_hand_over_goes_on_at_once_by_the_view_in_the_refusal() {
    let mut bench = Bench::led();
    (0..3).for_each(|_| bench.submit(false));
    let sent = bench.received(0);
    assert_eq!(bench.reply(sent[0].id), Some(1));
    bench.refuse(sent[1].id, FailureCode::NotLeader, Some((2, "a2", 2)));
    assert!(bench.received(1).is_empty(), "the third may still be answered");
    bench.refuse(sent[2].id, FailureCode::NotLeader, Some((2, "a2", 2)));
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt), (2, 1));
    bench.refuse(probe.id, FailureCode::NotYet, Some((2, "a2", 2)));
    assert!(bench.received(1).is_empty(), "after a pause");
    bench.pass(15);
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt), (2, 2));
    // An older view changes nothing.
    bench.view(1, "a1", 1);
    assert_eq!(bench.reply(probe.id), Some(2));
    assert_eq!(bench.one(1).request, 3);
}

#[test]
fn a_refusal_that_also_ends_the_grace_time_repeats_its_request_once() {
    for refused in 0..3 {
        let mut bench = Bench::led();
        (0..3).for_each(|_| bench.submit(false));
        let sent = bench.received(0);
        // Deposed; its grace time ends before anybody looks at the lane again.
        bench.view(2, "a2", 2);
        bench.now_ms += 100;
        bench.refuse(sent[refused].id, FailureCode::NotLeader, Some((3, "a2", 3)));
        let probe = bench.one(1);
        assert_eq!((probe.request, probe.attempt, probe.since), (1, 1, 3));
        assert_eq!(bench.reply(probe.id), Some(1));
        let rest = bench.received(1);
        let rest: Vec<_> = rest.iter().map(|r| (r.request, r.attempt, r.id)).collect();
        assert_eq!([(rest[0].0, rest[0].1), (rest[1].0, rest[1].1)], [(2, 1), (3, 1)]);
        assert_eq!(rest.len(), 2, "each once: {rest:?}");
        assert_eq!(bench.reply(rest[0].2), Some(2));
        assert_eq!(bench.reply(rest[1].2), Some(3));
        // The lane lives: its next stall ends too.
        bench.submit(false);
        let next = bench.one(1);
        bench.refuse(next.id, FailureCode::NotYet, None);
        bench.pass(15);
        let again = bench.one(1);
        assert_eq!(bench.reply(again.id), Some(4));
        assert_eq!(bench.pool.unanswered(), 0);
    }
}

#[test]
fn requests_to_a_stopped_leader_are_taken_back_once_there_is_another() {
    let mut bench = Bench::led();
    bench.submit(false);
    bench.submit(true);
    bench.pass(500);
    assert!(bench.take_questions().iter().sum::<usize>() >= 2, "it asks who else leads");
    bench.view(2, "a2", 2);
    bench.pass(50);
    assert!(bench.received(1).is_empty(), "a living one answers within the grace time");
    bench.pass(60);
    let probe = bench.one(1);
    assert_eq!((probe.request, probe.attempt), (1, 1));
    bench.reply(probe.id);
    assert_eq!(bench.one(1).request, 2);
}

#[test]
fn at_the_deadline_only_writes_that_may_have_been_applied_are_unknown() {
    let mut bench = Bench::led();
    bench.submit(false);
    bench.submit(true);
    let sent = bench.received(0);
    bench.down(0);
    bench.submit(false);
    let ended = bench.pass(DEADLINE_MS + 50);
    let codes: Vec<_> = ended.iter().map(|(sequence, code, _)| (*sequence, *code)).collect();
    assert_eq!(
        codes,
        [(1, FailureCode::Unknown), (2, FailureCode::NoServer), (3, FailureCode::NoServer)]
    );
    let text = "group 1 (a1, a2): no leader serves it: a1: leads it: connection refused; \
                a2: connected";
    assert_eq!(ended[2].2, text);
    assert_eq!(bench.reply(sent[0].id), None);
    bench.pass(200);
    assert!(!bench.pool.is_stalled() && bench.pool.unanswered() == 0);
}

#[test]
fn a_refusal_after_an_interrupted_write_is_unknown_and_a_reply_always_wins() {
    let mut bench = Bench::led();
    bench.submit(false);
    let sent = bench.one(0);
    bench.refuse(sent.id, FailureCode::Interrupted, Some((2, "a2", 2)));
    let again = bench.one(1);
    let full = Failure::new(FailureCode::DiskFull, "disk full");
    let (_, failure) = bench.pool.on_failure(again.id, full, 0).unwrap();
    assert_eq!((failure.code, failure.detail.as_str()), (FailureCode::Unknown, "disk full"));
    bench.submit(false);
    let sent = bench.one(1);
    bench.refuse(sent.id, FailureCode::Interrupted, Some((3, "a1", 3)));
    let again = bench.one(0);
    assert_eq!(again.attempt, 1);
    assert_eq!(bench.reply(again.id), Some(2));
}

#[test]
fn a_stopped_leader_of_many_lanes_costs_one_look_at_the_requests() {
    let mut bench = Bench::led();
    (0..3).for_each(|group| bench.view_of(LogicGroup(group), 1, "a1", 1));
    let lanes = |group| [0, 1].map(|s| Lane { group: LogicGroup(group), server: ServerIndex(s) });
    for lane in (0..3).flat_map(lanes) {
        (0..2).for_each(|_| bench.submit_to(lane, false, false));
    }
    assert_eq!(bench.received(0).len(), 12);
    (0..3).for_each(|group| bench.view_of(LogicGroup(group), 2, "a2", 2));
    let on_way =
        |bench: &Bench| bench.pool.requests.iter().filter(|(_, r)| r.sent.is_some()).count();
    assert_eq!(on_way(&bench), 12);
    bench.now_ms += 100;
    bench.view_of(LogicGroup(0), 3, "a2", 3);
    assert_eq!(
        on_way(&bench),
        2,
        "only the probes of that group: all others came back with its own"
    );
    bench.pass(5);
    let probes = bench.received(1);
    assert_eq!(probes.len(), 6, "one for each lane");
    for probe in probes {
        assert!(bench.reply(probe.id).is_some());
    }
    let rest = bench.received(1);
    assert_eq!(rest.len(), 6);
    assert!(rest.iter().all(|r| bench.reply(r.id).is_some()) && bench.pool.unanswered() == 0);
}

#[test]
fn who_waits_for_a_connected_leader_is_told_what_for() {
    let told = |bench: &mut Bench| {
        let ended = bench.pass(DEADLINE_MS + 50);
        ended.into_iter().last().map(|(_, _, text)| text).unwrap()
    };
    let group = "group 1 (a1, a2): no leader serves it: ";
    // Behind a probe that the new leader does not answer.
    let mut bench = Bench::led();
    (0..2).for_each(|_| bench.submit(true));
    bench.down(0);
    bench.view(2, "a2", 2);
    bench.pass(20);
    assert_eq!(bench.one(1).request, 1);
    let text = "a1: connection refused; a2: leads it: does not answer a request before this one";
    assert_eq!(told(&mut bench), format!("{group}{text}"));

    // Behind a buffer that the leader does not empty.
    let mut bench = Bench::led();
    let connection = bench.pool.connection(bench.keys[0]).unwrap();
    connection.out().end().resize(UNSENT_BYTES_MAX + 1, 0);
    bench.submit(false);
    let text =
        "a1: leads it: takes nothing: more than 64 MiB wait to be written to it; a2: connected";
    assert_eq!(told(&mut bench), format!("{group}{text}"));

    // For a connection of its own, which is not the one that the server's state is told by.
    let mut bench = Bench::led();
    bench.submit_to(LANE, false, true);
    let [large] = bench.pool.take_wanted()[..] else { panic!("one more connection") };
    bench.pool.on_down(large, "connection reset", bench.now_ms);
    let text = "a1: leads it: connection to its worker 0 for large requests: connection reset; \
                a2: connected";
    assert_eq!(told(&mut bench), format!("{group}{text}"));

    // A server that is no server of the topology any more.
    let mut bench = Bench::led();
    bench.view(2, "a9", 2);
    bench.submit(false);
    let text = "a1: connected; a2: connected; its leader is not in this proxy's topology";
    assert_eq!(told(&mut bench), format!("{group}{text}"));
}

#[test]
fn a_refusal_is_told_of_its_server_also_when_the_topology_changes() {
    let mut bench = Bench::led();
    bench.submit(true);
    let sent = bench.one(0);
    bench.refuse(sent.id, FailureCode::NotYet, None);
    // Another server comes before it in the file; nobody is connected to that one.
    let changed =
        TOPOLOGY.replace("servers:\n", "servers:\n  A0: { address: \"h:7\", admin: \"h:8\" }\n");
    let changed = changed.replacen("epoch: 1", "epoch: 2", 1);
    let route = Rc::new(RouteTable::new(&Topology::parse(&changed).unwrap()));
    bench.pool.apply(route, bench.now_ms);
    bench.down(1);
    bench.view(2, "a2", 2);
    let ended = bench.pass(DEADLINE_MS + 50);
    let text =
        "group 1 (a1, a2): no leader serves it: a1: refused; a2: leads it: connection refused";
    assert_eq!(ended[0].2, text);
}
