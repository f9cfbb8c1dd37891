//! The leases a voter granted for lanes of its groups. Not durable: a restarted voter waits one
//! lease time instead ([`super::voter`]).

use std::collections::BTreeMap;

use common::ids::{Epoch, Lane, LogicGroup, ServerIndex};

use super::value::Register;
use crate::replication::message::RunningLease;
use crate::replication::timing::LEASE_VOTER_MS;

/// Running leases, by lane and since-epoch.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    ends_ms: BTreeMap<(Lane, Epoch), u64>,
}

impl Grants {
    /// A renewal arrived and was granted.
    pub fn grant(&mut self, now_ms: u64, lane: Lane, since: Epoch) {
        self.ends_ms.insert((lane, since), now_ms + LEASE_VOTER_MS);
    }

    /// Forgets what ended.
    pub fn expire(&mut self, now_ms: u64) {
        self.ends_ms.retain(|_, end_ms| *end_ms > now_ms);
    }

    /// The leader itself gave the lane up.
    pub fn give_up(&mut self, lane: Lane, since: Epoch) {
        self.ends_ms.remove(&(lane, since));
    }

    /// The leases of a group that run.
    #[must_use]
    pub fn running(&self, now_ms: u64, group: LogicGroup) -> Vec<RunningLease> {
        let lane = |server| Lane { group, server };
        let of_group =
            (lane(ServerIndex(0)), Epoch(0))..=(lane(ServerIndex(u8::MAX)), Epoch(u64::MAX));
        let running = self.ends_ms.range(of_group).filter(|(_, end_ms)| **end_ms > now_ms);
        running
            .map(|(&(lane, since), end_ms)| RunningLease {
                lane: lane.server,
                since,
                remaining_ms: end_ms - now_ms,
            })
            .collect()
    }
}

/// How long the longest of these leases keeps `value` from being accepted: it gives the lane to
/// another term than the lease's.
#[must_use]
pub fn blocked_ms(leases: &[RunningLease], value: &Register) -> u64 {
    let taken = leases
        .iter()
        .filter(|lease| value.leader(lease.lane).is_none_or(|leader| leader.since != lease.since));
    taken.map(|lease| lease.remaining_ms).max().unwrap_or(0)
}
