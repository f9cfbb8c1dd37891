//! What all threads of the proxy share. Read-mostly or counted; nothing here is locked on the way
//! of a request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use config::TopologyHandle;
use rt::secret::Secret;

use crate::budget::Budget;
use crate::clients::Clients;
use crate::counters::{Count, Counters};
use crate::front::fastdht;
use crate::worker::Seen;

/// The flags in a form that workers use.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) id: String,
    /// The path of the topology file, for messages.
    pub(crate) topology_file: String,
    pub(crate) secret: Option<Secret>,
    pub(crate) fastdht_package_max: usize,
    pub(crate) deadline_ms: u64,
    pub(crate) connections_max: usize,
}

/// The process.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) topology: TopologyHandle,
    /// What a node told last and that was not adopted.
    pub(crate) topology_seen: Mutex<Option<Seen>>,
    pub(crate) clients: Clients,
    pub(crate) budget: Budget,
    pub(crate) listen: SocketAddr,
    pub(crate) started: Instant,
    pub(crate) connections_total: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    workers: Vec<PerWorker>,
}

#[derive(Debug, Default)]
struct PerWorker {
    connections: Arc<AtomicUsize>,
    counters: Arc<Counters>,
}

/// Counts a connection as long as it lives.
pub(crate) struct ConnectionGuard(Arc<AtomicUsize>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        topology: TopologyHandle,
        listen: SocketAddr,
        buffers_max: usize,
        workers: usize,
    ) -> Self {
        Self {
            options,
            topology,
            topology_seen: Mutex::default(),
            clients: Clients::default(),
            budget: Budget::new(buffers_max),
            listen,
            started: rt::clock::now(),
            connections_total: AtomicU64::new(0),
            connections_rejected: AtomicU64::new(0),
            workers: (0..workers).map(|_| PerWorker::default()).collect(),
        }
    }

    /// Number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Client connections now.
    pub(crate) fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).sum()
    }

    /// The worker with the fewest connections.
    pub(crate) fn least_loaded(&self) -> usize {
        let load = |worker: &usize| {
            self.workers.get(*worker).map_or(0, |w| w.connections.load(Ordering::Relaxed))
        };
        (0..self.workers.len()).min_by_key(load).unwrap_or(0)
    }

    /// A worker got a connection.
    pub(crate) fn accepted(&self, worker: usize) -> ConnectionGuard {
        let connections = self.workers.get(worker).map(|w| Arc::clone(&w.connections));
        let connections = connections.unwrap_or_default();
        connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(connections)
    }

    /// A worker's counters.
    pub(crate) fn counters(&self, worker: usize) -> Arc<Counters> {
        self.workers.get(worker).map(|w| Arc::clone(&w.counters)).unwrap_or_default()
    }

    /// Keys served through the FastDHT protocol.
    pub(crate) fn fastdht_keys(&self) -> fastdht::Counters {
        let mut all = fastdht::Counters::default();
        self.workers.iter().for_each(|worker| all.add(&worker.counters.fastdht.get()));
        all
    }

    /// A counter summed over the workers.
    pub(crate) fn sum(&self, count: impl Fn(&Counters) -> &Count) -> u64 {
        self.workers.iter().map(|worker| count(&worker.counters).get()).sum()
    }
}
