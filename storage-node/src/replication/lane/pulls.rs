//! The leader's side of its followers' pulls: acknowledgements, parking, who is silent, who returns.

use common::ids::{Epoch, Lsn, NodeId};

use super::leading::{Leading, Phase};
use super::replica::{LaneReplica, Role};
use crate::replication::action::Action;
use crate::replication::message::{Message, Pull, Records, Term};
use crate::replication::position::{Holdings, Position, Span};
use crate::replication::register::Register;
use crate::replication::rules::Rules;
use crate::replication::timing::{HEARTBEAT_MS, NEAR_RECORDS, RECORDS_MAX, REFUSED_MS, SILENT_MS};

/// What the leader knows of a follower.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    pub(super) life: u64,
    /// Acknowledged in this stream: handed to the kernel.
    pub(super) written: Lsn,
    /// Acknowledged in this stream: durable.
    pub(super) durable: Lsn,
    /// When it was last heard, or became needed.
    heard_ms: u64,
    /// It was heard in this term.
    heard: bool,
    /// When its address last refused a connection; 0 if it never did.
    refused_ms: u64,
    /// Records that it lacks have left this server's log.
    pub(super) gone: bool,
    progress_ms: u64,
    parked: Option<(Vec<Position>, u64)>,
    /// The last record, when it became needed: everything before that may be old.
    joins_at: Lsn,
    /// The last record, when its last pull was answered with all that it lacked.
    given: Option<Lsn>,
    /// What the last answer said.
    told: (Lsn, Option<Epoch>),
}

impl Peer {
    pub(super) fn parked_ms(&self) -> Option<u64> {
        self.parked.as_ref().map(|(_, at_ms)| *at_ms)
    }

    pub(super) fn heard_ms_ago(&self, now_ms: u64) -> Option<u64> {
        self.heard.then(|| now_ms.saturating_sub(self.heard_ms))
    }

    fn is_heard(&mut self, now_ms: u64) {
        (self.heard_ms, self.heard) = (now_ms, true);
    }

    fn is_missed(&self, now_ms: u64) -> bool {
        let after_ms = if self.refused_ms > self.heard_ms { REFUSED_MS } else { SILENT_MS };
        now_ms >= self.heard_ms + after_ms
    }
}

impl Leading {
    /// Whose acknowledgement a record needs besides this server's.
    pub(super) fn all_needed(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.needed.iter().chain(&self.extra).copied()
    }

    /// What each follower acknowledged: written, durable.
    pub fn acknowledgements(&self) -> impl Iterator<Item = (NodeId, Lsn, Lsn)> + '_ {
        self.peers.iter().map(|(node, peer)| (*node, peer.written, peer.durable))
    }

    pub(super) fn answer(&mut self, from: NodeId, answer: (Position, bool)) {
        if let Phase::Sealing(answers) = &mut self.phase {
            answers.insert(from, answer);
        }
    }

    pub(super) fn heard(&mut self, now_ms: u64, from: NodeId) {
        self.peers.entry(from).or_default().is_heard(now_ms);
    }

    pub(super) fn has_parked(&self) -> bool {
        self.peers.values().any(|peer| peer.parked.is_some())
    }

    pub(super) fn on_refused_address(&mut self, now_ms: u64, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.refused_ms = now_ms;
        }
    }

    /// Records that `node` lacks have left this server's log: as long as its process lives, nothing
    /// waits for it.
    pub(super) fn on_gone(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.gone = true;
        }
    }

    /// A newer register: exactly its R is needed. Returning servers have to be included anew.
    pub(super) fn on_register(&mut self, now_ms: u64, register: &Register) {
        if register.epoch <= self.view {
            return;
        }
        self.view = register.epoch;
        self.extra.clear();
        let servers = &self.servers;
        self.needed = register.in_step.iter().copied().filter(|n| servers.contains(n)).collect();
        for node in &self.needed {
            self.peers.entry(*node).or_insert_with(|| Peer {
                heard_ms: now_ms,
                progress_ms: now_ms,
                ..Peer::default()
            });
        }
    }

    /// A pull in this term: acknowledgement and heartbeat. `lacks` is how many records of the
    /// leader's the follower does not hold.
    pub(super) fn on_pull(
        &mut self,
        now_ms: u64,
        from: NodeId,
        (pull, lacks): (Pull, u64),
        rules: Rules,
    ) {
        if !self.servers.contains(&from) {
            return;
        }
        let peer = self.peers.entry(from).or_default();
        if pull.life < peer.life {
            return;
        }
        if pull.life > peer.life {
            // What an earlier life acknowledged it may have lost with its machine's power.
            *peer = Peer { life: pull.life, progress_ms: now_ms, ..Peer::default() };
        }
        if pull.written > peer.written || pull.durable > peer.durable {
            peer.progress_ms = now_ms;
        }
        peer.written = peer.written.max(pull.written);
        peer.durable = peer.durable.max(pull.durable);
        peer.is_heard(now_ms);
        peer.parked = Some((pull.have, now_ms));
        // Under load there is always something new: who has all that it could be given is near too.
        let kept_up = peer.given.is_some_and(|given| peer.written >= given);
        // One that pulls but never advances would hold up a write each time it is needed again.
        let advances = lacks == 0 || now_ms < peer.progress_ms + SILENT_MS;
        let near = (lacks <= NEAR_RECORDS || kept_up) && advances && !peer.gone;
        let near = near && self.official > Lsn(0);
        let returning = !self.needed.contains(&from) && !self.extra.contains(&from);
        if returning
            && !pull.leaving
            && near
            && self.phase == Phase::Serving
            && rules.add_after_acks
        {
            peer.joins_at = self.last;
            self.extra.push(from);
        }
    }

    /// A needed server that does not pull, or does not advance while a record waits for it.
    #[must_use]
    pub fn silent(&self, now_ms: u64) -> Option<NodeId> {
        self.all_needed().find(|node| {
            let Some(peer) = self.peers.get(node) else {
                return true;
            };
            let waits = self.pending.front().filter(|(lsn, needs_durable, _)| {
                peer.written < *lsn || (*needs_durable && peer.durable < *lsn)
            });
            let stuck = waits.is_some_and(|(.., written_ms)| {
                now_ms >= peer.progress_ms.max(*written_ms) + SILENT_MS
            });
            stuck || peer.gone || peer.is_missed(now_ms)
        })
    }

    /// Mutants only: ends a server's inclusion without the register.
    pub(super) fn forget_silent(&mut self, now_ms: u64, rules: Rules) {
        let peers = &self.peers;
        let late = |node: &NodeId, ms: u64| {
            peers.get(node).is_none_or(|peer| now_ms >= peer.heard_ms + ms)
        };
        if !rules.shrink_by_cas {
            self.needed.retain(|node| !late(node, SILENT_MS));
        }
        if !rules.include_until_epoch {
            self.extra.retain(|node| !late(node, HEARTBEAT_MS / 2));
        }
    }
}

impl LaneReplica {
    /// How many records of the leader's log somebody lacks who pulls with this.
    pub(super) fn lacking(&self, pull: &Pull) -> u64 {
        match &self.role {
            Role::Leading(leading) if pull.written > Lsn(0) => {
                leading.last.0.saturating_sub(pull.written.0)
            }
            _ => Holdings::lacks(&self.held.chain(), &pull.have),
        }
    }

    /// Records that `node` asked for have left this leader's log.
    pub fn on_gone(&mut self, term: Term, node: NodeId) {
        if let Role::Leading(leading) = &mut self.role
            && leading.since == term.since
        {
            leading.on_gone(node);
        }
    }

    /// Answers the parked pulls for which there is something to say.
    pub(super) fn answer_pulls(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let (lane, rules) = (self.id, self.me.rules);
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let term = Term { lane, since: leading.since };
        let (official, last, view) = (leading.official, leading.last, leading.view);
        let official_durable = leading.official_durable;
        let (needed, extra) = (&leading.needed, &leading.extra);
        for (node, peer) in &mut leading.peers {
            let Some((have, parked_ms)) = &peer.parked else {
                continue;
            };
            // The register epoch as of which it is needed and has everything official, durable
            // where that was asked for, and what may be older than a second in any case: in R it
            // counts as a server that loses no more than that.
            let included = needed.contains(node) || extra.contains(node);
            let durable = official_durable.max(peer.joins_at);
            let holds = peer.written >= official && peer.durable >= durable;
            let acked = included && holds && official > Lsn(0);
            let confirmed = (acked || !rules.add_after_acks).then_some(view);
            let spans = missing(&self.held, (term.since, last), have);
            let news = !spans.is_empty() || peer.told != (official, confirmed);
            if !news && now_ms < parked_ms + HEARTBEAT_MS {
                continue;
            }
            let whole = spans.last().is_some_and(|s| s.epoch == term.since && s.last == last);
            peer.given = if whole || spans.is_empty() { Some(last) } else { None };
            peer.told = (official, confirmed);
            peer.parked = None;
            let answer = Records { term, life: peer.life, spans, official, confirmed };
            actions.push(Action::Send(*node, Message::Records(answer)));
        }
    }
}

/// What somebody with `have` lacks of a leader's log that ends with `last` of its stream; nothing as
/// long as the stream has no first record.
fn missing(held: &Holdings, (since, last): (Epoch, Lsn), have: &[Position]) -> Vec<Span> {
    let end = Position { epoch: since, lsn: last };
    let adopted = have.iter().find(|at| at.epoch == since && at.lsn > Lsn(0));
    match adopted {
        _ if last == Lsn(0) => Vec::new(),
        Some(at) => Holdings::missing(&[end], &[*at], RECORDS_MAX),
        None => Holdings::missing(&held.chain(), have, RECORDS_MAX),
    }
}
