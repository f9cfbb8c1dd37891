//! Which topologies may follow one another, and what is said about the others.

use common::ids::NodeId;
use config::{Topology, TopologyHandle, diff, diff_with_voters};

const OLD: &str = "\
format: 1
cluster: demo
epoch: 7
logic_groups: 17
servers:
  a1: { address: \"10.0.0.1:12300\", admin: \"10.0.0.1:12380\", zone: rack1 }
  a2: { address: \"10.0.0.2:12300\", admin: \"10.0.0.2:12380\" }
  b1: { address: \"10.0.0.3:12300\", admin: \"10.0.0.3:12380\" }
  w1: { address: \"10.0.0.4:12300\", admin: \"10.0.0.4:12380\" }
voters: [a1, b1, w1]
physical_groups:
  a: { servers: [a1, a2], logic_groups: \"0-8\" }
  b: { servers: [b1], logic_groups: \"9-16\" }
write: { acks: step, sync: everysec }
namespaces:
  files: { database: 3 }
";

fn topology(text: &str) -> Topology {
    Topology::parse(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// What is replaced by what.
type Edit = (&'static str, &'static str);

/// [`OLD`] with parts of it replaced.
fn edited(edits: &[Edit]) -> Topology {
    let mut text = OLD.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    topology(&text)
}

/// What diff says: the changes, or the refusals.
fn says(old: &Topology, new: &Topology) -> Result<String, Vec<String>> {
    diff(old, new)
        .map(|changes| changes.to_string())
        .map_err(|refusals| refusals.iter().map(ToString::to_string).collect())
}

const NEXT: Edit = ("epoch: 7", "epoch: 8");

#[test]
fn what_a_running_cluster_takes() {
    let old = topology(OLD);
    let table: &[(&[Edit], &str)] = &[
        (&[], "nothing but the epoch"),
        (&[NEXT], "nothing but the epoch"),
        (
            &[NEXT, ("10.0.0.1:12300", "a1.example.com:12300")],
            "server a1: address \"10.0.0.1:12300\" -> \"a1.example.com:12300\"",
        ),
        (
            &[NEXT, ("10.0.0.4:12380", "10.0.0.4:12381"), ("rack1", "rack2")],
            "server a1: zone \"rack1\" -> \"rack2\"; \
             server w1: admin \"10.0.0.4:12380\" -> \"10.0.0.4:12381\"",
        ),
        (
            &[NEXT, ("voters:", "  c1: { address: \"c1:1\", admin: \"c1:2\" }\nvoters:")],
            "server c1 added",
        ),
        (
            &[NEXT, ("  b: { servers", "  west: { servers")],
            "physical group b removed; physical group west added",
        ),
        (
            &[NEXT, ("{ acks: step,", "{ acks: all,")],
            "write defaults: acks all, sync everysec; \
             namespace \"files\" changed: database 3, acks all, sync everysec",
        ),
        (
            &[NEXT, ("files: { database: 3 }", "logs: { write: { acks: 1 } }")],
            "namespace \"logs\" added: acks 1, sync everysec; namespace \"files\" removed",
        ),
        (
            &[NEXT, ("write:", "moves: { paused: true, parallel: 1, rate: 1GiB }\nwrite:")],
            "moves: paused, 1 at once, 1GiB per second",
        ),
        (&[NEXT, ("[a1, b1, w1]", "[w1, a1, b1]")], "nothing but the epoch"),
        // The order of groups and of their numbers means nothing.
        (&[NEXT, ("\"0-8\"", "\"5-8,0-4\"")], "nothing but the epoch"),
    ];
    for (edits, expected) in table {
        assert_eq!(says(&old, &edited(edits)), Ok((*expected).to_owned()));
    }
}

#[test]
fn what_a_running_cluster_refuses() {
    let old = topology(OLD);
    let (a, b) =
        ("servers: [a1, a2], logic_groups: \"0-8\"", "servers: [b1], logic_groups: \"9-16\"");
    let table: &[(&[Edit], &[&str])] = &[
        (
            &[NEXT, ("cluster: demo", "cluster: prod")],
            &["cluster: it is for prod, this cluster is demo; check that it is the right file"],
        ),
        (
            &[NEXT, ("logic_groups: 17", "logic_groups: 19"), ("9-16", "9-18")],
            &["logic_groups: 19 instead of 17; it is fixed for the life of a cluster, restore it"],
        ),
        (
            &[("epoch: 7", "epoch: 6")],
            &["epoch: 6 is older than 7, which is in force; raise it above that"],
        ),
        (
            &[NEXT, ("[a1, b1, w1]", "[a1, b1, a2]")],
            &[
                "voters: changed from [a1, b1, w1] to [a1, b1, a2]; the voter set is changed only by \
                 `fdht failover`, write [a1, b1, w1]",
            ],
        ),
        (
            &[NEXT, ("voters: [a1, b1, w1]\n", "")],
            &["voters: changed from [a1, b1, w1] to []; the voter set is changed only by \
                 `fdht failover`, write [a1, b1, w1]"],
        ),
        // Another order of servers, one more server, other logic groups: other lanes.
        (
            &[NEXT, ("servers: [a1, a2]", "servers: [a2, a1]")],
            &["physical_groups: logic groups 0-8 would change from servers [a1, a2] to [a2, a1] \
               (the order counts); groups do not move by editing, restore the list"],
        ),
        (
            &[NEXT, ("servers: [b1]", "servers: [b1, w1]")],
            &["physical_groups: logic groups 9-16 would change from servers [b1] to [b1, w1] \
               (the order counts); groups do not move by editing, restore the list"],
        ),
        (
            &[NEXT, ("\"0-8\"", "\"0-6,9\""), ("\"9-16\"", "\"7-8,10-16\"")],
            &[
                "physical_groups: logic groups 7-8 would change from servers [a1, a2] to [b1] \
               (the order counts); groups do not move by editing, restore the list",
                "physical_groups: logic groups 9 would change from servers [b1] to [a1, a2] \
               (the order counts); groups do not move by editing, restore the list",
            ],
        ),
        // Exchanging the servers of two groups is the same as exchanging their logic groups.
        (
            &[
                NEXT,
                (a, "servers: [b1], logic_groups: \"0-8\""),
                (b, "servers: [a1, a2], logic_groups: \"9-16\""),
            ],
            &[
                "physical_groups: logic groups 0-8 would change from servers [a1, a2] to [b1] \
               (the order counts); groups do not move by editing, restore the list",
                "physical_groups: logic groups 9-16 would change from servers [b1] to [a1, a2] \
               (the order counts); groups do not move by editing, restore the list",
            ],
        ),
        // All reasons at once.
        (
            &[("epoch: 7", "epoch: 2"), ("[a1, b1, w1]", "[a1]")],
            &[
                "epoch: 2 is older than 7, which is in force; raise it above that",
                "voters: changed from [a1, b1, w1] to [a1]; the voter set is changed only by \
                 `fdht failover`, write [a1, b1, w1]",
            ],
        ),
    ];
    for (edits, expected) in table {
        let expected = expected.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(says(&old, &edited(edits)), Err(expected));
    }
}

#[test]
fn other_voters_are_taken_when_they_are_in_force() {
    let old = topology(OLD);
    let new = |voters| edited(&[NEXT, ("[a1, b1, w1]", voters)]);
    let says = |voters, in_force: &[&str]| {
        let in_force: Vec<NodeId> = in_force.iter().map(|name| NodeId::of_name(name)).collect();
        diff_with_voters(&old, &new(voters), Some(&in_force))
            .map(|changes| changes.to_string())
            .map_err(|refusals| refusals.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(
        says("[a1, a2, b1]", &["b1", "a1", "a2"]).unwrap(),
        "voters: [a1, b1, w1] -> [a1, a2, b1]"
    );
    // Not written into the file yet: other edits are taken.
    assert_eq!(says("[a1, b1, w1]", &["b1", "a1", "a2"]).unwrap(), "nothing but the epoch");
    assert_eq!(
        says("[a1, a2, w1]", &["a1", "a2", "b1"]).unwrap_err(),
        ["voters: changed from [a1, b1, w1] to [a1, a2, w1]; the voter set is changed only by \
          `fdht failover`, write [a1, a2, b1]"]
    );
    assert!(says("[a1]", &["a1", "b1", "w1"]).is_err());
    assert!(says("[a1]", &[]).is_err(), "a server that knows none decides nothing");

    // Where there were none, there is nothing to lose.
    let none = edited(&[("voters: [a1, b1, w1]\n", "")]);
    assert!(diff(&none, &new("[a1, b1, w1]")).is_ok());
    let in_force = ["a1", "b1", "a2"].map(NodeId::of_name);
    assert!(diff_with_voters(&none, &new("[a1, b1, w1]"), Some(&in_force)).is_err());
}

#[test]
fn equal_epochs_with_other_content_are_a_conflict() {
    let (old, new) = (topology(OLD), edited(&[("rack1", "rack9")]));
    let said = says(&old, &new).unwrap_err();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("epoch: conflict, 7 has another content ("), "{}", said[0]);
    assert!(said[0].ends_with("raise the epoch with every change"), "{}", said[0]);
    assert_ne!(old.version(), new.version());
    assert_eq!(says(&old, &topology(OLD)), Ok("nothing but the epoch".to_owned()));
}

#[test]
fn versions_order_by_epoch_and_then_by_content() {
    let (seven, eight) = (topology(OLD).version(), edited(&[NEXT]).version());
    let other = edited(&[("rack1", "rack9")]).version();
    assert!(seven < eight && other < eight);
    assert_eq!(seven.cmp(&other), seven.hash.cmp(&other.hash));
}

#[test]
fn a_conflict_is_settled_for_processes_by_the_greater_content() {
    let (one, other) = (topology(OLD), edited(&[("rack1", "rack9")]));
    let (lesser, greater) =
        if one.version() < other.version() { (one, other) } else { (other, one) };
    let (lesser_text, winner) = (lesser.text().to_owned(), greater.version());
    let handle = TopologyHandle::new(lesser, "topology.yaml", 1);

    // An operator's file is refused, whatever its hash.
    assert!(handle.offer(topology(greater.text()), "topology.yaml", 2).is_err());
    assert_eq!((handle.status().refused, handle.status().loaded_at_ms), (1, 1));

    // What another process has in force is taken, and the conflict stays visible.
    handle.adopt(greater, "node b1", 3).unwrap();
    assert_eq!(handle.load_full().version(), winner);
    let status = handle.status();
    assert_eq!((status.source.as_str(), status.loaded_at_ms), ("node b1", 3));
    assert!(status.last_error.unwrap().starts_with("node b1: epoch: conflict"));

    // The lesser one does not come back, and an assignment is never adopted.
    assert!(handle.adopt(topology(&lesser_text), "node a1", 4).is_err());
    assert!(handle.adopt(edited(&[NEXT, ("[a1, a2]", "[a2, a1]")]), "node a1", 5).is_err());
    assert_eq!(handle.load_full().version(), winner);

    // A higher epoch settles it.
    handle.offer(edited(&[NEXT]), "topology.yaml", 6).unwrap();
    assert_eq!(handle.status().last_error, None);
}
