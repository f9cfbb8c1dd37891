//! Every sample loads, says what its comments say, and gives no warning.

use std::fs;
use std::path::{Path, PathBuf};

use common::durability::{Acks, Sync};
use common::ids::{ClusterId, FileEpoch, Lane, LogicGroup, NodeId, ServerIndex};
use config::{Moves, Topology, WriteOptions};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

fn load(name: &str) -> Topology {
    Topology::load(&sample(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_sample_loads_without_a_warning() {
    let mut count = 0;
    for entry in fs::read_dir(sample("")).unwrap() {
        let path = entry.unwrap().path();
        let topology = Topology::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(topology.warnings(), Vec::<String>::new(), "{}", path.display());
        assert_eq!(topology.text(), fs::read_to_string(&path).unwrap());
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn the_production_sample_says_who_leads_what() {
    let topology = load("prod-two-groups.yaml");
    assert_eq!(topology.cluster(), "prod");
    assert_eq!(topology.cluster_id(), ClusterId::of_name("prod"));
    assert_eq!(topology.version().epoch, FileEpoch(7));
    assert_eq!(topology.logic_groups(), 61);
    let names: Vec<&str> = topology.servers().iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["east-1", "east-2", "west-1", "west-2", "vote-1"]);

    let east = topology.physical_group_of(LogicGroup(60));
    assert_eq!((east.name.as_str(), east.logic_groups_text().as_str()), ("east", "0-29,60"));
    assert_eq!(east.servers, ["east-1", "east-2"].map(NodeId::of_name));
    assert_eq!(topology.physical_group_of(LogicGroup(30)).name, "west");

    let lane = |group, server| Lane { group: LogicGroup(group), server: ServerIndex(server) };
    assert_eq!(topology.leader(lane(59, 1)).unwrap().name, "west-2");
    assert_eq!(topology.leader(lane(59, 2)), None);
    assert_eq!(topology.leader(lane(61, 0)), None);

    let west_2 = topology.server("west-2").unwrap();
    assert_eq!(topology.server_by_id(west_2.id), Some(west_2));
    assert_eq!(west_2.address, "[2001:db8::2:2]:12300");
    assert_eq!(west_2.zone.as_deref(), Some("rack3"));
    let (group, index) = topology.place_of_server(west_2.id).unwrap();
    assert_eq!((group.name.as_str(), index), ("west", ServerIndex(1)));
    assert_eq!(topology.place_of_server(NodeId::of_name("vote-1")), None);
    assert_eq!(topology.voters(), ["east-1", "west-1", "vote-1"].map(NodeId::of_name));
    assert_eq!(*topology.moves(), Moves { paused: true, parallel: 2, rate: 80 << 20 });
}

#[test]
fn namespaces_have_numbers_and_options() {
    let topology = load("namespaces.yaml");
    let by_number = [0, 3, 7, 4].map(|n| topology.namespace_of_database(n).into_owned());
    assert_eq!(by_number, ["", "files", "billing", "4"]);
    let options = |acks, sync| WriteOptions { acks, sync };
    let default = options(Acks::Step, Sync::EverySecond);
    assert_eq!(topology.write_options(b"billing"), options(Acks::All, Sync::Always));
    assert_eq!(topology.write_options(b"sessions"), options(Acks::One, Sync::EverySecond));
    for name in [&b""[..], b"files", b"never heard of", b"\xff"] {
        assert_eq!(topology.write_options(name), default);
    }
    assert_eq!(topology.namespaces()[3].name, "größe & co");
}

#[test]
fn absent_keys_take_the_documented_defaults() {
    let topology = load("dev-single.yaml");
    assert_eq!(topology.write_defaults(), WriteOptions::DEFAULT);
    assert_eq!(*topology.moves(), Moves::DEFAULT);
    assert!(topology.namespaces().is_empty());
    let text = topology.text().replace("voters: [a1]", "");
    let without = Topology::parse(&text).unwrap();
    assert!(without.voters().is_empty());
    assert!(without.warnings()[0].starts_with("voters: there is none"), "{:?}", without.warnings());
}

#[test]
fn group_counts_that_spread_badly_are_warned_about() {
    let text = fs::read_to_string(sample("dev-single.yaml")).unwrap();
    let with = |count: u16| {
        let text = text
            .replace("logic_groups: 17 ", &format!("logic_groups: {count} "))
            .replace("\"0-16\"", &format!("\"0-{}\"", count - 1));
        Topology::parse(&text).unwrap().warnings()
    };
    let warnings = with(66);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("66 is a multiple of 2 and 3 and 11"), "{}", warnings[0]);
    assert!(warnings[0].contains("Time33"), "{}", warnings[0]);
    assert!(with(61).is_empty() && with(35).is_empty() && !with(33).is_empty());
}

#[test]
fn a_group_inside_one_zone_is_warned_about() {
    let text = fs::read_to_string(sample("prod-two-groups.yaml")).unwrap();
    let text = text.replace("zone: rack2", "zone: rack1");
    let warnings = Topology::parse(&text).unwrap().warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("physical_groups.east: all its servers are in zone rack1"));
}
