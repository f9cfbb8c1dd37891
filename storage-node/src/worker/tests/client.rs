//! A client: the other end of a peer's connection.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use common::codec::Reader;
use common::failure::Failure;
use common::wire::frame::{self, Decoded, Frame, FrameType};
use common::wire::response;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::replication::message::{Message, Pull};
use crate::replication::wire::{self, Incoming};
use crate::worker::peer::Peer;
use crate::worker::tests::answer::Answer;
use crate::worker::tests::gate::WAIT_MAX;

/// Id of the frame behind which nothing is looked for.
const END: u64 = u64::MAX;

/// What a worker thread has: a runtime, and the tasks on it.
pub(super) struct Thread {
    runtime: Runtime,
    tasks: LocalSet,
}

impl Thread {
    pub(super) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, tasks: LocalSet::new() }
    }

    /// Runs something that needs a worker's thread around it.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, work)
    }
}

/// One connection, seen from both ends.
pub(super) struct Client {
    /// The node's side.
    pub(super) peer: Rc<Peer>,
    /// The same socket, for marks that do not go through the peer's buffer.
    beside: TcpStream,
    /// The client's side.
    stream: TcpStream,
    next_id: u64,
    received: BTreeMap<u64, Answer>,
    failures: BTreeMap<u64, Failure>,
}

impl Client {
    /// Connects over the loopback.
    pub(super) fn connect(thread: &Thread) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let beside = accepted.try_clone().unwrap();
        let writer = thread.run(async {
            let accepted = tokio::net::TcpStream::from_std(accepted).unwrap();
            // Before the first look the runtime takes every socket for full.
            accepted.writable().await.unwrap();
            accepted.into_split().1
        });
        let peer = Rc::new(Peer::new(writer));
        Self {
            peer,
            beside,
            stream,
            next_id: 1,
            received: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// So much is sent to it that it should read some of it first. Returns how much.
    pub(super) fn fill(&mut self) -> usize {
        self.receive();
        let before = self.peer.unsent();
        // More than the kernel takes.
        self.peer.put_frame(FrameType::Response, END, |out| out.resize(out.len() + (48 << 20), 0));
        self.peer.unsent() - before
    }

    /// It reads that.
    pub(super) fn empty(&self, thread: &Thread, filled: usize) {
        let mut stream = self.stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || stream.read_exact(&mut vec![0; filled]).unwrap());
        thread.run(async {
            self.peer.flush();
            while self.peer.unsent() > 0 {
                tokio::task::yield_now().await;
            }
        });
        reading.join().unwrap();
    }

    /// An id that was not used yet.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// What the request was answered with so far. Only what the node sent counts, not what it has
    /// left in a buffer.
    pub(super) fn answer(&mut self, id: u64) -> Answer {
        self.receive();
        self.received.get(&id).cloned().unwrap_or(Answer::Nothing)
    }

    /// The failure that the request was answered with.
    pub(super) fn failure(&mut self, id: u64) -> Failure {
        self.receive();
        self.failures[&id].clone()
    }

    /// The pulls that were sent since the last look, where this is the link to another node.
    pub(super) fn pulls(&mut self, thread: &Thread) -> Vec<Pull> {
        thread.run(async { self.peer.flush() });
        let mut pulls = Vec::new();
        self.receive_frames(|_, frame| {
            assert_eq!(frame.kind, FrameType::Peer);
            let mut reader = Reader::new(frame.body);
            wire::take_generation(&mut reader).unwrap();
            while !reader.rest().is_empty() {
                if let Incoming::Message(Message::Pull(pull)) = wire::take(&mut reader).unwrap() {
                    pulls.push(pull);
                }
            }
        });
        pulls
    }

    /// Reads every answer that was sent.
    fn receive(&mut self) {
        self.receive_frames(|client, frame| {
            assert_eq!(frame.kind, FrameType::Response);
            let before = client.received.insert(frame.id, Answer::decode(frame.body));
            assert_eq!(before, None, "request {} was answered twice", frame.id);
            if let Err(failure) = response::decode(frame.body).unwrap() {
                client.failures.insert(frame.id, failure);
            }
        });
    }

    /// Reads everything that was sent.
    fn receive_frames(&mut self, mut taken: impl FnMut(&mut Self, &Frame<'_>)) {
        let mut mark = Vec::new();
        frame::encode(&mut mark, FrameType::Response, END, |_| ());
        self.beside.write_all(&mark).unwrap();
        let mut input = Vec::new();
        loop {
            let mut chunk = [0; 16 << 10];
            let read = self.stream.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the node closed the connection");
            input.extend_from_slice(&chunk[..read]);
            while let Decoded::Frame(frame, bytes) = frame::decode(&input).unwrap() {
                if frame.id == END {
                    assert_eq!(input.len(), bytes, "the mark is the last thing that was sent");
                    return;
                }
                taken(self, &frame);
                input.drain(..bytes);
            }
        }
    }
}
