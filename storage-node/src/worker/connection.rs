//! One connection of a proxy, a tool or another node, after its handshake: what arrives on it.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use common::codec::DecodeError;
use common::ids::NodeId;
use common::wire::command::Command;
use common::wire::frame::{self, Decoded, FrameType};
use common::wire::hello::{HelloAnswer, Role};
use rt::handshake::NodeProcess;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::peers::PeerEntry;
use crate::shared::Shared;
use crate::worker::inbox::Worker;
use crate::worker::peer::Peer;
use crate::{commands, topology};

/// Bytes one read takes at least.
const READ_BYTES: usize = 64 << 10;
/// A buffer that grew above this is given back when it is empty.
const KEPT_BYTES: usize = 1 << 20;
/// How often a reader that waits for memory looks whether there is some.
const FULL_STEP: Duration = Duration::from_millis(2);

/// Who is at the other end.
pub(crate) struct Introduced {
    pub(crate) role: Role,
    pub(crate) name: String,
    /// What a node said of itself; the worker at the other end among it.
    pub(crate) process: NodeProcess,
    /// Counts among the node's peers as long as it lives.
    pub(crate) entry: PeerEntry,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("connection lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer sent what this version does not understand: {0}")]
    Decode(#[from] DecodeError),
    #[error("the peer sent an unexpected frame")]
    Unexpected,
    #[error("refused by the peer: {0}")]
    Refused(String),
}

/// Serves a connection until it ends. `input` holds what was received behind the handshake.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    input: BytesMut,
    peer: Introduced,
) {
    let reason = if peer.role == Role::Node {
        serve_node(&worker, stream, input, &peer).await
    } else {
        let (reader, writer) = stream.into_split();
        let sender = Rc::new(Peer::new(writer));
        let ended = read(&worker, &sender, reader, input, &peer).await;
        sender.end();
        ended
    };
    tracing::info!(peer = peer.name, %reason, "peer disconnected");
}

/// Serves the connection to another node, whoever dialed.
pub(super) async fn serve_node(
    worker: &Rc<Worker>,
    stream: TcpStream,
    input: BytesMut,
    peer: &Introduced,
) -> PeerError {
    let (reader, writer) = stream.into_split();
    let sender = Rc::new(Peer::new(writer));
    let node = NodeId::of_name(&peer.name);
    let NodeProcess { workers, from_worker, .. } = peer.process;
    worker.core.borrow_mut().links.add(node, from_worker, workers, Rc::clone(&sender));
    let link = LinkGuard { worker, node, sender: Rc::clone(&sender) };
    topology::announce_to(&worker.shared, &sender, peer.entry.topology());
    sender.flush();
    let ended = read(worker, &sender, reader, input, peer).await;
    drop(link);
    ended
}

/// Takes a link out when its task ends, also when that is aborted.
struct LinkGuard<'w> {
    worker: &'w Worker,
    node: NodeId,
    sender: Rc<Peer>,
}

impl Drop for LinkGuard<'_> {
    fn drop(&mut self) {
        self.sender.end();
        let mut core = self.worker.core.borrow_mut();
        if core.links.remove(self.node, &self.sender) {
            core.begin_turn();
            core.on_refused_address(self.node);
        }
    }
}

async fn read(
    worker: &Rc<Worker>,
    sender: &Rc<Peer>,
    mut reader: tokio::net::tcp::OwnedReadHalf,
    mut input: BytesMut,
    peer: &Introduced,
) -> PeerError {
    loop {
        match take_frames(worker, sender, &mut input, peer).await {
            Ok(wanted) => input.reserve(READ_BYTES.max(wanted.min(input.len()))),
            Err(error) => return error,
        }
        // Two nodes that both wait for the other to read would wait for ever.
        if peer.role != Role::Node {
            sender.room().await;
            memory(&worker.shared).await;
        }
        match reader.read_buf(&mut input).await {
            Ok(0) => return PeerError::Closed,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

/// Returns when there is memory for what a client might send, or writes are refused anyway. Writers
/// are slowed so that memory does not run out; this is for those that do not wait for answers.
pub(super) async fn memory(shared: &Shared) {
    let is_full = || shared.memory.is_full() && shared.write_refusal().is_none();
    if is_full() {
        metrics::counter!("fdht_node_memory_full_total").increment(1);
    }
    while is_full() {
        tokio::time::sleep(FULL_STEP).await;
    }
}

/// Executes every whole frame as one turn; returns how many bytes the next one needs.
async fn take_frames(
    worker: &Rc<Worker>,
    sender: &Rc<Peer>,
    input: &mut BytesMut,
    peer: &Introduced,
) -> Result<usize, PeerError> {
    loop {
        let found = {
            let mut core = worker.core.borrow_mut();
            core.begin_turn();
            let found = take_requests(&mut core, sender, input, peer);
            core.end_turn();
            found
        };
        worker.flush_touched();
        match found? {
            Taken::All(wanted) => {
                if input.is_empty() && input.capacity() > KEPT_BYTES {
                    *input = BytesMut::new();
                }
                return Ok(wanted);
            }
            Taken::Full => sender.room().await,
            Taken::Other(kind, id, body) => {
                answer_other(worker, sender, peer, kind, id, body).await?
            }
        }
    }
}

enum Taken {
    /// Every whole frame; the next needs so many bytes.
    All(usize),
    /// Some; the peer has to read its answers first.
    Full,
    /// A frame of another kind stood between requests.
    Other(FrameType, u64, Vec<u8>),
}

fn take_requests(
    core: &mut crate::worker::Core,
    sender: &Rc<Peer>,
    input: &mut BytesMut,
    peer: &Introduced,
) -> Result<Taken, PeerError> {
    loop {
        let (frame, length) = match frame::decode(input)? {
            Decoded::Frame(frame, length) => (frame, length),
            Decoded::Incomplete(length) => return Ok(Taken::All(length)),
        };
        core.frames += 1;
        match frame.kind {
            FrameType::Request => core.execute(sender, frame.id, frame.body),
            FrameType::Peer if peer.role == Role::Node => {
                core.settle();
                core.on_peer_frame(NodeId::of_name(&peer.name), frame.body)?;
            }
            kind => {
                let other = Taken::Other(kind, frame.id, frame.body.to_vec());
                input.advance(length);
                return Ok(other);
            }
        }
        input.advance(length);
        if peer.role != Role::Node && sender.is_full() {
            return Ok(Taken::Full);
        }
    }
}

/// Frames that are neither requests nor of the protocol between nodes.
async fn answer_other(
    worker: &Rc<Worker>,
    sender: &Rc<Peer>,
    peer: &Introduced,
    kind: FrameType,
    id: u64,
    body: Vec<u8>,
) -> Result<(), PeerError> {
    let shared = &worker.shared;
    match kind {
        FrameType::Announce => {
            let taken = topology::announce(shared, body, &peer.name).await;
            if let Ok(version) = &taken {
                peer.entry.set_topology(*version);
            }
            let reason = taken.err().unwrap_or_default();
            sender.put_frame(FrameType::AnnounceAnswer, id, |out| {
                out.extend_from_slice(reason.as_bytes());
            });
        }
        FrameType::AnnounceAnswer if peer.role == Role::Node => {
            if !body.is_empty() {
                let reason = String::from_utf8_lossy(&body);
                tracing::warn!(node = peer.name, %reason, "a node does not take the topology");
            }
        }
        FrameType::HelloAnswer if peer.role == Role::Node => {
            // It dialed, and this is not the node that it looked for.
            let HelloAnswer::Refused(reason) = HelloAnswer::decode(&body)? else {
                return Err(PeerError::Unexpected);
            };
            shared.note_refusal(&peer.name, reason);
            return Err(PeerError::Refused(reason.to_owned()));
        }
        FrameType::AskViews => {
            // Not in the way of requests: it looks at every worker and at the voter.
            let (worker, sender) = (Rc::clone(worker), Rc::clone(sender));
            let accepted = peer.role == Role::Tool;
            tokio::task::spawn_local(async move {
                let views = commands::views(&worker.shared, accepted).await;
                sender.put_frame(FrameType::Views, id, |out| views.encode(out));
                sender.flush();
            });
        }
        FrameType::AskTopology => {
            let topology = shared.topology.load_full();
            let text = topology.as_ref().map_or("", |topology| topology.text());
            sender.put_frame(FrameType::Topology, id, |out| {
                out.extend_from_slice(text.as_bytes());
            });
        }
        FrameType::Command if peer.role == Role::Tool => {
            let done = match Command::decode(&body) {
                Ok(command) => commands::execute(shared, command).await,
                Err(error) => Err(error.to_string()),
            };
            let reason = done.err().unwrap_or_default();
            sender.put_frame(FrameType::CommandAnswer, id, |out| {
                out.extend_from_slice(reason.as_bytes());
            });
        }
        _ => return Err(PeerError::Unexpected),
    }
    sender.flush();
    Ok(())
}
