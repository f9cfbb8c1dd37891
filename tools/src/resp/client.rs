//! One blocking connection to a RESP port, for commands that move data (`import`, `export`).

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::codec::{CodecError, Decoder, Reply, put_command};

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the other side may be silent while it owes replies.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Bytes asked of the kernel at once.
const READ_BYTES: usize = 64 << 10;

/// Why an exchange failed. The connection is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The address has a wrong form or a name that cannot be looked up.
    #[error("cannot look up the address {address}: {source}")]
    Address { address: String, source: io::Error },
    /// Nobody answers.
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    /// The connection broke; what was sent may have been done or not.
    #[error("lost the connection to {address}: {source}")]
    Lost { address: String, source: io::Error },
    /// What answers does not speak RESP2.
    #[error("{address} does not speak RESP2: {source}")]
    Garbage { address: String, source: CodecError },
    /// The namespace cannot be selected.
    #[error("{address} refused SELECT {namespace}: {reply}")]
    Namespace { address: String, namespace: String, reply: String },
}

impl ClientError {
    /// Whether a later try may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost { .. } => true,
            Self::Address { .. } | Self::Garbage { .. } | Self::Namespace { .. } => false,
        }
    }
}

/// A connection: queue commands, then exchange them for their replies.
#[derive(Debug)]
pub(crate) struct Client {
    address: String,
    stream: TcpStream,
    out: Vec<u8>,
    queued: usize,
    decoder: Decoder,
    input: Vec<u8>,
    /// How much of `input` was already handed out.
    taken: usize,
}

impl Client {
    /// Connects to `host:port`.
    pub(crate) fn connect(address: &str) -> Result<Self, ClientError> {
        let lookup = |source| ClientError::Address { address: address.to_owned(), source };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for target in address.to_socket_addrs().map_err(lookup)? {
            let stream = TcpStream::connect_timeout(&target, CONNECT_TIME_MAX).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENCE_MAX))?;
                stream.set_write_timeout(Some(SILENCE_MAX))?;
                Ok(stream)
            });
            match stream {
                Ok(stream) => return Ok(Self::over(address, stream)),
                Err(e) => last = e,
            }
        }
        Err(ClientError::Connect { address: address.to_owned(), source: last })
    }

    fn over(address: &str, stream: TcpStream) -> Self {
        Self {
            address: address.to_owned(),
            stream,
            out: Vec::new(),
            queued: 0,
            decoder: Decoder::default(),
            input: Vec::new(),
            taken: 0,
        }
    }

    /// Selects the namespace for what follows; the empty one is database 0.
    pub(crate) fn select(&mut self, namespace: &[u8]) -> Result<(), ClientError> {
        let name = if namespace.is_empty() { b"0" } else { namespace };
        match self.call(&[b"SELECT", name])? {
            Reply::Error(reply) => Err(ClientError::Namespace {
                address: self.address.clone(),
                namespace: String::from_utf8_lossy(name).into_owned(),
                reply,
            }),
            _ => Ok(()),
        }
    }

    /// One command and its reply.
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> Result<Reply, ClientError> {
        self.queue(args);
        let mut replies = self.exchange()?;
        Ok(replies.pop().expect("one reply was waited for"))
    }

    /// Adds a command to what the next [`Self::exchange`] sends.
    pub(crate) fn queue(&mut self, args: &[&[u8]]) {
        put_command(&mut self.out, args);
        self.queued += 1;
    }

    /// Sends what was queued and returns one reply per command, in order.
    pub(crate) fn exchange(&mut self) -> Result<Vec<Reply>, ClientError> {
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out).map_err(|source| self.lost(source))?;
        let mut replies = Vec::with_capacity(self.queued);
        while replies.len() < self.queued {
            replies.push(self.read_reply()?);
        }
        self.queued = 0;
        Ok(replies)
    }

    fn read_reply(&mut self) -> Result<Reply, ClientError> {
        loop {
            match self.decoder.next(&self.input, &mut self.taken) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => self.read_more()?,
                Err(source) => {
                    return Err(ClientError::Garbage { address: self.address.clone(), source });
                }
            }
        }
    }

    fn read_more(&mut self) -> Result<(), ClientError> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let len = self.input.len();
        self.input.resize(len + READ_BYTES, 0);
        let count = loop {
            match self.stream.read(&mut self.input[len..]) {
                Ok(0) => break Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Ok(count) => break Ok(count),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        self.input.truncate(len + count.as_ref().copied().unwrap_or(0));
        count.map(|_| ()).map_err(|source| self.lost(source))
    }

    fn lost(&self, source: io::Error) -> ClientError {
        ClientError::Lost { address: self.address.clone(), source }
    }
}
