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
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
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
    let stop = Command::Voters(plan.stop(wish));
    for id in &plan.stopped {
        clients.tell(*id, &stop).await?;
    }
    let ids: Vec<NodeId> = known.keys().copied().collect();
    let (after, _) = clients.ask_again(&ids).await;
    check_stopped(topology, &plan, &after)?;
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

/// An old voter that was stopped has to say what it knows since.
fn check_stopped(
    topology: &Topology,
    plan: &Succession,
    after: &Answers,
) -> Result<(), ClusterError> {
    match plan.stopped.iter().find(|id| !after.contains_key(id)) {
        None => Ok(()),
        Some(id) => Err(ClusterError::VoterAway(name(topology, *id))),
    }
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
            "2. voters from then on, with the newest register of each of the {} logic groups that \
             any server knows: {}",
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
mod tests {
    use common::ids::{LogicGroup, StoreId, VoterGeneration};
    use common::register::Member;
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

    #[test]
    fn old_voters_stop_new_ones_begin_and_all_are_told() {
        const REST: &str = "logic_groups: 1\nvoters: [a1, b1, v1]\nphysical_groups:\n\
                            \x20 a: { servers: [a1, a2], logic_groups: \"0\" }\n";
        let (fakes, topology) = Fakes::start(
            &["a2", "b1", "v1", "w1"],
            &format!("  a1: {{ address: \"127.0.0.1:8\", admin: \"127.0.0.1:9\" }}\n{REST}"),
        );
        let set = |generation, names: &[&str]| VoterSet {
            generation: VoterGeneration(generation),
            voters: names.iter().map(|name| NodeId::of_name(name)).collect(),
        };
        let servers = [("a1", 9), ("a2", 1)]
            .map(|(name, store)| Member { node: NodeId::of_name(name), store: StoreId(store) });
        let mut newest = register(&NewGroup { group: LogicGroup(0), servers: servers.to_vec() });
        for name in ["a2", "b1", "v1", "w1"] {
            fakes.with(name, |state| state.views.voters = set(4, &["a1", "b1", "v1"]));
        }
        fakes.with("b1", |state| state.views.groups.push(newest.clone()));
        newest.epoch.0 = 7;
        fakes.with("a2", |state| state.views.groups.push(newest.clone()));

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), topology.text()).unwrap();
        let mut args = FailoverArgs {
            lost: vec!["a1".to_owned()],
            voters: Some(["b1", "v1", "w1"].map(str::to_owned).to_vec()),
            topology: file.path().to_owned(),
            secret_file: None,
            timeout: Duration::from_millis(500),
            yes: false,
        };
        assert_eq!(failover(&args).unwrap_err().status(), 2);
        assert!(fakes.told("b1").is_empty(), "nothing happens without --yes");

        args.yes = true;
        failover(&args).unwrap();
        newest.generation = VoterGeneration(6);
        let new = set(6, &["b1", "v1", "w1"]);
        let admit = Command::Admit(new.clone(), vec![newest]);
        let stop = Command::Voters(set(5, &["a1"]));
        assert_eq!(fakes.told("b1"), [stop.clone(), admit.clone()]);
        assert_eq!(fakes.told("v1"), [stop, admit.clone()]);
        assert_eq!(fakes.told("w1"), [admit]);
        assert_eq!(fakes.told("a2"), [Command::Voters(new)]);

        args.lost = vec!["b1".to_owned()];
        args.voters = None;
        let text = failover(&args).unwrap_err().to_string();
        assert!(text.starts_with("b1 is still running (it answers)"), "{text}");
    }
}
