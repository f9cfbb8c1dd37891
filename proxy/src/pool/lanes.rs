//! The queues of all lanes, found by index, and which of them are stalled.

use common::ids::{Lane, LogicGroup, ServerIndex};

use crate::pool::lane_queue::LaneQueue;
use crate::pool::requests::LaneKey;

/// Two queues per lane: one for small, one for large requests.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Servers of the group with the most.
    servers: usize,
    queues: Vec<Place>,
    stalled: Vec<LaneKey>,
}

#[derive(Debug, Default)]
struct Place {
    queue: LaneQueue,
    /// Whether it is among the stalled ones.
    listed: bool,
}

impl Lanes {
    /// Makes room for so many logic groups of at most so many servers. Queues stay what they are.
    pub(crate) fn resize(&mut self, groups: u16, servers: u8) {
        let before = self.servers;
        let servers = before.max(usize::from(servers));
        if servers != before {
            let old = std::mem::take(&mut self.queues);
            let groups = old.len().checked_div(2 * before).unwrap_or(0);
            self.queues.resize_with(groups * servers * 2, Place::default);
            for (place, queue) in old.into_iter().enumerate() {
                let (group, rest) = (place / (2 * before), place % (2 * before));
                if let Some(slot) = self.queues.get_mut(group * servers * 2 + rest) {
                    *slot = queue;
                }
            }
            self.servers = servers;
        }
        let wanted = usize::from(groups) * servers * 2;
        if self.queues.len() < wanted {
            self.queues.resize_with(wanted, Place::default);
        }
    }

    fn place(&self, key: LaneKey) -> Option<usize> {
        let Lane { group, server } = key.lane;
        let server = usize::from(server.0);
        let place = (usize::from(group.0) * self.servers + server) * 2 + usize::from(key.large);
        (server < self.servers).then_some(place)
    }

    /// The queue of a lane.
    pub(crate) fn get(&self, key: LaneKey) -> Option<&LaneQueue> {
        self.queues.get(self.place(key)?).map(|place| &place.queue)
    }

    /// The same, to be changed. [`Self::note`] follows where it may have stalled.
    pub(crate) fn get_mut(&mut self, key: LaneKey) -> Option<&mut LaneQueue> {
        let place = self.place(key)?;
        self.queues.get_mut(place).map(|place| &mut place.queue)
    }

    /// The queues of a group.
    pub(crate) fn keys_of(&self, group: LogicGroup) -> impl Iterator<Item = LaneKey> + use<> {
        let servers = u8::try_from(self.servers).unwrap_or(u8::MAX);
        (0..servers).flat_map(move |server| {
            let lane = Lane { group, server: ServerIndex(server) };
            [false, true].map(|large| LaneKey { lane, large })
        })
    }

    /// Puts a queue among the stalled ones if it is.
    pub(crate) fn note(&mut self, key: LaneKey) {
        let Some(place) = self.place(key).and_then(|place| self.queues.get_mut(place)) else {
            return;
        };
        if place.queue.is_stalled() && !place.listed {
            place.listed = true;
            self.stalled.push(key);
        }
    }

    /// The stalled queues; some may flow again.
    pub(crate) fn stalled(&self) -> &[LaneKey] {
        &self.stalled
    }

    /// Forgets those that flow again.
    pub(crate) fn sweep(&mut self) {
        let mut stalled = std::mem::take(&mut self.stalled);
        stalled.retain(|key| {
            let Some(place) = self.place(*key).and_then(|place| self.queues.get_mut(place)) else {
                return false;
            };
            place.listed = place.queue.is_stalled();
            place.listed
        });
        self.stalled = stalled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::requests::tests::key;

    fn lane(group: u16, server: u8, large: bool) -> LaneKey {
        LaneKey { lane: Lane { group: LogicGroup(group), server: ServerIndex(server) }, large }
    }

    #[test]
    fn queues_keep_their_requests_when_groups_get_more_servers() {
        let mut lanes = Lanes::default();
        lanes.resize(3, 1);
        assert!(lanes.get(lane(2, 1, false)).is_none() && lanes.get(lane(3, 0, false)).is_none());
        lanes.get_mut(lane(2, 0, true)).unwrap().on_submit(key(1), 0);
        lanes.note(lane(2, 0, true));
        lanes.note(lane(2, 0, true));
        lanes.note(lane(1, 0, false));
        lanes.resize(3, 2);
        lanes.resize(3, 1);
        assert_eq!(lanes.get(lane(2, 0, true)).unwrap().waiting(), 1);
        assert_eq!(lanes.get(lane(2, 1, true)).unwrap().waiting(), 0);
        assert_eq!(lanes.keys_of(LogicGroup(2)).count(), 4);
        assert_eq!(lanes.stalled(), [lane(2, 0, true)]);
        lanes.get_mut(lane(2, 0, true)).unwrap().retain(|_| false);
        lanes.get_mut(lane(2, 0, true)).unwrap().step(0);
        lanes.sweep();
        assert!(lanes.stalled().is_empty());
    }
}
