//! The leases a node holds for the lanes it leads (guarantees 3).
//!
//! One message per voter renews all of them. A grant counts from the **sending** of its renewal, on
//! a clock that also counts while the process is stopped. A lease holds while a majority's grants
//! do. Read, then ask [`LeaseHolder::holds`], then answer.

use std::collections::BTreeMap;

use common::ids::NodeId;

use super::action::Action;
use super::message::{Message, Term};
use super::timing::{LEASE_HOLDER_MS, RENEW_MS};

/// See the module.
#[derive(Clone, Debug)]
pub struct LeaseHolder {
    voters: Vec<NodeId>,
    /// For each term the sending time of the last granted renewal, by place of the voter.
    terms: BTreeMap<Term, Vec<Option<u64>>>,
    renew_at_ms: u64,
}

impl LeaseHolder {
    /// A node without leases, renewing at these voters.
    #[must_use]
    pub fn new(voters: Vec<NodeId>) -> Self {
        Self { voters, terms: BTreeMap::new(), renew_at_ms: 0 }
    }

    /// A newer voter set came into force: grants of voters that belong to both still count, the
    /// others' do not, and a renewal is due now.
    pub fn set_voters(&mut self, voters: Vec<NodeId>) {
        for grants in self.terms.values_mut() {
            let of = |voter: &NodeId| {
                let place = self.voters.iter().position(|old| old == voter)?;
                grants.get(place).copied().flatten()
            };
            *grants = voters.iter().map(of).collect();
        }
        self.voters = voters;
        self.renew_at_ms = 0;
    }

    /// This node leads a lane: its lease is asked for with the next renewal, which is due now.
    pub fn begin(&mut self, term: Term) {
        self.terms.entry(term).or_insert_with(|| vec![None; self.voters.len()]);
        self.renew_at_ms = 0;
    }

    /// The term is over. Grants that still arrive have no effect (I18).
    pub fn end(&mut self, term: Term) {
        self.terms.remove(&term);
    }

    /// A voter granted what was sent at `sent_ms`.
    pub fn on_granted(&mut self, from: NodeId, sent_ms: u64, granted: &[Term]) {
        let Some(voter) = self.voters.iter().position(|voter| *voter == from) else {
            return;
        };
        for term in granted {
            let place = self.terms.get_mut(term).and_then(|grants| grants.get_mut(voter));
            if let Some(last) = place {
                *last = (*last).max(Some(sent_ms));
            }
        }
    }

    /// Whether the lease of a term holds.
    #[must_use]
    pub fn holds(&self, now_ms: u64, term: Term) -> bool {
        self.until_ms(term).is_some_and(|until_ms| now_ms < until_ms)
    }

    /// When the lease of a term ends, unless it is renewed.
    #[must_use]
    pub fn until_ms(&self, term: Term) -> Option<u64> {
        let mut sent = self.terms.get(&term)?.clone();
        // Descending: the last of the first majority is what a majority has at least granted.
        sent.sort_unstable_by(|a, b| b.cmp(a));
        let weakest = sent.get(self.voters.len() / 2).copied().flatten()?;
        Some(weakest + LEASE_HOLDER_MS)
    }

    /// When [`Self::on_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.terms.is_empty()).then_some(self.renew_at_ms)
    }

    /// Time passed: sends what is due.
    pub fn on_timeout(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if self.terms.is_empty() || now_ms < self.renew_at_ms {
            return;
        }
        self.renew_at_ms = now_ms + RENEW_MS;
        for voter in &self.voters {
            let terms = self.terms.keys().copied().collect();
            actions.push(Action::Send(*voter, Message::Renew { sent_ms: now_ms, terms }));
        }
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{Epoch, Lane};

    use super::*;

    #[test]
    fn a_lease_counts_from_the_sending_and_needs_a_majority() {
        let voters = vec![NodeId(1), NodeId(2), NodeId(3)];
        let mut holder = LeaseHolder::new(voters);
        let term = Term { lane: Lane::default(), since: Epoch(4) };
        let older = Term { since: Epoch(3), ..term };
        holder.begin(term);
        holder.on_granted(NodeId(1), 1_000, &[term]);
        assert!(!holder.holds(1_001, term), "one of three");
        holder.on_granted(NodeId(2), 700, &[term, older]);
        assert!(holder.holds(2_049, term));
        assert!(!holder.holds(2_050, term), "700 + 1350");
        holder.on_granted(NodeId(3), 900, &[term]);
        assert!(holder.holds(2_249, term));
        assert!(!holder.holds(1_001, older), "I18");
        holder.end(term);
        holder.on_granted(NodeId(3), 2_000, &[term]);
        assert!(!holder.holds(2_001, term), "I18");
    }

    #[test]
    fn grants_of_voters_that_left_do_not_count() {
        let term = Term { lane: Lane::default(), since: Epoch(4) };
        let mut holder = LeaseHolder::new(vec![NodeId(1), NodeId(2), NodeId(3)]);
        holder.begin(term);
        holder.on_granted(NodeId(1), 900, &[term]);
        holder.on_granted(NodeId(3), 1_000, &[term]);
        holder.set_voters(vec![NodeId(4), NodeId(3), NodeId(2)]);
        assert!(!holder.holds(1_001, term), "of the new voters one granted");
        assert_eq!(holder.poll_timeout(), Some(0));
        holder.on_granted(NodeId(1), 1_100, &[term]);
        assert!(!holder.holds(1_101, term), "no voter any more");
        holder.on_granted(NodeId(4), 1_100, &[term]);
        assert_eq!(holder.until_ms(term), Some(2_350), "1000 + 1350: the weaker of two");
    }
}
