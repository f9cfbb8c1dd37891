//! One connection to a node, kept alive: connect, introduce, announce the topology, pass on what
//! comes; after an error wait a little and begin again. Each connection has its own task, so a node
//! that does not answer keeps nobody from the others.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use common::codec::DecodeError;
use common::failure::{Failure, FailureCode};
use common::ids::TopologyVersion;
use common::wire::frame::{self, Decoded, Frame, FrameType};
use common::wire::hello::Role;
use common::wire::response;
use common::wire::views::Views;
use rt::handshake::{self, HandshakeError, Introduction, Learned, NodeProcess};
use rt::net;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pool::ConnectionKey;
use crate::route::NodeAddress;
use crate::worker::Worker;
use crate::worker::flush::write_out;
use crate::worker::follow::{looks_after_topology, on_topology};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before the next attempt, doubling up to the maximum: a restarted node is soon of use.
const BACKOFF_MS_MIN: u64 = 20;
const BACKOFF_MS_MAX: u64 = 250;
/// A connection that lasted so long begins with the shortest pause again when it breaks.
const STEADY: Duration = Duration::from_millis(2 * BACKOFF_MS_MAX);
/// Bytes one read takes from a node at least.
const READ_BYTES: usize = 64 << 10;
/// A read buffer that a large answer made bigger than this is given back.
const READ_BYTES_KEPT: usize = 1 << 20;

#[derive(Debug, Error)]
enum LinkError {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the address belongs to `{0}`; check the topology file")]
    OtherNode(String),
    #[error("the node does not take topology {0}: {1}")]
    Announce(String, String),
    #[error("no answer to the topology announcement within {} s", ANNOUNCE_TIMEOUT.as_secs())]
    AnnounceTimeout,
    #[error("connection lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("connection closed by the node")]
    Closed,
    #[error("the node sent what this version does not understand: {0}")]
    Decode(#[from] DecodeError),
}

/// Keeps the connection `key` alive until its node leaves the topology, which aborts the task.
pub(crate) async fn keep(worker: Rc<Worker>, key: ConnectionKey) {
    let mut backoff_ms = BACKOFF_MS_MIN;
    let mut last_logged = String::new();
    loop {
        let mut up_since = None;
        let Some(at) = worker.pool.borrow().address(key) else { return };
        let error = match run(&worker, key, &at, &mut up_since).await {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        };
        worker.writers.borrow_mut().remove(&key);
        let lasted = up_since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
        if lasted > STEADY {
            backoff_ms = BACKOFF_MS_MIN;
            last_logged.clear();
        }
        // A node that stays away must not fill the log with the same line.
        if error != last_logged {
            tracing::warn!(node = at.name, address = at.address, %error, "no connection to node");
            last_logged.clone_from(&error);
        }
        worker.begin_turn();
        worker.pool.borrow_mut().on_down(key, &error, worker.now_ms());
        worker.settle();
        let jitter = rt::random::u64() % (backoff_ms / 2 + 1);
        tokio::time::sleep(Duration::from_millis(backoff_ms / 2 + jitter)).await;
        backoff_ms = (backoff_ms * 2).min(BACKOFF_MS_MAX);
    }
}

async fn run(
    worker: &Rc<Worker>,
    key: ConnectionKey,
    at: &NodeAddress,
    up_since: &mut Option<Instant>,
) -> Result<std::convert::Infallible, LinkError> {
    let mut stream = net::connect(&at.address, CONNECT_TIMEOUT)
        .await
        .map_err(|error| LinkError::Connect(at.address.clone(), error))?;
    let mut input = BytesMut::new();
    let learned = introduce(worker, key, &mut stream, &mut input).await?;
    if learned.node != at.name {
        return Err(LinkError::OtherNode(learned.node));
    }
    let announced = announce(worker, &mut stream, &mut input, &learned).await?;
    let (mut reader, writer) = stream.into_split();
    worker.writers.borrow_mut().insert(key, Rc::new(writer));
    {
        let mut pool = worker.pool.borrow_mut();
        worker.begin_turn();
        let known = learned.topology.max(announced);
        pool.on_up(key, learned.workers, known, worker.now_ms());
        // The file may have changed while this connection was made.
        let topology = worker.shared.topology.load_full();
        if topology.version() != announced {
            pool.tell(key, FrameType::Announce, topology.text().as_bytes());
        }
        if learned.topology > topology.version() && looks_after_topology(worker) {
            pool.tell(key, FrameType::AskTopology, &[]);
        }
    }
    *up_since = Some(rt::clock::now());
    tracing::info!(node = at.name, address = at.address, "connected to node");
    write_out(worker, key);
    // Lanes that waited for this connection may need others.
    worker.settle();
    read_answers(worker, key, &mut reader, &mut input).await
}

async fn introduce(
    worker: &Worker,
    key: ConnectionKey,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<Learned, HandshakeError> {
    let topology = worker.shared.topology.load_full();
    let introduction = Introduction {
        role: Role::Proxy,
        cluster: topology.cluster(),
        name: &worker.shared.options.id,
        topology: topology.version(),
        worker: key.lane_class.worker(),
        process: NodeProcess::default(),
        secret: worker.shared.options.secret.as_ref(),
    };
    handshake::connect(stream, input, &introduction).await
}

/// Tells a node with an older topology the one in force, and returns its version. The node answers
/// when it serves by it.
async fn announce(
    worker: &Worker,
    stream: &mut TcpStream,
    input: &mut BytesMut,
    learned: &Learned,
) -> Result<TopologyVersion, LinkError> {
    let topology = worker.shared.topology.load_full();
    if learned.topology >= topology.version() {
        return Ok(topology.version());
    }
    let mut out = Vec::new();
    frame::encode(&mut out, FrameType::Announce, 0, |body| {
        body.extend_from_slice(topology.text().as_bytes());
    });
    stream.write_all(&out).await?;
    let answer = async {
        loop {
            match frame::decode(input)? {
                Decoded::Frame(Frame { kind: FrameType::AnnounceAnswer, body, .. }, length) => {
                    let reason = String::from_utf8_lossy(body).into_owned();
                    input.advance(length);
                    return Ok::<_, LinkError>(reason);
                }
                Decoded::Frame(..) => return Err(HandshakeError::Unexpected.into()),
                Decoded::Incomplete(_) => {}
            }
            if stream.read_buf(input).await? == 0 {
                return Err(LinkError::Closed);
            }
        }
    };
    let reason = tokio::time::timeout(ANNOUNCE_TIMEOUT, answer)
        .await
        .map_err(|_| LinkError::AnnounceTimeout)??;
    if reason.is_empty() {
        return Ok(topology.version());
    }
    let version = topology.version().epoch.to_string();
    Err(LinkError::Announce(version, reason))
}

async fn read_answers(
    worker: &Rc<Worker>,
    key: ConnectionKey,
    reader: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
) -> Result<std::convert::Infallible, LinkError> {
    loop {
        worker.begin_turn();
        let wanted = take_frames(worker, key, input)?;
        worker.settle();
        if input.is_empty() && input.capacity() > READ_BYTES_KEPT {
            *input = BytesMut::new();
        }
        // Grows with what has arrived, never by the announced length alone.
        input.reserve(READ_BYTES.max(wanted.min(input.len())));
        if reader.read_buf(input).await? == 0 {
            return Err(LinkError::Closed);
        }
    }
}

/// Passes on every whole frame; returns how many bytes the next one needs.
fn take_frames(
    worker: &Rc<Worker>,
    key: ConnectionKey,
    input: &mut BytesMut,
) -> Result<usize, LinkError> {
    loop {
        let (frame, length) = match frame::decode(input)? {
            Decoded::Frame(frame, length) => (frame, length),
            Decoded::Incomplete(length) => return Ok(length),
        };
        match frame.kind {
            FrameType::Response => deliver(worker, &frame),
            FrameType::Views => on_views(worker, Views::decode(frame.body)?),
            FrameType::Topology => on_topology(worker, key, frame.body),
            FrameType::AnnounceAnswer => on_announced(worker, key, frame.body),
            // Nothing was asked that these would answer.
            FrameType::Greeting
            | FrameType::Hello
            | FrameType::HelloAnswer
            | FrameType::Request
            | FrameType::Announce
            | FrameType::Peer
            | FrameType::AskViews
            | FrameType::AskTopology
            | FrameType::Command
            | FrameType::CommandAnswer => {}
        }
        input.advance(length);
    }
}

/// Passes an answer on, unless the request is to be repeated or nobody waits any more.
fn deliver(worker: &Rc<Worker>, frame: &Frame<'_>) {
    let answer = response::decode(frame.body).unwrap_or_else(|error| {
        let detail = format!("the node's answer is malformed: {error}");
        Err(Failure::new(FailureCode::Unknown, detail))
    });
    let now_ms = worker.now_ms();
    // The pool is free again before the owner, who may ask for more, hears of it.
    let delivered = match answer {
        Ok(reply) => {
            let ticket = worker.pool.borrow_mut().on_reply(frame.id, now_ms);
            ticket.map(|ticket| (ticket, Ok(reply)))
        }
        Err(failure) => {
            let ended = worker.pool.borrow_mut().on_failure(frame.id, failure, now_ms);
            ended.map(|(ticket, failure)| (ticket, Err(failure)))
        }
    };
    if let Some((ticket, answer)) = delivered {
        worker.deliver(ticket, answer);
    }
}

/// A node told who leads the lanes, and who keeps the registers.
fn on_views(worker: &Worker, views: Views) {
    let mut pool = worker.pool.borrow_mut();
    if pool.on_views(views, worker.now_ms()) && looks_after_topology(worker) {
        worker.shared.topology.set_voters(pool.voters());
    }
}

/// A node answered the announcement of a topology that changed while it was connected.
fn on_announced(worker: &Worker, key: ConnectionKey, reason: &[u8]) {
    if reason.is_empty() {
        let version = worker.shared.topology.load_full().version();
        return worker.pool.borrow_mut().on_topology(key, version);
    }
    let Some(at) = worker.pool.borrow().address(key) else { return };
    let reason = String::from_utf8_lossy(reason);
    tracing::warn!(
        node = at.name, address = at.address, %reason, "a node does not take the new topology"
    );
}

/// Starts the tasks of connections that have none.
pub(crate) fn start_tasks(worker: &Rc<Worker>) {
    let wanted = worker.pool.borrow_mut().take_wanted();
    let mut tasks = worker.tasks.borrow_mut();
    for key in wanted {
        let task = tokio::task::spawn_local(keep(Rc::clone(worker), key));
        tasks.insert(key, task.abort_handle());
    }
}

/// Ends the tasks of connections whose node left the topology.
pub(crate) fn end_tasks(worker: &Worker) {
    let mut pool = worker.pool.borrow_mut();
    worker.tasks.borrow_mut().retain(|key, task| {
        let stays = pool.connection(*key).is_some();
        if !stays {
            task.abort();
            worker.writers.borrow_mut().remove(key);
        }
        stays
    });
}
