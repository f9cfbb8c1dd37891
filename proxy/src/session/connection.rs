//! One RESP or FastDHT connection: moving its bytes. What is started and sent decides
//! [`State`].

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::AbortHandle;

use crate::counters::Counters;
use crate::front::call::Answer;
use crate::pool::Ticket;
use crate::session::front::Front;
use crate::session::state::State;
use crate::worker::Worker;

/// A connection. Shared by its reading task, the owner table and, while bytes are stuck, a draining
/// task; all on one thread.
pub(crate) struct Session {
    state: RefCell<State>,
    writer: OwnedWriteHalf,
    owner: Cell<(usize, u64)>,
    touched: Cell<bool>,
    /// The task that waits for the socket to take more.
    drain: RefCell<Option<AbortHandle>>,
    counters: Arc<Counters>,
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
        Self {
            state: RefCell::new(State::new(front, input)),
            writer,
            owner: Cell::default(),
            touched: Cell::new(false),
            drain: RefCell::default(),
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
            if state.is_over() {
                return Poll::Ready(Event::Closed);
            }
            state.set_waker(context.waker());
            if state.take_resume() {
                drop(state);
                self.take_in(worker, &[]);
                return Poll::Ready(Event::Again);
            }
            if !state.reads() {
                return Poll::Pending;
            }
        }
        let mut scratch = worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(reader).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Closed),
            // The client has nothing more to say, but it may be listening.
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.state.borrow_mut().on_end_of_input();
            }
            Poll::Ready(Ok(())) => {
                self.counters.bytes_in.add(buffer.filled().len() as u64);
                self.take_in(worker, buffer.filled());
            }
        }
        Poll::Ready(Event::Again)
    }

    fn take_in(self: &Rc<Self>, worker: &Worker, bytes: &[u8]) {
        worker.begin_turn();
        self.state.borrow_mut().take_in(worker, self.owner.get(), bytes);
        worker.touch(Rc::clone(self));
        worker.settle();
    }

    /// An answer to one operation of a command.
    pub(crate) fn on_answer(&self, worker: &Worker, ticket: Ticket, answer: Answer<'_>) {
        self.state.borrow_mut().on_answer(worker, self.owner.get(), ticket, answer);
    }

    /// Sends what the client may have, with one write, and lets the reading task go on if it may.
    pub(crate) fn flush(self: &Rc<Self>) {
        if self.drain.borrow().is_none() && !self.write() {
            let session = Rc::clone(self);
            let task = tokio::task::spawn_local(async move { session.drain().await });
            self.drain.replace(Some(task.abort_handle()));
        }
        self.state.borrow_mut().wake_if_useful();
    }

    /// Writes until all is out or the connection is over (`true`), or the socket is full (`false`).
    fn write(&self) -> bool {
        let mut state = self.state.borrow_mut();
        match state.out().write_with(|bytes| self.writer.try_write(bytes)) {
            Ok((done, written)) => {
                self.counters.bytes_out.add(written as u64);
                if done {
                    state.on_all_sent();
                }
                done
            }
            Err(_) => {
                state.end_now();
                true
            }
        }
    }

    /// Sends the rest to a client that does not read as fast as it asks.
    async fn drain(self: Rc<Self>) {
        loop {
            if self.writer.writable().await.is_err() {
                self.state.borrow_mut().end_now();
            }
            let done = self.state.borrow().is_over() || self.write();
            self.state.borrow_mut().wake_if_useful();
            if done {
                self.drain.replace(None);
                return;
            }
        }
    }

    /// The connection is over: nothing of it is kept, whoever still holds it.
    pub(crate) fn close(&self, worker: &Worker) {
        if let Some(drain) = self.drain.take() {
            drain.abort();
        }
        self.state.borrow_mut().close(worker);
    }
}
