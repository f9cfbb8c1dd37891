//! The requests of one lane in the order in which they reach its leader (guarantees 4.4, 4.5).
//!
//! A lane *flows* as long as its requests are answered: each is sent as it comes. The first one that
//! has to be repeated *stalls* the lane. Then nothing is sent until every request on its way came
//! back, so that none of them can be overtaken; the oldest one goes out alone, as a probe; once that
//! is answered, the others follow in the order in which they were submitted. A probe, because a
//! leader that begins to serve in the middle of a batch would refuse its first half and apply the
//! second.
//!
//! Pure: times are arguments, and what is to be sent is the answer of [`LaneQueue::step`].

use std::collections::VecDeque;

use common::ids::{Epoch, NodeId};

use crate::pool::requests::Key;
use crate::route::NodeIndex;

/// Pause before a request is repeated to the same leader, in milliseconds; doubles up to the maximum.
const BACKOFF_MS_MIN: u64 = 10;
const BACKOFF_MS_MAX: u64 = 100;
/// How long a deposed leader may still answer what it was sent. One that is alive answers at once.
const GRACE_MS: u64 = 100;

/// Who leads the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) node: NodeId,
    pub(crate) since: Epoch,
}

/// What is to be done for a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing now.
    Wait,
    /// Send this request to the leader.
    Send(Key),
    /// A deposed leader does not answer: every request on its way has to come back by
    /// [`LaneQueue::on_returned`], once [`LaneQueue::begin_taking_back`] was called.
    TakeBack,
}

/// The requests of one lane.
#[derive(Debug, Default)]
pub(crate) struct LaneQueue {
    leader: Option<Leader>,
    /// Where the topology has the leader.
    place: Option<NodeIndex>,
    in_flight: usize,
    stall: Option<Box<Stall>>,
}

#[derive(Debug)]
struct Stall {
    queue: VecDeque<Key>,
    /// Whether the queue is in the order of submission.
    sorted: bool,
    phase: Phase,
    /// When the next probe may go out.
    due_ms: u64,
    backoff_ms: u64,
    /// When requests on their way to a deposed leader are taken back.
    take_back_ms: Option<u64>,
    /// Who refused or lost a request last, and how.
    reason: Option<(NodeId, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Requests on their way are waited for, then the time of the next probe.
    Settling,
    /// The oldest request is on its way alone.
    Probing,
    /// The probe was answered: the others follow.
    Opening,
}

impl Stall {
    fn new(due_ms: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            sorted: true,
            phase: Phase::Settling,
            due_ms,
            backoff_ms: BACKOFF_MS_MIN,
            take_back_ms: None,
            reason: None,
        }
    }

    /// The pause before the next probe begins; the one after it is longer. `jitter` gives a random
    /// number.
    fn pause(&mut self, now_ms: u64, jitter: impl FnOnce() -> u64) {
        let half = self.backoff_ms / 2;
        self.due_ms = now_ms + half + jitter() % (half + 1);
        self.backoff_ms = (self.backoff_ms * 2).min(BACKOFF_MS_MAX);
        self.phase = Phase::Settling;
    }

    fn at_once(&mut self, now_ms: u64) {
        self.due_ms = now_ms;
        self.backoff_ms = BACKOFF_MS_MIN;
    }

    fn next(&mut self) -> Option<Key> {
        if !self.sorted {
            self.queue.make_contiguous().sort_unstable();
            self.sorted = true;
        }
        self.queue.pop_front()
    }
}

impl LaneQueue {
    /// Who leads the lane as far as known.
    pub(crate) fn leader(&self) -> Option<Leader> {
        self.leader
    }

    /// Where requests go: the leader's place in the topology, and since when it leads.
    pub(crate) fn target(&self) -> Option<(NodeIndex, Epoch)> {
        Some((self.place?, self.leader?.since))
    }

    /// Whether requests wait or are being repeated.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stall.is_some()
    }

    /// How many requests wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.stall.as_ref().map_or(0, |stall| stall.queue.len())
    }

    /// How many requests are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Who refused or lost a request last, while the lane is stalled.
    pub(crate) fn reason(&self) -> Option<(NodeId, &str)> {
        let (node, text) = self.stall.as_ref()?.reason.as_ref()?;
        Some((*node, text))
    }

    /// A view names the leader. What is on its way to another leader, or to the same one in an older
    /// epoch, comes back soon or is taken back.
    pub(crate) fn on_leader(
        &mut self,
        leader: Option<Leader>,
        place: Option<NodeIndex>,
        now_ms: u64,
    ) {
        self.place = place;
        if std::mem::replace(&mut self.leader, leader) == leader {
            return;
        }
        if self.in_flight == 0 && self.stall.is_none() {
            return;
        }
        let in_flight = self.in_flight > 0;
        let stall = self.stall.get_or_insert_with(|| Box::new(Stall::new(now_ms)));
        stall.phase = Phase::Settling;
        stall.at_once(now_ms);
        if in_flight {
            stall.take_back_ms.get_or_insert(now_ms + GRACE_MS);
        }
    }

    /// The leader became reachable.
    pub(crate) fn on_connected(&mut self, now_ms: u64) {
        if let Some(stall) = &mut self.stall {
            stall.at_once(now_ms);
        }
    }

    /// A new request: whether it is sent at once. Else it waits here.
    pub(crate) fn on_submit(&mut self, key: Key, now_ms: u64) -> bool {
        if self.stall.is_none() && self.target().is_some() {
            self.in_flight += 1;
            return true;
        }
        // The newest of all: the order of the queue is not disturbed.
        let stall = self.stall.get_or_insert_with(|| Box::new(Stall::new(now_ms)));
        stall.queue.push_back(key);
        false
    }

    /// A request on its way got its answer.
    pub(crate) fn on_answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(stall) = &mut self.stall
            && stall.phase == Phase::Probing
        {
            stall.phase = Phase::Opening;
        }
    }

    /// A request has to be repeated: refused for now, lost, taken back or not sent after all.
    /// `jitter` gives a random number.
    pub(crate) fn on_returned(
        &mut self,
        key: Key,
        reason: Option<(NodeId, &str)>,
        now_ms: u64,
        jitter: impl FnOnce() -> u64,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let flowed = self.stall.is_none();
        let stall = self.stall.get_or_insert_with(|| Box::new(Stall::new(now_ms)));
        stall.queue.push_back(key);
        stall.sorted = false;
        // Of those that come back together only the first begins a pause.
        if flowed || stall.phase != Phase::Settling {
            stall.pause(now_ms, jitter);
        }
        if let Some((node, text)) = reason
            && !matches!(&stall.reason, Some((was, known)) if *was == node && known == text)
        {
            stall.reason = Some((node, text.to_owned()));
        }
    }

    /// The client of a request on its way stopped waiting.
    pub(crate) fn on_given_up(&mut self, now_ms: u64, jitter: impl FnOnce() -> u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(stall) = &mut self.stall
            && stall.phase == Phase::Probing
        {
            stall.pause(now_ms, jitter);
        }
    }

    /// Clients of waiting requests stopped waiting: only those that `holds` are kept.
    pub(crate) fn retain(&mut self, holds: impl Fn(Key) -> bool) {
        if let Some(stall) = &mut self.stall {
            stall.queue.retain(|key| holds(*key));
        }
    }

    /// Whether a deposed leader had its time: what is on its way is taken back now.
    pub(crate) fn begin_taking_back(&mut self, now_ms: u64) -> bool {
        let Some(stall) = &mut self.stall else { return false };
        let is_due = self.in_flight > 0 && stall.take_back_ms.is_some_and(|at| at <= now_ms);
        if is_due {
            stall.take_back_ms = None;
        }
        is_due
    }

    /// What is to be done now. Called until it says [`Step::Wait`].
    pub(crate) fn step(&mut self, now_ms: u64) -> Step {
        let reachable = self.target().is_some();
        let Some(stall) = &mut self.stall else { return Step::Wait };
        if self.in_flight > 0 && stall.phase != Phase::Opening {
            let is_due = stall.take_back_ms.is_some_and(|at| at <= now_ms);
            return if is_due { Step::TakeBack } else { Step::Wait };
        }
        stall.take_back_ms = None;
        if stall.queue.is_empty() {
            self.stall = None;
            return Step::Wait;
        }
        if !reachable || (stall.phase == Phase::Settling && now_ms < stall.due_ms) {
            return Step::Wait;
        }
        let Some(key) = stall.next() else { return Step::Wait };
        if stall.phase != Phase::Opening {
            stall.phase = Phase::Probing;
        }
        self.in_flight += 1;
        Step::Send(key)
    }
}

#[cfg(test)]
#[path = "lane_queue_tests.rs"]
mod tests;
