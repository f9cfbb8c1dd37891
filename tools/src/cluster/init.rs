//! Brings the logic groups of a topology into being: voters first, then each group by its first
//! compare-and-set.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ids::NodeId;
use common::wire::command::Command;
use config::Topology;
use rt::secret::Secret;
use tokio::runtime::Builder;

use super::ClusterError;
use super::birth::Birth;
use super::client::{Answer, Clients, PAUSE};
use super::connection::Trouble;
use super::known::{self, Answers, groups};
use crate::clock;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How many groups were created.
    pub(crate) created: usize,
    /// How many there are.
    pub(crate) all: usize,
}

/// Creates every logic group that does not exist. All servers have to answer within `time_max`, and
/// the groups to exist within `time_max` after that. Can be repeated.
///
/// # Errors
/// See [`ClusterError`]; what was done stays.
pub(crate) fn init(
    topology: Topology,
    secret: Option<&Secret>,
    time_max: Duration,
) -> Result<Outcome, ClusterError> {
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(ClusterError::Runtime)?;
    runtime.block_on(create_all(Arc::new(topology), secret, time_max))
}

async fn create_all(
    topology: Arc<Topology>,
    secret: Option<&Secret>,
    time_max: Duration,
) -> Result<Outcome, ClusterError> {
    let deadline = clock::now() + time_max;
    let (mut clients, answers) = Clients::ask_all(&topology, secret, deadline).await;
    let answers = all_of(&topology, answers)?;
    let all = usize::from(topology.logic_groups());
    let Some(birth) = Birth::plan(&topology, &answers)? else {
        return Ok(Outcome { created: 0, all });
    };
    announce(&topology, &answers, &mut clients).await?;
    if birth.admit {
        for voter in &birth.voters.voters {
            clients.tell(*voter, &Command::Admit(birth.voters.clone(), Vec::new())).await?;
        }
    }
    for (id, known) in &answers {
        let is_admitted = birth.admit && birth.voters.voters.contains(id);
        if !is_admitted && known.views.voters.generation < birth.voters.generation {
            clients.tell(*id, &Command::Voters(birth.voters.clone())).await?;
        }
    }
    let deadline = clock::now() + time_max;
    create(&birth, &mut clients, deadline, time_max).await?;
    Ok(Outcome { created: birth.missing().len(), all })
}

/// The answers, if nobody is missing and nobody refuses.
fn all_of(
    topology: &Topology,
    answers: impl IntoIterator<Item = (NodeId, Answer)>,
) -> Result<Answers, ClusterError> {
    let (mut known, mut missing, mut refused) = (Answers::new(), Vec::new(), Vec::new());
    for (id, answer) in answers {
        match answer {
            Ok(answer) => drop(known.insert(id, answer)),
            Err(why @ Trouble::Refused(_)) => refused.push((known::name(topology, id), why)),
            Err(why @ (Trouble::Silent(_) | Trouble::Broken(_))) => {
                missing.push((known::name(topology, id), why));
            }
        }
    }
    missing.sort_by(|(a, _), (b, _)| a.cmp(b));
    refused.sort_by(|(a, _), (b, _)| a.cmp(b));
    // What was refused stays refused, however many are started.
    if !refused.is_empty() {
        return Err(ClusterError::AllRefused(refused));
    }
    if missing.is_empty() { Ok(known) } else { Err(ClusterError::Missing(missing)) }
}

async fn announce(
    topology: &Topology,
    answers: &Answers,
    clients: &mut Clients,
) -> Result<(), ClusterError> {
    for (id, known) in answers {
        let Some(client) = clients.get(*id) else { continue };
        let server = client.name().to_owned();
        if known.topology > topology.version() {
            let (known, file) = (known.topology.to_string(), topology.version().to_string());
            return Err(ClusterError::OldFile { server, known, file });
        }
        client.announce().await.map_err(|why| ClusterError::Refused { server, why })?;
    }
    Ok(())
}

/// Tells the first server of each physical group what to create, until the voters know all of it.
async fn create(
    birth: &Birth,
    clients: &mut Clients,
    deadline: Instant,
    time_max: Duration,
) -> Result<(), ClusterError> {
    let mut missing = birth.missing();
    let mut reason = "no voter knows them".to_owned();
    loop {
        for (server, list) in &birth.create {
            let list = list.iter().filter(|new| missing.contains(&new.group));
            let list: Vec<_> = list.cloned().collect();
            if list.is_empty() {
                continue;
            }
            let Some(client) = clients.get(*server) else { continue };
            if let Err(why) = client.command(&Command::Create(list)).await {
                reason = format!("{}: {why}", client.name());
            }
        }
        let (answers, troubles) = clients.ask_again(&birth.voters.voters).await;
        let known = known::registers(&answers);
        missing.retain(|group| !known.contains_key(group));
        if let Some((server, why)) = troubles.first() {
            reason = format!("{server}: {why}");
        }
        if missing.is_empty() {
            return Ok(());
        }
        if clock::now() >= deadline {
            let seconds = time_max.as_secs();
            return Err(ClusterError::NotCreated { groups: groups(&missing), seconds, reason });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use common::ids::StoreId;
    use common::register::VoterSet;

    use super::*;
    use crate::cluster::fake::Fakes;

    const REST: &str = "logic_groups: 3\nvoters: [a1, b1, v1]\nphysical_groups:\n\
                        \x20 a: { servers: [a1], logic_groups: \"0-1\" }\n\
                        \x20 b: { servers: [b1], logic_groups: \"2\" }\n";
    const SECOND: Duration = Duration::from_secs(1);

    fn again(topology: &Topology) -> Topology {
        Topology::parse(topology.text()).unwrap()
    }

    #[test]
    fn voters_are_admitted_others_are_told_and_groups_appear_once() {
        let (fakes, topology) = Fakes::start(&["a1", "b1", "v1", "idle"], REST);
        let outcome = init(again(&topology), None, SECOND * 10).unwrap();
        assert_eq!(outcome, Outcome { created: 3, all: 3 });
        let voters = ["a1", "b1", "v1"].map(NodeId::of_name).to_vec();
        let set = VoterSet { generation: common::ids::VoterGeneration(1), voters };
        assert_eq!(fakes.told("v1"), [Command::Admit(set.clone(), Vec::new())]);
        assert_eq!(fakes.told("idle"), [Command::Voters(set)]);
        assert_eq!(fakes.with("idle", |state| state.topology), topology.version());
        let told = fakes.told("b1");
        let Some(Command::Create(list)) = told.get(1) else { panic!("{told:?}") };
        assert_eq!((list[0].group.0, list[0].servers[0].store), (2, StoreId(2)));

        assert_eq!(init(topology, None, SECOND * 10).unwrap(), Outcome { created: 0, all: 3 });
        assert_eq!(fakes.told("v1").len(), 1, "the second time there is nothing to do");
    }

    #[test]
    fn a_server_that_is_away_is_named_and_nothing_is_done() {
        let (fakes, topology) = Fakes::start(&["a1", "b1", "v1"], REST);
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let free = held.local_addr().unwrap().to_string();
        drop(held);
        let address = topology.server("v1").unwrap().address.clone();
        let topology = Topology::parse(&topology.text().replace(&address, &free)).unwrap();
        let error = init(topology, None, SECOND / 2).unwrap_err();
        assert_eq!(error.status(), 3);
        assert!(error.to_string().starts_with(&format!("no answer from v1 ({free}: ")), "{error}");
        assert!(fakes.told("a1").is_empty());
    }

    #[test]
    fn a_server_that_refuses_is_a_problem_and_not_one_that_cannot_be_reached() {
        let (fakes, topology) = Fakes::start(&["a1", "b1", "v1"], REST);
        let address = |name| topology.server(name).unwrap().address.clone();
        let (b1, v1) = (address("b1"), address("v1"));
        let swapped = topology.text().replace(&b1, "B1").replace(&v1, &b1).replace("B1", &v1);
        let error = init(Topology::parse(&swapped).unwrap(), None, SECOND).unwrap_err();
        assert_eq!(error.status(), 1);
        let text = error.to_string();
        let part = format!("refused by b1 ({v1} is the address of v1, not of b1; correct");
        assert!(text.starts_with(&part) && text.contains(", v1 ("), "{text}");
        assert!(fakes.told("a1").is_empty());
    }

    #[test]
    fn what_is_not_created_in_time_is_named_with_the_reason() {
        let (fakes, topology) = Fakes::start(&["a1", "b1", "v1"], REST);
        fakes.with("b1", |state| {
            state.stubborn = Some("the disk is full");
            state.views.voters.generation.0 = 1;
        });
        // Refused at once where a voter is to be admitted.
        let error = init(again(&topology), None, SECOND).unwrap_err().to_string();
        assert!(error.starts_with("b1 did not do its part: the disk is full"), "{error}");
        let voters = topology.voters().to_vec();
        let set = VoterSet { generation: common::ids::VoterGeneration(1), voters };
        // Group 0 exists: nobody is admitted, b1 is only to create its group.
        let member = common::register::Member { node: NodeId::of_name("a1"), store: StoreId(1) };
        let group = common::ids::LogicGroup(0);
        let new = common::wire::command::NewGroup { group, servers: vec![member] };
        for name in ["a1", "b1", "v1"] {
            fakes.with(name, |state| {
                state.views.voters = set.clone();
                let register = crate::cluster::fake::register(&new);
                state.views.groups = vec![common::agreed::KnownRegister::chosen(register)];
            });
        }
        let error = init(topology, None, SECOND).unwrap_err().to_string();
        assert_eq!(error, "not created within 1 s: logic group 2: b1: the disk is full");
    }

    #[test]
    fn a_node_with_a_newer_file_ends_it() {
        let (fakes, topology) = Fakes::start(&["a1", "b1", "v1"], REST);
        fakes.with("b1", |state| state.topology.epoch.0 = 9);
        let error = init(topology, None, SECOND).unwrap_err().to_string();
        assert!(error.starts_with("b1 knows the newer topology"), "{error}");
    }
}
