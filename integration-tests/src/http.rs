//! HTTP with an independent client library; every status is an answer, none an error.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// One server.
#[derive(Debug, Clone)]
pub struct Http {
    agent: Agent,
    address: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// A header as text, or an empty one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a plain header"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|e| panic!("not JSON ({e}): {} {}", self.status, self.text()))
    }

    /// Asserts the status and gives the answer back.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Http {
    /// The server at `address`.
    pub fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(ANSWER_TIME_MAX))
            .proxy(None)
            .build();
        Self { agent: config.into(), address: address.to_owned() }
    }

    /// Any request; `path` is sent as it is.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<HttpReply, ureq::Error> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body.to_vec())?),
            None => self.agent.run(request.body(())?),
        };
        let (parts, mut body) = answer?.into_parts();
        let body = body.with_config().limit(1 << 30).read_to_vec()?;
        Ok(HttpReply { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Any request that must be answered.
    #[track_caller]
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> HttpReply {
        let answer = self.try_send(method, path, headers, body);
        answer.unwrap_or_else(|e| panic!("{method} {path} at {}: {e}", self.address))
    }

    /// GET.
    #[track_caller]
    pub fn get(&self, path: &str) -> HttpReply {
        self.send("GET", path, &[], None)
    }

    /// GET, if anybody answers.
    pub fn try_get(&self, path: &str) -> Option<HttpReply> {
        self.try_send("GET", path, &[], None).ok()
    }

    /// PUT.
    #[track_caller]
    pub fn put(&self, path: &str, body: impl AsRef<[u8]>) -> HttpReply {
        self.send("PUT", path, &[], Some(body.as_ref()))
    }

    /// DELETE.
    #[track_caller]
    pub fn delete(&self, path: &str) -> HttpReply {
        self.send("DELETE", path, &[], None)
    }
}

/// Percent-encodes everything that is not a plain letter or digit.
pub fn percent(part: impl AsRef<[u8]>) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    let encode = |b: &u8| {
        if plain(*b) { char::from(*b).to_string() } else { format!("%{b:02X}") }
    };
    part.as_ref().iter().map(encode).collect()
}

/// Sends bytes as they are, and gives everything until the server closes by itself; a reset counts as
/// closed.
#[track_caller]
pub fn raw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).expect("a new socket");
    // The server may close before it has read all.
    drop(stream.write_all(bytes));
    let mut all = Vec::new();
    if let Err(e) = stream.read_to_end(&mut all) {
        assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "{address} does not close");
    }
    all
}
