//! The validated topology: immutable, complete, indexed for lookup.
//!
//! A `Topology` exists only for a text that passed every rule, so whoever holds one checks nothing
//! again. It never changes; a newer one replaces it whole (see [`crate::TopologyHandle`]).

use std::borrow::Cow;
use std::collections::HashMap;

use common::durability::{Acks, Sync};
use common::ids::{ClusterId, FileEpoch, Lane, LogicGroup, NodeId, ServerIndex, TopologyVersion};

use crate::file::FILE_BYTES_MAX;
use crate::problem::{Place, Problems};
use crate::ranges::format_ranges;
use crate::{load, model, validate};

/// A storage process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its stable name.
    pub name: String,
    /// The hash of its name.
    pub id: NodeId,
    /// `host:port` of the node protocol.
    pub address: String,
    /// `host:port` of its admin HTTP.
    pub admin: String,
    /// Whatever fails together: a rack, a room, a data centre.
    pub zone: Option<String>,
}

/// One or more servers that hold the same logic groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalGroup {
    /// Its name.
    pub name: String,
    /// Its servers. The place in this list is the [`ServerIndex`] of a lane.
    pub servers: Vec<NodeId>,
    /// Its logic groups, ascending.
    pub logic_groups: Vec<LogicGroup>,
}

impl PhysicalGroup {
    /// The logic groups as the file writes them: `0-8,12`.
    #[must_use]
    pub fn logic_groups_text(&self) -> String {
        format_ranges(self.logic_groups.iter().map(|group| group.0))
    }
}

/// How safe a write has to be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WriteOptions {
    /// How many servers hold it.
    pub acks: Acks,
    /// Whether it is on disk there.
    pub sync: Sync,
}

impl WriteOptions {
    /// What holds when the file says nothing.
    pub const DEFAULT: Self = Self { acks: Acks::Step, sync: Sync::EverySecond };
}

/// A namespace that the file names. Others exist by being written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// The Redis database number that means it.
    pub database: Option<u32>,
    /// Its write options, the defaults filled in.
    pub write: WriteOptions,
}

/// How logic groups move between servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moves {
    /// Whether no move may go on.
    pub paused: bool,
    /// How many go on at once.
    pub parallel: u16,
    /// Bytes per second that all of them copy together.
    pub rate: u64,
}

impl Moves {
    /// What holds when the file says nothing.
    pub const DEFAULT: Self = Self { paused: false, parallel: 2, rate: 80 << 20 };
}

/// What a file says, after every check; [`Topology`] adds the indexes.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) cluster: String,
    pub(crate) epoch: FileEpoch,
    pub(crate) logic_groups: u16,
    pub(crate) servers: Vec<Server>,
    pub(crate) physical_groups: Vec<PhysicalGroup>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) write: WriteOptions,
    pub(crate) moves: Moves,
    pub(crate) voters: Vec<NodeId>,
}

/// A validated topology file.
#[derive(Debug)]
pub struct Topology {
    text: String,
    version: TopologyVersion,
    cluster_id: ClusterId,
    parts: Parts,
    server_by_name: HashMap<String, usize>,
    server_by_id: HashMap<NodeId, usize>,
    /// Of each logic group, the place of its physical group.
    physical_group_of: Vec<usize>,
    /// Of each server in a physical group, the group's place and the server's place in it.
    place_of_server: HashMap<NodeId, (usize, ServerIndex)>,
    write_by_namespace: HashMap<Vec<u8>, WriteOptions>,
    namespace_by_database: HashMap<u32, usize>,
}

impl Topology {
    /// Reads and checks the text of a topology file.
    ///
    /// # Errors
    /// All problems of the text at once.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        if text.len() > FILE_BYTES_MAX {
            let text = "the text is larger than 1 MiB; check that it is the right file";
            problems.push(&Place::root(), text);
            return Err(problems);
        }
        let parts = load::tree(text, &mut problems)
            .and_then(|root| model::read(&root, &mut problems))
            .and_then(|model| validate::validate(&model, &mut problems));
        match parts {
            Some(parts) if problems.is_empty() => Ok(Self::build(text.to_owned(), parts)),
            _ => Err(problems.into_sorted()),
        }
    }

    fn build(text: String, parts: Parts) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        let mut physical_group_of = vec![0; usize::from(parts.logic_groups)];
        let mut place_of_server = HashMap::new();
        for (place, group) in parts.physical_groups.iter().enumerate() {
            for logic_group in &group.logic_groups {
                physical_group_of[usize::from(logic_group.0)] = place;
            }
            for (index, server) in (0..).map(ServerIndex).zip(&group.servers) {
                place_of_server.insert(*server, (place, index));
            }
        }
        let servers = || parts.servers.iter().enumerate();
        let namespaces = || parts.namespaces.iter().enumerate();
        Self {
            cluster_id: ClusterId::of_name(&parts.cluster),
            version: TopologyVersion { epoch: parts.epoch, hash },
            server_by_name: servers().map(|(place, s)| (s.name.clone(), place)).collect(),
            server_by_id: servers().map(|(place, s)| (s.id, place)).collect(),
            physical_group_of,
            place_of_server,
            write_by_namespace: namespaces()
                .map(|(_, n)| (n.name.clone().into_bytes(), n.write))
                .collect(),
            namespace_by_database: namespaces()
                .filter_map(|(place, n)| Some((n.database?, place)))
                .collect(),
            text,
            parts,
        }
    }

    /// The text it was read from, byte for byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What orders it among other topologies.
    #[must_use]
    pub fn version(&self) -> TopologyVersion {
        self.version
    }

    /// The name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.parts.cluster
    }

    /// The hash of the cluster's name.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }

    /// How many logic groups there are; fixed for the life of the cluster.
    #[must_use]
    pub fn logic_groups(&self) -> u16 {
        self.parts.logic_groups
    }

    /// Every server, in the order of the file, those without a group included.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.parts.servers
    }

    /// The server with this name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.server_by_name.get(name).map(|place| &self.parts.servers[*place])
    }

    /// The server with this id.
    #[must_use]
    pub fn server_by_id(&self, id: NodeId) -> Option<&Server> {
        self.server_by_id.get(&id).map(|place| &self.parts.servers[*place])
    }

    /// Every physical group, in the order of the file.
    #[must_use]
    pub fn physical_groups(&self) -> &[PhysicalGroup] {
        &self.parts.physical_groups
    }

    /// The physical group that holds the logic group `g`.
    ///
    /// # Panics
    /// If `g` is not below [`Self::logic_groups`].
    #[must_use]
    pub fn physical_group_of(&self, g: LogicGroup) -> &PhysicalGroup {
        &self.parts.physical_groups[self.physical_group_of[usize::from(g.0)]]
    }

    /// The physical group that the server `id` belongs to, and its place in it. `None` for a server
    /// without a group.
    #[must_use]
    pub fn place_of_server(&self, id: NodeId) -> Option<(&PhysicalGroup, ServerIndex)> {
        let (place, index) = self.place_of_server.get(&id)?;
        Some((&self.parts.physical_groups[*place], *index))
    }

    /// The server whose home the lane is. `None` for a lane that does not exist here.
    #[must_use]
    pub fn leader(&self, lane: Lane) -> Option<&Server> {
        let place = self.physical_group_of.get(usize::from(lane.group.0))?;
        let group = &self.parts.physical_groups[*place];
        self.server_by_id(*group.servers.get(usize::from(lane.server.0))?)
    }

    /// The namespaces that the file names, in its order.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace] {
        &self.parts.namespaces
    }

    /// The namespace of a Redis database: the empty one for 0, the one that was given the number,
    /// else the one named by its decimal text.
    #[must_use]
    pub fn namespace_of_database(&self, n: u32) -> Cow<'_, str> {
        match self.namespace_by_database.get(&n) {
            _ if n == 0 => Cow::Borrowed(""),
            Some(place) => Cow::Borrowed(&self.parts.namespaces[*place].name),
            None => Cow::Owned(n.to_string()),
        }
    }

    /// The write options of a namespace, its own or the defaults of the file.
    #[must_use]
    pub fn write_options(&self, namespace: &[u8]) -> WriteOptions {
        self.write_by_namespace.get(namespace).copied().unwrap_or(self.parts.write)
    }

    /// The write options of namespaces that have none of their own.
    #[must_use]
    pub fn write_defaults(&self) -> WriteOptions {
        self.parts.write
    }

    /// How logic groups move.
    #[must_use]
    pub fn moves(&self) -> &Moves {
        &self.parts.moves
    }

    /// The servers that keep the groups' registers: none, 1, 3 or 5.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        &self.parts.voters
    }

    /// What is allowed but probably not meant, each with its reason.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let groups = self.logic_groups();
        let factors: Vec<String> =
            [2, 3, 11].iter().filter(|f| groups.is_multiple_of(**f)).map(u16::to_string).collect();
        let mut warnings = Vec::new();
        if !factors.is_empty() {
            warnings.push(format!(
                "logic_groups: {groups} is a multiple of {}; the key hash (Time33) spreads badly \
                 over multiples of 2, 3 and 11 (with 64 groups the fullest holds 1.9 times the \
                 mean); a new cluster should take a prime such as 17, 61 or 127",
                factors.join(" and ")
            ));
        }
        if self.voters().is_empty() {
            warnings.push(
                "voters: there is none, and without voters no group can be created; name 3 servers \
                 in different zones, or the only one"
                    .to_owned(),
            );
        }
        for group in self.physical_groups().iter().filter(|group| group.servers.len() > 1) {
            let mut zones = group.servers.iter().map(|id| self.server_by_id(*id)?.zone.as_deref());
            let first = zones.next().flatten();
            if let Some(zone) = first.filter(|_| zones.all(|zone| zone == first)) {
                warnings.push(format!(
                    "physical_groups.{}: all its servers are in zone {zone}, so they may fail \
                     together; take servers of different zones",
                    group.name
                ));
            }
        }
        warnings
    }
}

/// Topologies are equal when their texts are.
impl PartialEq for Topology {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Topology {}
