//! Connections that this worker makes to other nodes: of each pair of nodes the one with the smaller
//! id dials, and both use the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use common::ids::NodeId;
use common::wire::hello::Role;
use rt::handshake::{self, HandshakeError, Introduction, NodeProcess};
use rt::net;
use tokio::task::AbortHandle;

use crate::worker::connection::{self, Introduced};
use crate::worker::inbox::Worker;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF_MS_MIN: u64 = 20;
const BACKOFF_MS_MAX: u64 = 250;
/// Who refuses, or is refused, does not change its mind soon; each attempt is a line in a log.
const BACKOFF_MS_REFUSED: u64 = 2_000;

/// Another node, as the topology names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partner {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// The tasks that keep connections alive, by node and the worker at its end.
#[derive(Default)]
pub(crate) struct Dialing {
    partners: BTreeMap<NodeId, Partner>,
    tasks: BTreeMap<(NodeId, u16), AbortHandle>,
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the address belongs to `{0}`; check the topology file")]
    OtherNode(String),
    #[error("{0}")]
    Stranger(String),
    #[error("{0}")]
    Ended(String),
}

/// Follows the topology: tasks of nodes that left or moved end, new ones begin.
pub(crate) fn follow_topology(worker: &Rc<Worker>) {
    let wanted: BTreeMap<NodeId, Partner> = worker
        .shared
        .partners()
        .into_iter()
        .filter(|(node, _)| worker.shared.node < *node)
        .collect();
    let mut dialing = worker.dialing.borrow_mut();
    let old = std::mem::replace(&mut dialing.partners, wanted.clone());
    let new = &wanted;
    let stays = move |node: &NodeId| old.get(node).is_some_and(|old| new.get(node) == Some(old));
    dialing.tasks.retain(|(node, _), task| {
        let stays = stays(node);
        if !stays {
            task.abort();
        }
        stays
    });
    drop(dialing);
    for (node, partner) in &wanted {
        if !stays(node) {
            start(worker, *node, partner.clone(), own_worker(worker));
        }
    }
}

fn own_worker(worker: &Worker) -> u16 {
    u16::try_from(worker.index).expect("at most 256 workers")
}

fn start(worker: &Rc<Worker>, node: NodeId, partner: Partner, theirs: u16) {
    let mut dialing = worker.dialing.borrow_mut();
    dialing.tasks.entry((node, theirs)).or_insert_with(|| {
        let task = keep(Rc::clone(worker), node, partner, theirs);
        tokio::task::spawn_local(task).abort_handle()
    });
}

/// Keeps one connection alive until its task is aborted.
async fn keep(worker: Rc<Worker>, node: NodeId, partner: Partner, theirs: u16) {
    let mut backoff_ms = BACKOFF_MS_MIN;
    let mut last_logged = String::new();
    loop {
        let mut connected = false;
        let error = dial(&worker, node, &partner, theirs, &mut connected).await;
        if connected {
            backoff_ms = BACKOFF_MS_MIN;
            last_logged.clear();
        }
        if matches!(&error, DialError::Connect(_, e) if e.kind() == std::io::ErrorKind::ConnectionRefused)
        {
            let mut core = worker.core.borrow_mut();
            core.begin_turn();
            core.on_refused_address(node);
        }
        match &error {
            DialError::Handshake(HandshakeError::Refused(reason)) => {
                worker.shared.note_refusal(&partner.name, reason);
                backoff_ms = BACKOFF_MS_REFUSED;
            }
            DialError::Stranger(_) => backoff_ms = BACKOFF_MS_REFUSED,
            _ => {}
        }
        // A node that stays away must not fill the log with the same line.
        let error = error.to_string();
        if error != last_logged {
            tracing::warn!(node = partner.name, address = partner.address, %error, "no link to node");
            last_logged = error;
        }
        let jitter = rt::random::u64() % (backoff_ms / 2 + 1);
        tokio::time::sleep(Duration::from_millis(backoff_ms / 2 + jitter)).await;
        backoff_ms = (backoff_ms.min(BACKOFF_MS_MAX) * 2).min(BACKOFF_MS_MAX);
    }
}

async fn dial(
    worker: &Rc<Worker>,
    node: NodeId,
    partner: &Partner,
    theirs: u16,
    connected: &mut bool,
) -> DialError {
    match connect(worker, node, partner, theirs).await {
        Ok((stream, input, introduced)) => {
            *connected = true;
            tracing::info!(node = partner.name, address = partner.address, "linked to node");
            DialError::Ended(
                connection::serve_node(worker, stream, input, &introduced).await.to_string(),
            )
        }
        Err(error) => error,
    }
}

async fn connect(
    worker: &Rc<Worker>,
    node: NodeId,
    partner: &Partner,
    theirs: u16,
) -> Result<(tokio::net::TcpStream, BytesMut, Introduced), DialError> {
    let shared = &worker.shared;
    let mut stream = net::connect(&partner.address, CONNECT_TIMEOUT)
        .await
        .map_err(|error| DialError::Connect(partner.address.clone(), error))?;
    let mut input = BytesMut::new();
    let introduction = Introduction {
        role: Role::Node,
        cluster: &shared.cluster,
        name: &shared.name,
        topology: shared.topology_version(),
        worker: theirs,
        secret: shared.secret.as_ref(),
        process: shared.process(own_worker(worker)),
    };
    let learned = handshake::connect(&mut stream, &mut input, &introduction).await?;
    if learned.node != partner.name {
        return Err(DialError::OtherNode(learned.node));
    }
    if let Err(reason) = shared.check_member(node, learned.store) {
        handshake::refuse(&mut stream, &reason).await;
        return Err(DialError::Stranger(reason));
    }
    let workers = learned.workers;
    let process = NodeProcess {
        store: learned.store,
        workers,
        from_worker: theirs % workers,
        life: learned.life,
    };
    for other in counterparts(own_worker(worker), shared.workers.len(), workers) {
        if other != theirs % workers {
            start(worker, node, partner.clone(), other);
        }
    }
    let entry = shared.peers.add(Role::Node, &partner.name, &partner.address, learned.topology);
    let introduced = Introduced { role: Role::Node, name: partner.name.clone(), process, entry };
    Ok((stream, input, introduced))
}

/// The workers of another node that share groups with this one: group g is with worker g mod their
/// number on both sides.
fn counterparts(own: u16, own_workers: usize, their_workers: u16) -> BTreeSet<u16> {
    let own_workers = u16::try_from(own_workers).unwrap_or(u16::MAX).max(1);
    let step = greatest_common_divisor(own_workers, their_workers.max(1));
    (0..their_workers.max(1)).filter(|theirs| theirs % step == own % step).collect()
}

fn greatest_common_divisor(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_connection_between_its_two_workers_and_no_other_is_made() {
        for (ours, theirs) in [(1, 1), (4, 4), (2, 4), (4, 6), (1, 3), (3, 1), (5, 4)] {
            for own in 0..ours {
                let found = counterparts(own, usize::from(ours), theirs);
                let groups = (0..240u16).filter(|group| group % ours == own);
                let needed: BTreeSet<u16> = groups.map(|group| group % theirs).collect();
                assert_eq!(found, needed, "{ours} workers here, {theirs} there");
            }
        }
    }
}
