//! I4: servers of a group with equal position vectors hold equal data.

use std::collections::BTreeMap;

use super::failures::Check;
use crate::setup::{GROUPS, group_id};
use crate::world::World;

/// Compares all replicas of all lanes.
pub fn check(world: &World) -> Check {
    for group in 0..GROUPS {
        for server in 0..world.setup.rf {
            let lane = common::ids::Lane {
                group: group_id(group),
                server: common::ids::ServerIndex(u8::try_from(server).unwrap_or(0)),
            };
            let mut seen = BTreeMap::new();
            for node in 0..world.setup.rf {
                let replica = world.nodes[node].group(lane.group).and_then(|g| g.lane(lane.server));
                let log = world.nodes[node].disk.logs.get(&lane);
                let (Some(replica), Some(log)) = (replica, log) else { continue };
                let data = log.flat(replica.held());
                let chain: Vec<_> =
                    replica.held().chain().iter().map(|p| (p.epoch, p.lsn)).collect();
                if *seen.entry(chain).or_insert_with(|| data.clone()) != data {
                    return Err(format!("I4: {lane}: equal positions, other data on node {node}"));
                }
            }
        }
    }
    Ok(())
}
