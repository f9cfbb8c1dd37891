//! A lane that this node leads: what is pending in it, and who waits for that.

use std::collections::VecDeque;
use std::rc::Rc;

use common::durability::{Acks, Sync};
use common::ids::Lsn;

use crate::group::overlay::Overlay;
use crate::memory::Place;
use crate::replication::message::Term;
use crate::worker::peer::Peer;

/// Whether requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Not yet: older records are being settled first.
    NotYet,
    /// Yes, as far as the lease allows.
    Serving,
    /// They wait: a hand-over is under way.
    Holding,
}

/// The lane in one term. `last >= appended >= every pending record > official = applied`.
pub(crate) struct LeadLane {
    pub(crate) term: Term,
    pub(crate) service: Service,
    /// When the lease ends unless it is renewed, in milliseconds of the node's monotonic clock.
    pub(crate) lease_until_ms: u64,
    /// The last record of the term that was given a number.
    pub(crate) last: Lsn,
    /// The last record of the term that is in the log.
    pub(crate) appended: Lsn,
    /// The last record of the term that is official.
    pub(crate) official: Lsn,
    /// The records that are not official.
    pub(crate) overlay: Overlay,
    /// Some of them must be durable before they are official.
    pub(crate) wants_sync: bool,
    /// Answers of appended writes, by number.
    pub(crate) writes: VecDeque<(Lsn, WaitingWrite)>,
    /// What waits for records to become official, in the order of arrival.
    held: VecDeque<(Lsn, Held)>,
    /// Bytes of what is held and parked.
    kept_bytes: usize,
    /// Official writes that hold on fewer servers than asked for.
    pub(crate) short: Vec<ShortWrite>,
    /// Requests that arrived while a hand-over is under way.
    parked: Vec<ParkedRequest>,
}

/// A write's answer that may not be sent yet.
pub(crate) struct WaitingWrite {
    pub(crate) answer: WaitingAnswer,
    /// Its place among the answers that are held back while memory is short.
    pub(crate) place: Place,
    pub(crate) sync: Sync,
    pub(crate) acks: Acks,
    pub(crate) deadline_ms: u64,
}

/// An official write that waits for more servers than those in step.
pub(crate) struct ShortWrite {
    pub(crate) lsn: Lsn,
    /// Servers that held it when it was looked at last.
    pub(crate) held_by: usize,
    pub(crate) write: WaitingWrite,
}

/// What may not be done before records are official.
pub(crate) enum Held {
    /// Sending an answer that tells about them.
    Answer(WaitingAnswer),
    /// A pass over the whole lane.
    Walk(ParkedRequest),
}

/// A request that is executed later.
pub(crate) struct ParkedRequest {
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
    /// The request's frame body.
    pub(crate) request: Vec<u8>,
}

/// An answer that is complete but may not be sent yet.
pub(crate) struct WaitingAnswer {
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
    pub(crate) body: Vec<u8>,
}

impl Held {
    fn bytes(&self) -> usize {
        match self {
            Self::Answer(answer) => answer.body.len(),
            Self::Walk(request) => request.request.len(),
        }
    }

    /// Who waits.
    pub(crate) fn asker(self) -> (Rc<Peer>, u64) {
        match self {
            Self::Answer(answer) => (answer.peer, answer.id),
            Self::Walk(request) => (request.peer, request.id),
        }
    }
}

impl LeadLane {
    /// A term that begins.
    pub(crate) fn new(term: Term) -> Self {
        Self {
            term,
            service: Service::NotYet,
            lease_until_ms: 0,
            last: Lsn(0),
            appended: Lsn(0),
            official: Lsn(0),
            overlay: Overlay::default(),
            wants_sync: false,
            writes: VecDeque::new(),
            held: VecDeque::new(),
            kept_bytes: 0,
            short: Vec::new(),
            parked: Vec::new(),
        }
    }

    /// Keeps something back until everything that has a number now is official.
    pub(crate) fn hold(&mut self, held: Held) {
        self.kept_bytes += held.bytes();
        self.held.push_back((self.last, held));
    }

    /// Keeps a request back until the lane is served again.
    pub(crate) fn park(&mut self, request: ParkedRequest) {
        self.kept_bytes += request.request.len();
        self.parked.push(request);
    }

    /// The requests that were parked, in the order of their arrival.
    pub(crate) fn take_parked(&mut self) -> Vec<ParkedRequest> {
        let parked = std::mem::take(&mut self.parked);
        self.kept_bytes -= parked.iter().map(|request| request.request.len()).sum::<usize>();
        parked
    }

    /// Bytes of the answers and requests that are kept back.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Whether something is kept back.
    pub(crate) fn holds_something(&self) -> bool {
        !self.held.is_empty()
    }

    /// The next thing that was kept back and need not be any more.
    pub(crate) fn pop_held(&mut self) -> Option<Held> {
        let official = self.official;
        let (_, held) = self.held.pop_front_if(|(lsn, _)| *lsn <= official)?;
        self.kept_bytes -= held.bytes();
        Some(held)
    }

    /// Everything that was kept back.
    pub(crate) fn take_held(&mut self) -> impl Iterator<Item = Held> + use<> {
        let held = std::mem::take(&mut self.held);
        self.kept_bytes -= held.iter().map(|(_, held)| held.bytes()).sum::<usize>();
        held.into_iter().map(|(_, held)| held)
    }

    /// Forgets every number that is not in the log. Returns the answers that told about them. The
    /// caller lays the records that are in the log over the lane again.
    pub(crate) fn take_back(&mut self) -> Vec<WaitingAnswer> {
        self.last = self.appended;
        self.overlay = Overlay::default();
        let mut void = Vec::new();
        for (lsn, held) in std::mem::take(&mut self.held) {
            match held {
                Held::Answer(answer) if lsn > self.appended => {
                    self.kept_bytes -= answer.body.len();
                    void.push(answer);
                }
                held => self.held.push_back((lsn.min(self.appended), held)),
            }
        }
        void
    }
}
