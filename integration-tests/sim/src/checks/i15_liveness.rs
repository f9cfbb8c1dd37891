//! I15: when faults stop, every group serves within 5 s and the replicas converge. Servers that were
//! lost for good, or have to be seeded anew, stay away.

use super::failures::Check;
use crate::setup::{CLIENTS, GROUPS, KEYS, group_id, node_id};
use crate::world::World;

/// A request for each key, begun when everything healed, is answered.
pub fn serves(world: &World) -> Check {
    for key in 0..KEYS {
        let client = &world.clients[CLIENTS + key];
        if client.probe.is_some() {
            let lane = world.setup.lane_of(key);
            let register = &world.registers[usize::from(lane.group.0)];
            return Err(format!("I15: {lane} does not serve after 5 s; {register:?}"));
        }
    }
    Ok(())
}

/// All servers are in step again, lead their own lanes and hold the same.
pub fn converged(world: &World) -> Check {
    for (group, register) in world.registers.iter().enumerate().take(GROUPS) {
        let Some(register) = register else {
            return Err(format!("I15: group {group} was never created"));
        };
        let can_return = |node: &usize| world.nodes[*node].can_return(group_id(group));
        let back: Vec<usize> = (0..world.setup.rf).filter(can_return).collect();
        let in_step = |node: &usize| register.is_in_step(node_id(*node));
        let all = register.in_step.len() == back.len() && back.iter().all(in_step);
        if !all || register.leaving.is_some() {
            return Err(format!("I15: not everybody is in step: {register:?}"));
        }
        for (server, leader) in register.leaders() {
            let lane = register.lane(server);
            let home = register.home(server).filter(|home| register.is_in_step(*home));
            if home.is_some_and(|home| home != leader.node) {
                return Err(format!("I15: {lane} is not back home: {register:?}"));
            }
            let official = world.checks.history.official.get(&lane);
            for &node in &back {
                let replica = world.nodes[node].group(group_id(group));
                let Some(replica) = replica.and_then(|g| g.lane(server)) else {
                    return Err(format!("I15: node {node} has no {lane}"));
                };
                let log = world.nodes[node].disk.logs.get(&lane);
                let data = log.map(|log| log.flat(replica.held())).unwrap_or_default();
                if Some(&data) != official {
                    let have = replica.held().chain();
                    return Err(format!("I15: node {node} {lane} differs: {have:?}, {register:?}"));
                }
                if replica.official() != replica.held().last() {
                    return Err(format!("I15: node {node} {lane}: not all is official"));
                }
            }
        }
    }
    Ok(())
}
