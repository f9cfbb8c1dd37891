//! A proxy's picture of who leads which lane: a cache of the groups' registers, never the authority
//! (guarantees 4.5).

use std::collections::BTreeMap;

use crate::ids::{Epoch, Lane, LogicGroup, NodeId};
use crate::register::VoterSet;

/// Who leads the lanes of a group, as of a register epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// The register's epoch.
    pub epoch: Epoch,
    /// The leader of each lane with its since-epoch, by server index.
    pub leaders: Vec<(NodeId, Epoch)>,
}

/// The views of all groups, and whom to ask for newer ones. Adopts only greater epochs and voter
/// generations, so a server that was left behind cannot take a proxy back.
#[derive(Clone, Debug, Default)]
pub struct ViewCache {
    groups: BTreeMap<LogicGroup, GroupView>,
    voters: VoterSet,
}

impl ViewCache {
    /// A server or a voter told its view of a group. Says whether it was adopted.
    pub fn adopt(&mut self, group: LogicGroup, view: GroupView) -> bool {
        let known = self.groups.get(&group);
        let newer = known.is_none_or(|known| known.epoch < view.epoch);
        if newer {
            self.groups.insert(group, view);
        }
        newer
    }

    /// The leader of a lane and the since-epoch to send with a request.
    #[must_use]
    pub fn leader(&self, lane: Lane) -> Option<(NodeId, Epoch)> {
        let view = self.groups.get(&lane.group)?;
        view.leaders.get(usize::from(lane.server.0)).copied()
    }

    /// A server or a voter told who keeps the registers. Says whether it was adopted.
    pub fn adopt_voters(&mut self, voters: VoterSet) -> bool {
        let newer = self.voters.generation < voters.generation;
        if newer {
            self.voters = voters;
        }
        newer
    }

    /// Who keeps the registers; nobody if nobody told.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        &self.voters.voters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ServerIndex, VoterGeneration};

    #[test]
    fn only_a_greater_epoch_is_adopted() {
        let lane = Lane { group: LogicGroup(3), server: ServerIndex(0) };
        let view = |epoch, node| GroupView {
            epoch: Epoch(epoch),
            leaders: vec![(NodeId(node), Epoch(epoch))],
        };
        let mut cache = ViewCache::default();
        assert_eq!(cache.leader(lane), None);
        assert!(cache.adopt(lane.group, view(4, 1)));
        assert!(!cache.adopt(lane.group, view(4, 2)));
        assert!(!cache.adopt(lane.group, view(3, 2)));
        assert_eq!(cache.leader(lane), Some((NodeId(1), Epoch(4))));
        assert!(cache.adopt(lane.group, view(5, 2)));
        assert_eq!(cache.leader(lane), Some((NodeId(2), Epoch(5))));
    }

    #[test]
    fn only_a_greater_voter_generation_is_adopted() {
        let set = |generation, node| VoterSet {
            generation: VoterGeneration(generation),
            voters: vec![NodeId(node)],
        };
        let mut cache = ViewCache::default();
        assert!(!cache.adopt_voters(VoterSet::default()));
        assert!(cache.adopt_voters(set(2, 1)));
        assert!(!cache.adopt_voters(set(2, 2)));
        assert!(!cache.adopt_voters(set(1, 2)));
        assert_eq!(cache.voters(), [NodeId(1)]);
    }
}
