//! One connection of a proxy or tool, after its handshake.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use common::codec::DecodeError;
use common::failure::Failure;
use common::wire::frame::{self, Decoded, FrameType};
use common::wire::response;
use rt::out_buffer::OutBuffer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use crate::topology;
use crate::worker::inbox::Worker;

/// Bytes one read takes at least.
const READ_BYTES: usize = 64 << 10;
/// A buffer that grew above this is given back when it is empty.
const KEPT_BYTES: usize = 1 << 20;
/// With so many unsent bytes nothing more is executed for the peer (I14).
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// The sending side of a connection.
pub(crate) struct Peer {
    writer: OwnedWriteHalf,
    out: RefCell<Out>,
    touched: Cell<bool>,
    drained: Notify,
}

#[derive(Default)]
struct Out {
    buffer: OutBuffer,
    draining: bool,
    broken: bool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("connection lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer sent what is no frame: {0}")]
    Decode(#[from] DecodeError),
    #[error("the peer sent an unexpected frame")]
    Unexpected,
}

impl Peer {
    /// A peer that is answered through `writer`.
    pub(super) fn new(writer: OwnedWriteHalf) -> Self {
        Self { writer, out: RefCell::default(), touched: Cell::new(false), drained: Notify::new() }
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

    /// Appends the answer to an announcement: nothing, or why not.
    fn answer_announcement(&self, id: u64, reason: &str) {
        let out = &mut *self.out.borrow_mut();
        frame::encode(out.buffer.end(), FrameType::AnnounceAnswer, id, |body| {
            body.extend_from_slice(reason.as_bytes());
        });
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
    fn end(&self) {
        let out = &mut *self.out.borrow_mut();
        out.broken = true;
        out.buffer.clear();
    }

    /// Whether the peer should read some of its answers first.
    fn is_full(&self) -> bool {
        self.out.borrow().buffer.unsent().len() > UNSENT_BYTES_MAX
    }

    /// Returns when the peer has read enough of its answers.
    async fn room(&self) {
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

/// Serves a connection until it ends. `input` holds what was received behind the handshake.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    mut input: BytesMut,
    name: String,
) {
    let (mut reader, writer) = stream.into_split();
    let peer = Rc::new(Peer::new(writer));
    let ended = loop {
        match take_frames(&worker, &peer, &mut input).await {
            Ok(wanted) => input.reserve(READ_BYTES.max(wanted.min(input.len()))),
            Err(error) => break error,
        }
        peer.room().await;
        worker.slow_down().await;
        match reader.read_buf(&mut input).await {
            Ok(0) => break PeerError::Closed,
            Ok(_) => {}
            Err(error) => break error.into(),
        }
    };
    peer.end();
    tracing::info!(peer = name, reason = %ended, "peer disconnected");
}

/// Executes every whole frame as one turn; returns how many bytes the next one needs.
async fn take_frames(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    input: &mut BytesMut,
) -> Result<usize, PeerError> {
    loop {
        let announced = {
            let mut core = worker.core.borrow_mut();
            core.begin_turn();
            let found = take_requests(&mut core, peer, input);
            core.end_turn();
            found?
        };
        worker.flush_touched();
        let (id, text) = match announced {
            Taken::All(wanted) => {
                if input.is_empty() && input.capacity() > KEPT_BYTES {
                    *input = BytesMut::new();
                }
                return Ok(wanted);
            }
            Taken::Full => {
                peer.room().await;
                continue;
            }
            Taken::Announcement(id, text) => (id, text),
        };
        let taken = topology::announce(&worker.shared, text).await;
        peer.answer_announcement(id, &taken.err().unwrap_or_default());
        peer.flush();
    }
}

enum Taken {
    /// Every whole frame; the next needs so many bytes.
    All(usize),
    /// Some; the peer has to read its answers first.
    Full,
    /// The text of a topology stood between requests.
    Announcement(u64, Vec<u8>),
}

fn take_requests(
    core: &mut crate::worker::Core,
    peer: &Rc<Peer>,
    input: &mut BytesMut,
) -> Result<Taken, PeerError> {
    loop {
        let (frame, length) = match frame::decode(input)? {
            Decoded::Frame(frame, length) => (frame, length),
            Decoded::Incomplete(length) => return Ok(Taken::All(length)),
        };
        match frame.kind {
            FrameType::Request => core.execute(peer, frame.id, frame.body),
            FrameType::Announce => {
                let announced = (frame.id, frame.body.to_vec());
                input.advance(length);
                return Ok(Taken::Announcement(announced.0, announced.1));
            }
            FrameType::Greeting
            | FrameType::Hello
            | FrameType::HelloAnswer
            | FrameType::Response
            | FrameType::AnnounceAnswer => return Err(PeerError::Unexpected),
        }
        input.advance(length);
        if peer.is_full() {
            return Ok(Taken::Full);
        }
    }
}
