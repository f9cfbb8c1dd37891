//! The first three frames of a connection: who is who, and may they talk.
//!
//! ```text
//! Greeting:    magic 4 bytes | protocol version u16 | nonce 16 bytes | secret wanted u8
//! Hello:       protocol version u16 | role u8 | cluster u8+text | name u8+text
//!              | proof 32 bytes | topology epoch u64 | topology hash u64 | worker u16
//!              | store id u128 | workers u16 | from worker u16 | life u64
//! HelloAnswer: taken u8 = 1 | node u8+text | store id u128 | workers u16
//!              | topology epoch u64 | topology hash u64 | life u64
//!          or: taken u8 = 0 | reason u16+text
//! ```
//!
//! The proof is HMAC-SHA256 of the nonce under the cluster's shared secret; zeros where the node
//! wants none. Bytes behind the last field are ignored in all three bodies: a later version may add
//! fields there, and the side that knows less still learns the protocol version and can say so.

use crate::codec::{DecodeError, Put, Reader};
use crate::ids::{FileEpoch, StoreId, TopologyVersion};
use crate::wire::frame::MAGIC;

/// The node's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// [`PROTOCOL_VERSION`](crate::wire::frame::PROTOCOL_VERSION) of the node.
    pub protocol: u16,
    /// Random, different on every connection.
    pub nonce: [u8; 16],
    /// Whether the node asks for a proof of the shared secret.
    pub secret: bool,
}

/// What the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// A proxy.
    Proxy = 1,
    /// Another storage node.
    Node = 2,
    /// An operator's tool.
    Tool = 3,
}

/// The peer's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Protocol version of the peer.
    pub protocol: u16,
    /// What the peer is.
    pub role: Role,
    /// The cluster it believes in.
    pub cluster: &'a str,
    /// Its own name, for logs.
    pub name: &'a str,
    /// Proof of the shared secret.
    pub proof: [u8; 32],
    /// The topology it knows.
    pub topology: TopologyVersion,
    /// The node's worker that this connection is for; modulo the node's number of workers.
    pub worker: u16,
    /// Identity of the peer's data directory. This and the fields below are 0 unless the peer is a
    /// node.
    pub store: StoreId,
    /// The peer's number of workers.
    pub workers: u16,
    /// The peer's worker that this connection is of.
    pub from_worker: u16,
    /// The peer's process start: greater in every later process of its data directory.
    pub life: u64,
}

/// The node's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloAnswer<'a> {
    /// Welcome.
    Taken(Welcome<'a>),
    /// The reason why not; the node closes.
    Refused(&'a str),
}

/// What a peer learns of a node that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The node's name.
    pub node: &'a str,
    /// Identity of its data directory.
    pub store: StoreId,
    /// Its number of workers; group g belongs to worker g mod this.
    pub workers: u16,
    /// The topology it knows.
    pub topology: TopologyVersion,
    /// Its process start: greater in every later process of its data directory.
    pub life: u64,
}

impl Greeting {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put(&MAGIC);
        out.put_u16(self.protocol);
        out.put(&self.nonce);
        out.put_bool(self.secret);
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Cut off, or not from a FastDHT node.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let magic = fixed(reader.take(MAGIC.len(), "magic")?);
        if magic != MAGIC {
            return Err(DecodeError::Unknown("magic", u64::from(u32::from_le_bytes(magic))));
        }
        let protocol = reader.u16("protocol version")?;
        let nonce = fixed(reader.take(16, "nonce")?);
        let secret = reader.bool("secret wanted")?;
        Ok(Self { protocol, nonce, secret })
    }
}

impl<'a> Hello<'a> {
    /// Appends the body. Names are at most 255 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u16(self.protocol);
        out.put_u8(self.role as u8);
        out.put_bytes8(self.cluster.as_bytes());
        out.put_bytes8(self.name.as_bytes());
        out.put(&self.proof);
        put_topology(out, self.topology);
        out.put_u16(self.worker);
        out.put_u128(self.store.0);
        out.put_u16(self.workers);
        out.put_u16(self.from_worker);
        out.put_u64(self.life);
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Cut off, an unknown role, or a name that is not UTF-8.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let protocol = reader.u16("protocol version")?;
        let role = match reader.u8("role")? {
            1 => Role::Proxy,
            2 => Role::Node,
            3 => Role::Tool,
            other => return Err(DecodeError::Unknown("role", u64::from(other))),
        };
        let cluster = reader.text8("cluster")?;
        let name = reader.text8("name")?;
        let proof = fixed(reader.take(32, "proof")?);
        let topology = take_topology(&mut reader)?;
        Ok(Self {
            protocol,
            role,
            cluster,
            name,
            proof,
            topology,
            worker: reader.u16("worker")?,
            store: StoreId(reader.u128("store id")?),
            workers: reader.u16("workers")?,
            from_worker: reader.u16("from worker")?,
            life: reader.u64("life")?,
        })
    }
}

impl<'a> HelloAnswer<'a> {
    /// Appends the body. A reason longer than [`DETAIL_BYTES_MAX`](crate::limits::DETAIL_BYTES_MAX)
    /// is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Taken(welcome) => {
                out.put_bool(true);
                out.put_bytes8(welcome.node.as_bytes());
                out.put_u128(welcome.store.0);
                out.put_u16(welcome.workers);
                put_topology(out, welcome.topology);
                out.put_u64(welcome.life);
            }
            Self::Refused(reason) => {
                out.put_bool(false);
                out.put_detail(reason);
            }
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Cut off, or a text that is not UTF-8.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        if !reader.bool("taken")? {
            return Ok(Self::Refused(reader.text16("reason")?));
        }
        Ok(Self::Taken(Welcome {
            node: reader.text8("node")?,
            store: StoreId(reader.u128("store id")?),
            workers: reader.u16("workers")?,
            topology: take_topology(&mut reader)?,
            life: reader.u64("life")?,
        }))
    }
}

fn put_topology(out: &mut Vec<u8>, topology: TopologyVersion) {
    out.put_u64(topology.epoch.0);
    out.put_u64(topology.hash);
}

fn take_topology(reader: &mut Reader<'_>) -> Result<TopologyVersion, DecodeError> {
    let epoch = FileEpoch(reader.u64("topology epoch")?);
    Ok(TopologyVersion { epoch, hash: reader.u64("topology hash")? })
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("taken with this length")
}
