//! A connection to one node as an operator's tool: a question, its answer, the next question.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use common::wire::command::Command;
use common::wire::frame::{self, Decoded, FrameType};
use common::wire::hello::Role;
use common::wire::views::Views;
use config::{Server, Topology};
use rt::handshake::{self, HandshakeError, Introduction, Learned, NodeProcess};
use rt::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
/// Longest wait for an answer. A node may have to ask a majority of the voters first.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a topology: a node that never had one makes a file for each of its
/// groups first, up to thousands, on whatever disk it has.
const ANNOUNCE_TIME_MAX: Duration = Duration::from_secs(60);

/// Why a node was not asked, or gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nobody takes connections there.
    #[error("{0}")]
    Silent(String),
    /// Somebody takes connections and says nothing, or not what a node says.
    #[error("{0}")]
    Broken(String),
    /// The node says no. Asking again changes nothing.
    #[error("{0}")]
    Refused(String),
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    input: BytesMut,
    last_id: u64,
    learned: Learned,
}

impl Connection {
    /// Connects to a server of the topology.
    pub(super) async fn open(
        server: &Server,
        topology: &Topology,
        secret: Option<&Secret>,
    ) -> Result<Self, Trouble> {
        let address = &server.address;
        let silent = |e: &dyn std::fmt::Display| Trouble::Silent(format!("{address}: {e}"));
        let dial = timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await;
        let mut stream =
            dial.map_err(|_| silent(&"no connection in time"))?.map_err(|e| silent(&e))?;
        stream.set_nodelay(true).map_err(|e| silent(&e))?;
        let mut input = BytesMut::new();
        let me = Introduction {
            role: Role::Tool,
            cluster: topology.cluster(),
            name: "fdht",
            topology: topology.version(),
            worker: 0,
            process: NodeProcess::default(),
            secret,
        };
        let learned = handshake::connect(&mut stream, &mut input, &me).await.map_err(|e| {
            let text = format!("{address}: {e}");
            match e {
                HandshakeError::Io(_) | HandshakeError::Timeout => Trouble::Broken(text),
                HandshakeError::Decode(_)
                | HandshakeError::Unexpected
                | HandshakeError::Protocol(_)
                | HandshakeError::SecretWanted
                | HandshakeError::Refused(_) => Trouble::Refused(text),
            }
        })?;
        if learned.node != server.name {
            return Err(Trouble::Refused(format!(
                "{address} is the address of {}, not of {}; correct the topology file",
                learned.node, server.name
            )));
        }
        Ok(Self { stream, input, last_id: 0, learned })
    }

    /// What the node said of itself.
    pub(super) fn learned(&self) -> &Learned {
        &self.learned
    }

    /// The voters and registers that the node knows.
    pub(super) async fn views(&mut self) -> Result<Views, Trouble> {
        let kinds = (FrameType::AskViews, FrameType::Views);
        let body = self.ask(kinds, ANSWER_TIME_MAX, |_| {}).await?;
        Views::decode(&body).map_err(|e| Trouble::Broken(format!("an unreadable answer: {e}")))
    }

    /// Announces a topology file.
    pub(super) async fn announce(&mut self, text: &str) -> Result<(), Trouble> {
        let fill = |body: &mut Vec<u8>| body.extend_from_slice(text.as_bytes());
        let kinds = (FrameType::Announce, FrameType::AnnounceAnswer);
        reason(&self.ask(kinds, ANNOUNCE_TIME_MAX, fill).await?)
    }

    /// Tells the node to do something.
    pub(super) async fn command(&mut self, command: &Command) -> Result<(), Trouble> {
        let fill = |body: &mut Vec<u8>| command.encode(body);
        let kinds = (FrameType::Command, FrameType::CommandAnswer);
        reason(&self.ask(kinds, ANSWER_TIME_MAX, fill).await?)
    }

    async fn ask(
        &mut self,
        (question, answer): (FrameType, FrameType),
        time_max: Duration,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Vec<u8>, Trouble> {
        self.last_id += 1;
        let id = self.last_id;
        let mut out = Vec::new();
        frame::encode(&mut out, question, id, fill);
        let talk = async {
            self.stream.write_all(&out).await?;
            self.receive(id).await
        };
        let late = || format!("no answer within {} s", time_max.as_secs());
        let (kind, body) = timeout(time_max, talk)
            .await
            .map_err(|_| Trouble::Broken(late()))?
            .map_err(|e| Trouble::Broken(format!("the connection broke: {e}")))?;
        if kind != answer {
            return Err(Trouble::Broken(format!("answered {question:?} with {kind:?}")));
        }
        Ok(body)
    }

    /// The frame that answers `id`; what else the node says is not for us.
    async fn receive(&mut self, id: u64) -> std::io::Result<(FrameType, Vec<u8>)> {
        loop {
            match frame::decode(&self.input).map_err(std::io::Error::other)? {
                Decoded::Frame(frame, length) => {
                    let answer = (frame.id == id).then(|| (frame.kind, frame.body.to_vec()));
                    self.input.advance(length);
                    if let Some(answer) = answer {
                        return Ok(answer);
                    }
                }
                Decoded::Incomplete(_) => {
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}

/// Empty: done; else why not.
fn reason(body: &[u8]) -> Result<(), Trouble> {
    if body.is_empty() {
        return Ok(());
    }
    Err(Trouble::Refused(String::from_utf8_lossy(body).into_owned()))
}
