//! One connection to a node as the pool sees it: its state, and what has to be written.

use rt::out_buffer::OutBuffer;

/// Above so many bytes that a connection has not taken, requests for it wait in their lanes. A node
/// that stands still is connected, and what was given up is written to it nevertheless (I14).
pub(super) const UNSENT_BYTES_MAX: usize = 64 << 20;

/// Whether a connection is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// The first attempt is under way.
    Connecting,
    /// Requests flow.
    Up,
    /// The last attempt failed or the connection broke; another attempt follows.
    Down {
        /// What happened.
        error: String,
    },
}

/// A connection. Nothing waits in it: requests are handed to it only while it is up.
#[derive(Debug)]
pub(crate) struct Connection {
    state: LinkState,
    out: OutBuffer,
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self { state: LinkState::Connecting, out: OutBuffer::default() }
    }

    pub(crate) fn state(&self) -> &LinkState {
        &self.state
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    /// Whether requests may be handed to it.
    pub(crate) fn takes_requests(&self) -> bool {
        self.is_up() && self.out.unsent().len() <= UNSENT_BYTES_MAX
    }

    /// The connection is made.
    pub(crate) fn on_up(&mut self) {
        self.state = LinkState::Up;
        self.out.clear();
    }

    /// The connection broke or was not made.
    pub(crate) fn on_down(&mut self, error: &str) {
        self.out.clear();
        self.state = LinkState::Down { error: error.to_owned() };
    }

    /// What has to be written.
    pub(crate) fn out(&mut self) -> &mut OutBuffer {
        &mut self.out
    }

    /// Why requests cannot be sent.
    pub(crate) fn reason(&self) -> &str {
        match &self.state {
            LinkState::Down { error } => error,
            LinkState::Connecting => "no connection yet",
            LinkState::Up => "connected",
        }
    }
}
