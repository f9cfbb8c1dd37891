//! What a newer topology changes, and whether a running cluster may take it.
//!
//! Refused is what would let two processes disagree about who holds a key: another cluster, another
//! number of logic groups, another assignment, other voters, an older version. Logic groups move
//! and voters change by commands that carry the data along, not by an edit of the file. What such a
//! command brought into force may then be written into the file: other voters are taken when they
//! are the voter set in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use common::ids::{FileEpoch, LogicGroup, NodeId};

use crate::ranges::format_ranges;
use crate::topology::{Moves, Namespace, Topology, WriteOptions};
use crate::units::format_size;

/// Why a topology must not replace the one in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is for other servers.
    #[error("cluster: it is for {new}, this cluster is {old}; check that it is the right file")]
    Cluster {
        /// The name in force.
        old: String,
        /// The name in the file.
        new: String,
    },
    /// Every key would be looked for elsewhere.
    #[error(
        "logic_groups: {new} instead of {old}; it is fixed for the life of a cluster, restore it"
    )]
    LogicGroups {
        /// The number in force.
        old: u16,
        /// The number in the file.
        new: u16,
    },
    /// It is older.
    #[error("epoch: {} is older than {}, which is in force; raise it above that", new.0, old.0)]
    OldEpoch {
        /// The epoch in force.
        old: FileEpoch,
        /// The epoch in the file.
        new: FileEpoch,
    },
    /// It was changed without a new epoch.
    #[error("epoch: conflict, {} has another content ({new:016x}) than the one in force \
             ({old:016x}); raise the epoch with every change", epoch.0)]
    Conflict {
        /// The epoch of both.
        epoch: FileEpoch,
        /// The content hash in force.
        old: u64,
        /// The content hash of the file.
        new: u64,
    },
    /// Logic groups would be on other servers, or their servers in another order.
    #[error(
        "physical_groups: logic groups {groups} would change from servers {old} to {new} \
             (the order counts); groups do not move by editing, restore the list"
    )]
    Assignment {
        /// Which ones, as ranges.
        groups: String,
        /// The servers in force, in their order.
        old: String,
        /// The servers in the file, in their order.
        new: String,
    },
    /// The registers would be elsewhere.
    #[error(
        "voters: changed from {old} to {new}; the voter set is changed only by `fdht failover`, \
         write {write}"
    )]
    Voters {
        /// The voters of the topology in force.
        old: String,
        /// The voters in the file.
        new: String,
        /// Those that the file should name.
        write: String,
    },
}

/// One difference that a running cluster takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A server is new.
    ServerAdded(String),
    /// A server without a group is gone.
    ServerRemoved(String),
    /// A server has another `address`, `admin` or `zone`.
    Server {
        /// Its name.
        server: String,
        /// The key.
        key: &'static str,
        /// The value before.
        old: String,
        /// The value now.
        new: String,
    },
    /// A physical group is new; it holds no logic group, or those of one that had another name.
    PhysicalGroupAdded(String),
    /// A physical group is gone, likewise.
    PhysicalGroupRemoved(String),
    /// The write options of namespaces without their own.
    WriteDefaults(WriteOptions),
    /// A namespace is named now.
    NamespaceAdded(Namespace),
    /// A namespace is not named any more; its records stay.
    NamespaceRemoved(String),
    /// A namespace has another database number or other write options.
    NamespaceChanged(Namespace),
    /// The file follows a voter set that a command brought into force.
    Voters {
        /// The names before.
        old: String,
        /// The names now.
        new: String,
    },
    /// How logic groups move.
    Moves(Moves),
}

/// What a topology changes; empty for the same text, and for one that only raises the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// The differences.
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is gone, as it would be if the end of the file were missing.
    #[must_use]
    pub(crate) fn takes_away(&self) -> bool {
        let gone = |change: &Change| match change {
            Change::ServerRemoved(_)
            | Change::PhysicalGroupRemoved(_)
            | Change::NamespaceRemoved(_) => true,
            Change::ServerAdded(_)
            | Change::Server { .. }
            | Change::PhysicalGroupAdded(_)
            | Change::WriteDefaults(_)
            | Change::NamespaceAdded(_)
            | Change::NamespaceChanged(_)
            | Change::Voters { .. }
            | Change::Moves(_) => false,
        };
        self.0.iter().any(gone)
    }
}

/// Compares the topology in force with one that would replace it, where nobody knows the voter set
/// in force.
///
/// # Errors
/// Every reason why it must not.
pub fn diff(old: &Topology, new: &Topology) -> Result<Changes, Vec<Refusal>> {
    diff_with_voters(old, new, None)
}

/// Compares the topology in force with one that would replace it. `voters` is the voter set in
/// force, as the servers tell it: a file may name these and no others.
///
/// # Errors
/// Every reason why it must not.
pub fn diff_with_voters(
    old: &Topology,
    new: &Topology,
    voters: Option<&[NodeId]>,
) -> Result<Changes, Vec<Refusal>> {
    let refusals = refusals(old, new, voters);
    if refusals.is_empty() { Ok(changes(old, new)) } else { Err(refusals) }
}

/// Every reason why `new` must not replace `old`.
pub(crate) fn refusals(old: &Topology, new: &Topology, voters: Option<&[NodeId]>) -> Vec<Refusal> {
    if old.cluster() != new.cluster() {
        // Nothing else is comparable.
        let (old, new) = (old.cluster().to_owned(), new.cluster().to_owned());
        return vec![Refusal::Cluster { old, new }];
    }
    let mut refusals = Vec::new();
    let (from, to) = (old.version(), new.version());
    if to.epoch < from.epoch {
        refusals.push(Refusal::OldEpoch { old: from.epoch, new: to.epoch });
    } else if to.epoch == from.epoch && to.hash != from.hash {
        refusals.push(Refusal::Conflict { epoch: to.epoch, old: from.hash, new: to.hash });
    }
    if old.logic_groups() == new.logic_groups() {
        refusals.extend(reassigned(old, new));
    } else {
        let (old, new) = (old.logic_groups(), new.logic_groups());
        refusals.push(Refusal::LogicGroups { old, new });
    }
    refusals.extend(other_voters(old, new, voters));
    refusals
}

/// Other voters, unless they are those in force. Where the file named none, no register exists that
/// could be lost by naming them.
fn other_voters(old: &Topology, new: &Topology, in_force: Option<&[NodeId]>) -> Option<Refusal> {
    let now = set(new.voters());
    let in_force = in_force.filter(|voters| !voters.is_empty());
    let fits = match in_force {
        Some(voters) => now == set(voters) || now == set(old.voters()),
        None => old.voters().is_empty() || now == set(old.voters()),
    };
    if fits {
        return None;
    }
    let name = |id: &NodeId| {
        let server = old.server_by_id(*id).or_else(|| new.server_by_id(*id));
        server.map_or_else(|| id.to_string(), |server| server.name.clone())
    };
    let list =
        |ids: &[NodeId]| format!("[{}]", ids.iter().map(name).collect::<Vec<_>>().join(", "));
    Some(Refusal::Voters {
        old: list(old.voters()),
        new: list(new.voters()),
        write: list(in_force.unwrap_or(old.voters())),
    })
}

/// The order of voters means nothing.
fn set(voters: &[NodeId]) -> BTreeSet<NodeId> {
    voters.iter().copied().collect()
}

/// The logic groups with other servers, or with another order of them.
fn reassigned(old: &Topology, new: &Topology) -> Vec<Refusal> {
    let mut moved: BTreeMap<(&[NodeId], &[NodeId]), Vec<u16>> = BTreeMap::new();
    for number in 0..old.logic_groups() {
        let group = LogicGroup(number);
        let from = &old.physical_group_of(group).servers;
        let to = &new.physical_group_of(group).servers;
        if from != to {
            moved.entry((from, to)).or_default().push(number);
        }
    }
    let refusal = |((from, to), groups): ((&[NodeId], &[NodeId]), Vec<u16>)| Refusal::Assignment {
        groups: format_ranges(groups),
        old: names(old, from),
        new: names(new, to),
    };
    let mut moved: Vec<_> = moved.into_iter().collect();
    moved.sort_by_key(|(_, groups)| groups.first().copied());
    moved.into_iter().map(refusal).collect()
}

fn names(topology: &Topology, ids: &[NodeId]) -> String {
    let name = |id: &NodeId| topology.server_by_id(*id).map_or("?", |server| server.name.as_str());
    format!("[{}]", ids.iter().map(name).collect::<Vec<_>>().join(", "))
}

/// Every difference that is allowed.
pub(crate) fn changes(old: &Topology, new: &Topology) -> Changes {
    let mut changes = Vec::new();
    changes_of_servers(old, new, &mut changes);
    let names = |t: &Topology| -> BTreeSet<String> {
        t.physical_groups().iter().map(|group| group.name.clone()).collect()
    };
    let (before, now) = (names(old), names(new));
    changes.extend(before.difference(&now).cloned().map(Change::PhysicalGroupRemoved));
    changes.extend(now.difference(&before).cloned().map(Change::PhysicalGroupAdded));
    if old.write_defaults() != new.write_defaults() {
        changes.push(Change::WriteDefaults(new.write_defaults()));
    }
    changes_of_namespaces(old, new, &mut changes);
    if set(old.voters()) != set(new.voters()) {
        let (old, new) = (self::names(old, old.voters()), self::names(new, new.voters()));
        changes.push(Change::Voters { old, new });
    }
    if old.moves() != new.moves() {
        changes.push(Change::Moves(*new.moves()));
    }
    Changes(changes)
}

fn changes_of_servers(old: &Topology, new: &Topology, changes: &mut Vec<Change>) {
    for server in old.servers().iter().filter(|server| new.server(&server.name).is_none()) {
        changes.push(Change::ServerRemoved(server.name.clone()));
    }
    for server in new.servers() {
        let Some(before) = old.server(&server.name) else {
            changes.push(Change::ServerAdded(server.name.clone()));
            continue;
        };
        let zone = |zone: &Option<String>| zone.clone().unwrap_or_default();
        for (key, old, new) in [
            ("address", before.address.clone(), server.address.clone()),
            ("admin", before.admin.clone(), server.admin.clone()),
            ("zone", zone(&before.zone), zone(&server.zone)),
        ] {
            if old != new {
                changes.push(Change::Server { server: server.name.clone(), key, old, new });
            }
        }
    }
}

fn changes_of_namespaces(old: &Topology, new: &Topology, changes: &mut Vec<Change>) {
    let by_name = |t: &Topology| -> BTreeMap<String, Namespace> {
        t.namespaces().iter().map(|n| (n.name.clone(), n.clone())).collect()
    };
    let (mut before, now) = (by_name(old), by_name(new));
    for (name, namespace) in now {
        match before.remove(&name) {
            None => changes.push(Change::NamespaceAdded(namespace)),
            Some(before) if before != namespace => {
                changes.push(Change::NamespaceChanged(namespace))
            }
            Some(_) => {}
        }
    }
    changes.extend(before.into_keys().map(Change::NamespaceRemoved));
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerAdded(name) => write!(f, "server {name} added"),
            Self::ServerRemoved(name) => write!(f, "server {name} removed"),
            Self::Server { server, key, old, new } => {
                write!(f, "server {server}: {key} \"{old}\" -> \"{new}\"")
            }
            Self::PhysicalGroupAdded(name) => write!(f, "physical group {name} added"),
            Self::PhysicalGroupRemoved(name) => write!(f, "physical group {name} removed"),
            Self::WriteDefaults(write) => {
                write!(f, "write defaults: acks {}, sync {}", write.acks, write.sync)
            }
            Self::NamespaceAdded(namespace) => {
                write!(f, "namespace {:?} added: ", namespace.name)?;
                fmt_namespace(namespace, f)
            }
            Self::NamespaceRemoved(name) => write!(f, "namespace {name:?} removed"),
            Self::NamespaceChanged(namespace) => {
                write!(f, "namespace {:?} changed: ", namespace.name)?;
                fmt_namespace(namespace, f)
            }
            Self::Voters { old, new } => write!(f, "voters: {old} -> {new}"),
            Self::Moves(moves) => {
                let state = if moves.paused { "paused" } else { "going on" };
                let rate = format_size(moves.rate);
                write!(f, "moves: {state}, {} at once, {rate} per second", moves.parallel)
            }
        }
    }
}

fn fmt_namespace(namespace: &Namespace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(database) = namespace.database {
        write!(f, "database {database}, ")?;
    }
    write!(f, "acks {}, sync {}", namespace.write.acks, namespace.write.sync)
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing but the epoch");
        }
        for (index, change) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{change}")?;
        }
        Ok(())
    }
}
