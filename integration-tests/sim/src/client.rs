//! A client with its proxy: one request at a time, retried under the same id, with a view cache.

use common::ids::Epoch;
use common::view::{GroupView, ViewCache};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Count a key up.
    Incr,
    /// Its value.
    Get,
}

/// How many servers hold a write before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// The leader.
    One,
    /// All that are in step.
    Step,
    /// Besides, most of the configured ones.
    Majority,
    /// Besides, all configured ones.
    All,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Who asks; none for what a server offers again.
    pub client: Option<usize>,
    /// Its id, the same in each repetition.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
    /// The key.
    pub key: usize,
    /// How many shall hold it.
    pub acks: Acks,
    /// The leader's since-epoch, as the proxy knows it.
    pub since: Epoch,
}

/// A server's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The value.
    Value(u64),
    /// Not here, or not yet: try again. With the view that the server knows.
    Elsewhere(Option<GroupView>),
}

/// The request in hand.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Its id.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
    /// The key.
    pub key: usize,
    /// When it was first sent.
    pub since_us: u64,
    /// How many shall hold it.
    pub acks: Acks,
    /// The least value that a read may show.
    pub floor: u64,
    /// How often it was sent.
    pub tries: u64,
}

/// A client.
#[derive(Debug, Default)]
pub struct Client {
    /// Its proxy's view.
    pub views: ViewCache,
    /// The request in hand.
    pub open: Option<Open>,
    /// Counts events, so that an outdated timer is known.
    pub turn: u64,
    /// After healing: asks once for this key and stops.
    pub probe: Option<usize>,
}

/// A request is repeated after this long without an answer.
pub const RETRY_US: u64 = 250_000;
/// A request is given up after this long; its outcome is unknown then.
pub const DEADLINE_US: u64 = 5_000_000;
