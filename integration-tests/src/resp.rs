//! A small RESP2/RESP3 client, for what a proper client library would never send or would hide.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Any RESP value.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text`
    Error(String),
    /// `:n`
    Int(i64),
    /// `$..`, and RESP3 verbatim text without its three letters of form
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` and `_`
    Nil,
    /// `*..` and `~..`
    Array(Vec<Self>),
    /// `%..`
    Map(Vec<(Self, Self)>),
    /// `#t`
    Bool(bool),
    /// `,1.5`
    Double(f64),
}

impl Value {
    /// The text of a simple or bulk string.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8(bytes.clone()).expect("UTF-8"),
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// The text of an error.
    #[track_caller]
    pub fn error(&self) -> &str {
        match self {
            Self::Error(text) => text,
            other => panic!("expected an error, got {other:?}"),
        }
    }

    /// A number.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            other => panic!("expected a number, got {other:?}"),
        }
    }

    /// The elements of an array.
    #[track_caller]
    pub fn array(&self) -> &[Self] {
        match self {
            Self::Array(all) => all,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    /// Texts of an array.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        self.array().iter().map(Self::text).collect()
    }

    /// Pairs of a RESP3 map or of a flat RESP2 array.
    #[track_caller]
    pub fn pairs(&self) -> Vec<(String, Self)> {
        match self {
            Self::Map(pairs) => pairs.iter().map(|(k, v)| (k.text(), v.clone())).collect(),
            flat => flat.array().chunks(2).map(|pair| (pair[0].text(), pair[1].clone())).collect(),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Int(n) => write!(f, ":{n}"),
            Self::Bulk(bytes) if bytes.len() > 200 => write!(f, "${} bytes", bytes.len()),
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Nil => f.write_str("nil"),
            Self::Array(all) => f.debug_list().entries(all).finish(),
            Self::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Self::Bool(b) => write!(f, "#{b}"),
            Self::Double(d) => write!(f, ",{d}"),
        }
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        match self {
            Self::Simple(text) => text == other,
            Self::Bulk(bytes) => bytes == other.as_bytes(),
            _ => false,
        }
    }
}

impl PartialEq<i64> for Value {
    fn eq(&self, other: &i64) -> bool {
        *self == Self::Int(*other)
    }
}

/// One connection.
#[derive(Debug)]
pub struct Resp {
    stream: BufReader<TcpStream>,
}

impl Resp {
    /// Connects.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address);
        Self::over(stream.unwrap_or_else(|e| panic!("cannot connect to {address}: {e}")))
    }

    /// Connects, if somebody listens.
    pub fn try_connect(address: &str) -> Option<Self> {
        TcpStream::connect(address).ok().map(Self::over)
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a new socket");
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).expect("a new socket");
        stream.set_write_timeout(Some(ANSWER_TIME_MAX)).expect("a new socket");
        Self { stream: BufReader::with_capacity(64 << 10, stream) }
    }

    /// One command, one answer.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(args);
        self.read()
    }

    /// One command, one answer, or why not.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.stream.get_mut().write_all(&encode(args))?;
        self.try_read()
    }

    /// Sends a command.
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.send_raw(&encode(args));
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.try_send_raw(bytes).expect("the server reads");
    }

    /// Sends bytes as they are, or says why not.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&self) {
        // Fails when the server has closed already.
        drop(self.stream.get_ref().shutdown(Shutdown::Write));
    }

    /// The next answer.
    #[track_caller]
    pub fn read(&mut self) -> Value {
        self.try_read().expect("an answer")
    }

    /// The next answer, or why there is none.
    pub fn try_read(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at(1);
        Ok(match kind {
            "+" => Value::Simple(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Int(number(rest)?),
            "$" | "=" => match number(rest)? {
                -1 => Value::Nil,
                length => {
                    let bytes = self.bytes(length)?;
                    Value::Bulk(if kind == "=" { bytes[4..].to_vec() } else { bytes })
                }
            },
            "*" | "~" => match number(rest)? {
                -1 => Value::Nil,
                count => Value::Array(self.values(count)?),
            },
            "%" => {
                let flat = self.values(number(rest)? * 2)?;
                let pairs = flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
                Value::Map(pairs.collect())
            }
            "_" => Value::Nil,
            "#" => Value::Bool(rest == "t"),
            "," => Value::Double(rest.parse().map_err(|_| bad(&line))?),
            _ => return Err(bad(&line)),
        })
    }

    fn values(&mut self, count: i64) -> io::Result<Vec<Value>> {
        (0..count).map(|_| self.try_read()).collect()
    }

    fn bytes(&mut self, length: i64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| bad("a negative length"))?;
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        if !bytes.ends_with(b"\r\n") {
            return Err(bad("a bulk string without its end"));
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        match line.strip_suffix("\r\n") {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(bad(&line)),
        }
    }

    /// Everything until the server closes the connection; a reset counts as closed. `None` when it
    /// is still open after the longest time an answer may take.
    pub fn read_to_close(&mut self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            _ => Some(all),
        }
    }

    /// The socket, for reading slowly or not at all.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// A command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| bad(text))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {what:?}"))
}
