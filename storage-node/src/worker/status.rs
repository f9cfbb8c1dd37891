//! What operators see of a worker's groups.

use common::ids::{LogicGroup, Lsn, NodeId};
use common::log_record;
use common::register::Register;
use common::wire::command::NewGroup;

use crate::digest::{self, DigestQuery, KeysQuery};
use crate::replication::lane::{FollowerStatus, LaneReplica, Phase, Role, Standing};
use crate::replication::position::Position;
use crate::replication::register::Change;
use crate::worker::core::Core;
use crate::worker::group::{Group, LaneData};
use crate::worker::lead::{LeadLane, Service};

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct GroupStatus {
    pub(crate) group: LogicGroup,
    /// The register as known here.
    pub(crate) register: Option<Register>,
    /// Another data directory is the member under this node's id.
    pub(crate) stranger: bool,
    pub(crate) lanes: Vec<LaneStatus>,
    pub(crate) memtable_bytes: usize,
    pub(crate) flushing_bytes: usize,
    pub(crate) file_bytes: u64,
    pub(crate) stopped: Option<String>,
}

/// A lane of it.
#[derive(Clone, Debug)]
pub(crate) struct LaneStatus {
    pub(crate) server_index: u8,
    pub(crate) role: &'static str,
    pub(crate) phase: &'static str,
    pub(crate) official: u64,
    pub(crate) last: u64,
    pub(crate) backlog_records: usize,
    /// How long the lease still runs, where the lane is led.
    pub(crate) lease_ms: Option<u64>,
    pub(crate) followers: Vec<FollowerLag>,
}

/// How far a follower is, as the leader sees it.
#[derive(Clone, Debug)]
pub(crate) struct FollowerLag {
    pub(crate) node: NodeId,
    pub(crate) written: u64,
    pub(crate) durable: u64,
    pub(crate) lag_records: u64,
    pub(crate) lag_ms: u64,
    pub(crate) heard_ms: Option<u64>,
    pub(crate) in_step: bool,
}

/// What somebody wants to know who compares servers.
#[derive(Clone, Debug)]
pub(crate) enum DigestAsk {
    /// Digests of a part of a lane.
    Page(DigestQuery),
    /// Keys of some of its buckets.
    Keys(KeysQuery),
}

impl DigestAsk {
    /// The group it is about.
    pub(crate) fn group(&self) -> LogicGroup {
        match self {
            Self::Page(query) => query.group,
            Self::Keys(query) => query.group(),
        }
    }
}

impl Core {
    /// All groups.
    pub(crate) fn status(&self) -> Vec<GroupStatus> {
        self.groups.values().map(|group| self.group_status(group)).collect()
    }

    /// The registers known here.
    pub(crate) fn registers(&self) -> Vec<Register> {
        self.groups.values().filter_map(|group| group.replica.register().cloned()).collect()
    }

    /// Groups shall come into being by their first compare-and-set; one that exists is left alone.
    pub(crate) fn create(&mut self, groups: Vec<NewGroup>) -> Result<(), String> {
        let generation = self.voters.generation;
        if self.voters.voters.is_empty() {
            return Err(
                "the voters are not known here yet: `fdht topology init` admits them".into()
            );
        }
        for NewGroup { group: id, servers } in groups {
            let Some(group) = self.groups.get_mut(&id) else {
                return Err(format!("{id} is not held by {}", self.shared.name));
            };
            if group.servers() != servers.len() {
                let (has, told) = (group.servers(), servers.len());
                return Err(format!("{id} has {has} servers here, not {told}"));
            }
            group.replica.on_create(Change::Create { group: id, generation, servers });
            group.next_ms = 0;
        }
        Ok(())
    }

    /// One page of a comparison of servers.
    pub(crate) fn digest(&self, ask: &DigestAsk) -> Result<serde_json::Value, String> {
        let Some(group) = self.groups.get(&ask.group()) else {
            return Err(format!("{} is not held by {}", ask.group(), self.shared.name));
        };
        let answer = match ask {
            DigestAsk::Page(query) => digest::page_json(&group.store, query),
            DigestAsk::Keys(query) => digest::keys_json(&group.store, query),
        };
        answer.map_err(|error| error.to_string())
    }

    fn group_status(&self, group: &Group) -> GroupStatus {
        let lane = |data: &LaneData| {
            let replica = group.lane_replica(data.id.server);
            self.lane_status(group, data, replica)
        };
        GroupStatus {
            group: group.id,
            register: group.replica.register().cloned(),
            stranger: group.replica.is_stranger(),
            lanes: group.lanes.iter().map(lane).collect(),
            memtable_bytes: group.store.memory_bytes(),
            flushing_bytes: group.store.flushing_bytes(),
            file_bytes: group.store.file_bytes(),
            stopped: group.stopped.clone(),
        }
    }

    fn lane_status(
        &self,
        group: &Group,
        data: &LaneData,
        replica: Option<&LaneReplica>,
    ) -> LaneStatus {
        let lead = data.lead.as_ref();
        let lease_ms = lead.map(|lead| lead.lease_until_ms.saturating_sub(self.mono_ms));
        let (role, phase) = replica.map_or(("idle", "unknown"), |replica| role(replica, lead));
        let last = replica.map_or(Lsn(0), |replica| replica.last().lsn);
        let followers = replica.map(|replica| {
            let away = group.away_since.filter(|_| last > Lsn(0));
            let away_ms = away.map_or(0, |(_, since_ms)| self.mono_ms.saturating_sub(since_ms));
            let lag = |follower: FollowerStatus| FollowerLag {
                node: follower.node,
                written: follower.written.0,
                durable: follower.durable.0,
                lag_records: last.0.saturating_sub(follower.written.0),
                lag_ms: lead.map_or(0, |lead| self.lag_ms(lead, data, follower.written, away_ms)),
                heard_ms: follower.heard_ms_ago,
                in_step: follower.standing == Standing::InStep,
            };
            replica.follower_status(self.mono_ms).into_iter().map(lag).collect()
        });
        LaneStatus {
            server_index: data.id.server.0,
            role,
            phase,
            official: replica.map_or(0, |replica| replica.official().lsn.0),
            last: last.0,
            backlog_records: data.backlog.len(),
            lease_ms,
            followers: followers.unwrap_or_default(),
        }
    }

    /// How old the first record is that a follower lacks, in milliseconds; where that is not in memory
    /// any more, how long somebody has been away.
    fn lag_ms(&self, lead: &LeadLane, data: &LaneData, written: Lsn, away_ms: u64) -> u64 {
        let at = Position { epoch: lead.term.since, lsn: written.next() };
        if at.lsn > lead.last {
            return 0;
        }
        let entry = data.backlog.get(at);
        let head = entry.and_then(|entry| log_record::decode_head(&entry.body).ok());
        head.map_or(away_ms, |head| self.wall_ms.saturating_sub(head.hlc.ms()))
    }
}

fn role(replica: &LaneReplica, lead: Option<&LeadLane>) -> (&'static str, &'static str) {
    match replica.role() {
        Role::Idle => ("idle", "waiting"),
        Role::Following(_) if replica.needs_reseed() => ("following", "needs re-seed"),
        Role::Following(_) => ("following", "pulling"),
        Role::Leading(leading) => {
            let phase = match leading.phase() {
                Phase::Sealing(_) => "sealing",
                Phase::Copying(..) => "copying",
                Phase::Serving if lead.is_some_and(|l| l.service == Service::NotYet) => "beginning",
                Phase::Serving => "serving",
                Phase::Holding(_) => "holding",
                Phase::GaveUp => "gave up",
            };
            ("leading", phase)
        }
    }
}
