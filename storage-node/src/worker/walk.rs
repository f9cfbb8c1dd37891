//! Scans and counts: passes over a whole lane. What of the memtables they have to look at first may be
//! more than anybody else may wait for, so it is looked at in slices, and the walk is answered when that
//! is done. Other requests go on meanwhile; the walk shows what they did.

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
use tokio::sync::Notify;

use crate::engine::{EngineError, ScanFrom, Slice};
use crate::worker::core::{Core, unknowable};
use crate::worker::group::Group;
use crate::worker::lead::{Held, ParkedRequest, Service};
use crate::worker::peer::Peer;
use crate::worker::reclaim::with_slice;

/// Most objects of one scan page.
const SCAN_MAX: u32 = 10_000;
/// How long a scan page may take, which may end with fewer objects then.
const PAGE_TIME: Duration = Duration::from_micros(500);
/// How long a slice of a walk is at first.
const SLICE_TIME: Duration = Duration::from_micros(100);
/// After so long a time of waiting, and again each time, slices become twice as long: writes must not
/// change for ever more than the slices look at.
const PATIENCE_MS: u64 = 500;
/// But not more often than this.
const DOUBLINGS_MAX: u32 = 6;
/// More walks that wait are refused (I14).
const WALKS_MAX: usize = 1_024;

/// The walks that are not finished, in the order of arrival.
#[derive(Default)]
pub(crate) struct Walks {
    waiting: VecDeque<Walk>,
    /// One of this turn took a whole slice; those behind it wait.
    turn_is_over: bool,
    /// Tells that there is one.
    pub(super) added: Rc<Notify>,
}

/// A scan or count whose lane is not looked at to the end.
struct Walk {
    request: ParkedRequest,
    /// When it came, and when its client stops waiting, in milliseconds of the node's monotonic clock.
    since_ms: u64,
    deadline_ms: u64,
}

impl Walks {
    /// Another turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.turn_is_over = false;
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
        let waits = self.walks.turn_is_over || !self.walks.waiting.is_empty();
        if !waits && self.try_walk(&request, &head, &op, SLICE_TIME) {
            return;
        }
        if self.walks.waiting.len() >= WALKS_MAX {
            let why = format!(
                "{} ({}): too many scans and counts wait",
                head.lane.group, self.shared.name
            );
            return request.peer.fail(request.id, &Failure::new(FailureCode::Busy, why));
        }
        let deadline_ms = self.mono_ms.saturating_add(u64::from(head.remaining_ms));
        self.walks.waiting.push_back(Walk { request, since_ms: self.mono_ms, deadline_ms });
        self.walks.added.notify_one();
    }

    /// Goes on with the first walk that waits. Returns whether there are more.
    pub(crate) fn walk_slice(&mut self) -> bool {
        let Some(walk) = self.walks.waiting.pop_front() else { return false };
        self.touch(&walk.request.peer);
        let doublings = self.mono_ms.saturating_sub(walk.since_ms) / PATIENCE_MS;
        let doublings = u32::try_from(doublings).unwrap_or(DOUBLINGS_MAX).min(DOUBLINGS_MAX);
        if !self.resume_walk(&walk, SLICE_TIME * (1 << doublings)) {
            self.walks.waiting.push_front(walk);
        }
        !self.walks.waiting.is_empty()
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
        match done {
            Ok(None) => {
                self.walks.turn_is_over = true;
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
