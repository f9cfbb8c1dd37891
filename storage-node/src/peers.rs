//! Who is connected to this node: for operators, and for what a proxy knows of the topology.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use common::ids::TopologyVersion;
use common::wire::hello::Role;

/// One connected peer.
#[derive(Debug)]
struct Connected {
    role: Role,
    name: String,
    address: String,
    topology: TopologyVersion,
    since: Instant,
}

/// What is shown of a peer.
#[derive(Clone, Debug)]
pub(crate) struct PeerStatus {
    pub(crate) role: &'static str,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) topology: TopologyVersion,
    pub(crate) connected_ms: u64,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(Arc<Registry>);

/// Written when a peer comes, goes or announces something.
#[derive(Debug, Default)]
struct Registry(Mutex<Listed>);

#[derive(Debug, Default)]
struct Listed {
    next: u64,
    connected: BTreeMap<u64, Connected>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Listed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a peer in the list as long as it lives.
#[derive(Debug)]
pub(crate) struct PeerEntry {
    registry: Arc<Registry>,
    id: u64,
}

impl Peers {
    /// A peer is connected.
    pub(crate) fn add(
        &self,
        role: Role,
        name: &str,
        address: &str,
        topology: TopologyVersion,
    ) -> PeerEntry {
        let mut listed = self.0.lock();
        let id = listed.next;
        listed.next += 1;
        let connected = Connected {
            role,
            name: name.to_owned(),
            address: address.to_owned(),
            topology,
            since: rt::clock::now(),
        };
        listed.connected.insert(id, connected);
        PeerEntry { registry: Arc::clone(&self.0), id }
    }

    /// Everybody, by name and then by the length of the connection.
    pub(crate) fn status(&self) -> Vec<PeerStatus> {
        let status = |peer: &Connected| PeerStatus {
            role: match peer.role {
                Role::Proxy => "proxy",
                Role::Node => "node",
                Role::Tool => "tool",
            },
            name: peer.name.clone(),
            address: peer.address.clone(),
            topology: peer.topology,
            connected_ms: u64::try_from(peer.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let mut all: Vec<_> = self.0.lock().connected.values().map(status).collect();
        all.sort_by(|a, b| {
            (a.role, &a.name, b.connected_ms).cmp(&(b.role, &b.name, a.connected_ms))
        });
        all
    }
}

impl PeerEntry {
    /// The topology that the peer is known to know.
    pub(crate) fn topology(&self) -> TopologyVersion {
        let listed = self.registry.lock();
        listed.connected.get(&self.id).map(|peer| peer.topology).unwrap_or_default()
    }

    /// The peer announced this topology.
    pub(crate) fn set_topology(&self, version: TopologyVersion) {
        if let Some(peer) = self.registry.lock().connected.get_mut(&self.id) {
            peer.topology = version;
        }
    }
}

impl Drop for PeerEntry {
    fn drop(&mut self) {
        self.registry.lock().connected.remove(&self.id);
    }
}
