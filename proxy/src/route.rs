//! Where a request goes: from an object's hash and the topology to a lane and its leader.
//!
//! Pure; built whole from a validated topology and replaced whole when that changes.

use std::collections::HashMap;

use common::address::Object;
use common::hash::KeyHash;
use common::ids::{ClusterId, Epoch, FileEpoch, Lane, LogicGroup, ServerIndex};
use config::{Topology, WriteOptions};

/// Index of a node in [`RouteTable::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

/// A node as the proxy reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// Its name in the topology file.
    pub name: String,
    /// `host:port` of its data port.
    pub address: String,
}

/// Immutable routing of one topology version.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// The cluster.
    pub cluster: ClusterId,
    /// The topology file's epoch.
    pub file_epoch: FileEpoch,
    nodes: Vec<NodeAddress>,
    /// For each logic group the leaders of its lanes by server index.
    groups: Vec<Vec<NodeIndex>>,
    write: WriteOptions,
    overrides: HashMap<Vec<u8>, WriteOptions>,
}

impl RouteTable {
    /// The routing of a topology.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        let nodes: Vec<_> = (topology.servers().iter())
            .map(|s| NodeAddress { name: s.name.clone(), address: s.address.clone() })
            .collect();
        let index_of = |id| {
            let place = topology.servers().iter().position(|server| server.id == id);
            NodeIndex(place.expect("validation: groups list known servers"))
        };
        let groups = (0..topology.logic_groups())
            .map(|group| {
                let servers = &topology.physical_group_of(LogicGroup(group)).servers;
                servers.iter().map(|id| index_of(*id)).collect()
            })
            .collect();
        let overrides = (topology.namespaces().iter())
            .map(|namespace| (namespace.name.clone().into_bytes(), namespace.write))
            .collect();
        Self {
            cluster: topology.cluster_id(),
            file_epoch: topology.version().epoch,
            nodes,
            groups,
            write: topology.write_options(b""),
            overrides,
        }
    }

    /// All nodes, idle ones included.
    #[must_use]
    pub fn nodes(&self) -> &[NodeAddress] {
        &self.nodes
    }

    /// Number of logic groups.
    #[must_use]
    pub fn logic_groups(&self) -> u16 {
        u16::try_from(self.groups.len()).expect("validation: at most LOGIC_GROUPS_MAX")
    }

    /// The lane of an object.
    #[must_use]
    pub fn lane_of(&self, object: Object<'_>) -> Lane {
        let hash = KeyHash::of(object);
        let group = hash.logic_group(self.logic_groups());
        Lane { group, server: hash.server_index(self.servers(group)) }
    }

    /// The lanes of a logic group by server index.
    #[must_use]
    pub fn lanes_of(&self, group: LogicGroup) -> Vec<Lane> {
        (0..self.servers(group)).map(|s| Lane { group, server: ServerIndex(s) }).collect()
    }

    /// The lane's leader as far as known, and the epoch since which it leads.
    #[must_use]
    pub fn leader(&self, lane: Lane) -> Option<(NodeIndex, Epoch)> {
        let servers = self.groups.get(usize::from(lane.group.0))?;
        servers.get(usize::from(lane.server.0)).map(|node| (*node, Epoch(1)))
    }

    /// What a write in a namespace has to wait for.
    #[must_use]
    pub fn write_options(&self, namespace: &[u8]) -> WriteOptions {
        self.overrides.get(namespace).copied().unwrap_or(self.write)
    }

    fn servers(&self, group: LogicGroup) -> u8 {
        let servers = self.groups.get(usize::from(group.0)).map_or(1, Vec::len);
        u8::try_from(servers).expect("validation: at most SERVERS_PER_GROUP_MAX")
    }
}
