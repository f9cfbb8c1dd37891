//! What the servers of a cluster know, put together. Pure.

use std::collections::BTreeMap;

use common::agreed::agreed;
use common::ids::{LogicGroup, NodeId, StoreId, TopologyVersion};
use common::register::{Register, VoterSet};
use common::wire::views::Views;
use config::Topology;

/// What one server said.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Its data directory.
    pub(super) store: StoreId,
    /// Its topology, when it was connected.
    pub(super) topology: TopologyVersion,
    /// The voters and registers it knows.
    pub(super) views: Views,
}

/// What each server that answered said.
pub(super) type Answers = BTreeMap<NodeId, Known>;

/// The voter set with the greatest generation; `None` if nobody knows one.
pub(super) fn voters_in_force(answers: &Answers) -> Option<&VoterSet> {
    let sets = answers.values().map(|known| &known.views.voters);
    sets.max_by_key(|set| set.generation).filter(|set| set.generation.0 > 0)
}

/// The register of each group that was agreed on last, as far as anybody knows.
pub(super) fn registers(answers: &Answers) -> BTreeMap<LogicGroup, Register> {
    agreed(answers.values().flat_map(|known| &known.views.groups))
}

/// The name of a server, or its number where the file does not name it.
pub(super) fn name(topology: &Topology, id: NodeId) -> String {
    topology.server_by_id(id).map_or_else(|| id.to_string(), |server| server.name.clone())
}

/// Names of servers, as a file lists them.
pub(super) fn names(topology: &Topology, ids: &[NodeId]) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    ids.iter().map(|id| name(topology, *id)).collect::<Vec<_>>().join(", ")
}

/// Numbers of logic groups for a person: all of a few, the first of many.
pub(super) fn groups(numbers: &[LogicGroup]) -> String {
    const SHOWN_MAX: usize = 8;
    let shown = numbers.iter().take(SHOWN_MAX).map(|group| group.0.to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    let noun = if numbers.len() == 1 { "logic group" } else { "logic groups" };
    match numbers.len().saturating_sub(SHOWN_MAX) {
        0 => format!("{noun} {shown}"),
        more => format!("{noun} {shown} and {more} more"),
    }
}
