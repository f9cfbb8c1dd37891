//! What a node says on its admin port: `/v1/groups`, `/v1/peers` and `/v1/nodes`, as far as `status` reads it.

use serde::Deserialize;
use serde_json::Value;

/// A logic group on a node.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct NodeGroup {
    /// The logic group.
    pub(super) group: u64,
    /// Epoch of the register that the node knows.
    pub(super) register_epoch: Option<u64>,
    /// The servers in step, as that register says.
    pub(super) in_step: Option<Vec<String>>,
    /// The register does not name this server, or names another store of it.
    #[serde(default)]
    pub(super) stranger: bool,
    /// Why the group's file takes no writes any more.
    pub(super) stopped: Option<String>,
    /// Its lanes.
    #[serde(default)]
    pub(super) lanes: Vec<NodeLane>,
}

/// A lane of a group on a node.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct NodeLane {
    /// Which server is its home.
    pub(super) server_index: usize,
    /// `leading`, `following` or `idle`.
    pub(super) role: Option<String>,
    /// Epoch since which its leader leads; absent while no register is known.
    pub(super) since_epoch: Option<u64>,
    /// What it is doing: `serving` and `pulling` are normal.
    pub(super) phase: Option<String>,
    /// How long the leader may answer without another renewal.
    pub(super) lease_ms: Option<u64>,
    /// Who follows, as the leader sees them.
    #[serde(default)]
    pub(super) followers: Vec<Follower>,
}

impl NodeLane {
    /// Whether the node says that it leads it.
    pub(super) fn leads(&self) -> bool {
        self.role.as_deref() == Some("leading")
    }
}

/// A follower of a lane.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Follower {
    /// Its name.
    pub(super) server: String,
    /// Records it has not acknowledged.
    #[serde(default)]
    pub(super) lag_records: u64,
    /// How long the oldest of them has been waiting.
    #[serde(default)]
    pub(super) lag_ms: u64,
}

/// A process that is connected to a node.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Peer {
    /// `proxy`, `node` or `tool`.
    pub(super) role: String,
    /// How it calls itself.
    #[serde(default)]
    pub(super) name: String,
    /// Its end of the connection.
    #[serde(default)]
    pub(super) address: String,
    /// Epoch of its topology.
    #[serde(default)]
    pub(super) topology_epoch: u64,
    /// Hash of its topology, in hex.
    #[serde(default)]
    pub(super) topology_hash: String,
}

/// The voters as a node knows them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct NodeVoters {
    /// The set with the greater one is in force; 0: the node knows none.
    pub(super) generation: u64,
    /// Their names.
    #[serde(default)]
    pub(super) voters: Vec<String>,
}

/// A node about itself.
#[derive(Debug, Clone, Deserialize)]
struct NodeItself {
    voters: Option<NodeVoters>,
    write_state: Option<String>,
}

/// Everything a node was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Its logic groups.
    pub(super) groups: Vec<NodeGroup>,
    /// Who is connected to it.
    pub(super) peers: Vec<Peer>,
    /// The voters that it knows; a node of an older version does not say.
    pub(super) voters: Option<NodeVoters>,
    /// Why it takes no writes.
    pub(super) refuses_writes: Option<String>,
}

impl Told {
    /// Reads the answers.
    pub(super) fn of_json(groups: Value, peers: Value, nodes: Value) -> Result<Self, String> {
        let strange = |what: &'static str| move |e: serde_json::Error| format!("{what} says {e}");
        let nodes: Vec<NodeItself> = serde_json::from_value(nodes).map_err(strange("/v1/nodes"))?;
        let refuses = nodes.iter().find_map(|node| node.write_state.clone());
        Ok(Self {
            refuses_writes: refuses.filter(|state| state != "ok"),
            groups: serde_json::from_value(groups).map_err(strange("/v1/groups"))?,
            peers: serde_json::from_value(peers).map_err(strange("/v1/peers"))?,
            voters: nodes.into_iter().find_map(|node| node.voters),
        })
    }
}
