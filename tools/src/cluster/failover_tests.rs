//! What `fdht failover` shows, and does with nodes.

use common::agreed::KnownRegister;
use common::ids::{LogicGroup, StoreId, VoterGeneration};
use common::register::{Member, Register};
use common::wire::command::NewGroup;

use super::*;
use crate::cluster::fake::{Fakes, register};

#[test]
fn a_lost_server_that_takes_connections_is_running() {
    let topology =
        Topology::parse(include_str!("../../../config/samples/dev-cluster.yaml")).unwrap();
    let id = NodeId::of_name("a1");
    let silent = Trouble::Silent("127.0.0.1:1: connection refused".to_owned());
    check_off(&topology, id, Some(&silent)).unwrap();
    let paused = Trouble::Broken("127.0.0.1:1: no handshake within 5 s".to_owned());
    for trouble in [None, Some(&paused)] {
        let text = check_off(&topology, id, trouble).unwrap_err().to_string();
        assert!(text.starts_with("a1 is still running") && text.ends_with("stop it first"));
    }
}

#[test]
fn what_will_happen_and_what_to_write_is_said() {
    let topology =
        Topology::parse(include_str!("../../../config/samples/dev-cluster.yaml")).unwrap();
    let ids = |names: &[&str]| names.iter().map(|name| NodeId::of_name(name)).collect();
    let plan = Succession {
        old: VoterSet { generation: VoterGeneration(4), voters: ids(&["a1", "b1", "v1"]) },
        voters: ids(&["b1", "v1", "a2"]),
        stopped: ids(&["b1", "v1"]),
        is_guess: false,
    };
    let wish = Wish { lost: ids(&["a1"]), voters: None };
    let text = preview(&topology, &wish, &plan, &[]);
    for part in [
        "voters in force: a1, b1, v1 (generation 4); lost: a1",
        "1. stopped: b1, v1\n",
        "17 logic groups that any server knows: b1, v1, a2\n",
        "make sure that a1 cannot come back",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("warning"), "{text}");
    let guess = Succession { is_guess: true, ..plan };
    assert!(preview(&topology, &wish, &guess, &[]).contains("warning: no majority"));

    let set = VoterSet { generation: VoterGeneration(6), voters: ids(&["b1", "v1", "a2"]) };
    let text = done(&topology, &set, 8);
    assert!(text.ends_with("\n  epoch: 8\n  voters: [b1, v1, a2]"), "{text}");
}

const REST: &str = "  a1: { address: \"127.0.0.1:8\", admin: \"127.0.0.1:9\" }\nlogic_groups: 1\n\
                    voters: [a1, b1, v1]\nphysical_groups:\n\
                    \x20 a: { servers: [a1, a2], logic_groups: \"0\" }\n";

fn set(generation: u32, names: &[&str]) -> VoterSet {
    VoterSet {
        generation: VoterGeneration(generation),
        voters: names.iter().map(|name| NodeId::of_name(name)).collect(),
    }
}

/// A cluster whose voter a1 is lost, and what the operator says.
struct Cluster {
    fakes: Fakes,
    args: FailoverArgs,
    /// The newest register; only a2 knows it.
    newest: Register,
    _file: tempfile::NamedTempFile,
}

impl Cluster {
    fn without_a1() -> Self {
        let (fakes, topology) = Fakes::start(&["a2", "b1", "v1", "w1"], REST);
        let servers = [("a1", 9), ("a2", 1)]
            .map(|(name, store)| Member { node: NodeId::of_name(name), store: StoreId(store) });
        let mut newest = register(&NewGroup { group: LogicGroup(0), servers: servers.to_vec() });
        for name in ["a2", "b1", "v1", "w1"] {
            fakes.with(name, |state| state.views.voters = set(4, &["a1", "b1", "v1"]));
        }
        fakes.with("b1", |state| state.views.groups.push(KnownRegister::chosen(newest.clone())));
        newest.epoch.0 = 7;
        fakes.with("a2", |state| state.views.groups.push(KnownRegister::chosen(newest.clone())));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), topology.text()).unwrap();
        let args = FailoverArgs {
            lost: vec!["a1".to_owned()],
            voters: Some(["b1", "v1", "w1"].map(str::to_owned).to_vec()),
            topology: file.path().to_owned(),
            secret_file: None,
            timeout: Duration::from_millis(500),
            yes: true,
        };
        Self { fakes, args, newest, _file: file }
    }

    fn refusal(&self) -> String {
        failover(&self.args).unwrap_err().to_string()
    }
}

#[test]
fn old_voters_stop_new_ones_begin_and_all_are_told() {
    let Cluster { fakes, mut args, mut newest, _file } = Cluster::without_a1();
    args.yes = false;
    assert_eq!(failover(&args).unwrap_err().status(), 2);
    assert!(fakes.told("b1").is_empty(), "nothing happens without --yes");

    args.yes = true;
    failover(&args).unwrap();
    newest.generation = VoterGeneration(6);
    let new = set(6, &["b1", "v1", "w1"]);
    let admit = Command::Admit(new.clone(), vec![newest]);
    let stop = Command::Voters(set(5, &["a1", "b1", "v1"]));
    assert_eq!(fakes.told("b1"), [stop.clone(), admit.clone()]);
    assert_eq!(fakes.told("v1"), [stop, admit.clone()]);
    assert_eq!(fakes.told("w1"), [admit]);
    assert_eq!(fakes.told("a2"), [Command::Voters(new)]);

    args.lost = vec!["b1".to_owned()];
    args.voters = None;
    let text = failover(&args).unwrap_err().to_string();
    assert!(text.starts_with("b1 is still running (it answers)"), "{text}");
}

#[test]
fn no_new_voter_begins_while_an_old_one_goes_on() {
    let cluster = Cluster::without_a1();
    cluster.fakes.with("v1", |state| state.deaf = true);
    let text = cluster.refusal();
    let part = "v1 was told to stop voting, but a1, b1, v1 (voter generation 4) are in force there";
    assert!(text.starts_with(part), "{text}");
    for name in ["b1", "v1", "w1"] {
        let admitted = |command: &Command| matches!(command, Command::Admit(..));
        assert!(!cluster.fakes.told(name).iter().any(admitted), "{name}");
    }
}

#[test]
fn a_voter_that_goes_away_after_the_stop_is_no_reason_to_choose_another() {
    let cluster = Cluster::without_a1();
    cluster.fakes.with("v1", |state| state.leaves = true);
    let text = cluster.refusal();
    assert!(text.starts_with("v1 was stopped as a voter and then gave no answer ("), "{text}");
    assert!(text.contains("start v1 and repeat the command now"), "{text}");
    // It is back: the same command goes on from there.
    cluster.fakes.with("v1", |state| state.leaves = false);
    failover(&cluster.args).unwrap();
    assert_eq!(cluster.fakes.with("w1", |state| state.views.voters.generation.0), 7);
}
