//! Scans and counts: passes over a whole lane. What of the memtables they have to look at first may be
//! more than anybody else may wait for, so it is looked at in slices, and the walk is answered when that
//! is done. Other requests go on meanwhile; the walk shows what they did. Walks take turns, a slice each.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use common::failure::{Failure, FailureCode};
use common::ids::ServerIndex;
use common::op::{Op, Scan};
use common::reply::{ObjectKind, Reply, ScanObject, ScanReply};
use common::wire::request::{self, RequestHead};
use common::wire::response;
use rt::clock;
use tokio::sync::Notify;

use crate::engine::{EngineError, ScanFrom, Slice};
use crate::worker::core::{Core, touch, unknowable};
use crate::worker::group::Group;
use crate::worker::lead::{Held, ParkedRequest, Service};
use crate::worker::peer::Peer;
use crate::worker::slices::with_slice;

/// Most objects of one scan page.
const SCAN_MAX: u32 = 10_000;
/// How long a scan page may take, which may end with fewer objects then.
const PAGE_TIME: Duration = Duration::from_micros(500);
/// How long a slice of a walk is at first.
const SLICE_TIME: Duration = Duration::from_micros(100);
/// After so long a time of slices, and again each time, a walk is in more of a hurry: writes must not
/// change for ever more than the slices look at.
const PATIENCE_MS: u64 = 500;
/// Each doubles how long slices follow one another without a rest, which costs others little, and behind so
/// many the slices themselves, for which the others wait.
const MORE_SLICES: u32 = 4;
/// But not more often than this.
const HURRY_MAX: u32 = 10;
/// More walks that wait are refused (I14).
const WALKS_MAX: usize = 1_024;

/// The walks that are not finished, in the order of their turns.
#[derive(Default)]
pub(crate) struct Walks {
    waiting: VecDeque<Walk>,
    /// How long those of this turn took.
    taken: Duration,
    /// In how much of a hurry the last one was.
    pub(super) hurry: u32,
    /// Tells that there is one.
    pub(super) added: Rc<Notify>,
}

/// A scan or count whose lane is not looked at to the end.
struct Walk {
    request: ParkedRequest,
    patience: Patience,
    /// When its client stops waiting, in milliseconds of the node's monotonic clock.
    deadline_ms: u64,
}

/// How long a walk has had slices.
#[derive(Default)]
struct Patience {
    /// When its first slice began, in milliseconds.
    since_ms: Option<u64>,
}

impl Patience {
    /// In how much of a hurry the walk is when a slice begins.
    fn hurry(&mut self, now_ms: u64) -> u32 {
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        let hurry = now_ms.saturating_sub(since_ms) / PATIENCE_MS;
        u32::try_from(hurry).unwrap_or(HURRY_MAX).min(HURRY_MAX)
    }
}

/// How long a slice may be.
fn slice_time(hurry: u32) -> Duration {
    SLICE_TIME * (1 << hurry.saturating_sub(MORE_SLICES))
}

impl Walks {
    /// Another turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.taken = Duration::ZERO;
    }

    /// Those of this turn took a slice; the others wait.
    fn turn_is_over(&self) -> bool {
        self.taken >= SLICE_TIME
    }
}

impl Core {
    /// Scan and count: over the whole lane, once what is pending there now is official.
    pub(super) fn walk(
        &mut self,
        peer: &Rc<Peer>,
        id: u64,
        head: &RequestHead,
        op: &Op<'_>,
        request: &[u8],
    ) {
        if self.touches_pending(head.lane, op) {
            self.end_turn();
        }
        let waits = self.touches_pending(head.lane, op);
        if waits && let Some(cause) = self.shared.log.poisoned() {
            return peer.fail(id, &unknowable(&self.shared, head.lane, &cause));
        }
        let walk = ParkedRequest { peer: Rc::clone(peer), id, request: request.to_vec() };
        if waits && let Some(lead) = self.lead_mut(head.lane) {
            return lead.hold(Held::Walk(walk));
        }
        self.walk_now(walk);
    }

    /// Runs a scan or count on what is official, or lets it wait for slices.
    pub(super) fn walk_now(&mut self, request: ParkedRequest) {
        let (head, op) = request::decode(&request.request).expect("was decoded before");
        let peer = &request.peer;
        let mut patience = Patience::default();
        let waits = self.walks.turn_is_over() || !self.walks.waiting.is_empty() || peer.is_full();
        if !waits {
            patience.hurry(self.mono_ms);
            if self.try_walk(&request, &head, &op, SLICE_TIME) {
                return;
            }
        }
        if self.walks.waiting.len() >= WALKS_MAX {
            let why = format!(
                "{} ({}): too many scans and counts wait",
                head.lane.group, self.shared.name
            );
            return peer.fail(request.id, &Failure::new(FailureCode::Busy, why));
        }
        let deadline_ms = self.mono_ms.saturating_add(u64::from(head.remaining_ms));
        self.walks.waiting.push_back(Walk { request, patience, deadline_ms });
        self.walks.added.notify_one();
    }

    /// Goes on with the walks that wait, each in its turn, for one slice altogether. Returns whether more
    /// can be done now. A peer that does not take its answers gets no more of them until it does, and
    /// what nobody waits for is dropped.
    pub(crate) fn walk_slice(&mut self) -> bool {
        self.walks.begin_turn();
        for _ in 0..self.walks.waiting.len() {
            let Some(mut walk) = self.walks.waiting.pop_front() else { break };
            let (peer, is_late) = (&walk.request.peer, walk.deadline_ms <= self.mono_ms);
            if peer.is_gone() {
                continue;
            }
            if peer.is_full() && !is_late {
                self.walks.waiting.push_back(walk);
                continue;
            }
            touch(&mut self.touched, peer);
            let hurry = walk.patience.hurry(self.mono_ms);
            self.walks.hurry = hurry;
            if !self.resume_walk(&walk, slice_time(hurry)) {
                self.walks.waiting.push_back(walk);
            }
            if self.walks.turn_is_over() {
                break;
            }
        }
        self.walks.waiting.iter().any(|walk| !walk.request.peer.is_full())
    }

    /// Whether the walk is answered.
    fn resume_walk(&mut self, walk: &Walk, time: Duration) -> bool {
        let ParkedRequest { peer, id, request } = &walk.request;
        let (mut head, op) = request::decode(request).expect("was decoded before");
        let left_ms = walk.deadline_ms.saturating_sub(self.mono_ms);
        head.remaining_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        match self.check(&head, &op) {
            // What happened to the lane while it waited.
            Ok(Service::Holding) => {
                if let Some(lead) = self.lead_mut(head.lane) {
                    let request = request.clone();
                    lead.park(ParkedRequest { peer: Rc::clone(peer), id: *id, request });
                }
                true
            }
            Ok(_) => self.try_walk(&walk.request, &head, &op, time),
            Err(failure) => {
                peer.fail(*id, &failure);
                true
            }
        }
    }

    /// One slice of a walk. Returns whether it is answered.
    fn try_walk(
        &mut self,
        request: &ParkedRequest,
        head: &RequestHead,
        op: &Op<'_>,
        time: Duration,
    ) -> bool {
        let ParkedRequest { peer, id, .. } = request;
        let now_ms = self.now_ms();
        let steps_max = self.slice_steps;
        let Some(group) = self.groups.get_mut(&head.lane.group) else { return true };
        let mut body = Vec::new();
        let begin = clock::now();
        let done = match op {
            Op::Scan(scan) => {
                let is_ready = |slice: &mut Slice<'_>| group.store.prepare_scan(slice);
                if with_slice(time, steps_max, is_ready) {
                    with_slice(PAGE_TIME, steps_max, |slice| {
                        let server = head.lane.server;
                        scan_page(group, server, scan, now_ms, slice, |reply| {
                            response::encode_reply(&mut body, reply);
                        })
                    })
                    .map(Some)
                } else {
                    Ok(None)
                }
            }
            Op::Count { namespace } => {
                let server = head.lane.server;
                let count =
                    |slice: &mut Slice<'_>| group.store.count(namespace, server, now_ms, slice);
                let count = with_slice(time, steps_max, count);
                count.map(|count| {
                    count.map(|count| response::encode_reply(&mut body, &Reply::Count(count)))
                })
            }
            Op::Get(_)
            | Op::GetMany(_)
            | Op::Write(_)
            | Op::Batch(_)
            | Op::Range(_)
            | Op::Describe(_) => Ok(Some(())),
        };
        self.walks.taken += clock::now().saturating_duration_since(begin);
        match done {
            Ok(None) => {
                // Also where steps ended it.
                self.walks.taken = self.walks.taken.max(SLICE_TIME);
                return false;
            }
            Ok(Some(())) => match self.lease_holds(head.lane) {
                Ok(()) => peer.answer(*id, |out| out.extend_from_slice(&body)),
                Err(failure) => peer.fail(*id, &failure),
            },
            Err(error) => {
                let failure = self.stop_for(head.lane, &error);
                peer.fail(*id, &failure);
            }
        }
        true
    }
}

/// Collects one page and hands it to `answer`, as its names borrow from the pass.
fn scan_page(
    group: &Group,
    server: ServerIndex,
    scan: &Scan<'_>,
    now_ms: u64,
    slice: &mut Slice<'_>,
    answer: impl FnOnce(&Reply<'_>),
) -> Result<(), EngineError> {
    let mut names = Vec::new();
    let mut found: Vec<(u64, Range<usize>, ObjectKind)> = Vec::new();
    let max = usize::try_from(scan.count_max.clamp(1, SCAN_MAX)).unwrap_or(1);
    let from = ScanFrom { namespace: scan.namespace, server, position: scan.from, max };
    let next = group.store.scan(&from, now_ms, slice, &mut |position, name, kind| {
        let start = names.len();
        names.extend_from_slice(name);
        found.push((position, start..names.len(), kind));
    })?;
    let objects = (found.into_iter())
        .map(|(position, name, kind)| ScanObject {
            position,
            name: names.get(name).unwrap_or_default(),
            kind,
        })
        .collect();
    answer(&Reply::Scan(ScanReply { objects, next }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_behind_the_first_slice_however_long_that_was_waited_for() {
        let mut patience = Patience::default();
        let hurry = [70_000, 70_499, 70_500, 71_000, 75_000, 99_000].map(|now| patience.hurry(now));
        assert_eq!(hurry, [0, 0, 1, 2, 10, 10]);
    }

    #[test]
    fn others_wait_for_longer_slices_only_where_more_of_them_did_not_help() {
        let us = Duration::from_micros;
        let times = [0, 4, 5, 10].map(slice_time);
        assert_eq!(times, [us(100), us(100), us(200), us(6_400)]);
    }
}
