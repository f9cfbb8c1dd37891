//! The first three frames of a node connection, both sides (see [`common::wire::hello`]).

use std::time::Duration;

use bytes::{Buf, BytesMut};
use common::codec::DecodeError;
use common::ids::{StoreId, TopologyVersion};
use common::wire::frame::{self, Decoded, Frame, FrameType, PROTOCOL_VERSION};
use common::wire::hello::{Greeting, Hello, HelloAnswer, Role, Welcome};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::random;
use crate::secret::Secret;

/// How long either side waits for the other's next frame.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest frame of a handshake in bytes: nobody is known yet, so nobody gets more memory.
const HANDSHAKE_BYTES_MAX: usize = 4 << 10;

/// Why two processes do not talk.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The connection broke.
    #[error("connection lost during the handshake: {0}")]
    Io(#[from] std::io::Error),
    /// The peer said nothing for too long.
    #[error("no handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    /// What was received is not our protocol.
    #[error("the peer does not speak the node protocol: {0}")]
    Decode(#[from] DecodeError),
    /// A frame of the wrong type, or a frame that is too long.
    #[error("the peer does not speak the node protocol: unexpected frame")]
    Unexpected,
    /// The node speaks another version.
    #[error(
        "the node speaks protocol version {0}, this process {PROTOCOL_VERSION}; upgrade the older one"
    )]
    Protocol(u16),
    /// The node wants a secret and none was given.
    #[error("the node asks for the cluster secret; start this process with --secret-file")]
    SecretWanted,
    /// The node says no.
    #[error("refused by the node: {0}")]
    Refused(String),
}

/// What a peer introduces itself as.
#[derive(Clone, Copy, Debug)]
pub struct Introduction<'a> {
    /// What it is.
    pub role: Role,
    /// Its cluster's name.
    pub cluster: &'a str,
    /// Its own name.
    pub name: &'a str,
    /// The topology it knows.
    pub topology: TopologyVersion,
    /// The worker of the node it wants.
    pub worker: u16,
    /// What a node says of itself besides; [`NodeProcess::default`] otherwise.
    pub process: NodeProcess,
    /// The shared secret, if there is one.
    pub secret: Option<&'a Secret>,
}

/// A node's process as its peers tell it from its other processes and members. All 0 for what is no
/// node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeProcess {
    /// Identity of its data directory.
    pub store: StoreId,
    /// Its number of workers.
    pub workers: u16,
    /// Its worker that dials.
    pub from_worker: u16,
    /// Its process start: greater in every later process of its data directory.
    pub life: u64,
}

/// What the connecting side learned.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The node's name.
    pub node: String,
    /// Its number of workers, at least 1.
    pub workers: u16,
    /// The topology it knows.
    pub topology: TopologyVersion,
    /// Identity of its data directory.
    pub store: StoreId,
    /// Its process start: greater in every later process of its data directory.
    pub life: u64,
}

/// The connecting side. `input` keeps what was received behind the handshake.
///
/// # Errors
/// The node is unreachable, refuses, or is no node.
pub async fn connect(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    me: &Introduction<'_>,
) -> Result<Learned, HandshakeError> {
    let greeting = receive(stream, input, |frame| match frame.kind {
        FrameType::Greeting => Ok(Greeting::decode(frame.body)?),
        _ => Err(HandshakeError::Unexpected),
    })
    .await?;
    if greeting.protocol != PROTOCOL_VERSION {
        return Err(HandshakeError::Protocol(greeting.protocol));
    }
    let proof = match (greeting.secret, me.secret) {
        (true, None) => return Err(HandshakeError::SecretWanted),
        (true, Some(secret)) => secret.proof(&greeting.nonce),
        (false, _) => [0; 32],
    };
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        role: me.role,
        cluster: me.cluster,
        name: me.name,
        proof,
        topology: me.topology,
        worker: me.worker,
        store: me.process.store,
        workers: me.process.workers,
        from_worker: me.process.from_worker,
        life: me.process.life,
    };
    let mut out = Vec::new();
    frame::encode(&mut out, FrameType::Hello, 0, |body| hello.encode(body));
    stream.write_all(&out).await?;
    receive(stream, input, |frame| match frame.kind {
        FrameType::HelloAnswer => match HelloAnswer::decode(frame.body)? {
            HelloAnswer::Taken(welcome) => Ok(Learned {
                node: welcome.node.to_owned(),
                workers: welcome.workers.max(1),
                topology: welcome.topology,
                store: welcome.store,
                life: welcome.life,
            }),
            HelloAnswer::Refused(reason) => Err(HandshakeError::Refused(reason.to_owned())),
        },
        _ => Err(HandshakeError::Unexpected),
    })
    .await
}

/// Who connected.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What it is.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// The topology it knows.
    pub topology: TopologyVersion,
    /// The worker it asked for, already modulo the number of workers.
    pub worker: u16,
    /// What a node said of itself besides.
    pub process: NodeProcess,
}

/// What a node requires of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// The node's cluster.
    pub cluster: &'a str,
    /// The secret, where one is required.
    pub secret: Option<&'a Secret>,
    /// What a peer is told.
    pub welcome: Welcome<'a>,
}

/// The accepting side, where the caller has the last word: `admit` says why a peer is refused that
/// meets all requirements. A peer that is refused is told why, and so is the caller.
///
/// # Errors
/// The peer left, is no peer, or was refused.
pub async fn accept_if(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    required: &Requirements<'_>,
    admit: impl FnOnce(&Peer) -> Result<(), String>,
) -> Result<Peer, HandshakeError> {
    let nonce = random::bytes();
    let greeting =
        Greeting { protocol: PROTOCOL_VERSION, nonce, secret: required.secret.is_some() };
    let mut out = Vec::new();
    frame::encode(&mut out, FrameType::Greeting, 0, |body| greeting.encode(body));
    stream.write_all(&out).await?;
    let verdict = receive(stream, input, |frame| match frame.kind {
        FrameType::Hello => {
            let judged = judge(&Hello::decode(frame.body)?, &nonce, required);
            Ok(judged.and_then(|peer| admit(&peer).map(|()| peer)))
        }
        _ => Err(HandshakeError::Unexpected),
    })
    .await?;
    let answer = match &verdict {
        Ok(_) => HelloAnswer::Taken(required.welcome),
        Err(reason) => HelloAnswer::Refused(reason),
    };
    out.clear();
    frame::encode(&mut out, FrameType::HelloAnswer, 0, |body| answer.encode(body));
    stream.write_all(&out).await?;
    verdict.map_err(HandshakeError::Refused)
}

/// The connecting side's last word to a node that took it, but is not who it should be: why the
/// connection ends.
pub async fn refuse(stream: &mut TcpStream, reason: &str) {
    let mut out = Vec::new();
    let answer = HelloAnswer::Refused(reason);
    frame::encode(&mut out, FrameType::HelloAnswer, 0, |body| answer.encode(body));
    // It may have left by itself.
    drop(stream.write_all(&out).await);
}

fn judge(hello: &Hello<'_>, nonce: &[u8; 16], required: &Requirements<'_>) -> Result<Peer, String> {
    if hello.protocol != PROTOCOL_VERSION {
        return Err(format!(
            "this node speaks protocol version {PROTOCOL_VERSION}, `{}` speaks {}; upgrade the \
             older one",
            hello.name, hello.protocol
        ));
    }
    if required.secret.is_some_and(|secret| !secret.verify(nonce, &hello.proof)) {
        return Err(format!("`{}` has another cluster secret; check --secret-file", hello.name));
    }
    if hello.cluster != required.cluster {
        return Err(format!(
            "this node belongs to cluster `{}`, `{}` to cluster `{}`; check the address in the \
             topology file",
            required.cluster, hello.name, hello.cluster
        ));
    }
    Ok(Peer {
        role: hello.role,
        name: hello.name.to_owned(),
        topology: hello.topology,
        worker: hello.worker % required.welcome.workers.max(1),
        process: NodeProcess {
            store: hello.store,
            workers: hello.workers,
            from_worker: hello.from_worker,
            life: hello.life,
        },
    })
}

async fn receive<T>(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    take: impl FnOnce(Frame<'_>) -> Result<T, HandshakeError>,
) -> Result<T, HandshakeError> {
    let more = async {
        loop {
            match frame::decode(input)? {
                Decoded::Frame(_, length) if length > HANDSHAKE_BYTES_MAX => {
                    return Err(HandshakeError::Unexpected);
                }
                Decoded::Incomplete(length) if length > HANDSHAKE_BYTES_MAX => {
                    return Err(HandshakeError::Unexpected);
                }
                Decoded::Frame(..) => return Ok(()),
                Decoded::Incomplete(_) => {}
            }
            if stream.read_buf(input).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    };
    tokio::time::timeout(HANDSHAKE_TIMEOUT, more).await.map_err(|_| HandshakeError::Timeout)??;
    let Decoded::Frame(frame, length) = frame::decode(input)? else {
        return Err(HandshakeError::Unexpected);
    };
    let taken = take(frame);
    input.advance(length);
    taken
}
