//! Somebody at a node's port who says of himself whatever a test wants.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for the node.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
const HEADER_BYTES: usize = 16;
const GREETING: u8 = 1;
const HELLO: u8 = 2;
const HELLO_ANSWER: u8 = 3;
/// What a frame between nodes is.
pub const PEER_FRAME: u8 = 8;

/// An introduction as a storage node.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub name: String,
    /// The data directory's id, 32 hex digits.
    pub store: String,
}

/// A connection whose other end has greeted.
#[derive(Debug)]
pub struct Stranger {
    stream: TcpStream,
}

impl Stranger {
    /// Connects and reads the greeting.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).expect("a new socket");
        let mut stranger = Self { stream };
        let (kind, body) = stranger.frame().expect("a greeting");
        assert_eq!((kind, &body[..4]), (GREETING, b"FDHT".as_slice()));
        stranger
    }

    /// Introduces itself as a node without a proof of any secret. The reason when it is refused.
    #[track_caller]
    pub fn introduce(&mut self, claim: &Claim) -> Result<(), String> {
        let store = u128::from_str_radix(&claim.store, 16).expect("hex digits");
        let mut body = 1u16.to_le_bytes().to_vec();
        body.push(2);
        for text in [&claim.cluster, &claim.name] {
            body.push(u8::try_from(text.len()).expect("short"));
            body.extend_from_slice(text.as_bytes());
        }
        // No proof, no topology, worker 0.
        body.extend_from_slice(&[0; 32 + 16 + 2]);
        body.extend_from_slice(&store.to_le_bytes());
        // One worker, of which this is the connection.
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        self.send(HELLO, &body);
        let (kind, body) = self.frame().expect("an answer");
        assert_eq!(kind, HELLO_ANSWER);
        if body[0] == 1 { Ok(()) } else { Err(String::from_utf8_lossy(&body[3..]).into_owned()) }
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len()).expect("short");
        let header = [&length.to_le_bytes()[..], &[kind, 0, 0, 0], &[0; 8]].concat();
        self.send_raw(&[&header, body].concat());
    }

    /// Sends bytes as they are. The node may have closed already.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// Whether the node closes the connection, whatever it sends before.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).ok()?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let mut body = vec![0; usize::try_from(length).expect("32 bits fit")];
        self.stream.read_exact(&mut body).ok()?;
        Some((header[4], body))
    }
}
