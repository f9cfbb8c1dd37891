//! Execution of operations: what is checked, evaluated and answered at once. What happens to a
//! write after its evaluation is in `official`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use common::durability::Acks;
use common::failure::{Failure, FailureCode};
use common::ids::LogicGroup;
use common::log_record::{LogHead, LogRecordWriter};
use common::op::Op;
use common::reply::{ObjectKind, Reply, ScanObject, ScanReply};
use common::version::{HlcClock, Version};
use common::wire::request::{self, RequestHead};
use common::wire::response;
use rt::clock::DataClock;

use crate::engine::EngineError;
use crate::group::evaluate::{self, Draft, KeyBuffer, Moment, Refused};
use crate::shared::Shared;
use crate::worker::group::{Group, Held, OpenedGroup, SINCE, WaitingAnswer, Walk};
use crate::worker::peer::Peer;
use crate::worker::turn::{Place, Turn};

/// Most objects of one scan page.
const SCAN_MAX: u32 = 10_000;

/// The state of a worker's groups.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) groups: BTreeMap<LogicGroup, Group>,
    pub(crate) clock: DataClock,
    /// Wall time of the present turn, in milliseconds since 1970.
    wall_ms: u64,
    pub(crate) hlc: HlcClock,
    pub(super) turn: Turn,
    draft: Draft,
    keys: KeyBuffer,
    pub(super) touched: Vec<Rc<Peer>>,
    /// Groups with records that are not official.
    pub(super) pending: BTreeSet<LogicGroup>,
    /// When writes that were not appended were logged last, in milliseconds since 1970.
    pub(super) complained_ms: u64,
    /// The group that reclaim goes on with.
    pub(super) reclaim_next: LogicGroup,
    /// Memory of all memtables as of the last look.
    pub(crate) memtable_bytes: usize,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, groups: Vec<OpenedGroup>, hlc: HlcClock) -> Self {
        Self {
            shared,
            groups: groups.into_iter().map(|group| (group.id, Group::new(group))).collect(),
            clock: DataClock::default(),
            wall_ms: 0,
            hlc,
            turn: Turn::default(),
            draft: Draft::default(),
            keys: KeyBuffer::default(),
            touched: Vec::new(),
            pending: BTreeSet::new(),
            complained_ms: 0,
            reclaim_next: LogicGroup::default(),
            memtable_bytes: 0,
        }
    }

    /// Looks at the clock, once for all operations of the turn that begins.
    pub(crate) fn begin_turn(&mut self) {
        self.wall_ms = self.clock.wall_ms();
    }

    /// "Now" for expiry, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.hlc.now_ms(self.wall_ms)
    }

    /// Executes one request frame. Answers to writes follow with [`Self::end_turn`].
    pub(crate) fn execute(&mut self, peer: &Rc<Peer>, id: u64, body: &[u8]) {
        self.touch(peer);
        let (head, op) = match request::decode(body) {
            Ok(request) => request,
            Err(error) => {
                let failure = Failure::new(FailureCode::Malformed, error.to_string());
                return peer.fail(id, &failure);
            }
        };
        if let Err(failure) = self.check(&head, &op) {
            return peer.fail(id, &failure);
        }
        match &op {
            Op::Write(_) | Op::Batch(_) => self.write(peer, id, &head, &op),
            Op::Get(_) | Op::GetMany(_) | Op::Range(_) | Op::Describe(_) => {
                self.read(peer, id, &head, &op);
            }
            Op::Scan(_) | Op::Count { .. } => self.walk(peer, id, &head, &op, body),
        }
    }

    /// What holds for every operation, before anything is looked up.
    fn check(&self, head: &RequestHead, op: &Op<'_>) -> Result<(), Failure> {
        let node = &self.shared.name;
        let (lane, fail) = (head.lane, |code, why: String| {
            Err(Failure::new(code, format!("{} ({node}): {why}", head.lane.group)))
        });
        if head.cluster != self.shared.cluster_id {
            return fail(FailureCode::WrongCluster, "belongs to another cluster".into());
        }
        let Some(group) = self.groups.get(&lane.group) else {
            return fail(FailureCode::UnknownGroup, "is not held here".into());
        };
        if group.lane.stream.lane != lane || head.since != SINCE {
            return fail(FailureCode::NotLeader, format!("does not lead {lane}"));
        }
        if head.remaining_ms == 0 {
            return fail(FailureCode::DeadlinePassed, "the deadline passed".into());
        }
        if op.is_read() {
            return Ok(());
        }
        if let Some(reason) = &group.stopped {
            return fail(FailureCode::Stopped, format!("stopped: {reason}"));
        }
        if let Some((code, reason)) = self.shared.write_refusal() {
            return fail(code, reason);
        }
        Ok(())
    }

    /// Whether the answer to `op` depends on a record that is not official.
    fn touches_pending(&mut self, group: LogicGroup, op: &Op<'_>) -> bool {
        let group = self.groups.get(&group);
        group.is_some_and(|group| group.lane.overlay.touches(op, &mut self.keys))
    }

    /// Reads records. What depends on something pending is evaluated now, in the order of arrival,
    /// and answered when that is official.
    fn read(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, op: &Op<'_>) {
        let now_ms = self.now_ms();
        let Some(group) = self.groups.get_mut(&head.lane.group) else { return };
        let mut failed = None;
        let keys = &mut self.keys;
        let mut finish = |read: Result<(), Refused>, out: &mut Vec<u8>| match read {
            Ok(()) => {}
            Err(Refused::Failure(failure)) => response::encode_failure(out, &failure),
            Err(Refused::Engine(error)) => {
                response::encode_failure(out, &stopped(&self.shared, head, &error));
                failed = Some(error);
            }
        };
        if group.lane.overlay.touches(op, keys) {
            let mut body = Vec::new();
            let latest = group.lane.overlay.over(&group.store);
            let read = evaluate::read(&latest, op, now_ms, keys, &mut body);
            finish(read, &mut body);
            let answer = WaitingAnswer { peer: Rc::clone(peer), id, body };
            group.lane.hold(Held::Answer(answer));
        } else {
            peer.answer(id, |out| {
                finish(evaluate::read(&group.store, op, now_ms, keys, out), out);
            });
        }
        if let Some(error) = failed {
            group.stop(&error.to_string());
        }
    }

    /// Scan and count: over the whole lane, once what is pending there now is official.
    fn walk(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, op: &Op<'_>, request: &[u8]) {
        if self.touches_pending(head.lane.group, op) {
            self.end_turn();
        }
        if self.touches_pending(head.lane.group, op)
            && let Some(group) = self.groups.get_mut(&head.lane.group)
        {
            let walk = Walk { peer: Rc::clone(peer), id, request: request.to_vec() };
            return group.lane.hold(Held::Walk(walk));
        }
        self.walk_now(peer, id, head, op);
    }

    /// Runs a scan or count on what is official.
    pub(super) fn walk_now(&mut self, peer: &Peer, id: u64, head: &RequestHead, op: &Op<'_>) {
        let now_ms = self.now_ms();
        let Some(group) = self.groups.get_mut(&head.lane.group) else { return };
        let done = match op {
            Op::Scan(scan) => scan_page(group, scan, now_ms, |reply| {
                peer.answer(id, |out| response::encode_reply(out, reply));
            }),
            Op::Count { namespace } => {
                let count = group.store.count(namespace, head.lane.server, now_ms);
                count.map(|count| {
                    peer.answer(id, |out| response::encode_reply(out, &Reply::Count(count)));
                })
            }
            Op::Get(_)
            | Op::GetMany(_)
            | Op::Write(_)
            | Op::Batch(_)
            | Op::Range(_)
            | Op::Describe(_) => Ok(()),
        };
        if let Err(error) = done {
            peer.fail(id, &stopped(&self.shared, head, &error));
            group.stop(&error.to_string());
        }
    }

    /// Evaluates a write; its record is appended with the turn.
    fn write(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, op: &Op<'_>) {
        let (wall_ms, now_ms) = (self.wall_ms, self.now_ms());
        let (cleared, hlc) = (self.hlc.tick(wall_ms), self.hlc.tick(wall_ms));
        let Some(group) = self.groups.get_mut(&head.lane.group) else { return };
        let node = self.shared.node;
        let version = |hlc| Version { epoch: group.lane.stream.epoch, hlc, node };
        let at = Moment { now_ms, version: version(hlc), cleared: version(cleared) };
        let start = self.turn.answers().len();
        let answers = self.turn.answers();
        let evaluated = if group.lane.overlay.is_empty() {
            evaluate::write(&group.store, op, &at, &mut self.draft, answers)
        } else {
            let latest = group.lane.overlay.over(&group.store);
            evaluate::write(&latest, op, &at, &mut self.draft, answers)
        };
        match evaluated {
            Ok(true) => {}
            Ok(false) => {
                let answer = self.turn.take_answer(start);
                return answer_unchanged(group, &mut self.keys, peer, id, op, &answer);
            }
            Err(Refused::Failure(failure)) => return peer.fail(id, &failure),
            Err(Refused::Engine(error)) => {
                peer.fail(id, &stopped(&self.shared, head, &error));
                return group.stop(&error.to_string());
            }
        }
        let (stream, lsn) = (group.lane.stream, group.lane.last.next());
        let record = LogHead { stream, lsn, hlc, node, request: head.request };
        let draft = &self.draft;
        let place = Place { group: group.id, lsn, sync: head.sync, peer: Rc::clone(peer), id };
        let short = acks_short(&self.shared, head, group.servers);
        let pushed = self.turn.push(place, short, start, |body, answer| {
            let mut writer = LogRecordWriter::new(body, &record);
            draft.iter().for_each(|mutation| writer.mutation(&mutation));
            writer.finish(answer);
        });
        match pushed {
            Ok(()) => {
                group.lane.last = lsn;
                group.lane.overlay.push(lsn, self.draft.iter());
            }
            Err(error) => peer.fail(id, &Failure::new(FailureCode::OverLimit, error.to_string())),
        }
    }

    pub(super) fn touch(&mut self, peer: &Rc<Peer>) {
        touch(&mut self.touched, peer);
    }

    /// The peers that have answers to send.
    pub(crate) fn take_touched(&mut self) -> Vec<Rc<Peer>> {
        let touched = std::mem::take(&mut self.touched);
        for peer in &touched {
            peer.set_touched(false);
        }
        touched
    }
}

pub(super) fn touch(touched: &mut Vec<Rc<Peer>>, peer: &Rc<Peer>) {
    if peer.set_touched(true) {
        touched.push(Rc::clone(peer));
    }
}

/// A write that changed nothing tells about the present; if that is pending, its answer waits.
fn answer_unchanged(
    group: &mut Group,
    keys: &mut KeyBuffer,
    peer: &Rc<Peer>,
    id: u64,
    op: &Op<'_>,
    reply: &[u8],
) {
    const REPLY: u8 = 0;
    if group.lane.overlay.touches(op, keys) {
        let body = [&[REPLY], reply].concat();
        let answer = WaitingAnswer { peer: Rc::clone(peer), id, body };
        return group.lane.hold(Held::Answer(answer));
    }
    peer.answer(id, |out| {
        out.push(REPLY);
        out.extend_from_slice(reply);
    });
}

fn stopped(shared: &Shared, head: &RequestHead, error: &EngineError) -> Failure {
    let detail = format!("{} ({}): stopped: {error}", head.lane.group, shared.name);
    Failure::new(FailureCode::Stopped, detail)
}

/// Until servers copy each other's records, a wish for more than one copy cannot come true: the
/// write is applied here, and answered so.
fn acks_short(shared: &Shared, head: &RequestHead, servers: u8) -> Option<Failure> {
    match head.acks {
        Acks::One | Acks::Step => None,
        Acks::Majority | Acks::All if servers == 1 => None,
        Acks::Majority | Acks::All => {
            let (group, name) = (head.lane.group, &shared.name);
            let detail = format!("{group} ({name}): applied on 1 of {servers} servers");
            Some(Failure::new(FailureCode::AcksShort, detail))
        }
    }
}

/// Collects one page and hands it to `answer`, as its names borrow from the pass.
fn scan_page(
    group: &Group,
    scan: &common::op::Scan<'_>,
    now_ms: u64,
    answer: impl FnOnce(&Reply<'_>),
) -> Result<(), EngineError> {
    let mut names = Vec::new();
    let mut found: Vec<(u64, std::ops::Range<usize>, ObjectKind)> = Vec::new();
    let server = group.lane.stream.lane.server;
    let max = usize::try_from(scan.count_max.clamp(1, SCAN_MAX)).unwrap_or(1);
    let next = group.store.scan(
        scan.namespace,
        scan.from,
        server,
        now_ms,
        max,
        &mut |position, name, kind| {
            let start = names.len();
            names.extend_from_slice(name);
            found.push((position, start..names.len(), kind));
        },
    )?;
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
