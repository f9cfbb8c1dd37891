//! The one place that states the order of a record: append -> durable (as asked) -> official ->
//! applied -> answered. The protocol says what is official, in the order of the numbers.

use common::durability::{Acks, Sync};
use common::failure::{Failure, FailureCode};
use common::ids::{Lane, LogicGroup, Lsn};
use common::log_record::{self, LogHead, LogRecord};

use crate::binlog::{LogError, LogPosition};
use crate::lane::Entry;
use crate::replication::position::{Head, Position, Span};
use crate::worker::core::{Core, touch};
use crate::worker::flushing::answer_write;
use crate::worker::group::Group;
use crate::worker::lead::{Held, ShortWrite, WaitingAnswer, WaitingWrite};
use crate::worker::protocol::NONE;
use crate::worker::turn::{Turn, TurnRecord};

/// How often writes that were not appended are logged at most, in milliseconds.
const COMPLAINT_MS: u64 = 1_000;

impl Core {
    /// Appends the turn's records, tells the protocol, and puts what it wants to say into the links'
    /// frames.
    pub(crate) fn end_turn(&mut self) {
        loop {
            for request in std::mem::take(&mut self.resumed) {
                self.execute(&request.peer, request.id, &request.request);
            }
            if self.turn.records.is_empty() {
                break;
            }
            let mut turn = std::mem::take(&mut self.turn);
            match self.shared.log.append(&mut turn.batch) {
                Ok(receipt) => self.appended(&turn, receipt.first, receipt.end),
                Err(error) => self.not_appended(&turn, &error),
            }
            turn.clear();
            if self.turn.records.is_empty() {
                self.turn = turn;
            }
        }
        self.start_reading();
        let touched = &mut self.touched;
        self.links.close_frames(|peer| touch(touched, peer));
    }

    /// Has the writes of the turn appended: what was evaluated must still be led when it gets its
    /// number.
    pub(crate) fn settle(&mut self) {
        if !self.turn.runs.is_empty() {
            self.end_turn();
        }
    }

    fn appended(&mut self, turn: &Turn, first: LogPosition, end: LogPosition) {
        self.shared.memory.grew(self.index, turn.batch.bytes());
        for (index, record) in turn.records.iter().enumerate() {
            self.keep(turn, index, record, turn.batch.position(first, index), end);
        }
        if turn.sync {
            self.shared.log.request_sync(end);
        }
        for run in &turn.runs {
            let now_ms = self.mono_ms;
            let Some(group) = self.groups.get_mut(&run.lane.group) else { continue };
            let mut actions = std::mem::take(&mut self.actions);
            let durable = &run.durable;
            let taken =
                group.replica.append_run(now_ms, run.lane, run.first, durable, &mut actions);
            assert!(taken, "{}: a lane that is served takes its leader's records", run.lane);
            self.carry_out(run.lane.group, &mut actions, NONE);
            self.actions = actions;
            self.soon(run.lane.group);
        }
        self.after_append();
    }

    /// Keeps a record that is in the log now. What only had to reach this kernel, and depends on
    /// nobody else, is applied and answered at once: the protocol will call it official.
    fn keep(
        &mut self,
        turn: &Turn,
        index: usize,
        record: &TurnRecord,
        at: LogPosition,
        end: LogPosition,
    ) {
        let body = turn.batch.body(index);
        let id = record.lane.group;
        let Some(group) = self.groups.get_mut(&id) else { return };
        // The response begins with its outcome; what a record keeps is the reply behind that.
        let reply = match &record.write {
            Some(write) => turn.answer(write).get(1..).unwrap_or_default(),
            None => log_record::answer(body).unwrap_or_default(),
        };
        note_request(&mut self.dedup, record, body, reply);
        let alone = group.is_alone(record);
        let Some(lane) = group.lane_mut(record.lane.server) else { return };
        lane.index.note(record.at, at);
        lane.appended(end, record.at);
        if let Some(lead) = lane.lead.as_mut().filter(|lead| lead.term.since == record.at.epoch) {
            lead.appended = record.at.lsn;
        }
        let Some(write) = &record.write else {
            return lane.backlog.push(Entry { at: record.at, log: at, body: body.to_vec() });
        };
        let place = self.pace.enter(body.len());
        let answer = turn.answer(write);
        if alone {
            group.apply(body, at);
            if let Some(lane) = group.lane_mut(record.lane.server)
                && let Some(lead) = &mut lane.lead
            {
                lead.overlay.drop_through(record.at.lsn);
            }
            return self.answer_turn(place, write, answer);
        }
        lane.backlog.push(Entry { at: record.at, log: at, body: body.to_vec() });
        if write.acks == Acks::One && write.sync != Sync::Always {
            return self.answer_turn(place, write, answer);
        }
        let waiting = WaitingWrite {
            answer: write.waiting(answer),
            place,
            sync: write.sync,
            acks: write.acks,
            deadline_ms: write.deadline_ms,
        };
        if let Some(lead) = &mut lane.lead {
            lead.wants_sync |= write.sync == Sync::Always;
            lead.writes.push_back((record.at.lsn, waiting));
        }
    }

    /// Nothing of the turn is in the log, or nobody knows. Writes are taken back, and answered so.
    /// Records of other leaders cannot be: the protocol counts them as held.
    fn not_appended(&mut self, turn: &Turn, error: &LogError) {
        let code = match error {
            LogError::Full { .. } => FailureCode::DiskFull,
            LogError::Failed { .. } => FailureCode::Unknown,
            _ => FailureCode::Stopped,
        };
        // A disk that stays full must not fill up with this line as well.
        if self.mono_ms >= self.complained_ms + COMPLAINT_MS {
            self.complained_ms = self.mono_ms;
            tracing::error!(%error, "records were not appended to the log");
        }
        for record in &turn.records {
            let id = record.lane.group;
            let text = |why: &str| format!("{id} ({}): {why}", self.shared.name);
            let Some(write) = &record.write else {
                self.on_copies_lost(id, &error.to_string());
                continue;
            };
            write.peer.fail(write.id, &Failure::new(code, text(&error.to_string())));
            // What was evaluated on records that are taken back is void as well.
            let void = Failure::new(FailureCode::Busy, text("a write before this was not applied"));
            let Some(group) = self.groups.get_mut(&id) else { continue };
            for answer in take_back(group, record.lane) {
                answer.peer.fail(answer.id, &void);
                touch(&mut self.touched, &answer.peer);
            }
        }
        self.after_append();
    }

    /// Records that were taken from a leader are not in the log: this node must say nothing any
    /// more that rests on them. It takes no further part until it is started again.
    fn on_copies_lost(&mut self, id: LogicGroup, error: &str) {
        self.links.forget_frames();
        let cause =
            format!("records were not appended: {error}; restart the node when that is over");
        self.leave(&cause);
        // Where nobody else could go on either.
        if let Some(group) = self.groups.get_mut(&id) {
            group.leave(&cause);
        }
    }

    /// Adds records that arrived from a leader to the turn.
    pub(super) fn copy_records<B: AsRef<[u8]>>(&mut self, lane: Lane, bodies: &[B]) {
        for body in bodies {
            let body = body.as_ref();
            let head = log_record::decode_head(body).expect("was decoded when it arrived");
            if let Err(ahead) = self.hlc.observe(head.hlc, self.wall_ms) {
                metrics::counter!("fdht_node_clock_ahead_total").increment(1);
                tracing::debug!(%lane, %ahead, "a leader's time is not followed");
            }
            let at = Position { epoch: head.stream.epoch, lsn: head.lsn };
            // A stream's first record makes older ones official, so it is not left to the interval.
            self.turn.sync |= head.lsn == Lsn(1);
            let pushed = self.turn.push_copy(lane, at, |out| out.extend_from_slice(body));
            pushed.expect("another node's log took a record of this length");
        }
    }

    /// Adds the first record of a stream to the turn.
    pub(super) fn begin_stream(&mut self, lane: Lane, head: &Head) {
        let record = LogHead {
            stream: common::ids::Stream { lane, epoch: head.at.epoch },
            lsn: head.at.lsn,
            hlc: self.hlc.tick(self.wall_ms),
            node: self.shared.node,
            request: common::ids::RequestId::default(),
            open: 0,
        };
        let ends: Vec<_> = head.ends.iter().flatten().map(|end| (end.epoch, end.lsn)).collect();
        let pushed = self.turn.push_copy(lane, head.at, |out| {
            LogRecord::encode_start(out, &record, &ends);
        });
        pushed.expect("a first record is short");
        self.turn.sync = true;
        if let Some(group) = self.groups.get_mut(&lane.group)
            && let Some(lead) = group.lane_mut(lane.server).and_then(|lane| lane.lead.as_mut())
        {
            lead.last = head.at.lsn;
        }
    }

    /// The lane is official up to `at`: apply, answer.
    pub(super) fn on_official(&mut self, lane: Lane, at: Position) {
        let Some(group) = self.groups.get_mut(&lane.group) else { return };
        let Some(place) = group.lanes.get_mut(usize::from(lane.server.0)) else { return };
        let mut backlog = std::mem::take(&mut place.backlog);
        // Asked only about older streams, which is rare.
        let chain = match backlog.front() {
            Some(first) if first.at.epoch != at.epoch => {
                let replica = group.replica.lane(lane.server);
                replica.map(|replica| replica.held().chain()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let mut first_ms = None;
        while let Some(entry) = backlog.pop_official(at, &chain) {
            if first_ms.is_none() {
                first_ms = log_record::decode_head(&entry.body).ok().map(|head| head.hlc.ms());
            }
            group.apply(&entry.body, entry.log);
        }
        if let Some(first_ms) = first_ms {
            // From its evaluation at the leader to its application here.
            let lag_ms = self.wall_ms.saturating_sub(first_ms);
            self.lag.record(lag_ms as f64 / 1_000.0);
        }
        if let Some(place) = group.lane_mut(lane.server) {
            place.backlog = backlog;
        }
        self.answer_official(lane, at);
    }

    fn answer_official(&mut self, lane: Lane, at: Position) {
        let Some(group) = self.groups.get_mut(&lane.group) else { return };
        let Group { lanes, replica, .. } = group;
        let replica = replica.lane(lane.server);
        let servers = lanes.len();
        let Some(data) = lanes.get_mut(usize::from(lane.server.0)) else { return };
        let Some(lead) = data.lead.as_mut().filter(|lead| lead.term.since == at.epoch) else {
            return;
        };
        // What waited behind something durable may come after what did not.
        lead.official = lead.official.max(at.lsn);
        // Until a record that must be durable is there again.
        lead.wants_sync &= lead.official < lead.last;
        lead.overlay.drop_through(at.lsn);
        while let Some((lsn, write)) = lead.writes.pop_front_if(|(lsn, _)| *lsn <= at.lsn) {
            let wanted = wanted(write.acks, servers);
            let held_by = match wanted {
                0 | 1 => 1,
                _ => replica.map_or(1, |r| r.acked_by(lsn, write.sync == Sync::Always)),
            };
            if held_by < wanted {
                lead.short.push(ShortWrite { lsn, held_by, write });
                continue;
            }
            answer_write(&mut self.pace, &mut self.touched, write);
        }
        if lead.holds_something() {
            self.release(lane);
        }
    }

    /// Looks at official writes that waited for more servers than those in step.
    pub(super) fn answer_short(&mut self, id: LogicGroup) {
        let now_ms = self.mono_ms;
        let Some(group) = self.groups.get_mut(&id) else { return };
        let servers = group.servers();
        let mut late = Vec::new();
        for data in &mut group.lanes {
            let Some(lead) = data.lead.as_mut().filter(|lead| !lead.short.is_empty()) else {
                continue;
            };
            let replica = group.replica.lane(data.id.server);
            for mut short in std::mem::take(&mut lead.short) {
                let durable = short.write.sync == Sync::Always;
                let held_by = replica.map_or(1, |r| r.acked_by(short.lsn, durable));
                short.held_by = short.held_by.max(held_by);
                if short.held_by >= wanted(short.write.acks, servers) {
                    answer_write(&mut self.pace, &mut self.touched, short.write);
                } else if now_ms >= short.write.deadline_ms {
                    late.push((data.id, short));
                } else {
                    lead.short.push(short);
                }
            }
        }
        for (lane, short) in late {
            self.fail_short(lane, &short);
        }
    }

    /// Tells that a write is applied, but on fewer servers than asked for.
    pub(super) fn fail_short(&mut self, lane: Lane, short: &ShortWrite) {
        let servers = self.groups.get(&lane.group).map_or(0, Group::servers);
        let name = &self.shared.name;
        let have = short.held_by;
        let detail = format!("{} ({name}): applied on {have} of {servers} servers", lane.group);
        let WaitingAnswer { peer, id, .. } = &short.write.answer;
        peer.fail(*id, &Failure::new(FailureCode::AcksShort, detail));
        touch(&mut self.touched, peer);
    }

    /// The log's sync thread made progress, or will make none any more.
    pub(crate) fn on_synced(&mut self) {
        self.begin_turn();
        let upto = self.shared.log.durable();
        let lanes: Vec<(Lane, Position)> = self
            .groups
            .values_mut()
            .flat_map(|group| &mut group.lanes)
            .filter_map(|lane| Some((lane.id, lane.take_durable(upto)?)))
            .collect();
        for (lane, at) in lanes {
            self.answer_weak(lane, at);
            let now_ms = self.mono_ms;
            // One that has left counts records as held that are not in its log.
            let group = self.groups.get_mut(&lane.group).filter(|group| !group.left);
            let Some(group) = group else { continue };
            let mut actions = std::mem::take(&mut self.actions);
            group.replica.on_durable(now_ms, lane, at, &mut actions);
            self.carry_out(lane.group, &mut actions, NONE);
            self.actions = actions;
            self.soon(lane.group);
        }
        if let Some(cause) = self.shared.log.poisoned() {
            self.on_poisoned(&cause);
        }
        self.end_turn();
        self.start_flushes();
    }

    /// `acks: 1` with `sync: always`: answered when it is durable here.
    fn answer_weak(&mut self, lane: Lane, at: Position) {
        let group = self.groups.get_mut(&lane.group);
        let data = group.and_then(|group| group.lane_mut(lane.server));
        let Some(lead) = data.and_then(|data| data.lead.as_mut()) else { return };
        if lead.term.since != at.epoch || lead.writes.iter().all(|(_, w)| w.acks != Acks::One) {
            return;
        }
        let ready = |lsn: Lsn, write: &WaitingWrite| write.acks == Acks::One && lsn <= at.lsn;
        let writes = std::mem::take(&mut lead.writes);
        for (lsn, write) in writes {
            if ready(lsn, &write) {
                answer_write(&mut self.pace, &mut self.touched, write);
            } else {
                lead.writes.push_back((lsn, write));
            }
        }
    }

    /// The log is poisoned: what is not durable by now never will be known to be. Who waits for
    /// that is told that nobody knows; a restart finds what the kernel kept.
    fn on_poisoned(&mut self, cause: &str) {
        self.leave(cause);
        let name = self.shared.name.clone();
        for group in self.groups.values_mut() {
            let detail = format!("{} ({name}): {cause}", group.id);
            let stopped = Failure::new(FailureCode::Stopped, detail.clone());
            let unknown = Failure::new(FailureCode::Unknown, detail);
            for lead in group.lanes.iter_mut().filter_map(|lane| lane.lead.as_mut()) {
                // It depends on what nobody will ever know.
                for held in lead.take_held() {
                    let (peer, id) = held.asker();
                    peer.fail(id, &stopped);
                    touch(&mut self.touched, &peer);
                }
                for (_, write) in lead.writes.drain(..) {
                    write.answer.peer.fail(write.answer.id, &unknown);
                    touch(&mut self.touched, &write.answer.peer);
                }
            }
        }
    }

    /// Sends the answers, and runs the walks, that waited for records that are official now.
    fn release(&mut self, lane: Lane) {
        let mut walks = Vec::new();
        let group = self.groups.get_mut(&lane.group);
        let data = group.and_then(|group| group.lane_mut(lane.server));
        let Some(lead) = data.and_then(|data| data.lead.as_mut()) else { return };
        while let Some(held) = lead.pop_held() {
            match held {
                Held::Answer(answer) => {
                    answer.peer.answer(answer.id, |out| out.extend_from_slice(&answer.body));
                    touch(&mut self.touched, &answer.peer);
                }
                Held::Walk(walk) => walks.push(walk),
            }
        }
        for walk in walks {
            self.touch(&walk.peer);
            self.walk_now(walk);
        }
    }

    /// Records that are held do not count: they were never official, so no client was told that they
    /// were applied, but for `acks: 1`.
    pub(super) fn on_void(&self, lane: Lane, spans: &[Span]) {
        let records: u64 = spans.iter().map(|span| span.last.0 + 1 - span.first.0).sum();
        metrics::counter!("fdht_node_void_records_total").increment(records);
        tracing::warn!(%lane, records, "records that were never official are void");
    }

    /// Whether writes wait to become official.
    pub(crate) fn has_pending(&self) -> bool {
        let waits = |lane: &crate::worker::group::LaneData| {
            lane.lead.as_ref().is_some_and(|lead| !lead.writes.is_empty())
        };
        self.groups.values().flat_map(|group| &group.lanes).any(waits)
    }
}

impl Group {
    /// Whether a record only has to reach this kernel to become official.
    fn is_alone(&self, record: &TurnRecord) -> bool {
        let Some(write) = &record.write else { return false };
        let server = record.lane.server;
        write.sync != Sync::Always
            && (write.acks <= Acks::Step || self.servers() == 1)
            && self.waits.is_none()
            && !self.appending
            && self.lane(server).is_some_and(|lane| lane.backlog.is_empty())
            && self.lane_replica(server).is_some_and(|replica| replica.alone())
    }
}

/// How many servers must hold a write, itself in step with all that are.
fn wanted(acks: Acks, servers: usize) -> usize {
    match acks {
        Acks::One | Acks::Step => 0,
        Acks::Majority => servers / 2 + 1,
        Acks::All => servers,
    }
}

/// Remembers which request a record answers, for a repetition of it (I7).
fn note_request(
    dedup: &mut crate::lane::DedupWindow,
    record: &TurnRecord,
    body: &[u8],
    reply: &[u8],
) {
    let head = log_record::decode_head(body).expect("was encoded or checked by this node");
    dedup.push(head.request, record.lane, record.at, head.hlc.ms(), reply);
}

/// Forgets the lane's numbers that are not in the log. What is in it is laid over the lane again.
fn take_back(group: &mut Group, lane: Lane) -> Vec<WaitingAnswer> {
    let Some(data) = group.lane_mut(lane.server) else { return Vec::new() };
    let Some(lead) = &mut data.lead else { return Vec::new() };
    if lead.last == lead.appended {
        return Vec::new(); // A record of the same turn did it.
    }
    let weak = lead.overlay.weak();
    let void = lead.take_back();
    let all = Span { epoch: lead.term.since, first: Lsn(1), last: lead.appended };
    for entry in data.backlog.range(all) {
        if let Ok(record) = LogRecord::decode(&entry.body) {
            let lsn = entry.at.lsn;
            lead.overlay.push(lsn, weak.contains(&lsn), record.mutations.iter().copied());
        }
    }
    void
}
