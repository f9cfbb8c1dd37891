//! Execution of operations, and the one place that states the order of a write:
//! append -> durable (as asked) -> official -> applied -> answered.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use common::durability::{Acks, Sync};
use common::failure::{Failure, FailureCode};
use common::ids::LogicGroup;
use common::log_record::{LogHead, LogRecordWriter};
use common::op::Op;
use common::reply::{ObjectKind, Reply, ScanObject, ScanReply};
use common::version::{HlcClock, Version};
use common::wire::request::{self, RequestHead};
use common::wire::response;
use rt::clock::DataClock;

use crate::binlog::{LogError, LogPosition};
use crate::engine::EngineError;
use crate::group::evaluate::{self, Draft, KeyBuffer, Moment, Refused};
use crate::shared::Shared;
use crate::worker::group::{Group, OpenedGroup, Pending, SINCE, WaitingAnswer};
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
    turn: Turn,
    draft: Draft,
    keys: KeyBuffer,
    parked: Vec<Parked>,
    touched: Vec<Rc<Peer>>,
    /// Groups with records that are not official.
    pending: BTreeSet<LogicGroup>,
    /// Memory of all memtables as of the last look.
    pub(crate) memtable_bytes: usize,
}

/// An operation that met a pending record: it is executed again when something became official.
struct Parked {
    peer: Rc<Peer>,
    id: u64,
    request: Vec<u8>,
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
            parked: Vec::new(),
            touched: Vec::new(),
            pending: BTreeSet::new(),
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
        if self.must_wait(&head, &op) {
            return self.park(peer, id, body);
        }
        let waits = match &op {
            Op::Write(_) | Op::Batch(_) => self.write(peer, id, &head, &op),
            Op::Get(_) | Op::GetMany(_) | Op::Range(_) | Op::Describe(_) => {
                self.read(peer, id, &head, &op);
                false
            }
            Op::Scan(_) | Op::Count { .. } => {
                self.walk(peer, id, &head, &op);
                false
            }
        };
        if waits {
            self.park(peer, id, body);
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
        if let Some(reason) = &group.stopped {
            return fail(FailureCode::Stopped, format!("stopped: {reason}"));
        }
        if !op.is_read()
            && let Some((code, reason)) = self.shared.write_refusal()
        {
            return fail(code, reason);
        }
        Ok(())
    }

    /// Whether the answer depends on a record that is not official. Records of the present turn
    /// are appended first: most are official then.
    fn must_wait(&mut self, head: &RequestHead, op: &Op<'_>) -> bool {
        if !op.is_read() || !self.touches_pending(head.lane.group, op) {
            return false;
        }
        self.end_turn();
        self.touches_pending(head.lane.group, op)
    }

    fn touches_pending(&mut self, group: LogicGroup, op: &Op<'_>) -> bool {
        let group = self.groups.get(&group);
        group.is_some_and(|group| group.lane.overlay.touches(op, &mut self.keys))
    }

    fn park(&mut self, peer: &Rc<Peer>, id: u64, body: &[u8]) {
        self.parked.push(Parked { peer: Rc::clone(peer), id, request: body.to_vec() });
    }

    fn read(&mut self, peer: &Peer, id: u64, head: &RequestHead, op: &Op<'_>) {
        let now_ms = self.now_ms();
        let Some(group) = self.groups.get_mut(&head.lane.group) else { return };
        let mut failed = None;
        peer.answer(id, |out| {
            match evaluate::read(&group.store, op, now_ms, &mut self.keys, out) {
                Ok(()) => {}
                Err(Refused::Failure(failure)) => response::encode_failure(out, &failure),
                Err(Refused::Engine(error)) => {
                    response::encode_failure(out, &stopped(&self.shared, head, &error));
                    failed = Some(error);
                }
            }
        });
        if let Some(error) = failed {
            group.stop(&error.to_string());
        }
    }

    /// Scan and count: over the whole lane.
    fn walk(&mut self, peer: &Peer, id: u64, head: &RequestHead, op: &Op<'_>) {
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

    /// Evaluates a write; its record is appended with the turn. Whether it has to wait because its
    /// answer tells about something pending.
    fn write(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, op: &Op<'_>) -> bool {
        let (wall_ms, now_ms) = (self.wall_ms, self.now_ms());
        let (cleared, hlc) = (self.hlc.tick(wall_ms), self.hlc.tick(wall_ms));
        let Some(group) = self.groups.get_mut(&head.lane.group) else { return false };
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
                return self.answer_unchanged(peer, id, head, op, &answer);
            }
            Err(Refused::Failure(failure)) => {
                peer.fail(id, &failure);
                return false;
            }
            Err(Refused::Engine(error)) => {
                peer.fail(id, &stopped(&self.shared, head, &error));
                group.stop(&error.to_string());
                return false;
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
        false
    }

    /// A write that changed nothing tells about the present; if that is pending, it waits.
    fn answer_unchanged(
        &mut self,
        peer: &Peer,
        id: u64,
        head: &RequestHead,
        op: &Op<'_>,
        answer: &[u8],
    ) -> bool {
        if self.touches_pending(head.lane.group, op) {
            self.end_turn();
            if self.touches_pending(head.lane.group, op) {
                return true;
            }
        }
        peer.answer(id, |out| {
            out.push(0);
            out.extend_from_slice(answer);
        });
        false
    }

    /// Appends the turn's records. Those that only had to reach the kernel are official now.
    pub(crate) fn end_turn(&mut self) {
        if self.turn.records.is_empty() {
            return;
        }
        let mut turn = std::mem::take(&mut self.turn);
        match self.shared.log.append(&mut turn.batch) {
            Ok(receipt) => self.appended(&turn, receipt.first, receipt.end),
            Err(error) => self.not_appended(&turn, &error),
        }
        turn.clear();
        self.turn = turn;
    }

    fn appended(&mut self, turn: &Turn, first: LogPosition, end: LogPosition) {
        let mut sync = false;
        for (index, record) in turn.records.iter().enumerate() {
            let Some(group) = self.groups.get_mut(&record.group) else { continue };
            let at = turn.batch.position(first, index);
            let must_be_durable = record.sync == Sync::Always;
            if !must_be_durable && group.lane.pending.is_empty() {
                group.apply(turn.body(record), at);
                group.lane.overlay.drop_through(record.lsn);
                record.peer.answer(record.id, |out| out.extend_from_slice(turn.answer(record)));
                continue;
            }
            let mut answer = None;
            if must_be_durable {
                sync = true;
                answer = Some(WaitingAnswer {
                    peer: Rc::clone(&record.peer),
                    id: record.id,
                    body: turn.answer(record).to_vec(),
                });
            } else {
                // Its own wish is fulfilled; it only follows the records before it.
                record.peer.answer(record.id, |out| out.extend_from_slice(turn.answer(record)));
            }
            self.pending.insert(group.id);
            group.lane.pending.push_back(Pending {
                lsn: record.lsn,
                at,
                durable: must_be_durable.then_some(end),
                body: turn.body(record).to_vec(),
                answer,
            });
        }
        if sync {
            self.shared.log.request_sync(end);
        }
    }

    /// Nothing of the turn is in the log, or nobody knows: it is taken back, and answered so.
    fn not_appended(&mut self, turn: &Turn, error: &LogError) {
        let code = match error {
            LogError::Full { .. } => FailureCode::DiskFull,
            LogError::Failed { .. } => FailureCode::Unknown,
            _ => FailureCode::Stopped,
        };
        tracing::error!(%error, "the turn's writes were not appended");
        for record in &turn.records {
            let detail = format!("{} ({}): {error}", record.group, self.shared.name);
            record.peer.fail(record.id, &Failure::new(code, detail));
            if let Some(group) = self.groups.get_mut(&record.group) {
                // The records of a lane are numbered in the order of the turn: the first one of
                // each lane takes back the rest.
                let before = record.lsn.0 - 1;
                if group.lane.last.0 > before {
                    group.lane.take_back(common::ids::Lsn(before));
                }
            }
        }
    }

    /// The log is durable up to `upto`: what waited for it is official.
    pub(crate) fn on_durable(&mut self, upto: LogPosition) {
        self.begin_turn();
        let mut official = false;
        for id in std::mem::take(&mut self.pending) {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            while let Some(pending) =
                group.lane.pending.pop_front_if(|p| p.durable.is_none_or(|end| end <= upto))
            {
                official = true;
                group.apply(&pending.body, pending.at);
                group.lane.overlay.drop_through(pending.lsn);
                if let Some(answer) = pending.answer {
                    answer.peer.answer(answer.id, |out| out.extend_from_slice(&answer.body));
                    touch(&mut self.touched, &answer.peer);
                }
            }
            if !group.lane.pending.is_empty() {
                self.pending.insert(id);
            }
        }
        if official {
            self.retry_parked();
        }
    }

    /// The log is poisoned: what is not durable by now never will be known to be.
    pub(crate) fn on_poisoned(&mut self, cause: &str) {
        for id in std::mem::take(&mut self.pending) {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let before = group.lane.pending.front().map(|pending| pending.lsn.0 - 1);
            for pending in group.lane.pending.drain(..) {
                if let Some(answer) = pending.answer {
                    let detail = format!("{} ({}): {cause}", group.id, self.shared.name);
                    answer.peer.fail(answer.id, &Failure::new(FailureCode::Unknown, detail));
                    touch(&mut self.touched, &answer.peer);
                }
            }
            if let Some(before) = before {
                group.lane.take_back(common::ids::Lsn(before));
            }
        }
        self.retry_parked();
    }

    fn retry_parked(&mut self) {
        for parked in std::mem::take(&mut self.parked) {
            self.execute(&parked.peer, parked.id, &parked.request);
        }
        self.end_turn();
    }

    fn touch(&mut self, peer: &Rc<Peer>) {
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

fn touch(touched: &mut Vec<Rc<Peer>>, peer: &Rc<Peer>) {
    if peer.set_touched(true) {
        touched.push(Rc::clone(peer));
    }
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
