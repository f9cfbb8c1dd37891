//! The sending side of a connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::failure::Failure;
use common::wire::frame::{self, FrameType};
use common::wire::response;
use rt::out_buffer::OutBuffer;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

/// With so many bytes unsent or held back nothing more is executed for the peer (I14).
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// The sending side of a connection.
pub(crate) struct Peer {
    writer: OwnedWriteHalf,
    out: RefCell<Out>,
    touched: Cell<bool>,
    /// Bytes of answers that are held back while memory is short.
    held: Cell<usize>,
    drained: Notify,
}

#[derive(Default)]
struct Out {
    buffer: OutBuffer,
    draining: bool,
    broken: bool,
}

impl Peer {
    /// A peer that is answered through `writer`.
    pub(super) fn new(writer: OwnedWriteHalf) -> Self {
        let (touched, held) = (Cell::new(false), Cell::new(0));
        Self { writer, out: RefCell::default(), touched, held, drained: Notify::new() }
    }

    /// Appends an answer's frame; `fill` writes its body and may not look at this peer.
    pub(crate) fn answer(&self, id: u64, fill: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut *self.out.borrow_mut();
        if !out.broken {
            frame::encode(out.buffer.end(), FrameType::Response, id, fill);
        }
    }

    /// Appends the answer of an operation that was not executed.
    pub(crate) fn fail(&self, id: u64, failure: &Failure) {
        self.answer(id, |body| response::encode_failure(body, failure));
    }

    /// Appends an answer that `fill` writes, unless `valid` says afterwards that it may not be given:
    /// nothing is appended then, as when `fill` refuses. Says whether it was.
    pub(crate) fn answer_if<E>(
        &self,
        id: u64,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        valid: impl FnOnce() -> bool,
    ) -> Result<bool, E> {
        let out = &mut *self.out.borrow_mut();
        let buffer = out.buffer.end();
        let start = buffer.len();
        let mut filled = Ok(());
        frame::encode(buffer, FrameType::Response, id, |body| filled = fill(body));
        let answered = filled.is_ok() && valid();
        if !answered || out.broken {
            buffer.truncate(start);
        }
        filled.map(|()| answered)
    }

    /// Appends a frame of another kind.
    pub(crate) fn put_frame(&self, kind: FrameType, id: u64, fill: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut *self.out.borrow_mut();
        if !out.broken {
            frame::encode(out.buffer.end(), kind, id, fill);
        }
    }

    /// Bytes that were not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.out.borrow().buffer.unsent().len()
    }

    /// An answer of so many bytes is kept back.
    pub(super) fn hold_back(&self, bytes: usize) {
        self.held.set(self.held.get() + bytes);
    }

    /// It is sent with the next flush.
    pub(super) fn let_go(&self, bytes: usize) {
        self.held.set(self.held.get() - bytes);
        self.drained.notify_one();
    }

    /// Marks the peer for the end of the turn; whether the mark changed.
    pub(crate) fn set_touched(&self, touched: bool) -> bool {
        self.touched.replace(touched) != touched
    }

    /// Sends what there is with one write; what the socket does not take, a task of its own sends.
    pub(crate) fn flush(self: &Rc<Self>) {
        let drain = {
            let out = &mut *self.out.borrow_mut();
            let drain = !out.draining && !out.write(&self.writer);
            out.draining |= drain;
            drain
        };
        if drain {
            let peer = Rc::clone(self);
            tokio::task::spawn_local(async move { peer.drain().await });
        }
    }

    async fn drain(&self) {
        loop {
            let writable = self.writer.writable().await.is_ok();
            let out = &mut *self.out.borrow_mut();
            out.broken |= !writable;
            if out.broken || out.write(&self.writer) {
                out.draining = false;
                self.drained.notify_one();
                return;
            }
        }
    }

    /// The connection is over: answers to come are dropped.
    pub(super) fn end(&self) {
        let out = &mut *self.out.borrow_mut();
        out.broken = true;
        out.buffer.clear();
    }

    /// Whether the connection is over or lost: nobody hears an answer.
    pub(super) fn is_gone(&self) -> bool {
        self.out.borrow().broken
    }

    /// Whether the peer should read some of its answers first, or wait for those that are held back.
    pub(super) fn is_full(&self) -> bool {
        self.unsent() + self.held.get() > UNSENT_BYTES_MAX
    }

    /// Returns when the peer has got and read enough of its answers.
    pub(super) async fn room(&self) {
        while self.is_full() {
            self.drained.notified().await;
        }
    }
}

impl Out {
    /// Writes until all is out or the connection is broken (`true`), or the socket is full
    /// (`false`).
    fn write(&mut self, writer: &OwnedWriteHalf) -> bool {
        let written = self.buffer.write_with(|bytes| writer.try_write(bytes));
        written.map_or_else(
            |_| {
                self.broken = true;
                self.buffer.clear();
                true
            },
            |(done, _)| done,
        )
    }
}
