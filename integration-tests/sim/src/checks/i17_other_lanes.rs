//! I17: a register change of one lane does not interrupt another.

use storage_node::replication::action::Action;
use storage_node::replication::member::GroupReplica;
use storage_node::replication::message::Term;

use super::failures::Check;

/// See the module.
#[derive(Debug)]
pub struct OtherLanes;

impl OtherLanes {
    /// A group took a step: what it served before it still serves, if it learned a register that
    /// leaves the lane as it was.
    pub fn on_step(&self, replica: &GroupReplica, before: &[Term], actions: &[Action]) -> Check {
        let Some(register) = actions.iter().rev().find_map(|action| match action {
            Action::NewRegister(register) => Some(register),
            _ => None,
        }) else {
            return Ok(());
        };
        for term in before {
            let unchanged =
                register.leader(term.lane.server).is_some_and(|l| l.since == term.since);
            let handed =
                actions.iter().any(|a| matches!(a, Action::Holds(held) if held.lane == term.lane));
            let serves = replica.lane(term.lane.server).and_then(|lane| lane.serves());
            if unchanged && !handed && serves != Some(*term) {
                return Err(format!("I17: {term:?} was interrupted by {register:?}"));
            }
        }
        Ok(())
    }
}
