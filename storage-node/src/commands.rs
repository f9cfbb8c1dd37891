//! What operators' tools tell a node to do, and what it knows of the groups.

use std::collections::BTreeMap;
use std::sync::Arc;

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
/// `accepted`, for tools, also what may have been chosen: a proxy must not follow that.
pub(crate) async fn views(shared: &Arc<Shared>, accepted: bool) -> Views {
    let (sender, receiver) = oneshot::channel();
    let asked = shared.control.request(Request::Views(accepted, sender));
    let mut views = if asked { receiver.await.unwrap_or_default() } else { Views::default() };
    let mut known: BTreeMap<LogicGroup, Register> =
        views.groups.drain(..).map(|register| (register.group, register)).collect();
    for register in registers(shared).await {
        let newer = known.get(&register.group).is_none_or(|k| k.epoch < register.epoch);
        if newer {
            known.insert(register.group, register);
        }
    }
    Views { groups: known.into_values().collect(), ..views }
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
