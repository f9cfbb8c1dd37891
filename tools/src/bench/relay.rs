//! `fdht bench relay`: the floor of a proxy. Finds the end of each command, sends it behind an id
//! over the one connection to the next node, and gives the answers back in order. It does what no
//! multiplexing proxy can avoid and nothing else: no routing, no deadlines, no limits.
//!
//! Each worker is one thread with an event loop and its own connection to every node. Whatever
//! arrives in one turn of the loop leaves in one write per connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use slab::Slab;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::BenchError;
use super::args::RelayArgs;
use super::frame::{command_len, put_frame, take_frame};
use super::serve::{Incoming, serve};

/// Serves until told to end.
pub(super) fn relay(args: &RelayArgs) -> Result<(), BenchError> {
    let to = args.to.clone();
    serve(&args.listen, args.workers, move |incoming| work(incoming, to.clone()))
}

struct Worker {
    /// Who waits for the answer with this id.
    slots: RefCell<Slab<(Rc<Client>, u64)>>,
    nodes: Vec<Node>,
    next_node: Cell<usize>,
}

/// The way to one node.
struct Node {
    out: RefCell<Vec<u8>>,
    wake: Notify,
}

struct Client {
    stream: TcpStream,
    /// Number of the next request, and of the next answer to be given.
    next: Cell<u64>,
    front: Cell<u64>,
    /// Answers that came before their turn, from `front` on.
    early: RefCell<VecDeque<Option<Vec<u8>>>>,
    out: RefCell<Vec<u8>>,
    /// Whether a task writes what the socket did not take.
    is_draining: Cell<bool>,
}

async fn work(mut incoming: Incoming, to: Vec<String>) -> Result<(), BenchError> {
    let mut streams = Vec::new();
    for address in &to {
        let failed = |source| BenchError::Connect { address: address.clone(), source };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let node = |_| Node { out: RefCell::default(), wake: Notify::new() };
    let nodes = to.iter().map(node).collect();
    let worker = Rc::new(Worker { slots: RefCell::default(), nodes, next_node: Cell::new(0) });
    for (index, stream) in streams.into_iter().enumerate() {
        let (from, into) = stream.into_split();
        let (reader, writer) = (Rc::clone(&worker), Rc::clone(&worker));
        tokio::task::spawn_local(async move { drop(reader.read_node(from).await) });
        tokio::task::spawn_local(async move { drop(writer.write_node(into, index).await) });
    }
    while let Some(stream) = incoming.recv().await {
        let client = Rc::new(Client::new(TcpStream::from_std(stream)?));
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move { drop(worker.read_client(&client).await) });
    }
    Ok(())
}

impl Worker {
    async fn read_client(&self, client: &Rc<Client>) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(16 << 10);
        loop {
            client.stream.readable().await?;
            input.reserve(4 << 10);
            match client.stream.try_read_buf(&mut input) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                Err(e) => return Err(e),
            }
            let wrong = |_| io::Error::from(io::ErrorKind::InvalidData);
            while let Some(len) = command_len(&input).map_err(wrong)? {
                self.pass_on(client, &input[..len]);
                input.advance(len);
            }
        }
    }

    fn pass_on(&self, client: &Rc<Client>, command: &[u8]) {
        let number = client.next.replace(client.next.get() + 1);
        let id = self.slots.borrow_mut().insert((Rc::clone(client), number));
        let id = u32::try_from(id).expect("clients wait for their answers");
        let index = self.next_node.get();
        self.next_node.set((index + 1) % self.nodes.len());
        let node = &self.nodes[index];
        put_frame(&mut node.out.borrow_mut(), id, |to| to.extend_from_slice(command));
        // The writer runs after the other clients that are ready in this turn.
        node.wake.notify_one();
    }

    async fn write_node(&self, mut into: OwnedWriteHalf, index: usize) -> io::Result<()> {
        let node = &self.nodes[index];
        let mut writing = Vec::new();
        loop {
            node.wake.notified().await;
            std::mem::swap(&mut writing, &mut *node.out.borrow_mut());
            into.write_all(&writing).await?;
            writing.clear();
        }
    }

    async fn read_node(&self, mut from: OwnedReadHalf) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(64 << 10);
        let mut touched: Vec<Rc<Client>> = Vec::new();
        while from.read_buf(&mut input).await? > 0 {
            while let Some((id, answer, len)) = take_frame(&input) {
                let id = usize::try_from(id).expect("32 bits fit");
                let (client, number) = self.slots.borrow_mut().remove(id);
                if client.answer(number, answer) {
                    touched.push(client);
                }
                input.advance(len);
            }
            for client in touched.drain(..) {
                client.flush();
            }
        }
        Ok(())
    }
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            next: Cell::new(0),
            front: Cell::new(0),
            early: RefCell::default(),
            out: RefCell::default(),
            is_draining: Cell::new(false),
        }
    }

    /// Takes the answer to a request; true when there is something new to write and nobody was told.
    fn answer(&self, number: u64, answer: &[u8]) -> bool {
        let mut early = self.early.borrow_mut();
        let at = usize::try_from(number - self.front.get()).expect("a client's own requests");
        if at > 0 {
            if early.len() <= at {
                early.resize(at + 1, None);
            }
            early[at] = Some(answer.to_vec());
            return false;
        }
        let mut out = self.out.borrow_mut();
        let was_empty = out.is_empty();
        out.extend_from_slice(answer);
        early.pop_front();
        let mut front = self.front.get() + 1;
        while let Some(Some(answer)) = early.front() {
            out.extend_from_slice(answer);
            early.pop_front();
            front += 1;
        }
        self.front.set(front);
        was_empty
    }

    /// Writes what the socket takes now and leaves the rest to a task.
    fn flush(self: &Rc<Self>) {
        if self.is_draining.get() || self.try_flush() {
            return;
        }
        self.is_draining.set(true);
        let client = Rc::clone(self);
        tokio::task::spawn_local(async move {
            while !client.try_flush() && client.stream.writable().await.is_ok() {}
            client.is_draining.set(false);
        });
    }

    /// False when something is left because the socket is full. A broken socket takes everything.
    fn try_flush(&self) -> bool {
        let mut out = self.out.borrow_mut();
        while !out.is_empty() {
            match self.stream.try_write(&out) {
                Ok(count) => drop(out.drain(..count)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => out.clear(),
            }
        }
        true
    }
}
