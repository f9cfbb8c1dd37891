//! Flushes, and what they do to writers: the worker measures its memtables, freezes the one whose turn it
//! is, and holds the answers of writes back when memory is short.

use std::rc::Rc;
use std::time::Duration;

use common::ids::LogicGroup;
use rt::clock;

use crate::binlog::LogPosition;
use crate::engine::{FlushDone, Store};
use crate::flusher::Work;
use crate::memory::{FlushView, FlushWhy, Pace, Place};
use crate::worker::core::{Core, touch};
use crate::worker::group::Group;
use crate::worker::lead::{WaitingAnswer, WaitingWrite};
use crate::worker::peer::Peer;
use crate::worker::turn::TurnWrite;

/// How often held answers are looked at.
pub(super) const PACE_STEP: Duration = Duration::from_millis(1);
/// No answer is held back for longer, in milliseconds, nor so long that its client stops waiting.
const HELD_MS_MAX: u64 = 1_000;
/// What a held answer takes besides its body.
const HELD_BYTES: usize = 128;
/// How often memtables are measured while memory is short.
const MEASURE: Duration = Duration::from_millis(10);

impl Core {
    /// Begins a flush if it is this worker's turn: of the memtable that holds back the oldest part of a
    /// log that grew too long, or of its largest one when memory is short. What failed is tried again if
    /// `retry`.
    pub(super) fn plan_flush(&mut self, retry: bool) {
        // A flush needs room; without any it would only fail.
        if self.shared.is_disk_full() || (!retry && self.candidates().any(wants_retry)) {
            return;
        }
        let (shared, limit) = (&self.shared, self.shared.limits.log_bytes);
        let too_far = |mark| shared.log.distance(position(mark)) > limit;
        let Some(why) = shared.memory.take_turn(self.index, too_far) else { return };
        let chosen = match why {
            FlushWhy::Retry => self.candidates().find(|group| wants_retry(group)),
            FlushWhy::Memory => self.candidates().max_by_key(|group| group.store.memory_bytes()),
            FlushWhy::Log => {
                let pins = |group: &&Group| group.store.oldest_unflushed().is_some();
                self.candidates().filter(pins).min_by_key(|group| group.store.oldest_unflushed())
            }
        };
        let chosen = chosen.map(|group| group.id);
        let group = chosen.and_then(|id| self.groups.get_mut(&id));
        let begun = group.and_then(|group| Some((group.store.begin_flush()?, group)));
        let Some((job, group)) = begun else { return self.shared.memory.end_flush() };
        // Everything in the memtable was appended before now.
        let appended = self.shared.log.appended();
        self.shared.log.request_sync(appended);
        self.waits_for_log = Some((group.id, job, appended));
    }

    fn candidates(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().filter(|group| group.stopped.is_none())
    }

    /// Hands the frozen memtable to the flush thread when its records are durable in the log (I6).
    pub(crate) fn start_flushes(&mut self) {
        let durable = self.shared.log.durable();
        if let Some((id, job, _)) = self.waits_for_log.take_if(|(.., upto)| *upto <= durable) {
            self.shared.flusher.send(Work::Flush(id, job));
        }
    }

    /// A flush ended, well or not.
    pub(crate) fn on_flushed(&mut self, id: LogicGroup, done: FlushDone) {
        if let Some(group) = self.groups.get_mut(&id) {
            let garbage = group.store.finish_flush(done);
            self.shared.flusher.send(Work::Drop(garbage));
            if let Some(reason) = group.store.stopped().map(str::to_owned) {
                group.stop(&reason);
                // Its memory counts no more; that of the other groups can be freed.
                self.shared.memory.flush_succeeded(true);
            }
        }
        self.publish_needed();
        self.measure_memtables();
        self.shared.memory.end_flush();
        self.plan_flush(true);
        self.start_flushes();
    }

    /// Tells the other workers how much memory this one's memtables take. Those of groups that have
    /// stopped stay until the restart and count for nothing: nobody could make room for them.
    pub(super) fn measure_memtables(&mut self) {
        let (mut bytes, mut view) = (0, FlushView::default());
        for group in self.candidates() {
            let store: &Store = &group.store;
            let active = store.memory_bytes();
            let all = active + store.flushing_bytes();
            bytes += all;
            view.largest_group = view.largest_group.max(all);
            // One whose flush failed is frozen until that is tried again.
            if store.flushing_bytes() == 0 {
                view.largest = view.largest.max(active);
            }
            let oldest = store.oldest_unflushed();
            view.oldest = [view.oldest, oldest].into_iter().flatten().min();
            view.retry |= store.wants_retry();
        }
        self.shared.memory.measured(self.index, bytes, view);
        self.measured = clock::now();
        self.memtable_bytes.set(bytes as f64);
    }

    /// Between turns: sees whether memory is short, and lets answers go that were held back.
    pub(crate) fn look_at_memory(&mut self) {
        let now = clock::now();
        self.shared.memory.look(clock::boot_ms());
        // While there is room, once a tick is often enough.
        let is_short = self.pace.is_paced() || self.shared.memory.is_short();
        if is_short && now.duration_since(self.measured) >= MEASURE {
            self.measure_memtables();
            self.plan_flush(false);
            self.start_flushes();
        }
        let took = now.duration_since(std::mem::replace(&mut self.paced, now));
        // Who is not allowed to write is told so, and who wrote before that waits for nothing.
        let refuses = self.shared.is_disk_full() || self.shared.memory.is_stuck();
        let rate = self.shared.memory.rate(self.index, self.pace.waiting());
        self.pace.advance(rate.filter(|_| !refuses), took);
        self.let_go();
    }

    /// Lets everything go, also what is still to come: the node stops.
    pub(crate) fn end_pace(&mut self) {
        self.pace.end();
        self.let_go();
    }

    fn let_go(&mut self) {
        let now_ms = clock::boot_ms();
        while let Some((waited_ms, answer)) = self.pace.pop(now_ms) {
            self.delays.record(waited_ms as f64 / 1_000.0);
            answer.peer.let_go(held_bytes(&answer));
            answer.peer.answer(answer.id, |out| out.extend_from_slice(&answer.body));
            touch(&mut self.touched, &answer.peer);
        }
        self.held_bytes.set(self.pace.waiting() as f64);
    }

    /// Answers a write of the turn that needs nothing more, when its place in the line has passed.
    pub(super) fn answer_turn(&mut self, place: Place, write: &TurnWrite, answer: &[u8]) {
        if self.pace.passes(place) {
            return write.peer.answer(write.id, |out| out.extend_from_slice(answer));
        }
        hold(&mut self.pace, place, write.deadline_ms, write.waiting(answer));
    }
}

/// Answers a write that has all it asked for, when its place in the line has passed.
pub(super) fn answer_write(
    pace: &mut Pace<WaitingAnswer>,
    touched: &mut Vec<Rc<Peer>>,
    write: WaitingWrite,
) {
    let WaitingWrite { answer, place, deadline_ms, .. } = write;
    if !pace.passes(place) {
        return hold(pace, place, deadline_ms, answer);
    }
    answer.peer.answer(answer.id, |out| out.extend_from_slice(&answer.body));
    touch(touched, &answer.peer);
}

/// Its peer is read no further when too much is held back for it (I14).
fn hold(pace: &mut Pace<WaitingAnswer>, place: Place, deadline_ms: u64, answer: WaitingAnswer) {
    let now_ms = clock::boot_ms();
    answer.peer.hold_back(held_bytes(&answer));
    pace.hold(place, now_ms, deadline_ms.min(now_ms + HELD_MS_MAX), answer);
}

fn held_bytes(answer: &WaitingAnswer) -> usize {
    answer.body.len() + HELD_BYTES
}

fn wants_retry(group: &Group) -> bool {
    group.store.wants_retry()
}

fn position((segment, offset): (u64, u64)) -> LogPosition {
    LogPosition::new(segment, offset)
}
