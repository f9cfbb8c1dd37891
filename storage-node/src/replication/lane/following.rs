//! A follower: pulls from the leader, acknowledges with the pull, notices a silent leader.

use common::ids::{Epoch, Lsn, NodeId};

use super::replica::{LaneReplica, Role};
use crate::replication::action::Action;
use crate::replication::message::{Message, Pull, Records, Term};
use crate::replication::position::{Head, Position};
use crate::replication::timing::{REFUSED_MS, REPEAT_MS, SILENT_MS};

/// State of a follower in one term.
#[derive(Clone, Debug)]
pub struct Following {
    pub(super) leader: NodeId,
    pub(super) since: Epoch,
    heard_ms: u64,
    /// When the leader's address last refused a connection; 0 if it never did.
    refused_ms: u64,
    /// The leader's log does not hold what this server lacks.
    needs_reseed: bool,
    pulled_ms: u64,
    /// What was official when the leader first said so: all that this server may have forgotten.
    pub(super) official_first: Option<Lsn>,
    /// The leader needs this server's acknowledgement as of this register epoch, and has it for
    /// every official record.
    confirmed: Option<Epoch>,
}

impl Following {
    /// Whom it follows.
    #[must_use]
    pub fn leader(&self) -> NodeId {
        self.leader
    }

    /// The leader's since-epoch.
    #[must_use]
    pub fn since(&self) -> Epoch {
        self.since
    }

    /// When the leader was last heard, or following began.
    #[must_use]
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// Whether records that this server lacks have left the leader's log: it has to be seeded anew.
    #[must_use]
    pub fn needs_reseed(&self) -> bool {
        self.needs_reseed
    }

    /// The register epoch as of which the leader confirmed that this server is in step.
    #[must_use]
    pub fn confirmed(&self) -> Option<Epoch> {
        self.confirmed
    }

    /// Whether the leader has been missing for too long (guarantees 4.1).
    #[must_use]
    pub fn misses_leader(&self, now_ms: u64) -> bool {
        let after_ms = if self.refused_ms > self.heard_ms { REFUSED_MS } else { SILENT_MS };
        now_ms >= self.heard_ms + after_ms
    }

    /// A server that cannot be helped pulls now and then only, to be seen.
    pub(super) fn poll_timeout(&self) -> u64 {
        self.pulled_ms + if self.needs_reseed { SILENT_MS } else { REPEAT_MS }
    }
}

impl LaneReplica {
    /// Follows a leader: promises its epoch and pulls. A pull is an acknowledgement, so the promise
    /// comes first.
    pub(super) fn follow(
        &mut self,
        now_ms: u64,
        leader: NodeId,
        since: Epoch,
        actions: &mut Vec<Action>,
    ) {
        let following = Following {
            leader,
            since,
            heard_ms: now_ms,
            refused_ms: 0,
            needs_reseed: false,
            pulled_ms: now_ms,
            official_first: None,
            confirmed: None,
        };
        self.end(Role::Following(following), actions);
        self.promise(since, actions);
        self.pull(now_ms, actions);
    }

    /// Sends a pull; it replaces the one that is parked at the leader.
    pub(super) fn pull(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        following.pulled_ms = now_ms;
        let (leader, since) = (following.leader, following.since);
        let written = self.held.of(since);
        // Once the stream is adopted, everything before it is held.
        let have = if written > Lsn(0) {
            vec![Position { epoch: since, lsn: written }]
        } else {
            self.held.vector()
        };
        let durable = if self.me.rules.ack_after_fsync { self.durable_of(since) } else { written };
        let (term, life) = (self.term(since), self.me.life);
        let pull = Pull { term, life, have, written, durable, leaving: self.leaving };
        actions.push(Action::Send(leader, Message::Pull(pull)));
    }

    pub(super) fn on_pulled(
        &mut self,
        now_ms: u64,
        records: &Records,
        heads: &[Head],
        actions: &mut Vec<Action>,
    ) {
        let since = records.term.since;
        let adopted = self.held.of(since) > Lsn(0);
        self.take(heads, actions);
        let written = self.held.of(since);
        if !adopted && written > Lsn(0) {
            let void = self.held.void();
            if !void.is_empty() {
                actions.push(Action::Void(self.id, void));
            }
        }
        let official = Position { epoch: since, lsn: records.official.min(written) };
        if official.lsn > Lsn(0) && official > self.official {
            self.official = official;
            actions.push(Action::Official(self.id, official));
        }
        if let Role::Following(following) = &mut self.role
            && records.official > Lsn(0)
        {
            following.official_first.get_or_insert(records.official);
        }
        self.catch_up(actions);
        if let Role::Following(following) = &mut self.role {
            following.heard_ms = now_ms;
            following.confirmed = records.confirmed.filter(|_| !following.needs_reseed);
            if following.needs_reseed {
                return;
            }
        }
        self.pull(now_ms, actions);
    }

    /// The leader was heard, and that is all.
    pub(crate) fn on_heartbeat(&mut self, now_ms: u64, from: NodeId, term: Term) {
        if let Role::Following(following) = &mut self.role
            && (following.leader, following.since) == (from, term.since)
        {
            following.heard_ms = now_ms;
        }
    }

    /// Records that this server lacks have left the log of whom it asked. A leader cannot begin its
    /// stream without them: it gives the lane up for the server that has them.
    pub(crate) fn on_reseed(&mut self, term: Term, actions: &mut Vec<Action>) -> Option<NodeId> {
        match &mut self.role {
            Role::Following(following) if following.since == term.since => {
                following.needs_reseed = true;
                following.confirmed = None;
                None
            }
            Role::Leading(leading) if leading.since == term.since => {
                let source = leading.copy_source()?;
                self.give_up(actions);
                Some(source)
            }
            _ => None,
        }
    }

    /// Whether this server follows and lacks records that have left its leader's log.
    #[must_use]
    pub fn needs_reseed(&self) -> bool {
        matches!(&self.role, Role::Following(following) if following.needs_reseed)
    }

    /// A server's address refuses connections: it is silent if it was not heard for a short while.
    pub fn on_refused_address(&mut self, now_ms: u64, node: NodeId) {
        match &mut self.role {
            Role::Leading(leading) => leading.on_refused_address(now_ms, node),
            Role::Following(following) if following.leader == node => {
                following.refused_ms = now_ms;
            }
            Role::Following(_) | Role::Idle => {}
        }
    }

    /// Whether this server follows `node` in that term.
    pub(crate) fn follows(&self, node: NodeId, since: Epoch) -> bool {
        matches!(&self.role, Role::Following(f) if f.leader == node && f.since == since)
    }

    pub(super) fn follow_on(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if let Role::Following(following) = &self.role
            && now_ms >= following.poll_timeout()
        {
            self.pull(now_ms, actions);
        }
    }
}
