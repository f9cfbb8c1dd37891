//! Surveys of made-up clusters.

use serde_json::{Value, json};

use super::*;

fn topology() -> Value {
    json!({
        "epoch": 4, "hash": "00aa",
        "physical_groups": { "a": { "servers": ["a1", "a2"], "logic_groups": "0-2" } },
    })
}

fn groups() -> Value {
    (0..3).map(|group| json!({ "group": group, "physical_group": "a", "lanes": [] })).collect()
}

fn leading(index: usize, follower: &str) -> Value {
    json!({
        "server_index": index, "role": "leading", "leader": "-", "since_epoch": 3, "official": 9,
        "last": 9, "phase": "serving", "lease_ms": 1_200 + index,
        "followers": [{ "server": follower, "written": 9, "durable": 9, "lag_records": index,
                        "lag_ms": 10 * index, "heard_ms": 5, "in_step": true }],
    })
}

fn following(index: usize) -> Value {
    json!({
        "server_index": index, "role": "following", "leader": "-", "since_epoch": 3, "official": 9,
        "last": 9, "phase": "pulling", "lease_ms": null, "followers": [],
    })
}

fn group(number: u64, in_step: &[&str], lanes: [Value; 2]) -> Value {
    json!({
        "group": number, "register_epoch": 7, "in_step": in_step, "stranger": false,
        "lanes": lanes, "memtable_bytes": 1, "stopped": null,
    })
}

fn peers(hash: &str) -> Value {
    json!([
        { "role": "proxy", "name": "p1", "address": "10.0.0.9:4711", "topology_epoch": 4,
          "topology_hash": hash, "connected_ms": 5 },
        { "role": "node", "name": "a2", "address": "10.0.0.2:1", "topology_epoch": 3,
          "topology_hash": "0b", "connected_ms": 5 },
    ])
}

fn both() -> [&'static str; 2] {
    ["a1", "a2"]
}

fn healthy() -> AllTold {
    let a1 = (0..3).map(|g| group(g, &both(), [leading(0, "a2"), following(1)])).collect();
    let a2 = (0..3).map(|g| group(g, &both(), [following(0), leading(1, "a1")])).collect();
    let told = |groups: Value| Told::of_json(groups, peers("00aa"), json!([]));
    AllTold::from([("a1".to_owned(), told(a1)), ("a2".to_owned(), told(a2))])
}

#[test]
fn a_healthy_cluster_has_rows_and_no_problems() {
    let survey = survey(&topology(), &groups(), &healthy());
    assert!(survey.problems.is_empty(), "{:?}", survey.problems);
    let cells: Vec<Vec<String>> = survey.servers.iter().map(ServerRow::cells).collect();
    assert_eq!(cells[0], ["a", "a1", "3", "3 of 3", "1 records, 10 ms", "1200 ms"]);
    assert_eq!(cells[1], ["a", "a2", "3", "3 of 3", "0 records, 0 ms", "1201 ms"]);
    let json = survey.servers[0].json();
    assert_eq!((&json["lag_records"], &json["lease_ms_min"]), (&json!(1), &json!(1_200)));
    let proxy = &survey.proxies[&("p1".to_owned(), "10.0.0.9".to_owned())];
    assert_eq!(proxy.nodes.iter().collect::<Vec<_>>(), ["a1", "a2"]);
}

#[test]
fn after_a_failover_the_lanes_and_the_missing_server_are_named() {
    let mut told = healthy();
    let lanes = |g| group(g, &["a1"], [leading(0, "a2"), leading(1, "a2")]);
    let a1: Value = (0..3).map(lanes).collect();
    told.insert("a1".to_owned(), Told::of_json(a1, json!([]), json!([])));
    told.insert("a2".to_owned(), Err("cannot reach 10.0.0.2:1".to_owned()));
    let survey = survey(&topology(), &groups(), &told);
    let expected = [
        "a2 cannot be asked: cannot reach 10.0.0.2:1",
        "group a: a2 is out of step, 1 records and 10 ms behind: logic groups 0-2",
        "group a: the lane of a2 is led by a1: logic groups 0-2",
    ];
    assert_eq!(survey.problems, expected);
    assert_eq!(survey.servers[0].cells()[2..4], ["6", "3 of 3"]);
    assert_eq!(survey.servers[1].cells()[2..4], ["unreachable", "0 of 3"]);
}

#[test]
fn each_thing_that_is_not_normal_is_named_with_its_logic_groups() {
    let mut told = healthy();
    let Some(Ok(a2)) = told.get_mut("a2") else { unreachable!("it was told") };
    a2.groups[0].stranger = true;
    a2.groups[2].stranger = true;
    a2.groups[1].stopped = Some("the flush failed".to_owned());
    a2.groups[1].lanes[0].phase = Some("needs re-seed".to_owned());
    a2.groups[2].lanes[1].phase = Some("sealing".to_owned());
    a2.groups[0].lanes[1].role = Some("idle".to_owned());
    // An older register says something else.
    a2.groups[0].register_epoch = Some(6);
    a2.groups[0].in_step = Some(vec!["a2".to_owned()]);
    let survey = survey(&topology(), &groups(), &told);
    let expected = [
        "group a: a2 has stopped: the flush failed: logic groups 1",
        "group a: a2 is a stranger: the register does not name it: logic groups 0,2",
        "group a: a2, lane of a1: needs re-seed: logic groups 1",
        "group a: a2, lane of a2: sealing: logic groups 2",
        "group a: the lane of a2 has no leader: logic groups 0",
    ];
    assert_eq!(survey.problems, expected);
}

#[test]
fn a_server_that_takes_no_writes_is_named() {
    let mut told = healthy();
    let says = |state| json!([{ "id": "v1", "write_state": state }]);
    let of = |state| Told::of_json(json!([]), json!([]), says(state));
    told.insert("v1".to_owned(), of("the disk is nearly full"));
    told.insert("v2".to_owned(), of("ok"));
    let survey = survey(&topology(), &groups(), &told);
    assert_eq!(survey.problems, ["v1 takes no writes: the disk is nearly full"]);
}

#[test]
fn a_proxy_with_another_topology_is_named_once() {
    let mut told = healthy();
    for answer in told.values_mut().flatten() {
        for peer in &mut answer.peers {
            peer.topology_hash = "00bb".to_owned();
        }
    }
    let survey = survey(&topology(), &groups(), &told);
    let expected = "proxy p1 at 10.0.0.9 has topology epoch 4 hash 00bb, not epoch 4 hash 00aa";
    assert_eq!(survey.problems, [expected]);
}

#[test]
fn a_node_that_says_less_is_no_problem_and_one_that_says_nonsense_is() {
    let old = json!([{ "group": 0, "lanes": [{ "server_index": 0, "since_epoch": 1, "lsn": 5 }],
                       "memtable_bytes": 1, "stopped": null }]);
    let old = Told::of_json(old, json!([]), json!([]));
    let told = AllTold::from([("a1".to_owned(), old.clone()), ("a2".to_owned(), old)]);
    let survey = survey(&topology(), &groups(), &told);
    assert!(survey.problems.is_empty(), "{:?}", survey.problems);
    assert_eq!(survey.servers[0].cells()[2..4], ["0", "?"]);
    let nonsense = Told::of_json(json!({ "error": "no" }), json!([]), json!([])).unwrap_err();
    assert!(nonsense.starts_with("/v1/groups says"), "{nonsense}");
}

#[test]
fn numbers_are_written_as_ranges() {
    assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    assert_eq!(ranges(&[]), "");
}
