//! The topology in force, shared by everybody who needs it and replaced whole.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use common::ids::NodeId;

use crate::diff::{Changes, Refusal, changes, refusals};
use crate::topology::Topology;

/// Where the topology in force came from, and what was refused since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The path of its file, or who announced it, until the file says the same.
    pub source: String,
    /// When it came into force, in milliseconds since 1970.
    pub loaded_at_ms: u64,
    /// Why what came last was refused. `None` once the file and the topology in force agree.
    pub last_error: Option<String>,
    /// How many topologies were refused since the start.
    pub refused: u64,
}

type Subscriber = Arc<dyn Fn(&Arc<Topology>) + Send + Sync>;

struct Shared {
    topology: ArcSwap<Topology>,
    status: Mutex<Status>,
    subscribers: Mutex<Vec<Subscriber>>,
    /// The voter set in force, where it is known.
    voters: Mutex<Option<Arc<[NodeId]>>>,
    /// Held from comparison to swap and notification: writers take turns, readers never wait.
    writer: Mutex<()>,
}

/// A cloneable handle to the topology in force.
#[derive(Clone)]
pub struct TopologyHandle {
    shared: Arc<Shared>,
}

impl TopologyHandle {
    /// Puts the first topology into force.
    #[must_use]
    pub fn new(topology: Topology, source: impl Into<String>, now_ms: u64) -> Self {
        let status =
            Status { source: source.into(), loaded_at_ms: now_ms, last_error: None, refused: 0 };
        Self {
            shared: Arc::new(Shared {
                topology: ArcSwap::from_pointee(topology),
                status: Mutex::new(status),
                subscribers: Mutex::new(Vec::new()),
                voters: Mutex::new(None),
                writer: Mutex::new(()),
            }),
        }
    }

    /// The topology in force.
    #[must_use]
    pub fn load_full(&self) -> Arc<Topology> {
        self.shared.topology.load_full()
    }

    /// Where it came from and what was refused since.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// Says which voter set is in force, as the servers tell it. Later topologies may name these
    /// voters instead of those of the topology in force.
    pub fn set_voters(&self, voters: &[NodeId]) {
        *lock(&self.shared.voters) = Some(voters.into());
    }

    /// The voter set in force, where it is known.
    #[must_use]
    pub fn voters(&self) -> Option<Arc<[NodeId]>> {
        lock(&self.shared.voters).clone()
    }

    /// Calls `on_change` with every later topology, in their order, on the thread that brings it.
    /// It must be quick and must not offer a topology itself.
    pub fn subscribe(&self, on_change: impl Fn(&Arc<Topology>) + Send + Sync + 'static) {
        lock(&self.shared.subscribers).push(Arc::new(on_change));
    }

    /// Puts `new` into force, as an operator's wish: only if [`crate::diff_with_voters()`] has nothing
    /// against it.
    ///
    /// # Errors
    /// Every refusal. The one in force stays; the refusals are the status' last error.
    pub fn offer(&self, new: Topology, source: &str, now_ms: u64) -> Result<Changes, Vec<Refusal>> {
        self.replace(new, source, now_ms, false)
    }

    /// Puts `new` into force, as one that another process of the cluster has in force already: the
    /// greater version wins, also in a conflict, which stays visible as the status' last error.
    ///
    /// # Errors
    /// Every other refusal. The one in force stays; the refusals are the status' last error.
    pub fn adopt(&self, new: Topology, source: &str, now_ms: u64) -> Result<Changes, Vec<Refusal>> {
        self.replace(new, source, now_ms, true)
    }

    fn replace(
        &self,
        new: Topology,
        source: &str,
        now_ms: u64,
        greater_wins: bool,
    ) -> Result<Changes, Vec<Refusal>> {
        let _turn = lock(&self.shared.writer);
        let old = self.load_full();
        let is_greater = new.version() > old.version();
        let (conflicts, refused): (Vec<_>, Vec<_>) =
            refusals(&old, &new, self.voters().as_deref()).into_iter().partition(|refusal| {
                greater_wins && is_greater && matches!(refusal, Refusal::Conflict { .. })
            });
        if !refused.is_empty() {
            self.refuse(format!("{source}: {}", join(&refused)));
            return Err(refused);
        }
        if old.text() == new.text() {
            let mut status = lock(&self.shared.status);
            status.last_error = None;
            // The operator's file now says what was adopted from elsewhere. Others who know what the
            // file says do not take its place.
            if !greater_wins {
                source.clone_into(&mut status.source);
            }
            return Ok(Changes::default());
        }
        let changes = changes(&old, &new);
        let new = Arc::new(new);
        self.shared.topology.store(Arc::clone(&new));
        {
            let mut status = lock(&self.shared.status);
            source.clone_into(&mut status.source);
            status.loaded_at_ms = now_ms;
            status.last_error = conflicts.first().map(|conflict| format!("{source}: {conflict}"));
        }
        let subscribers = lock(&self.shared.subscribers).clone();
        for on_change in subscribers {
            on_change(&new);
        }
        Ok(changes)
    }

    /// Records that something was refused before it became a topology.
    pub fn refuse(&self, error: String) {
        let mut status = lock(&self.shared.status);
        status.last_error = Some(error);
        status.refused += 1;
    }
}

impl fmt::Debug for TopologyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyHandle")
            .field("version", &self.load_full().version())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

fn join(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Nothing behind these locks is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
