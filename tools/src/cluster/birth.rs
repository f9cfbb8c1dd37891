//! Which logic groups are to be created, and by which voters. Pure.

use common::ids::{LogicGroup, NodeId, VoterGeneration};
use common::register::{Member, Register, VoterSet};
use common::wire::command::NewGroup;
use config::Topology;

use super::ClusterError;
use super::known::{self, Answers, groups, names, voters_in_force};

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Birth {
    /// The voters.
    pub(super) voters: VoterSet,
    /// Whether they are still to be admitted. Never when any group exists: a voter that lost its
    /// disk must not vote on it.
    pub(super) admit: bool,
    /// The groups that are missing, each list for the first of their servers.
    pub(super) create: Vec<(NodeId, Vec<NewGroup>)>,
}

impl Birth {
    /// What is missing; `None` if every logic group exists. `answers` has every server.
    pub(super) fn plan(
        topology: &Topology,
        answers: &Answers,
    ) -> Result<Option<Self>, ClusterError> {
        let registers = known::registers(answers);
        check_members(topology, answers, registers.values())?;
        let mut create = Vec::new();
        for group in topology.physical_groups() {
            let members: Vec<Member> =
                group.servers.iter().map(|id| member(*id, answers)).collect();
            let missing = group.logic_groups.iter().filter(|id| !registers.contains_key(id));
            let missing: Vec<NewGroup> =
                missing.map(|id| NewGroup { group: *id, servers: members.clone() }).collect();
            if let (Some(first), false) = (group.servers.first(), missing.is_empty()) {
                create.push((*first, missing));
            }
        }
        if create.is_empty() {
            return Ok(None);
        }
        if topology.voters().is_empty() {
            return Err(ClusterError::NoVoters(proposal(topology)));
        }
        let (voters, admit) = voters(topology, answers, registers.is_empty())?;
        Ok(Some(Self { voters, admit, create }))
    }

    /// The numbers of the groups that are missing.
    pub(super) fn missing(&self) -> Vec<LogicGroup> {
        self.create.iter().flat_map(|(_, list)| list).map(|new| new.group).collect()
    }
}

/// The voters that are to create the groups, and whether they are to be admitted first.
fn voters(
    topology: &Topology,
    answers: &Answers,
    is_new: bool,
) -> Result<(VoterSet, bool), ClusterError> {
    let known = voters_in_force(answers);
    if !is_new {
        return Ok((known.ok_or(ClusterError::NoVoterSet)?.clone(), false));
    }
    let wanted = topology.voters().to_vec();
    let sorted = |ids: &[NodeId]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    let generation = match known {
        None => VoterGeneration(1),
        // An attempt that stopped half-way.
        Some(set) if sorted(&set.voters) == sorted(&wanted) => set.generation,
        Some(set) => VoterGeneration(set.generation.0 + 1),
    };
    Ok((VoterSet { generation, voters: wanted }, true))
}

fn member(id: NodeId, answers: &Answers) -> Member {
    Member { node: id, store: answers.get(&id).map(|known| known.store).unwrap_or_default() }
}

/// Refuses when an existing group has other members than the file and the running servers.
fn check_members<'r>(
    topology: &Topology,
    answers: &Answers,
    registers: impl Iterator<Item = &'r Register>,
) -> Result<(), ClusterError> {
    let registers: Vec<&Register> =
        registers.filter(|register| register.group.0 < topology.logic_groups()).collect();
    let like = |wrong: &dyn Fn(&Register) -> bool| {
        let list: Vec<LogicGroup> =
            registers.iter().filter(|r| wrong(r)).map(|register| register.group).collect();
        groups(&list)
    };
    for register in &registers {
        let nodes: Vec<NodeId> = register.servers.iter().map(|member| member.node).collect();
        let file = &topology.physical_group_of(register.group).servers;
        if nodes != *file {
            return Err(ClusterError::OtherServers {
                groups: like(&|other| {
                    other.servers == register.servers
                        && topology.physical_group_of(other.group).servers == *file
                }),
                members: names(topology, &nodes),
                file: names(topology, file),
            });
        }
        for old in &register.servers {
            let present = member(old.node, answers);
            if present != *old {
                return Err(ClusterError::OtherStore {
                    groups: like(&|other| other.has_server(*old)),
                    server: known::name(topology, old.node),
                    member: old.store.to_string(),
                    present: present.store.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Voters that the file could name: three, or the first.
fn proposal(topology: &Topology) -> String {
    let ids: Vec<NodeId> = topology.servers().iter().map(|server| server.id).collect();
    let count = if ids.len() < 3 { 1 } else { 3 };
    names(topology, ids.get(..count).unwrap_or(&ids))
}

#[cfg(test)]
mod tests {
    use common::agreed::KnownRegister;
    use common::ids::{Epoch, StoreId};
    use common::register::LaneLeader;

    use super::*;
    use crate::cluster::known::Known;

    const TEXT: &str = "\
format: 1
cluster: demo
epoch: 1
logic_groups: 3
servers:
  a1: { address: \"127.0.0.1:1\", admin: \"127.0.0.1:11\" }
  a2: { address: \"127.0.0.1:2\", admin: \"127.0.0.1:12\" }
  b1: { address: \"127.0.0.1:3\", admin: \"127.0.0.1:13\" }
  v1: { address: \"127.0.0.1:4\", admin: \"127.0.0.1:14\" }
voters: [a1, b1, v1]
physical_groups:
  a: { servers: [a2, a1], logic_groups: \"0,2\" }
  b: { servers: [b1], logic_groups: \"1\" }
";
    const NAMES: [&str; 4] = ["a1", "a2", "b1", "v1"];

    fn id(name: &str) -> NodeId {
        NodeId::of_name(name)
    }

    fn topology() -> Topology {
        Topology::parse(TEXT).unwrap()
    }

    /// All servers answer; their store ids are 1, 2, 3, 4.
    fn answers() -> Answers {
        let known = |store| Known { store: StoreId(store), ..Known::default() };
        (1u128..).zip(NAMES).map(|(store, name)| (id(name), known(store))).collect()
    }

    fn member(name: &str, store: u128) -> Member {
        Member { node: id(name), store: StoreId(store) }
    }

    fn register(group: u16, servers: &[Member]) -> Register {
        let first = servers[0].node;
        Register {
            group: LogicGroup(group),
            generation: VoterGeneration(1),
            epoch: Epoch(1),
            servers: servers.to_vec(),
            in_step: servers.iter().map(|member| member.node).collect(),
            lanes: servers.iter().map(|_| LaneLeader { node: first, since: Epoch(1) }).collect(),
            leaving: None,
            moving: None,
        }
    }

    fn chosen<const N: usize>(registers: [Register; N]) -> Vec<KnownRegister> {
        registers.map(KnownRegister::chosen).into()
    }

    fn set(generation: u32, voters: &[&str]) -> VoterSet {
        let voters = voters.iter().map(|name| id(name)).collect();
        VoterSet { generation: VoterGeneration(generation), voters }
    }

    #[test]
    fn a_new_cluster_gets_its_voters_and_all_groups() {
        let birth = Birth::plan(&topology(), &answers()).unwrap().unwrap();
        assert_eq!(birth.voters, set(1, &["a1", "b1", "v1"]));
        assert!(birth.admit);
        assert_eq!(birth.missing(), [0, 2, 1].map(LogicGroup));
        let a = vec![member("a2", 2), member("a1", 1)];
        let new = |group, servers: &[Member]| NewGroup {
            group: LogicGroup(group),
            servers: servers.to_vec(),
        };
        assert_eq!(birth.create[0], (id("a2"), vec![new(0, &a), new(2, &a)]));
        assert_eq!(birth.create[1], (id("b1"), vec![new(1, &[member("b1", 3)])]));
    }

    #[test]
    fn an_attempt_that_stopped_before_any_group_is_repeated() {
        let (topology, mut answers) = (topology(), answers());
        let known = answers.get_mut(&id("a1")).unwrap();
        known.views.voters = set(1, &["v1", "b1", "a1"]);
        let birth = Birth::plan(&topology, &answers).unwrap().unwrap();
        assert_eq!((birth.voters.generation.0, birth.admit), (1, true));
        // The file was corrected since: other voters are another set.
        answers.get_mut(&id("a1")).unwrap().views.voters = set(1, &["a2", "b1", "v1"]);
        let birth = Birth::plan(&topology, &answers).unwrap().unwrap();
        assert_eq!(birth.voters, set(2, &["a1", "b1", "v1"]));
    }

    #[test]
    fn groups_that_exist_are_left_alone_and_no_voter_is_admitted_beside_them() {
        let (topology, mut answers) = (topology(), answers());
        let a = [member("a2", 2), member("a1", 1)];
        let known = answers.get_mut(&id("a1")).unwrap();
        known.views.voters = set(4, &["a1", "a2", "v1"]);
        known.views.groups = chosen([register(0, &a)]);
        let birth = Birth::plan(&topology, &answers).unwrap().unwrap();
        assert_eq!(birth.voters, set(4, &["a1", "a2", "v1"]), "those in force, not the file's");
        assert!(!birth.admit, "a voter with a new disk would vote on what it does not know");
        assert_eq!(birth.missing(), [2, 1].map(LogicGroup));

        let all = chosen([register(0, &a), register(2, &a), register(1, &[member("b1", 3)])]);
        answers.get_mut(&id("v1")).unwrap().views.groups = all;
        assert_eq!(Birth::plan(&topology, &answers).unwrap(), None);
    }

    #[test]
    fn another_data_directory_is_named_with_both_store_ids() {
        let (topology, mut answers) = (topology(), answers());
        let known = answers.get_mut(&id("v1")).unwrap();
        let a = [member("a2", 0xdead), member("a1", 1)];
        known.views.groups = chosen([register(0, &a), register(2, &a)]);
        let text = Birth::plan(&topology, &answers).unwrap_err().to_string();
        for part in
            ["logic groups 0, 2: a2 ", &StoreId(0xdead).to_string(), &StoreId(2).to_string()]
        {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn other_servers_are_named() {
        let (topology, mut answers) = (topology(), answers());
        let known = answers.get_mut(&id("v1")).unwrap();
        known.views.groups = chosen([register(2, &[member("a1", 1), member("a2", 2)])]);
        let text = Birth::plan(&topology, &answers).unwrap_err().to_string();
        assert!(
            text.starts_with("logic group 2: the servers are [a1, a2], but the file says [a2, a1]"),
            "{text}"
        );
    }

    #[test]
    fn a_file_without_voters_creates_nothing() {
        let without = Topology::parse(&TEXT.replace("voters: [a1, b1, v1]\n", "")).unwrap();
        let text = Birth::plan(&without, &answers()).unwrap_err().to_string();
        assert!(text.contains("`voters: [a1, a2, b1]`"), "{text}");
    }
}
