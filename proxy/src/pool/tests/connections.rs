//! Connections: which one a request takes, what they hold, and what nodes are asked.

use super::super::connection::UNSENT_BYTES_MAX;
use super::super::nodes::LaneClass;
use super::*;

#[test]
fn an_idle_pool_learns_of_leaders_too() {
    let mut bench = Bench::new();
    let all = |bench: &mut Bench| bench.take_questions().iter().sum::<usize>();
    (0..3).for_each(|node| bench.up(node));
    assert_eq!(all(&mut bench), 3, "once each, when they are connected");
    // The groups are created later: no request waits, and still somebody is asked.
    bench.pass(3_000);
    assert_eq!(all(&mut bench), 3);
    (0..3).for_each(|group| bench.view_of(LogicGroup(group), 1, "a1", 1));
    bench.pass(3_000);
    assert_eq!(all(&mut bench), 0, "everything is known");
    bench.down(0);
    bench.pass(1_000);
    assert_eq!(all(&mut bench), 1, "the leader is away: there may be another");
    (0..3).for_each(|group| bench.view_of(LogicGroup(group), 2, "a2", 2));
    bench.pass(3_000);
    assert_eq!(all(&mut bench), 0);
}

#[test]
fn a_calm_pool_asks_one_node_after_the_other_what_is_in_force() {
    let mut bench = Bench::led();
    for turn in 0..4 {
        bench.pool.ask_what_is_in_force(turn);
        for node in 0..3 {
            let kinds: Vec<_> =
                bench.frames(bench.keys[node]).into_iter().map(|(kind, ..)| kind).collect();
            let asked = [FrameType::AskViews, FrameType::AskTopology];
            assert_eq!(kinds, if node == turn % 3 { &asked[..] } else { &[] });
        }
    }
    let voters = |generation, name| VoterSet {
        generation: VoterGeneration(generation),
        voters: vec![NodeId::of_name(name)],
    };
    let mut told = |voters| bench.pool.on_views(Views { voters, groups: Vec::new() }, 0);
    assert!(told(voters(2, "a2")));
    assert!(!told(voters(1, "a1")), "a node that was left behind");
    assert_eq!(bench.pool.voters(), [NodeId::of_name("a2")]);
}

#[test]
fn a_connection_that_takes_nothing_holds_a_bounded_number_of_bytes() {
    let mut bench = Bench::led();
    let connection = bench.pool.connection(bench.keys[0]).unwrap();
    connection.out().end().resize(UNSENT_BYTES_MAX + 1, 0);
    bench.submit(false);
    let unsent = |bench: &mut Bench| {
        let connection = bench.pool.connection(bench.keys[0]).unwrap();
        connection.out().unsent().len()
    };
    assert_eq!(unsent(&mut bench), UNSENT_BYTES_MAX + 1, "I14");
    bench.pass(200);
    assert_eq!(bench.pool.node_status()[0].requests, 0, "only what was handed to it is counted");
    bench.pool.connection(bench.keys[0]).unwrap().out().clear();
    bench.pass(500);
    assert_eq!(bench.one(0).request, 1, "it goes out once there is room");
    assert_eq!(bench.pool.node_status()[0].requests, 1);
}

#[test]
fn without_any_view_requests_wait_and_voters_are_asked_in_turn() {
    let mut bench = Bench::new();
    bench.submit(true);
    for node in 0..3 {
        bench.up(node);
    }
    assert_eq!(bench.take_questions(), [1, 1, 1], "each new connection is asked");
    bench.pass(700);
    let asked = bench.take_questions();
    assert!(asked.iter().all(|count| *count >= 2), "{asked:?}");
    bench.pass(4_300);
    bench.now_ms -= 50;
    let ended = bench.pass(50);
    assert!(ended.is_empty(), "given up at the deadline before");
    bench.submit(true);
    bench.view(1, "a2", 1);
    assert_eq!(bench.one(1).attempt, 0);
}

#[test]
fn large_requests_go_by_their_own_connection_and_hold_no_small_one_up() {
    let mut bench = Bench::led();
    bench.submit_to(LANE, false, true);
    let [large] = bench.pool.take_wanted()[..] else { panic!("one more connection") };
    assert_eq!(large.lane_class, LaneClass::Large(0));
    bench.submit(false);
    assert_eq!(bench.one(0).request, 2);
    bench.pool.on_up(large, 1, TopologyVersion::default(), bench.now_ms);
    assert_eq!(bench.frames(large).len(), 1);
}

#[test]
fn a_node_with_more_workers_gets_each_group_by_its_own_connection() {
    let mut bench = Bench::new();
    bench.submit(false);
    bench.view(1, "a1", 1);
    bench.pool.on_up(bench.keys[0], 2, TopologyVersion::default(), 0);
    let wanted = bench.pool.take_wanted();
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    assert_eq!(wanted[0].lane_class, LaneClass::Worker(1), "group 1 is worker 1's");
    bench.pool.on_up(wanted[0], 2, TopologyVersion::default(), 0);
    assert_eq!(bench.frames(wanted[0]).len(), 1);
    assert!(bench.received(0).is_empty());
}

#[test]
fn a_leader_that_moves_to_another_address_gets_its_requests_there() {
    let mut bench = Bench::led();
    bench.submit(false);
    bench.one(0);
    let moved = TOPOLOGY.replace("h:1", "h:9").replace("epoch: 1", "epoch: 2");
    let route = Rc::new(RouteTable::new(&Topology::parse(&moved).unwrap()));
    bench.pool.apply(route, bench.now_ms);
    let wanted = bench.pool.take_wanted();
    assert_eq!(wanted.len(), 1);
    bench.pool.on_up(wanted[0], 1, TopologyVersion::default(), bench.now_ms);
    bench.keys[0] = wanted[0];
    let again = bench.one(0);
    assert_eq!((again.request, again.attempt), (1, 1));
}

#[test]
fn what_waits_is_bounded_and_who_is_refused_is_told_how_much_it_is() {
    let mut bench = Bench::new();
    let value = vec![0; 16 << 20];
    for _ in 0..8 {
        bench.try_submit(LANE, false, true, &value).unwrap();
    }
    let failure = bench.try_submit(LANE, false, true, &value).unwrap_err();
    assert_eq!(failure.code, FailureCode::Busy);
    for part in ["group 1: ", "more than 128 MiB of requests are unanswered", "`fdht status`"] {
        assert!(failure.detail.contains(part), "{}", failure.detail);
    }
    assert_eq!(bench.pool.unanswered(), 8);
}

#[test]
fn the_leader_of_a_lane_is_shown_by_its_id_wherever_the_topology_has_it() {
    let mut bench = Bench::led();
    let leader = |bench: &Bench| bench.pool.lane_status()[1][0].leader;
    assert_eq!(leader(&bench), Some((NodeId::of_name("a1"), Epoch(1))));
    let more = "servers:\n  A0: { address: \"h:7\", admin: \"h:8\" }\n";
    let changed = TOPOLOGY.replace("servers:\n", more).replacen("epoch: 1", "epoch: 2", 1);
    let route = Rc::new(RouteTable::new(&Topology::parse(&changed).unwrap()));
    bench.pool.apply(route, bench.now_ms);
    assert_eq!(leader(&bench), Some((NodeId::of_name("a1"), Epoch(1))));
    bench.view(2, "a9", 2);
    assert_eq!(leader(&bench), None, "it is not in the topology");
}
