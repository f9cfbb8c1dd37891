//! What operators' tools tell a node to do, and what it knows of the groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::agreed::KnownRegister;
use common::ids::LogicGroup;
use common::register::Register;
use common::wire::command::{Command, NewGroup};
use common::wire::views::Views;
use tokio::sync::oneshot;

use crate::control::Request;
use crate::shared::Shared;
use crate::worker::Message;

const STOPPING: &str = "the node is stopping, or its control file failed; see its log";

/// The voters and registers as this node knows them: its voter's, and those of its groups. With
/// `accepted`, for tools, also what its voter accepted: a proxy must not follow that.
pub(crate) async fn views(shared: &Arc<Shared>, accepted: bool) -> Views {
    let (sender, receiver) = oneshot::channel();
    let asked = shared.control.request(Request::Views(accepted, sender));
    let mut views = if asked { receiver.await.unwrap_or_default() } else { Views::default() };
    views.groups = merge(views.groups, registers(shared).await);
    views
}

/// What the voter knows, and what the groups of this node act on: that is known to be chosen. Of each
/// group at most one register that is chosen, and one that may be.
fn merge(voter: Vec<KnownRegister>, served: Vec<Register>) -> Vec<KnownRegister> {
    let mut groups: BTreeMap<LogicGroup, Vec<KnownRegister>> = BTreeMap::new();
    for known in voter {
        groups.entry(known.register.group).or_default().push(known);
    }
    for register in served {
        add_chosen(groups.entry(register.group).or_default(), register);
    }
    groups.into_values().flatten().collect()
}

fn add_chosen(known: &mut Vec<KnownRegister>, register: Register) {
    if let Some(same) = known.iter_mut().find(|known| known.register == register) {
        same.chosen = true;
        return;
    }
    let order = |register: &Register| (register.generation, register.epoch);
    let is_newer = |known: &KnownRegister| order(&known.register) >= order(&register);
    if known.iter().any(|known| known.chosen && is_newer(known)) {
        return;
    }
    match known.iter_mut().find(|known| known.accepted.is_none()) {
        Some(older) => older.register = register,
        None => known.push(KnownRegister::chosen(register)),
    }
}

/// The registers that this node's groups know.
async fn registers(shared: &Shared) -> Vec<Register> {
    let mut all = Vec::new();
    for worker in &shared.workers {
        let (sender, receiver) = oneshot::channel();
        if worker.send(Message::Registers(sender)).await.is_ok() {
            all.extend(receiver.await.unwrap_or_default());
        }
    }
    all
}

/// Carries a command out.
///
/// # Errors
/// Why not.
pub(crate) async fn execute(shared: &Arc<Shared>, command: Command) -> Result<(), String> {
    match command {
        Command::Voters(set) => control(shared, |asker| Request::Install(set, asker)).await,
        Command::Admit(set, registers) => {
            control(shared, |asker| Request::Admit(set, registers, asker)).await
        }
        Command::Create(groups) => create(shared, groups).await,
    }
}

/// Has the control thread do something; done when that is durable.
async fn control(
    shared: &Shared,
    request: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Request,
) -> Result<(), String> {
    let (sender, receiver) = oneshot::channel();
    if !shared.control.request(request(sender)) {
        return Err(STOPPING.to_owned());
    }
    receiver.await.map_err(|_| STOPPING.to_owned())?
}

/// Has groups created by their first compare-and-set. Done when the groups' replicas know of it.
async fn create(shared: &Shared, groups: Vec<NewGroup>) -> Result<(), String> {
    let workers = shared.workers.len();
    let mut shares: Vec<Vec<NewGroup>> = (0..workers).map(|_| Vec::new()).collect();
    for group in groups {
        if let Some(share) = shares.get_mut(usize::from(group.group.0) % workers) {
            share.push(group);
        }
    }
    for (worker, share) in shared.workers.iter().zip(shares) {
        if share.is_empty() {
            continue;
        }
        let (sender, receiver) = oneshot::channel();
        let gone = || STOPPING.to_owned();
        worker.send(Message::Create(share, sender)).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use common::ids::{Epoch, NodeId, VoterGeneration};
    use common::register::Ballot;

    use super::*;

    fn register(epoch: u64, by: u32) -> Register {
        Register {
            group: LogicGroup(3),
            generation: VoterGeneration(1),
            epoch: Epoch(epoch),
            servers: Vec::new(),
            in_step: vec![NodeId(by)],
            lanes: Vec::new(),
            leaving: None,
            moving: None,
        }
    }

    #[test]
    fn what_a_group_acts_on_is_chosen_and_hides_nothing_that_the_voter_accepted() {
        let ballot = Ballot { round: 4, node: NodeId(1), life: 1 };
        let of = |register, chosen| KnownRegister { register, accepted: Some(ballot), chosen };
        let served = |epoch, by| vec![register(epoch, by)];
        assert_eq!(merge(vec![], served(9, 1)), [KnownRegister::chosen(register(9, 1))]);
        // Another of the same epoch, an older and a newer one stand beside it.
        for epoch in [8, 9, 10] {
            let accepted = of(register(9, 2), false);
            let both = [accepted.clone(), KnownRegister::chosen(register(epoch, 1))];
            assert_eq!(merge(vec![accepted], served(epoch, 1)), both);
        }
        let same = merge(vec![of(register(9, 1), false)], served(9, 1));
        assert_eq!(same, [of(register(9, 1), true)]);
        // Of two that are chosen the newer one is told.
        let voter = vec![of(register(9, 2), false), KnownRegister::chosen(register(7, 1))];
        let newer = [of(register(9, 2), false), KnownRegister::chosen(register(8, 1))];
        assert_eq!(merge(voter.clone(), served(8, 1)), newer);
        assert_eq!(merge(voter.clone(), served(6, 1)), voter);
    }
}
