//! I18: a grant or an acknowledgement of another since-epoch has no effect.

use common::ids::{Lane, Lsn, NodeId};
use storage_node::replication::lane::Role;
use storage_node::replication::member::GroupReplica;
use storage_node::replication::message::Term;

use super::failures::Check;
use crate::node::Process;

/// What a leader counts as acknowledged, by follower.
type Acks = Vec<(NodeId, Lsn, Lsn)>;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct OldTerms;

impl OldTerms {
    /// The leases of all lanes that a node leads.
    #[must_use]
    pub fn leases(&self, process: &Process) -> Vec<(Term, Option<u64>)> {
        let terms = process.groups.iter().flat_map(|group| group.leading());
        terms.map(|term| (term, process.leases.until_ms(term))).collect()
    }

    /// A voter granted terms: no other lease changed.
    pub fn on_granted(
        &self,
        process: &Process,
        before: &[(Term, Option<u64>)],
        granted: &[Term],
    ) -> Check {
        for (term, until) in before.iter().filter(|(term, _)| !granted.contains(term)) {
            if process.leases.until_ms(*term) != *until {
                return Err(format!(
                    "I18: the lease of {term:?} changed by a grant of {granted:?}"
                ));
            }
        }
        Ok(())
    }

    /// What the leader of a lane counts.
    #[must_use]
    pub fn acknowledged(&self, replica: &GroupReplica, term: Term) -> (Option<Term>, Acks) {
        (leads(replica, term.lane), acks(replica, term.lane))
    }

    /// A pull arrived: if it was of another term it counts nowhere.
    pub fn on_pull(
        &self,
        replica: &GroupReplica,
        term: Term,
        before: &(Option<Term>, Acks),
    ) -> Check {
        let (led, acked) = before;
        if led.is_none_or(|led| led == term) || acks(replica, term.lane) == *acked {
            return Ok(());
        }
        Err(format!("I18: a pull of {term:?} counted in {led:?}"))
    }
}

fn leads(replica: &GroupReplica, lane: Lane) -> Option<Term> {
    replica.lane(lane.server).and_then(|lane| lane.leads())
}

fn acks(replica: &GroupReplica, lane: Lane) -> Acks {
    match replica.lane(lane.server).map(|lane| lane.role()) {
        Some(Role::Leading(leading)) => leading.acknowledgements().collect(),
        _ => Vec::new(),
    }
}
