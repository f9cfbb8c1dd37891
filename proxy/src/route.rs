//! What the topology says of a request's way: from an object's hash to its lane, and where servers
//! are. Who leads the lane is not in the topology; views say that.
//!
//! Pure; built whole from a validated topology and replaced whole when that changes.

use std::collections::HashMap;

use common::address::Object;
use common::hash::KeyHash;
use common::ids::{ClusterId, FileEpoch, Lane, LogicGroup, NodeId, ServerIndex};
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
    /// For each logic group its servers by server index.
    groups: Vec<Vec<NodeIndex>>,
    voters: Vec<NodeId>,
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
            voters: topology.voters().to_vec(),
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

    /// The servers of a logic group by server index.
    #[must_use]
    pub fn servers_of(&self, group: LogicGroup) -> &[NodeIndex] {
        self.groups.get(usize::from(group.0)).map_or(&[], Vec::as_slice)
    }

    /// Servers of the logic group with the most.
    #[must_use]
    pub fn servers_max(&self) -> u8 {
        (0..self.logic_groups()).map(|group| self.servers(LogicGroup(group))).max().unwrap_or(1)
    }

    /// The voters as the file names them; the servers may know others that are in force.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
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
