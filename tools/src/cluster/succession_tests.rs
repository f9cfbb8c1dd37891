//! Who follows lost voters.

use common::agreed::KnownRegister;
use common::ids::{Epoch, StoreId};
use common::register::{Ballot, LaneLeader, Member};
use common::wire::views::Views;

use super::*;
use crate::cluster::known::Known;

const TEXT: &str = "\
format: 1
cluster: demo
epoch: 1
logic_groups: 2
servers:
  a1: { address: \"127.0.0.1:1\", admin: \"127.0.0.1:11\", zone: r1 }
  a2: { address: \"127.0.0.1:2\", admin: \"127.0.0.1:12\", zone: r2 }
  b1: { address: \"127.0.0.1:3\", admin: \"127.0.0.1:13\", zone: r2 }
  b2: { address: \"127.0.0.1:4\", admin: \"127.0.0.1:14\", zone: r3 }
  v1: { address: \"127.0.0.1:5\", admin: \"127.0.0.1:15\", zone: r3 }
  w1: { address: \"127.0.0.1:6\", admin: \"127.0.0.1:16\", zone: r3 }
voters: [a1, b1, v1]
physical_groups:
  a: { servers: [a1, a2], logic_groups: \"0\" }
  b: { servers: [b1, b2], logic_groups: \"1\" }
";

fn ids(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| NodeId::of_name(name)).collect()
}

fn topology() -> Topology {
    Topology::parse(TEXT).unwrap()
}

fn wish(lost: &[&str], voters: Option<&[&str]>) -> Result<Wish, ClusterError> {
    let texts = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Wish::of_names(&topology(), &texts(lost), voters.map(texts).as_deref())
}

fn register(group: u16, generation: u32, epoch: u64) -> Register {
    let node = NodeId::of_name("a2");
    Register {
        group: LogicGroup(group),
        generation: VoterGeneration(generation),
        epoch: Epoch(epoch),
        servers: vec![Member { node, store: StoreId(7) }],
        in_step: vec![node],
        lanes: vec![LaneLeader { node, since: Epoch(epoch) }],
        leaving: None,
        moving: None,
    }
}

/// These servers answer; all know the voter set, and both registers at epoch 5.
fn answers(alive: &[&str], generation: u32, voters: &[&str]) -> Answers {
    let voters = VoterSet { generation: VoterGeneration(generation), voters: ids(voters) };
    let groups = [register(0, 1, 5), register(1, 1, 5)].map(KnownRegister::chosen).into();
    let known = Known { views: Views { voters, groups }, ..Known::default() };
    ids(alive).into_iter().map(|id| (id, known.clone())).collect()
}

fn voters_after(lost: &[&str], alive: &[&str]) -> Result<Vec<NodeId>, ClusterError> {
    let answers = answers(alive, 1, &["a1", "b1", "v1"]);
    Succession::plan(&topology(), &wish(lost, None)?, &answers).map(|plan| plan.voters)
}

#[test]
fn the_place_of_a_lost_voter_is_filled_from_another_zone_and_group() {
    let all = ["a1", "a2", "b1", "b2", "v1", "w1"];
    let alive = |away: &str| all.into_iter().filter(|name| *name != away).collect::<Vec<_>>();
    // Of a1, b1 and v1 in r1, r2 and r3.
    assert_eq!(voters_after(&["v1"], &alive("v1")).unwrap(), ids(&["a1", "b1", "w1"]));
    // Nobody else is in r1, and of group a only a2 is left; b2 would be the second of group b.
    assert_eq!(voters_after(&["a1"], &alive("a1")).unwrap(), ids(&["b1", "v1", "a2"]));
    // Two lost: a majority.
    let alive = ["a2", "b2", "v1", "w1"];
    assert_eq!(voters_after(&["a1", "b1"], &alive).unwrap(), ids(&["v1", "a2", "b2"]));
}

#[test]
fn a_single_voter_stays_single() {
    let answers = answers(&["a2", "b1"], 3, &["a1"]);
    let single = Topology::parse(&TEXT.replace("[a1, b1, v1]", "[a1]")).unwrap();
    let wish = wish(&["a1"], None).unwrap();
    let plan = Succession::plan(&single, &wish, &answers).unwrap();
    assert_eq!(plan.voters, ids(&["a2"]));
    assert!(plan.stopped.is_empty() && plan.is_guess);
    let (set, registers) = plan.begin(&single, &answers).unwrap();
    assert_eq!((set.generation.0, set.voters), (4, ids(&["a2"])));
    assert_eq!(registers.len(), 2);
}

#[test]
fn the_old_voters_are_stopped_before_the_new_ones_begin() {
    let wish = wish(&["a1"], Some(&["a2", "b2", "w1"])).unwrap();
    let mut answers = answers(&["a2", "b1", "b2", "v1", "w1"], 6, &["a1", "b1", "v1"]);
    let plan = Succession::plan(&topology(), &wish, &answers).unwrap();
    assert_eq!(plan.stopped, ids(&["b1", "v1"]));
    assert!(!plan.is_guess, "two of three know everything that was agreed");
    let stop = plan.stop();
    assert_eq!((stop.generation.0, &stop.voters), (7, &ids(&["a1", "b1", "v1"])));

    // What they agreed on until they stopped counts.
    let v1 = answers.get_mut(&NodeId::of_name("v1")).unwrap();
    v1.views = Views { voters: stop, groups: vec![KnownRegister::chosen(register(0, 6, 9))] };
    let (set, registers) = plan.begin(&topology(), &answers).unwrap();
    assert_eq!((set.generation.0, set.voters), (8, ids(&["a2", "b2", "w1"])));
    let epochs: Vec<(u32, u64)> =
        registers.iter().map(|register| (register.generation.0, register.epoch.0)).collect();
    assert_eq!(epochs, [(8, 9), (8, 5)]);
}

#[test]
fn of_two_registers_of_one_epoch_the_chosen_one_is_taken_or_else_that_of_the_greatest_ballot() {
    let all = ["a2", "b1", "v1"];
    let with = |in_step: &str| Register { in_step: ids(&[in_step]), ..register(0, 1, 6) };
    let begins_with = |known: &[(&str, Option<u64>, &str, bool)]| {
        let mut answers = answers(&all, 1, &["a1", "b1", "v1"]);
        for (server, round, in_step, chosen) in known {
            let ballot = |round| Ballot { round, node: NodeId(1), life: 1 };
            let (register, accepted) = (with(in_step), round.map(ballot));
            let known = KnownRegister { register, accepted, chosen: *chosen };
            answers.get_mut(&NodeId::of_name(server)).unwrap().views.groups.push(known);
        }
        let wish = wish(&["a1"], None).unwrap();
        let plan = Succession::plan(&topology(), &wish, &answers).unwrap();
        plan.begin(&topology(), &answers).unwrap().1[0].in_step.clone()
    };
    // Two compare-and-sets expected epoch 5: whichever server has the lower number, or is asked
    // first, the one under the greater ballot may have been chosen.
    for (one, other) in [("b1", "v1"), ("v1", "b1")] {
        let accepted = [(one, Some(7), "a1", false), (other, Some(8), "a2", false)];
        assert_eq!(begins_with(&accepted), ids(&["a2"]));
        let chosen = [(one, Some(8), "a1", false), (other, None, "a2", true)];
        assert_eq!(begins_with(&chosen), ids(&["a2"]));
    }
}

#[test]
fn an_attempt_that_stopped_half_way_is_repeated() {
    // The old voters were stopped, and nobody was admitted.
    let answers = answers(&["a2", "b1", "v1"], 2, &["a1", "b1", "v1"]);
    let wish = wish(&["a1"], None).unwrap();
    let plan = Succession::plan(&topology(), &wish, &answers).unwrap();
    assert_eq!(plan.voters, ids(&["b1", "v1", "a2"]), "three as before, not one");
    // Some were admitted: the lost one is no voter any more.
    let answers = self::answers(&["a2", "b1", "v1"], 3, &["b1", "v1", "a2"]);
    let plan = Succession::plan(&topology(), &wish, &answers).unwrap();
    assert_eq!(plan.voters, ids(&["b1", "v1", "a2"]));
    assert_eq!(plan.begin(&topology(), &answers).unwrap().0.generation.0, 4);
}

#[test]
fn a_repeated_attempt_stops_the_voters_in_force_and_not_those_of_an_old_file() {
    // An earlier failover put b2 in the place of v1, and nobody wrote it into the file.
    let first = answers(&["a2", "b1", "b2", "v1", "w1"], 3, &["a1", "b1", "b2"]);
    let wish = wish(&["a1"], None).unwrap();
    let plan = Succession::plan(&topology(), &wish, &first).unwrap();
    assert_eq!(plan.stopped, ids(&["b1", "b2"]));
    // b1 was told to stop, then the attempt ended.
    let mut again = first;
    again.get_mut(&NodeId::of_name("b1")).unwrap().views.voters = plan.stop();
    let plan = Succession::plan(&topology(), &wish, &again).unwrap();
    assert_eq!(plan.stopped, ids(&["b1", "b2"]), "b2 votes; v1 does not");
    assert!(!plan.is_guess);
    // Without b2 only one of three old voters answers, whatever v1 says.
    again.remove(&NodeId::of_name("b2"));
    let lost = self::wish(&["a1", "b2"], None);
    let plan = Succession::plan(&topology(), &lost.unwrap(), &again).unwrap();
    assert_eq!((plan.stopped, plan.is_guess), (ids(&["b1"]), true));
}

#[test]
fn what_nobody_knows_is_not_invented() {
    let mut answers = answers(&["a2", "b1", "v1"], 1, &["a1", "b1", "v1"]);
    let plan = Succession::plan(&topology(), &wish(&["a1"], None).unwrap(), &answers).unwrap();
    for known in answers.values_mut() {
        known.views.groups.retain(|known| known.register.group.0 == 0);
    }
    let error = plan.begin(&topology(), &answers).unwrap_err();
    assert!(error.to_string().contains("the register of logic group 1;"), "{error}");
    let blank = self::answers(&["a2"], 0, &[]);
    let wish = wish(&["a1"], None).unwrap();
    let error = Succession::plan(&topology(), &wish, &blank).unwrap_err();
    assert!(matches!(error, ClusterError::NoVoterSet), "{error}");
}

#[test]
fn voters_that_may_decide_without_us_end_it() {
    // b1 and v1 are cut off from here, not lost: together they are a majority.
    let error = voters_after(&["a1"], &["a2", "b2", "w1"]).unwrap_err();
    assert!(error.to_string().starts_with("b1, v1 do not answer either"), "{error}");
    // b1 alone is none.
    assert_eq!(voters_after(&["a1"], &["a2", "b2", "v1"]).unwrap(), ids(&["v1", "a2", "b2"]));
}

#[test]
fn wishes_that_cannot_be_fulfilled_are_refused() {
    let error = |result: Result<Wish, ClusterError>| result.unwrap_err();
    assert_eq!(error(wish(&["x9"], None)).status(), 2);
    assert_eq!(error(wish(&["a1"], Some(&["a2", "b1"]))).status(), 2);
    assert_eq!(error(wish(&["a1"], Some(&["a2", "b1", "a2"]))).status(), 2);
    assert_eq!(error(wish(&["a1"], Some(&["a1"]))).status(), 2);
    assert_eq!(wish(&["a1", "a1"], None).unwrap().lost, ids(&["a1"]), "lost once");
    let text = voters_after(&["b2"], &["a1", "a2", "b1", "v1"]).unwrap_err().to_string();
    assert_eq!(text, "b2 is no voter, so nothing is lost by it; the voters are a1, b1, v1");
    let text = voters_after(&["a1"], &["b1", "v1"]).unwrap_err().to_string();
    assert!(text.starts_with("3 voters are needed and only b1, v1 can be found"), "{text}");
    let answers = answers(&["b1", "v1"], 1, &["a1", "b1", "v1"]);
    let chosen = wish(&["a1"], Some(&["b1", "v1", "a2"])).unwrap();
    let text = Succession::plan(&topology(), &chosen, &answers).unwrap_err().to_string();
    assert!(text.starts_with("a2 cannot become a voter"), "{text}");
}
