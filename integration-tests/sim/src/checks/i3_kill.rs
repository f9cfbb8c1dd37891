//! I3: kill -9 loses no OK write: what a server knew as official is in its log when it starts again.

use std::collections::BTreeMap;

use common::ids::Lane;
use storage_node::replication::position::Position;

use super::failures::Check;
use crate::node::Disk;

/// See the module.
#[derive(Debug, Default)]
pub struct Kill {
    known: BTreeMap<(usize, Lane), Position>,
}

impl Kill {
    /// A follower learned that its lane is official up to there.
    pub fn on_known_official(&mut self, node: usize, lane: Lane, at: Position) {
        self.known.insert((node, lane), at);
    }

    /// The machine lost power: what it knew may be gone.
    pub fn on_power_cut(&mut self, node: usize) {
        self.known.retain(|(of, _), _| *of != node);
    }

    /// A killed process starts again.
    pub fn on_start(&self, node: usize, disk: &Disk) -> Check {
        for ((_, lane), at) in
            self.known.range((node, Lane::default())..).take_while(|k| k.0.0 == node)
        {
            if disk.logs.get(lane).and_then(|log| log.get(*at)).is_none() {
                return Err(format!(
                    "I3: node {node} {lane}: {at:?} was official, is not in the log"
                ));
            }
        }
        Ok(())
    }
}
