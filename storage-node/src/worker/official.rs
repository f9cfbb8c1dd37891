//! The one place that states the order of a write: append -> durable (as asked) -> official ->
//! applied -> answered. Records become official in the order of their numbers.

use std::rc::Rc;

use common::durability::Sync;
use common::failure::{Failure, FailureCode};
use common::ids::LogicGroup;
use common::wire::request;

use crate::binlog::{LogError, LogPosition};
use crate::worker::core::{Core, touch};
use crate::worker::group::{Held, Pending, WaitingAnswer};
use crate::worker::turn::{Turn, TurnRecord};

/// How often writes that were not appended are logged at most, in milliseconds.
const COMPLAINT_MS: u64 = 1_000;

impl Core {
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
        let mut release = Vec::new();
        for (index, record) in turn.records.iter().enumerate() {
            let Some(group) = self.groups.get_mut(&record.group) else { continue };
            let at = turn.batch.position(first, index);
            let must_be_durable = record.sync == Sync::Always;
            group.lane.appended = record.lsn;
            if !must_be_durable && group.lane.pending.is_empty() {
                group.apply(turn.body(record), at);
                group.lane.overlay.drop_through(record.lsn);
                record.peer.answer(record.id, |out| out.extend_from_slice(turn.answer(record)));
                if group.lane.holds_something() {
                    release.push(group.id);
                }
                continue;
            }
            let answer = must_be_durable.then(|| waiting(turn, record));
            if answer.is_none() {
                // Its own wish is fulfilled; it only follows the records before it.
                record.peer.answer(record.id, |out| out.extend_from_slice(turn.answer(record)));
            }
            sync |= must_be_durable;
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
        release.into_iter().for_each(|group| self.release(group));
    }

    /// Nothing of the turn is in the log, or nobody knows: it is taken back, and answered so.
    fn not_appended(&mut self, turn: &Turn, error: &LogError) {
        let code = match error {
            LogError::Full { .. } => FailureCode::DiskFull,
            LogError::Failed { .. } => FailureCode::Unknown,
            _ => FailureCode::Stopped,
        };
        // A disk that stays full must not fill up with this line as well.
        if self.now_ms() >= self.complained_ms + COMPLAINT_MS {
            self.complained_ms = self.now_ms();
            tracing::error!(%error, "writes were not appended to the log");
        }
        for record in &turn.records {
            let text = |why: &str| format!("{} ({}): {why}", record.group, self.shared.name);
            record.peer.fail(record.id, &Failure::new(code, text(&error.to_string())));
            let Some(group) = self.groups.get_mut(&record.group) else { continue };
            // What was evaluated on records that are taken back is void as well.
            let void = Failure::new(FailureCode::Busy, text("a write before this was not applied"));
            for answer in group.lane.take_back() {
                answer.peer.fail(answer.id, &void);
                touch(&mut self.touched, &answer.peer);
            }
        }
    }

    /// The log's sync thread made progress, or will make none any more.
    pub(crate) fn on_synced(&mut self) {
        self.on_durable(self.shared.log.durable());
        if let Some(cause) = self.shared.log.poisoned() {
            self.on_poisoned(&cause);
        }
        self.start_flushes();
    }

    /// The log is durable up to `upto`: what waited for it is official.
    fn on_durable(&mut self, upto: LogPosition) {
        self.begin_turn();
        for id in std::mem::take(&mut self.pending) {
            self.make_official(id, |pending| pending.durable.is_none_or(|end| end <= upto), None);
        }
    }

    /// The log is poisoned: what is not durable by now never will be known to be. It is in the log
    /// as far as the kernel is concerned, and a restart will find it, so it is applied; who asked
    /// for more is told that nobody knows.
    fn on_poisoned(&mut self, cause: &str) {
        self.begin_turn();
        for id in std::mem::take(&mut self.pending) {
            self.make_official(id, |_| true, Some(cause));
        }
    }

    /// Applies the first pending records of a group as long as `ready` says so, and answers them:
    /// with what they wait for, or with UNKNOWN and its cause.
    fn make_official(
        &mut self,
        id: LogicGroup,
        ready: impl Fn(&Pending) -> bool,
        unknown: Option<&str>,
    ) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        while let Some(pending) = group.lane.pending.pop_front_if(|pending| ready(pending)) {
            group.apply(&pending.body, pending.at);
            group.lane.overlay.drop_through(pending.lsn);
            let Some(WaitingAnswer { peer, id: request, body }) = pending.answer else { continue };
            match unknown {
                None => peer.answer(request, |out| out.extend_from_slice(&body)),
                Some(cause) => {
                    let detail = format!("{id} ({}): {cause}", self.shared.name);
                    peer.fail(request, &Failure::new(FailureCode::Unknown, detail));
                }
            }
            touch(&mut self.touched, &peer);
        }
        if !group.lane.pending.is_empty() {
            self.pending.insert(id);
        }
        self.release(id);
    }

    /// Sends the answers, and runs the walks, that waited for records that are official now.
    fn release(&mut self, id: LogicGroup) {
        let mut walks = Vec::new();
        let Some(group) = self.groups.get_mut(&id) else { return };
        while let Some(held) = group.lane.pop_held() {
            match held {
                Held::Answer(answer) => {
                    answer.peer.answer(answer.id, |out| out.extend_from_slice(&answer.body));
                    touch(&mut self.touched, &answer.peer);
                }
                Held::Walk(walk) => walks.push(walk),
            }
        }
        for walk in walks {
            let (head, op) = request::decode(&walk.request).expect("was decoded before");
            self.walk_now(&walk.peer, walk.id, &head, &op);
            self.touch(&walk.peer);
        }
    }

    /// Whether records wait to become official.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

fn waiting(turn: &Turn, record: &TurnRecord) -> WaitingAnswer {
    let body = turn.answer(record).to_vec();
    WaitingAnswer { peer: Rc::clone(&record.peer), id: record.id, body }
}
