//! The state of one RESP or FastDHT connection: the order of its commands, its back-pressure and its
//! end.

use std::task::Waker;

use common::reply::{Lookup, Reply};
use rt::out_buffer::OutBuffer;

use crate::front::call::{Answer, Progress};
use crate::pool::Ticket;
use crate::session::front::{Begun, Front, Next};
use crate::session::slots::{Slot, Slots};
use crate::worker::{Dispatcher, Worker};

/// Most commands of a connection that may be under way.
const COMMANDS_MAX: usize = 128;
/// With so many bytes unsent to the client no further command is started.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// Commands are started as long as their answers, were they all as long as the last one, stay
/// within this.
const EXPECTED_BYTES_MAX: usize = 8 << 20;
/// A connection that holds more than this is closed when the proxy as a whole holds too much.
const OFFENDER_BYTES: usize = 1 << 20;
/// Input buffers are given back when they were bigger than this.
const KEPT_BYTES: usize = 64 << 10;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// After what is unsent was sent.
    AfterFlush,
    Now,
}

/// Why no further command is started, although there may be one in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    No,
    /// Until the limits allow it again.
    Limits,
    /// Until every command before it is answered.
    BehindOthers,
    /// For good: the process is stopping.
    Stopping,
}

pub(super) struct State {
    front: Front,
    slots: Slots,
    /// The number of a command that has to be done before the next is started.
    alone: Option<u64>,
    input: Vec<u8>,
    out: OutBuffer,
    ending: Ending,
    pause: Pause,
    /// The client sends nothing more.
    input_ended: bool,
    /// The reading task is to look at the input again.
    resume: bool,
    waker: Option<Waker>,
    /// Length of the last answer that operations went into.
    last_answer_bytes: usize,
    counted_bytes: usize,
}

impl State {
    pub(super) fn new(front: Front, input: Vec<u8>) -> Self {
        Self {
            front,
            slots: Slots::default(),
            alone: None,
            input,
            out: OutBuffer::default(),
            ending: Ending::No,
            pause: Pause::No,
            input_ended: false,
            resume: true,
            waker: None,
            last_answer_bytes: 0,
            counted_bytes: 0,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.ending == Ending::Now
    }

    pub(super) fn end_now(&mut self) {
        self.ending = Ending::Now;
    }

    pub(super) fn set_waker(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|present| present.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    pub(super) fn take_resume(&mut self) -> bool {
        std::mem::take(&mut self.resume)
    }

    /// Whether more bytes are wanted from the client.
    pub(super) fn reads(&self) -> bool {
        self.pause == Pause::No && self.ending == Ending::No && !self.input_ended
    }

    pub(super) fn out(&mut self) -> &mut OutBuffer {
        &mut self.out
    }

    /// The client sends nothing more; what it asked for is still answered.
    pub(super) fn on_end_of_input(&mut self) {
        self.input_ended = true;
        self.end_if_done();
    }

    /// Everything was sent that could be.
    pub(super) fn on_all_sent(&mut self) {
        if self.ending == Ending::AfterFlush {
            self.ending = Ending::Now;
        }
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        let idle = self.slots.len() == 0 && self.out.is_empty();
        if self.input_ended && idle && self.pause == Pause::No && !self.resume {
            self.ending = Ending::Now;
        }
    }

    /// Takes bytes from the client and starts what is whole, as far as limits allow.
    pub(super) fn take_in(&mut self, worker: &Worker, owner: (usize, u64), bytes: &[u8]) {
        if self.input.is_empty() {
            let used = self.start_commands(worker, owner, bytes);
            self.input.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(bytes);
            let used = self.start_commands(worker, owner, &input);
            if used == input.len() && input.capacity() > KEPT_BYTES {
                input = Vec::new();
            } else {
                input.drain(..used);
            }
            self.input = input;
        }
        self.end_if_done();
        self.account(worker);
    }

    /// Starts the whole commands at the front of `bytes`; returns how many bytes they took.
    fn start_commands(&mut self, worker: &Worker, owner: (usize, u64), bytes: &[u8]) -> usize {
        let mut used = 0;
        self.pause = Pause::No;
        while self.ending == Ending::No {
            if worker.is_stopping() {
                self.pause = Pause::Stopping;
                break;
            }
            if !self.may_start() {
                self.pause = Pause::Limits;
                break;
            }
            let rest = bytes.get(used..).unwrap_or_default();
            let (length, large) = match self.front.next(rest) {
                Next::Command { length, large } => (length, large),
                Next::Incomplete => break,
                Next::Broken => {
                    // Behind the answers of the commands before.
                    let mut answer = Vec::new();
                    self.front.answer_broken(&mut answer);
                    self.slots.push(Slot::Done { bytes: answer, close: true });
                    self.collect(worker, owner);
                    break;
                }
            };
            // A large request takes another way to the node: it must not overtake, nor be
            // overtaken.
            if large && self.slots.len() > 0 {
                self.pause = Pause::BehindOthers;
                break;
            }
            self.start(worker, owner, rest, large);
            used += length;
        }
        used
    }

    fn may_start(&self) -> bool {
        let under_way = self.slots.len();
        self.alone.is_none()
            && under_way < COMMANDS_MAX
            && self.out.unsent().len() + self.slots.held_bytes() < UNSENT_BYTES_MAX
            && under_way.saturating_mul(self.last_answer_bytes) < EXPECTED_BYTES_MAX
    }

    fn start(&mut self, worker: &Worker, owner: (usize, u64), bytes: &[u8], large: bool) {
        let number = self.slots.next();
        let first = self.slots.len() == 0;
        let mut submit = Dispatcher::new(worker, owner, number, large);
        let mut later = Vec::new();
        let out = if first { self.out.end() } else { &mut later };
        match self.front.start(worker, bytes, &mut submit, out) {
            Begun::Answered { close } if first && !close => {}
            Begun::Answered { close } => {
                self.slots.push(Slot::Done { bytes: later, close });
                self.collect(worker, owner);
            }
            Begun::Waiting { call, alone } => {
                self.slots.push(Slot::waiting(call));
                if alone || large {
                    self.alone = Some(number);
                }
            }
        }
    }

    /// An answer to one operation of a command. Of a command that is not the first, what it asks
    /// for in turn is held back: the client cannot have it yet, and it would only take memory.
    pub(super) fn on_answer(
        &mut self,
        worker: &Worker,
        owner: (usize, u64),
        ticket: Ticket,
        answer: Answer<'_>,
    ) {
        let number = ticket.sequence;
        let Some((slot, first)) = self.slots.waiting_at(number) else { return };
        let large = self.alone == Some(number);
        let mut submit = Dispatcher::new(worker, owner, number, large);
        if !first {
            submit.hold_back();
        }
        let mut bytes = Vec::new();
        // The first command's answer goes straight to where the client's bytes are collected.
        let out = if first { self.out.end() } else { &mut bytes };
        let (before, taken) = (out.len(), answer_bytes(&answer));
        let progress = slot.call.on_answer(&worker.counters, ticket.part, answer, &mut submit, out);
        let written = out.len() - before;
        slot.held.append(&mut submit.take_held());
        match progress {
            Progress::Waiting => self.slots.add_held_bytes(number, taken),
            Progress::Done => {
                self.last_answer_bytes = written;
                let close = slot.call.closes();
                self.slots.finish(number, bytes, close);
                if self.alone == Some(number) {
                    self.alone = None;
                }
                self.collect(worker, owner);
            }
        }
        self.account(worker);
    }

    /// Moves finished answers to the client's bytes; what the command behind them held back is sent.
    fn collect(&mut self, worker: &Worker, owner: (usize, u64)) {
        if self.slots.drain(self.out.end()) && self.ending == Ending::No {
            self.ending = Ending::AfterFlush;
        }
        let number = self.slots.first();
        if let Some((slot, true)) = self.slots.waiting_at(number) {
            for held in std::mem::take(&mut slot.held) {
                Dispatcher::new(worker, owner, number, false).release(&held);
            }
        }
    }

    /// Tells the reading task when it may go on, or that it is over.
    pub(super) fn wake_if_useful(&mut self) {
        let go_on = match self.pause {
            Pause::No | Pause::Stopping => false,
            Pause::Limits => self.may_start(),
            Pause::BehindOthers => self.slots.len() == 0,
        };
        self.resume |= go_on;
        if (go_on || self.is_over())
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Keeps the proxy's memory count right, and ends this connection if the proxy holds too much
    /// and this one is among those to blame (I14).
    fn account(&mut self, worker: &Worker) {
        let held = self.input.capacity() + self.out.capacity() + self.slots.held_bytes();
        let within = worker.shared.budget.change(&mut self.counted_bytes, held);
        if !within && held > OFFENDER_BYTES && self.ending == Ending::No {
            tracing::warn!(held, "client connection closed: the proxy's buffers are full");
            self.ending = Ending::Now;
        }
    }

    /// Nothing of the connection is kept.
    pub(super) fn close(&mut self, worker: &Worker) {
        self.ending = Ending::Now;
        self.input = Vec::new();
        self.out.clear();
        self.slots = Slots::default();
        worker.shared.budget.change(&mut self.counted_bytes, 0);
        self.front.on_close(worker);
    }
}

/// About how many bytes of an answer a call keeps when it waits for more.
fn answer_bytes(answer: &Answer<'_>) -> usize {
    let of_lookup = |lookup: &Lookup<'_>| match lookup {
        Lookup::Found(found) => found.value.len(),
        Lookup::Missing | Lookup::WrongKind => 0,
    };
    match answer {
        Ok(Reply::Lookup(lookup)) => of_lookup(lookup),
        Ok(Reply::Lookups(lookups)) => lookups.iter().map(of_lookup).sum(),
        Ok(Reply::Range(range)) => {
            range.fields.iter().map(|field| field.name.len() + field.found.value.len()).sum()
        }
        _ => 0,
    }
}
