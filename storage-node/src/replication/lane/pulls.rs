//! The leader's side of its followers' pulls: acknowledgements, parking, who is silent, who returns.

use common::ids::{Epoch, Lsn, NodeId};

use super::leading::{Leading, Phase};
use super::replica::{LaneReplica, Role};
use crate::replication::action::Action;
use crate::replication::message::{Message, Pull, Records, Term};
use crate::replication::position::{Holdings, Position};
use crate::replication::register::Register;
use crate::replication::rules::Rules;
use crate::replication::timing::{HEARTBEAT_MS, NEAR_RECORDS, RECORDS_MAX, SILENT_MS};

/// What the leader knows of a follower.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    life: u64,
    /// Acknowledged in this stream: handed to the kernel.
    pub(super) written: Lsn,
    /// Acknowledged in this stream: durable.
    pub(super) durable: Lsn,
    heard_ms: u64,
    progress_ms: u64,
    parked: Option<(Vec<Position>, u64)>,
    /// What the last answer said.
    told: (Lsn, Option<Epoch>),
}

impl Peer {
    pub(super) fn parked_ms(&self) -> Option<u64> {
        self.parked.as_ref().map(|(_, at_ms)| *at_ms)
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
        let peer = self.peers.entry(from).or_default();
        peer.heard_ms = now_ms;
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

    /// A pull in this term: acknowledgement and heartbeat.
    pub(super) fn on_pull(&mut self, now_ms: u64, from: NodeId, pull: Pull, rules: Rules) {
        if !self.servers.contains(&from) {
            return;
        }
        let near = pull.written.0 + NEAR_RECORDS >= self.last.0 && self.official > Lsn(0);
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
        peer.heard_ms = now_ms;
        peer.parked = Some((pull.have, now_ms));
        let returning = !self.needed.contains(&from) && !self.extra.contains(&from);
        if returning && near && self.phase == Phase::Serving && rules.add_after_acks {
            self.extra.push(from);
        }
    }

    /// The register epoch as of which `node` is needed and has everything official.
    fn confirms(&self, node: NodeId, rules: Rules) -> Option<Epoch> {
        let included = self.extra.contains(&node) || self.needed.contains(&node);
        let peer = self.peers.get(&node)?;
        let acked = included && peer.written >= self.official && self.official > Lsn(0);
        (acked || !rules.add_after_acks).then_some(self.view)
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
            stuck || now_ms >= peer.heard_ms + SILENT_MS
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
    /// Answers the parked pulls for which there is something to say.
    pub(super) fn answer_pulls(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let (chain, lane) = (self.held.chain(), self.id);
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let term = Term { lane, since: leading.since };
        let confirmed: Vec<_> =
            leading.peers.keys().map(|node| leading.confirms(*node, self.me.rules)).collect();
        let (since, has_first, official) = (leading.since, leading.has_first(), leading.official);
        for ((node, peer), confirmed) in leading.peers.iter_mut().zip(confirmed) {
            let Some((have, parked_ms)) = &peer.parked else {
                continue;
            };
            let adopted = have.iter().find(|at| at.epoch == since && at.lsn > Lsn(0));
            let spans = match adopted {
                _ if !has_first => Vec::new(),
                Some(at) => {
                    let own = chain.last().copied().into_iter().collect::<Vec<_>>();
                    Holdings::missing(&own, &[*at], RECORDS_MAX)
                }
                None => Holdings::missing(&chain, have, RECORDS_MAX),
            };
            let news = !spans.is_empty() || peer.told != (official, confirmed);
            if !news && now_ms < parked_ms + HEARTBEAT_MS {
                continue;
            }
            peer.told = (official, confirmed);
            peer.parked = None;
            let answer = Records { term, life: peer.life, spans, official, confirmed };
            actions.push(Action::Send(*node, Message::Records(answer)));
        }
    }
}
