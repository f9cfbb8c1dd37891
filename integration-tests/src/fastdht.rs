//! The original's binary protocol, written from its description alone: 19 bytes of header, a body,
//! and the length rules that the C client checks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::wait::unix_seconds;

/// Length of a header.
pub const HEADER: usize = 19;
/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Command codes.
pub mod cmd {
    pub const QUIT: u8 = 10;
    pub const SET: u8 = 11;
    pub const INC: u8 = 12;
    pub const GET: u8 = 13;
    pub const DEL: u8 = 14;
    pub const BATCH_SET: u8 = 15;
    pub const BATCH_GET: u8 = 16;
    pub const BATCH_DEL: u8 = 17;
    pub const STAT: u8 = 18;
    pub const GET_SUB_KEYS: u8 = 19;
    pub const SYNC_REQ: u8 = 21;
    pub const SYNC_DEL: u8 = 24;
    pub const HEART_BEAT: u8 = 30;
    pub const RESPONSE: u8 = 40;
}

/// A request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Placement, as the sender sees it.
    pub hash: i32,
    /// The sender's seconds.
    pub timestamp: i32,
    /// Seconds, 0 never, -1 none.
    pub expires: i32,
    /// What it is.
    pub cmd: u8,
    /// 1 keeps the connection.
    pub keep_alive: u8,
    /// 0 or an errno.
    pub status: u8,
    /// The rest.
    pub body: Vec<u8>,
}

impl Package {
    /// A request as the C client builds it: permanent, connection kept.
    pub fn request(cmd: u8, body: Vec<u8>) -> Self {
        let timestamp = unix_seconds();
        Self { hash: 0, timestamp, expires: 0, cmd, keep_alive: 1, status: 0, body }
    }

    /// With another expiry.
    pub fn expires(mut self, expires: i32) -> Self {
        self.expires = expires;
        self
    }

    /// With another hash code.
    pub fn hash(mut self, hash: i32) -> Self {
        self.hash = hash;
        self
    }

    /// The last one on its connection.
    pub fn last(mut self) -> Self {
        self.keep_alive = 0;
        self
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let length = i32::try_from(self.body.len()).expect("small");
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        for number in [length, self.hash, self.timestamp, self.expires] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&[self.cmd, self.keep_alive, self.status]);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Takes a package off the front of `bytes`, if there is a whole one.
    pub fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let number = |at: usize| {
            let four = bytes.get(at..at + 4)?;
            Some(i32::from_be_bytes(four.try_into().expect("four bytes")))
        };
        let length = usize::try_from(number(0)?).ok()?;
        let tail = bytes.get(16..HEADER)?;
        let body = bytes.get(HEADER..HEADER + length)?.to_vec();
        let package = Self {
            hash: number(4)?,
            timestamp: number(8)?,
            expires: number(12)?,
            cmd: tail[0],
            keep_alive: tail[1],
            status: tail[2],
            body,
        };
        Some((package, &bytes[HEADER + length..]))
    }
}

/// `str(x)`: length and bytes.
pub fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = i32::try_from(bytes.len()).expect("small");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// `str(namespace) str(object) str(key)`.
pub fn key(namespace: &str, object: &str, key: &str) -> Vec<u8> {
    [string(namespace), string(object), string(key)].concat()
}

/// `str(namespace) str(object) count`.
pub fn batch(namespace: &str, object: &str, count: i32) -> Vec<u8> {
    [string(namespace), string(object), count.to_be_bytes().to_vec()].concat()
}

/// One connection.
#[derive(Debug)]
pub struct FastDht {
    stream: TcpStream,
}

impl FastDht {
    /// Connects.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the proxy listens");
        stream.set_nodelay(true).expect("a new socket");
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).expect("a new socket");
        Self { stream }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Reads one answer; `None` when the server closed instead.
    #[track_caller]
    pub fn read(&mut self) -> Option<Package> {
        let mut bytes = vec![0; HEADER];
        match self.stream.read_exact(&mut bytes) {
            Err(e) if is_close(&e) => return None,
            other => other.expect("an answer"),
        }
        let length = i32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
        bytes.resize(HEADER + usize::try_from(length).expect("no negative length"), 0);
        self.stream.read_exact(&mut bytes[HEADER..]).expect("a whole answer");
        let (package, rest) = Package::parse(&bytes).expect("a whole answer");
        assert!(rest.is_empty());
        assert_eq!(package.cmd, cmd::RESPONSE);
        assert!(
            package.status < 100,
            "the C client takes {} for a network failure",
            package.status
        );
        assert!(
            package.status == 0 || package.body.is_empty(),
            "no body after an error: {package:?}"
        );
        Some(package)
    }

    /// One request, one answer.
    #[track_caller]
    pub fn call(&mut self, request: &Package) -> Package {
        self.send_raw(&request.bytes());
        let answer = self.read().expect("an answer");
        assert_eq!(answer.hash, request.hash, "echoed");
        assert_eq!(answer.keep_alive, request.keep_alive, "echoed");
        answer
    }

    /// SET of a permanent value; gives the status.
    #[track_caller]
    pub fn set(&mut self, namespace: &str, object: &str, name: &str, value: &[u8]) -> u8 {
        let body = [key(namespace, object, name), string(value)].concat();
        self.call(&Package::request(cmd::SET, body)).status
    }

    /// GET that leaves the expiry alone; the value, or the status.
    #[track_caller]
    pub fn get(&mut self, namespace: &str, object: &str, name: &str) -> Result<Vec<u8>, u8> {
        let request = Package::request(cmd::GET, key(namespace, object, name)).expires(-1);
        let answer = self.call(&request);
        if answer.status != 0 {
            return Err(answer.status);
        }
        // The C client insists: exactly the length and the value.
        let value = answer.body[4..].to_vec();
        assert_eq!(answer.body, string(&value));
        Ok(value)
    }

    /// Whether the server closes the connection now, without sending anything more.
    #[track_caller]
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => panic!("bytes behind the answer"),
            Err(e) => is_close(&e),
        }
    }
}

fn is_close(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}
