//! One RESP or FastDHT connection: the order of its commands, its back-pressure and its end.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::counters::Counters;
use crate::front::call::{Answer, Progress};
use crate::pool::Ticket;
use crate::session::front::{Begun, Front, Next};
use crate::session::slots::{Slot, Slots};
use crate::worker::{Dispatcher, Worker};

/// Most commands of a connection that may be under way.
const COMMANDS_MAX: usize = 128;
/// With so many bytes unsent to the client no further command is started.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// A connection that holds more than this is closed when the proxy as a whole holds too much.
const OFFENDER_BYTES: usize = 1 << 20;
/// Buffers are given back when they were bigger than this.
const KEPT_BYTES: usize = 64 << 10;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// After what is unsent was sent.
    AfterFlush,
    Now,
}

/// A connection. Shared by its reading task, the owner table and, while bytes are stuck, a draining
/// task; all on one thread.
pub(crate) struct Session {
    state: RefCell<State>,
    writer: OwnedWriteHalf,
    owner: Cell<(usize, u64)>,
    touched: Cell<bool>,
    counters: Arc<Counters>,
}

struct State {
    front: Front,
    slots: Slots,
    /// Started commands are numbered; this one has to be done before the next is started.
    alone: Option<u64>,
    input: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    draining: bool,
    ending: Ending,
    /// The reading task waits for a reason to go on rather than for bytes.
    paused: bool,
    resume: bool,
    waker: Option<Waker>,
    counted_bytes: usize,
}

/// What the reading task has to do next.
pub(crate) enum Event {
    /// Call again.
    Again,
    /// The connection is over.
    Closed,
}

impl Session {
    pub(crate) fn new(
        front: Front,
        writer: OwnedWriteHalf,
        input: Vec<u8>,
        counters: Arc<Counters>,
    ) -> Self {
        let state = State {
            front,
            slots: Slots::default(),
            alone: None,
            input,
            out: Vec::new(),
            written: 0,
            draining: false,
            ending: Ending::No,
            paused: false,
            resume: true,
            waker: None,
            counted_bytes: 0,
        };
        Self {
            state: RefCell::new(state),
            writer,
            owner: Cell::default(),
            touched: Cell::new(false),
            counters,
        }
    }

    /// Where the worker keeps this session.
    pub(crate) fn set_owner(&self, owner: (usize, u64)) {
        self.owner.set(owner);
    }

    /// Marks the session for the end of the turn; whether the mark changed.
    pub(crate) fn set_touched(&self, touched: bool) -> bool {
        self.touched.replace(touched) != touched
    }

    /// Waits for bytes or for a reason to go on, and starts the commands that came.
    pub(crate) fn poll(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        worker: &Worker,
        reader: &mut OwnedReadHalf,
    ) -> Poll<Event> {
        {
            let mut state = self.state.borrow_mut();
            if state.ending == Ending::Now {
                return Poll::Ready(Event::Closed);
            }
            state.waker = Some(context.waker().clone());
            if std::mem::take(&mut state.resume) {
                drop(state);
                self.take_in(worker, &[]);
                return Poll::Ready(Event::Again);
            }
            if state.paused || state.ending == Ending::AfterFlush {
                return Poll::Pending;
            }
        }
        let mut scratch = worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(reader).poll_read(context, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Event::Closed),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Event::Closed),
            Poll::Ready(Ok(())) => {
                worker.counters.bytes_in.add(buffer.filled().len() as u64);
                self.take_in(worker, buffer.filled());
                Poll::Ready(Event::Again)
            }
        }
    }

    /// Takes bytes from the client and starts what is whole, as far as limits allow.
    fn take_in(self: &Rc<Self>, worker: &Worker, bytes: &[u8]) {
        worker.begin_turn();
        {
            let state = &mut *self.state.borrow_mut();
            if state.input.is_empty() {
                let used = state.start_commands(worker, self.owner.get(), bytes);
                state.input.extend_from_slice(bytes.get(used..).unwrap_or_default());
            } else {
                let mut input = std::mem::take(&mut state.input);
                input.extend_from_slice(bytes);
                let used = state.start_commands(worker, self.owner.get(), &input);
                if used == input.len() && input.capacity() > KEPT_BYTES {
                    input = Vec::new();
                } else {
                    input.drain(..used);
                }
                state.input = input;
            }
            state.account(worker);
        }
        worker.touch(Rc::clone(self));
        worker.settle();
    }

    /// An answer to one operation of a command.
    pub(crate) fn on_answer(&self, worker: &Worker, ticket: Ticket, answer: Answer<'_>) {
        let state = &mut *self.state.borrow_mut();
        let Some((call, first)) = state.slots.waiting(ticket.sequence) else { return };
        let large = state.alone == Some(ticket.sequence);
        let mut submit = Dispatcher::new(worker, self.owner.get(), ticket.sequence, large);
        let mut bytes = Vec::new();
        // The first command's answer goes straight to where the client's bytes are collected.
        let out = if first { &mut state.out } else { &mut bytes };
        match call.on_answer(&worker.counters, ticket.part, answer, &mut submit, out) {
            Progress::Waiting => {}
            Progress::Done => {
                let close = call.closes();
                state.slots.finish(ticket.sequence, bytes, close);
                if state.alone == Some(ticket.sequence) {
                    state.alone = None;
                }
                state.collect();
            }
        }
        state.account(worker);
    }

    /// Sends what the client may have, with one write, and lets the reading task go on if it may.
    pub(crate) fn flush(self: &Rc<Self>) {
        let drain = {
            let state = &mut *self.state.borrow_mut();
            let drain = !state.draining && !state.write(self);
            state.draining |= drain;
            state.wake_if_useful();
            drain
        };
        if drain {
            let session = Rc::clone(self);
            tokio::task::spawn_local(async move { session.drain().await });
        }
    }

    /// Sends the rest to a client that does not read as fast as it asks.
    async fn drain(self: Rc<Self>) {
        loop {
            let writable = self.writer.writable().await;
            let state = &mut *self.state.borrow_mut();
            if writable.is_err() {
                state.ending = Ending::Now;
            }
            if state.ending == Ending::Now || state.write(&self) {
                state.draining = false;
                state.wake_if_useful();
                return;
            }
        }
    }

    /// The connection is over: nothing of it counts any more.
    pub(crate) fn close(&self, worker: &Worker) {
        let state = &mut *self.state.borrow_mut();
        state.ending = Ending::Now;
        worker.shared.budget.change(&mut state.counted_bytes, 0);
        state.front.on_close(worker);
    }
}

impl State {
    /// Starts the whole commands at the front of `bytes`; returns how many bytes they took.
    fn start_commands(&mut self, worker: &Worker, owner: (usize, u64), bytes: &[u8]) -> usize {
        let mut used = 0;
        self.paused = false;
        while self.ending == Ending::No {
            if worker.is_stopping() || !self.may_start() {
                self.paused = true;
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
                    self.collect();
                    break;
                }
            };
            // A large request takes another way to the node: it must not overtake, nor be
            // overtaken.
            if large && self.slots.len() > 0 {
                self.paused = true;
                break;
            }
            self.start(worker, owner, rest, large);
            used += length;
        }
        used
    }

    fn may_start(&self) -> bool {
        self.alone.is_none()
            && self.slots.len() < COMMANDS_MAX
            && self.out.len() - self.written + self.slots.held_bytes() < UNSENT_BYTES_MAX
    }

    fn start(&mut self, worker: &Worker, owner: (usize, u64), bytes: &[u8], large: bool) {
        let number = self.slots.next();
        let first = self.slots.len() == 0;
        let mut submit = Dispatcher::new(worker, owner, number, large);
        let mut later = Vec::new();
        let out = if first { &mut self.out } else { &mut later };
        match self.front.start(worker, bytes, &mut submit, out) {
            Begun::Answered { close } if first && !close => {}
            Begun::Answered { close } => {
                self.slots.push(Slot::Done { bytes: later, close });
                self.collect();
            }
            Begun::Waiting { call, alone } => {
                self.slots.push(Slot::Waiting(call));
                if alone || large {
                    self.alone = Some(number);
                }
            }
        }
    }

    /// Moves finished answers to the client's bytes.
    fn collect(&mut self) {
        if self.slots.drain(&mut self.out) && self.ending == Ending::No {
            self.ending = Ending::AfterFlush;
        }
    }

    /// Writes until all is out (`true`) or the socket is full (`false`).
    fn write(&mut self, session: &Session) -> bool {
        while let Some(unsent) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match session.writer.try_write(unsent) {
                Ok(written) => {
                    self.written += written;
                    session.counters.bytes_out.add(written as u64);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.ending = Ending::Now;
                    return true;
                }
            }
        }
        self.written = 0;
        if self.out.capacity() > KEPT_BYTES {
            self.out = Vec::new();
        }
        self.out.clear();
        if self.ending == Ending::AfterFlush {
            self.ending = Ending::Now;
        }
        true
    }

    fn wake_if_useful(&mut self) {
        let go_on = self.paused && self.may_start();
        self.resume |= go_on;
        if (go_on || self.ending == Ending::Now)
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
}
