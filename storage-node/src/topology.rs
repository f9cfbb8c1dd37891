//! The topology as a node sees it: told by proxies, the greatest kept durably, lower ones refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::{LogicGroup, NodeId, TopologyVersion};
use common::wire::frame::FrameType;
use config::{PhysicalGroup, Topology};

use crate::data_dir::{DataDir, replace};
use crate::engine::{Store, StoreOptions};
use crate::error::StartError;
use crate::parallel;
use crate::replay::lanes_of_file;
use crate::shared::{Limits, Shared};
use crate::worker::{Message, OpenedGroup, Peer};

/// Least page cache of a group, in bytes.
const CACHE_BYTES_MIN: usize = 1 << 20;

/// Takes an announced topology: opens the groups it gives this node, stores it, serves by it, and
/// tells other nodes. Returns its version.
///
/// # Errors
/// Why it is not taken; nothing changed then.
pub(crate) async fn announce(
    shared: &Arc<Shared>,
    text: Vec<u8>,
    from: &str,
) -> Result<TopologyVersion, String> {
    let text = String::from_utf8(text).map_err(|_| "the topology is not UTF-8".to_owned())?;
    let topology = Topology::parse(&text).map_err(|problems| problems.to_string())?;
    let _one_at_a_time = shared.announcing.lock().await;
    let present = shared.topology.load_full();
    let version = topology.version();
    if !is_news(shared, present.as_deref(), &topology)? {
        return Ok(version);
    }
    let working = Arc::clone(shared);
    // Files are made and synced: not on a worker.
    let taken = tokio::task::spawn_blocking(move || {
        let groups = match present {
            None => open_groups(&working.dir, working.limits, &topology, true)
                .map_err(|error| error.to_string())?,
            Some(_) => BTreeMap::new(),
        };
        replace(&**working.dir.fs(), &working.dir.topology_path(), text.as_bytes())
            .map_err(|error| format!("cannot store the topology: {error}"))?;
        Ok::<_, String>((topology, groups))
    });
    let (topology, groups) = taken.await.map_err(|error| error.to_string())??;
    tracing::info!(%version, from, "topology taken");
    shared.topology.store(Some(Arc::new(topology)));
    hand_out(shared, groups).await;
    for worker in &shared.workers {
        // A worker is gone only while the node stops.
        drop(worker.send(Message::Topology).await);
    }
    Ok(version)
}

/// Tells a node that knows an older topology the one in force.
pub(crate) fn announce_to(shared: &Shared, peer: &Peer, knows: TopologyVersion) {
    let topology = shared.topology.load_full();
    if let Some(topology) = topology.filter(|topology| topology.version() > knows) {
        peer.put_frame(FrameType::Announce, 0, |out| {
            out.extend_from_slice(topology.text().as_bytes());
        });
    }
}

/// Whether an announced topology changes anything here.
fn is_news(shared: &Shared, present: Option<&Topology>, new: &Topology) -> Result<bool, String> {
    if new.cluster() != shared.cluster {
        return Err(format!(
            "it is of cluster `{}`, this node belongs to `{}`",
            new.cluster(),
            shared.cluster
        ));
    }
    let Some(present) = present else { return Ok(true) };
    if new.version() == present.version() {
        return Ok(false);
    }
    if new.version() < present.version() {
        return Err(format!("this node knows the newer {}", present.version()));
    }
    // Whether a file may name other voters is for the process to judge that reads the file: a node
    // that was down when they were replaced does not know it yet.
    match config::diff_with_voters(present, new, Some(new.voters())) {
        Ok(_) => Ok(true),
        Err(refusals) => {
            let texts: Vec<_> = refusals.iter().map(ToString::to_string).collect();
            Err(texts.join("; "))
        }
    }
}

async fn hand_out(shared: &Shared, groups: BTreeMap<LogicGroup, OpenedGroup>) {
    let workers = shared.workers.len();
    let mut shares: Vec<Vec<OpenedGroup>> = (0..workers).map(|_| Vec::new()).collect();
    for (id, group) in groups {
        if let Some(share) = shares.get_mut(usize::from(id.0) % workers) {
            share.push(group);
        }
    }
    for (worker, share) in shared.workers.iter().zip(shares) {
        // A worker is gone only while the node stops.
        drop(worker.send(Message::Groups(share)).await);
    }
}

/// Opens the files of all groups that the topology gives this node. With `create`, files that are
/// absent are made: only a node that was never told a topology may do that. Their names are durable
/// then.
///
/// # Errors
/// That of the first group, by number, whose file cannot be used. Files that were made stay, and are
/// taken by the next try.
pub(crate) fn open_groups(
    dir: &DataDir,
    limits: Limits,
    topology: &Topology,
    create: bool,
) -> Result<BTreeMap<LogicGroup, OpenedGroup>, StartError> {
    let mut held = held(topology, dir.node());
    held.sort_unstable();
    let cache_bytes = (limits.cache_bytes / held.len().max(1)).max(CACHE_BYTES_MIN);
    let open = |(id, servers)| {
        // Where other servers hold copies, an older record could still come back.
        let options = StoreOptions { cache_bytes, servers, purge_tombstones: servers == 1 };
        open_group(dir, id, options, create)
    };
    let opened = match parallel::try_map(held, open) {
        Ok(opened) => opened,
        Err((error, opened)) => {
            parallel::drop_all(opened);
            return Err(error);
        }
    };
    if let Some(folder) = dir.group_path(LogicGroup(0)).parent()
        && !opened.is_empty()
    {
        // Once for all of them, and also for those that were found: whoever made them may have been
        // killed before their names were durable, and the log lets go of what they take.
        dir.fs().sync_dir(folder).map_err(|e| StartError::Io(folder.to_owned(), e))?;
    }
    Ok(opened.into_iter().map(|group| (group.id, group)).collect())
}

fn open_group(
    dir: &DataDir,
    id: LogicGroup,
    options: StoreOptions,
    create: bool,
) -> Result<OpenedGroup, StartError> {
    let (path, identity) = (dir.group_path(id), dir.store_identity(id));
    let exists = dir.fs().exists(&path).map_err(|e| StartError::Io(path.clone(), e))?;
    let store = match (exists, create) {
        (true, _) => Store::open(dir.fs(), &path, identity, options)?,
        (false, true) => Store::create(dir.fs(), &path, identity, options)?,
        (false, false) => return Err(StartError::GroupMissing(path, id)),
    };
    let lanes = lanes_of_file(&store, id, options.servers);
    Ok(OpenedGroup { id, store, lanes })
}

/// The logic groups of a node, and how many servers each has.
fn held(topology: &Topology, node: NodeId) -> Vec<(LogicGroup, u8)> {
    let of_group = |group: &PhysicalGroup| {
        let servers = u8::try_from(group.servers.len());
        let servers = servers.expect("validation: at most SERVERS_PER_GROUP_MAX");
        group.servers.contains(&node).then(|| (group.logic_groups.clone(), servers))
    };
    (topology.physical_groups().iter())
        .filter_map(of_group)
        .flat_map(|(groups, servers)| groups.into_iter().map(move |group| (group, servers)))
        .collect()
}
