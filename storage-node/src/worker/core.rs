//! The state of a worker's groups, and the execution of what changes nothing. Writes are in `write`;
//! what happens to a record after its evaluation is in `official`.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use common::failure::{Failure, FailureCode};
use common::ids::{Lane, LogicGroup, NodeId};
use common::op::Op;
use common::register::{Member, Register, VoterSet};
use common::version::HlcClock;
use common::wire::request::{self, RequestHead};
use rt::clock::{self, DataClock};

use crate::binlog::LogPosition;
use crate::catch_up::Want;
use crate::control::Change;
use crate::engine::FlushJob;
use crate::group::evaluate::{self, Draft, KeyBuffer, Refused};
use crate::lane::DedupWindow;
use crate::memory::Pace;
use crate::replication::action::Action;
use crate::replication::lease::LeaseHolder;
use crate::replication::position::Head;
use crate::shared::Shared;
use crate::worker::group::{Group, OpenedGroup};
use crate::worker::lead::{Held, LeadLane, ParkedRequest, Service, WaitingAnswer};
use crate::worker::links::Links;
use crate::worker::peer::Peer;
use crate::worker::slices::SLICE_STEPS;
use crate::worker::start::{self, Started};
use crate::worker::turn::Turn;
use crate::worker::walk::Walks;

/// With so many bytes of records that are not official, a lane takes no more writes: a server in
/// step, or the voters that could take it out of R, do not answer (I14).
const BACKLOG_BYTES_MAX: usize = 64 << 20;
/// With so many bytes of answers and requests that wait for records to become official, or for a
/// hand-over, a lane takes no more requests (I14).
const KEPT_BYTES_MAX: usize = 64 << 20;

/// The state of a worker's groups.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    /// This worker's number.
    pub(crate) index: usize,
    pub(crate) groups: BTreeMap<LogicGroup, Group>,
    pub(crate) links: Links,
    pub(super) leases: LeaseHolder,
    pub(super) voters: VoterSet,
    pub(super) dedup: DedupWindow,
    /// How long records took from their evaluation at the leader to their application here.
    pub(super) lag: metrics::Histogram,
    pub(crate) clock: DataClock,
    /// Wall time of the present turn, in milliseconds since 1970.
    pub(super) wall_ms: u64,
    /// Time of the present turn on a clock that also counts while the process is stopped.
    pub(crate) mono_ms: u64,
    pub(crate) hlc: HlcClock,
    pub(super) turn: Turn,
    pub(super) draft: Draft,
    pub(super) keys: KeyBuffer,
    pub(super) touched: Vec<Rc<Peer>>,
    /// The process is about to stop.
    pub(super) departs: bool,
    /// When records that were not appended were logged last.
    pub(super) complained_ms: u64,
    /// Groups that have something to reclaim, in the order of their turns.
    pub(super) reclaims: VecDeque<LogicGroup>,
    /// The memtable that is frozen: its records have to be durable in the log, up to here, before it is
    /// flushed (I6).
    pub(super) waits_for_log: Option<(LogicGroup, FlushJob, LogPosition)>,
    /// When files with free space are looked for next.
    pub(super) compact_next_ms: u64,
    /// Scans and counts that are not finished.
    pub(super) walks: Walks,
    /// Requests and messages of peers that have arrived.
    pub(super) frames: u64,
    /// Most steps of a slice.
    pub(super) slice_steps: usize,
    /// When the memtables were measured last.
    pub(super) measured: Instant,
    /// Answers of writes that are held back while memory is short, and when that was looked at last.
    pub(crate) pace: Pace<WaitingAnswer>,
    pub(super) paced: Instant,
    /// How long answers were held back.
    pub(super) delays: metrics::Histogram,
    /// What `flushing` shows.
    pub(super) memtable_bytes: metrics::Gauge,
    pub(super) held_bytes: metrics::Gauge,
    /// The oldest segment of the log as of the last look.
    pub(super) released_segment: u64,
    /// Which group waits for which ticket of the control thread.
    pub(super) tickets: BTreeMap<u64, LogicGroup>,
    pub(super) next_ticket: u64,
    /// Requests whose lane is served again.
    pub(super) resumed: Vec<ParkedRequest>,
    /// Records that are to be read from the log, by follower.
    pub(super) wants: BTreeMap<NodeId, Vec<Want>>,
    /// What the control thread had no room for.
    pub(super) unsent: Vec<(u64, Vec<Change>)>,
    /// Kept for their capacity.
    pub(super) actions: Vec<Action>,
    pub(super) heads: Vec<Head>,
}

impl Core {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, started: Started) -> Self {
        let voters = shared.voters.load_full().as_ref().clone();
        let mut links = Links::default();
        links.set_generation(voters.generation);
        let mut core = Self {
            shared,
            index,
            groups: BTreeMap::new(),
            links,
            leases: LeaseHolder::new(voters.voters.clone()),
            voters,
            dedup: started.dedup,
            lag: metrics::histogram!("fdht_node_replication_lag_seconds"),
            clock: DataClock::default(),
            wall_ms: 0,
            mono_ms: clock::boot_ms(),
            hlc: HlcClock::starting_after(started.hlc),
            turn: Turn::default(),
            draft: Draft::default(),
            keys: KeyBuffer::default(),
            touched: Vec::new(),
            departs: false,
            complained_ms: 0,
            reclaims: VecDeque::new(),
            waits_for_log: None,
            compact_next_ms: 0,
            walks: Walks::default(),
            frames: 0,
            slice_steps: SLICE_STEPS,
            measured: clock::now(),
            pace: Pace::default(),
            paced: clock::now(),
            delays: metrics::histogram!("fdht_node_write_delay_seconds"),
            memtable_bytes: metrics::gauge!("fdht_node_memtable_bytes", "worker" => index.to_string()),
            held_bytes: metrics::gauge!("fdht_node_held_write_bytes", "worker" => index.to_string()),
            released_segment: 0,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            resumed: Vec::new(),
            wants: BTreeMap::new(),
            unsent: Vec::new(),
            actions: Vec::new(),
            heads: Vec::new(),
        };
        core.add_groups(started.groups);
        core
    }

    /// Takes groups over whose files were opened and whose log was replayed.
    pub(crate) fn add_groups(&mut self, groups: Vec<OpenedGroup>) {
        for opened in groups {
            let me = Member { node: self.shared.node, store: self.shared.dir.store() };
            let life = &self.shared.life;
            let replica = start::replica(self.mono_ms, &opened, me, life, &self.voters);
            self.groups.insert(opened.id, Group::new(opened, replica));
        }
    }

    /// Looks at the clocks, once for all operations of the turn that begins.
    pub(crate) fn begin_turn(&mut self) {
        self.wall_ms = self.clock.wall_ms();
        self.mono_ms = clock::boot_ms();
        self.walks.begin_turn();
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
        match self.check(&head, &op) {
            Ok(Service::Holding) => {
                let request = ParkedRequest { peer: Rc::clone(peer), id, request: body.to_vec() };
                if let Some(lead) = self.lead_mut(head.lane) {
                    lead.park(request);
                }
                return;
            }
            Ok(_) => {}
            Err(failure) => return peer.fail(id, &failure),
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
    pub(super) fn check(&self, head: &RequestHead, op: &Op<'_>) -> Result<Service, Failure> {
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
        if head.remaining_ms == 0 {
            return fail(FailureCode::DeadlinePassed, "the deadline passed".into());
        }
        let lead = group.lane(lane.server).and_then(|lane| lane.lead.as_ref());
        let service = match lead {
            Some(lead) if lead.term.since == head.since && lead.service != Service::NotYet => {
                lead.service
            }
            _ => match &group.stopped {
                Some(reason) if group.left && group.servers() == 1 => {
                    return fail(FailureCode::Stopped, format!("stopped: {reason}"));
                }
                _ => return Err(self.not_leading(group, lane)),
            },
        };
        if lead.is_some_and(|lead| lead.kept_bytes() > KEPT_BYTES_MAX) {
            let why = format!(
                "over {} MiB of answers wait for the servers in step; try again",
                KEPT_BYTES_MAX >> 20
            );
            return fail(FailureCode::Busy, why);
        }
        if op.is_read() {
            return Ok(service);
        }
        if let Some(reason) = &group.stopped {
            if group.has_successor(self.shared.node) {
                // Until the lane is handed over, which says where to go on.
                return Ok(Service::Holding);
            }
            return fail(FailureCode::Stopped, format!("stopped: {reason}"));
        }
        if let Some((code, reason)) = self.shared.write_refusal() {
            return fail(code, reason);
        }
        let backlog = group.lane(lane.server).map_or(0, |lane| lane.backlog.bytes());
        if backlog > BACKLOG_BYTES_MAX {
            let why = "too many writes wait for the servers in step";
            return fail(FailureCode::Busy, why.into());
        }
        Ok(service)
    }

    /// Why a lane is not served, or not in the term that was asked for, with what is known of it.
    fn not_leading(&self, group: &Group, lane: Lane) -> Failure {
        let place = format!("{} ({})", group.id, self.shared.name);
        let Some(register) = group.replica.register() else {
            let why = "its register is not known here: no majority of the voters answered yet, or \
                       the group was never created (`fdht topology init` does that)";
            return Failure::new(FailureCode::NotYet, format!("{place}: {why}"));
        };
        let lead = group.lane(lane.server).and_then(|lane| lane.lead.as_ref());
        let (code, why) = match lead {
            Some(LeadLane { service: Service::NotYet, .. }) => {
                (FailureCode::NotYet, format!("leads {lane}, but settles older records first"))
            }
            _ => (FailureCode::NotLeader, format!("does not lead {lane} in that term")),
        };
        Failure::with_view(code, format!("{place}: {why}"), register.view())
    }

    /// Whether the lane's lease holds: asked after the data was read, before it is answered, on a
    /// clock that also counts while the process is stopped (I8).
    pub(super) fn lease_holds(&self, lane: Lane) -> Result<(), Failure> {
        let group = self.groups.get(&lane.group);
        let lead = group.and_then(|group| group.lane(lane.server)).and_then(|l| l.lead.as_ref());
        if lead.is_some_and(|lead| clock::boot_ms() < lead.lease_until_ms) {
            return Ok(());
        }
        let view = group.and_then(|group| group.replica.register()).map(Register::view);
        let detail = format!(
            "{} ({}): the lease of {lane} ended: no majority of the voters renews it",
            lane.group, self.shared.name
        );
        Err(Failure::with_view(FailureCode::NotYet, detail, view.unwrap_or_default()))
    }

    pub(super) fn lead_mut(&mut self, lane: Lane) -> Option<&mut LeadLane> {
        self.groups.get_mut(&lane.group)?.lane_mut(lane.server)?.lead.as_mut()
    }

    /// Whether the answer to `op` depends on a record that is not official.
    pub(super) fn touches_pending(&mut self, lane: Lane, op: &Op<'_>) -> bool {
        let lead = self.groups.get(&lane.group).and_then(|group| group.lane(lane.server));
        let lead = lead.and_then(|lane| lane.lead.as_ref());
        lead.is_some_and(|lead| lead.overlay.touches(op, &mut self.keys))
    }

    /// Reads records. What depends on something pending is evaluated now, in the order of arrival,
    /// and answered when that is official.
    fn read(&mut self, peer: &Rc<Peer>, id: u64, head: &RequestHead, op: &Op<'_>) {
        let now_ms = self.now_ms();
        let lane = head.lane;
        let Some(group) = self.groups.get_mut(&lane.group) else { return };
        let Group { store, lanes, .. } = group;
        let data = lanes.get_mut(usize::from(lane.server.0));
        let Some(lead) = data.and_then(|data| data.lead.as_mut()) else { return };
        let keys = &mut self.keys;
        let waits = lead.overlay.touches(op, keys);
        if waits || lead.overlay.has_weak() {
            let mut body = Vec::new();
            let read = evaluate::read(&lead.overlay.over(store), op, now_ms, keys, &mut body);
            if let Err(refused) = read {
                return self.refuse_read(peer, id, head, refused);
            }
            if waits && let Some(cause) = self.shared.log.poisoned() {
                return peer.fail(id, &unknowable(&self.shared, lane, &cause));
            }
            if waits {
                let answer = WaitingAnswer { peer: Rc::clone(peer), id, body };
                return lead.hold(Held::Answer(answer));
            }
            return match self.lease_holds(lane) {
                Ok(()) => peer.answer(id, |out| out.extend_from_slice(&body)),
                Err(failure) => peer.fail(id, &failure),
            };
        }
        // Read, then check the lease, then answer (guarantees 3).
        let until_ms = lead.lease_until_ms;
        let read = |out: &mut Vec<u8>| evaluate::read(store, op, now_ms, keys, out);
        match peer.answer_if(id, read, || clock::boot_ms() < until_ms) {
            Ok(true) => {}
            Ok(false) => {
                if let Err(failure) = self.lease_holds(lane) {
                    peer.fail(id, &failure);
                }
            }
            Err(refused) => self.refuse_read(peer, id, head, refused),
        }
    }

    fn refuse_read(&mut self, peer: &Peer, id: u64, head: &RequestHead, refused: Refused) {
        match refused {
            Refused::Failure(failure) => peer.fail(id, &failure),
            Refused::Engine(error) => {
                let failure = self.stop_for(head.lane, &error);
                peer.fail(id, &failure);
            }
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

/// The answer depends on records that are in a log that failed.
pub(super) fn unknowable(shared: &Shared, lane: Lane, cause: &str) -> Failure {
    let detail = format!(
        "{} ({}): it depends on writes of which nobody knows whether they last: the log failed: \
         {cause}; check the disk, then restart the node",
        lane.group, shared.name
    );
    Failure::new(FailureCode::Stopped, detail)
}
