//! `fdht failover`: a new voter set in the place of one that lost members.
//!
//! The order is what makes it safe: the old voters that still run are stopped, only then is asked
//! what was agreed, and only then do the new ones begin. `--yes` is the operator's word that the
//! lost servers are off: a lost voter that runs on would know nothing of this.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use common::ids::NodeId;
use common::register::VoterSet;
use common::wire::command::Command;
use config::Topology;
use rt::secret::Secret;
use tokio::runtime::Builder;

use super::ClusterError;
use super::client::Clients;
use super::connection::Trouble;
use super::known::{Answers, name, names};
use super::succession::{Succession, Wish};
use crate::{clock, console};

/// `fdht failover`.
#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    /// Voters that are lost for good and switched off.
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID")]
    lost: Vec<String>,
    /// The new voters: 1, 3 or 5 servers [default: the old ones, with others in place of the lost].
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    voters: Option<Vec<String>>,
    /// The topology file of the cluster.
    #[arg(long, env = "FDHT_TOPOLOGY", value_name = "FILE")]
    topology: PathBuf,
    /// File with the secret that the nodes of the cluster ask for.
    #[arg(long, env = "FDHT_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// How long servers may take to answer before they count as away.
    #[arg(long, default_value = "5s", value_parser = config::parse_time)]
    timeout: Duration,
    /// Do it. Without this, only what would happen is shown.
    #[arg(long)]
    yes: bool,
}

/// Replaces the voter set.
pub(crate) fn failover(args: &FailoverArgs) -> Result<(), ClusterError> {
    let topology = Arc::new(Topology::load(&args.topology)?);
    let secret = super::secret(args.secret_file.as_deref())?;
    let wish = Wish::of_names(&topology, &args.lost, args.voters.as_deref())?;
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(ClusterError::Runtime)?;
    runtime.block_on(replace(args, &topology, secret.as_ref(), &wish))
}

async fn replace(
    args: &FailoverArgs,
    topology: &Arc<Topology>,
    secret: Option<&Secret>,
    wish: &Wish,
) -> Result<(), ClusterError> {
    let deadline = clock::now() + args.timeout;
    let (mut clients, answers) = Clients::ask_all(topology, secret, deadline).await;
    let mut known = Answers::new();
    let mut away = Vec::new();
    for (id, answer) in answers {
        if wish.lost.contains(&id) {
            check_off(topology, id, answer.err().as_ref())?;
            continue;
        }
        match answer {
            Ok(answer) => drop(known.insert(id, answer)),
            Err(why) => away.push(format!("{} ({why})", name(topology, id))),
        }
    }
    let plan = Succession::plan(topology, wish, &known)?;
    // Refused now rather than after the old voters were stopped.
    plan.begin(topology, &known)?;
    console::line(preview(topology, wish, &plan, &away));
    if !args.yes {
        return Err(ClusterError::NotConfirmed);
    }
    // Everybody has to find the new voters.
    for id in known.keys() {
        let Some(client) = clients.get(*id) else { continue };
        let taken = client.announce().await;
        taken.map_err(|why| ClusterError::Refused { server: name(topology, *id), why })?;
    }
    let stop = plan.stop();
    for id in &plan.stopped {
        clients.tell(*id, &Command::Voters(stop.clone())).await?;
    }
    let ids: Vec<NodeId> = known.keys().copied().collect();
    let (after, troubles) = clients.ask_again(&ids).await;
    check_stopped(topology, &plan, &stop, &after, &troubles)?;
    // Whoever went away in between still counts with what was said before.
    known.extend(after);
    let (set, registers) = plan.begin(topology, &known)?;
    for id in &set.voters {
        clients.tell(*id, &Command::Admit(set.clone(), registers.clone())).await?;
    }
    let greatest = known.values().map(|known| known.topology.epoch).max().unwrap_or_default();
    console::line(done(topology, &set, greatest.max(topology.version().epoch).0 + 1));
    for id in known.keys().filter(|id| !set.voters.contains(id)) {
        if let Err(error) = clients.tell(*id, &Command::Voters(set.clone())).await {
            // The new voters are in force; the others tell it as well.
            console::warn(format!("fdht failover: not told: {error}"));
        }
    }
    Ok(())
}

/// A lost server takes no connection. One that does, but says nothing, may only be paused.
fn check_off(
    topology: &Topology,
    id: NodeId,
    trouble: Option<&Trouble>,
) -> Result<(), ClusterError> {
    let how = match trouble {
        Some(Trouble::Silent(_)) => return Ok(()),
        Some(Trouble::Broken(why) | Trouble::Refused(why)) => {
            format!("it takes connections; {why}")
        }
        None => "it answers".to_owned(),
    };
    Err(ClusterError::StillRunning { server: name(topology, id), how })
}

/// An old voter has to have stopped, and to say what it knows since.
fn check_stopped(
    topology: &Topology,
    plan: &Succession,
    stop: &VoterSet,
    after: &Answers,
    troubles: &[(String, Trouble)],
) -> Result<(), ClusterError> {
    for id in &plan.stopped {
        let server = name(topology, *id);
        let Some(known) = after.get(id) else {
            let why = troubles.iter().find(|(name, _)| *name == server);
            let why = why.map(|(_, why)| why.to_string()).unwrap_or_default();
            return Err(ClusterError::StoppedThenAway { server, why });
        };
        let voters = &known.views.voters;
        if voters != stop {
            let known = format!("{} ({})", names(topology, &voters.voters), voters.generation);
            return Err(ClusterError::NotStopped { server, known });
        }
    }
    Ok(())
}

fn preview(topology: &Topology, wish: &Wish, plan: &Succession, away: &[String]) -> String {
    let mut lines = vec![
        format!(
            "voters in force: {} (generation {}); lost: {}",
            names(topology, &plan.old.voters),
            plan.old.generation.0,
            names(topology, &wish.lost)
        ),
        format!("1. stopped: {}", names(topology, &plan.stopped)),
        format!(
            "2. voters from then on, with the last agreed register of each of the {} logic groups \
             that any server knows: {}",
            topology.logic_groups(),
            names(topology, &plan.voters)
        ),
        "3. all other servers that answer are told".to_owned(),
    ];
    if !away.is_empty() {
        lines.push(format!("no answer from {}", away.join(", ")));
    }
    if plan.is_guess {
        lines.push(
            "warning: no majority of the old voters answers. What they agreed on last is known \
             only as far as other servers know it; writes since may be lost"
                .to_owned(),
        );
    }
    lines.push(format!(
        "make sure that {} cannot come back: a server that was cut off only would still believe \
         itself to be a voter",
        names(topology, &wish.lost)
    ));
    lines.join("\n")
}

fn done(topology: &Topology, set: &VoterSet, epoch: u64) -> String {
    format!(
        "done: voters {} (generation {}); now write into the topology file:\n  epoch: {epoch}\n  \
         voters: [{}]",
        names(topology, &set.voters),
        set.generation.0,
        names(topology, &set.voters)
    )
}

#[cfg(test)]
#[path = "failover_tests.rs"]
mod tests;
