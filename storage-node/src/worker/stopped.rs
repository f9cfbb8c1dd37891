//! A group whose file failed. Alone, it refuses writes and goes on with reads. Where other servers are
//! in step it hands its lanes over to them and leaves R, as before a planned stop: its log is well, so
//! every record still becomes official, and no client needs to notice.

use common::failure::{Failure, FailureCode};
use common::ids::{Lane, LogicGroup, NodeId};
use common::register::Register;

use crate::engine::EngineError;
use crate::worker::core::Core;
use crate::worker::group::Group;
use crate::worker::lead::{LeadLane, Service};

impl Core {
    /// Once a tick: what a group that stopped does depends on who is in step with it.
    pub(super) fn retire_stopped(&mut self) {
        let me = self.shared.node;
        let stopped = self.groups.values().filter(|group| group.stopped.is_some() && !group.left);
        let stopped: Vec<LogicGroup> = stopped.map(|group| group.id).collect();
        for id in stopped {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let Some(register) = group.replica.register() else { continue };
            let is_alone = register.in_step == [me];
            if group.has_successor(me) {
                if !std::mem::replace(&mut group.retires, true) {
                    tracing::warn!(group = %id, "the other servers in step take the lanes over");
                    group.replica.on_depart();
                    self.on_group_timeout(id);
                }
            } else if is_alone {
                if !self.departs && std::mem::replace(&mut group.retires, false) {
                    // Whoever was to take over is gone: what was given up can at least be read here.
                    group.replica.on_stay();
                    group.departed = false;
                    group.next_ms = 0;
                }
                let leads = group.lanes.iter_mut().filter_map(|lane| lane.lead.as_mut());
                let serving = leads.filter(|lead| lead.service == Service::Serving);
                self.resumed.extend(serving.flat_map(LeadLane::take_parked));
            }
        }
    }

    /// Tells that an operation failed on the group's file, which stops. With other servers in step the
    /// asker is to come again: one of them will lead the lane.
    pub(super) fn stop_for(&mut self, lane: Lane, error: &EngineError) -> Failure {
        let detail = format!("{} ({}): stopped: {error}", lane.group, self.shared.name);
        let me = self.shared.node;
        let Some(group) = self.groups.get_mut(&lane.group) else {
            return Failure::new(FailureCode::Stopped, detail);
        };
        group.stop(&error.to_string());
        if !group.has_successor(me) {
            return Failure::new(FailureCode::Stopped, detail);
        }
        self.come_again(lane, detail)
    }

    /// Tells that a request came to a lane that is being handed over.
    pub(super) fn held_back(&self, lane: Lane) -> Failure {
        let detail = format!("{} ({}): {lane} is being handed over", lane.group, self.shared.name);
        self.come_again(lane, detail)
    }

    fn come_again(&self, lane: Lane, detail: String) -> Failure {
        let register = self.groups.get(&lane.group).and_then(|group| group.replica.register());
        let view = register.map(Register::view).unwrap_or_default();
        Failure::with_view(FailureCode::NotYet, detail, view)
    }
}

impl Group {
    /// Whether another server is in step with this one.
    pub(super) fn has_successor(&self, me: NodeId) -> bool {
        self.replica.register().is_some_and(|register| {
            register.is_in_step(me) && register.in_step.iter().any(|node| *node != me)
        })
    }
}
