//! The client connections of the process: what CLIENT LIST and the admin endpoints show.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;

use crate::front::resp::environment::{ClientLine, Identity};

/// One RESP or FastDHT connection.
#[derive(Debug)]
pub(crate) struct ClientEntry {
    /// Its number in this process, from 1.
    pub(crate) id: u64,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    since_ms: u64,
    used_ms: AtomicU64,
    identity: Mutex<Identity>,
}

impl ClientEntry {
    /// A command was started. One writer, so a plain store does.
    pub(crate) fn used(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// What the client told about itself has changed.
    pub(crate) fn identify(&self, identity: &Identity) {
        identity.clone_into(&mut self.identity.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn line(&self, now_ms: u64) -> ClientLine {
        let since = |ms: u64| now_ms.saturating_sub(ms) / 1000;
        ClientLine {
            id: self.id,
            address: self.peer.to_string(),
            local_address: self.local.map(|address| address.to_string()).unwrap_or_default(),
            age_s: since(self.since_ms),
            idle_s: since(self.used_ms.load(Ordering::Relaxed)),
            last_command: String::new(),
            identity: self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// All of them. Written by the workers when connections come and go, read for lists.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    entries: DashMap<u64, Arc<ClientEntry>>,
    last_id: AtomicU64,
}

impl Clients {
    /// A connection came.
    pub(crate) fn add(&self, peer: SocketAddr, local: Option<SocketAddr>) -> Arc<ClientEntry> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let now_ms = rt::clock::wall_ms();
        let entry = Arc::new(ClientEntry {
            id,
            peer,
            local,
            since_ms: now_ms,
            used_ms: AtomicU64::new(now_ms),
            identity: Mutex::default(),
        });
        self.entries.insert(id, Arc::clone(&entry));
        entry
    }

    /// A connection went.
    pub(crate) fn remove(&self, id: u64) {
        self.entries.remove(&id);
    }

    /// All connections by number.
    pub(crate) fn lines(&self) -> Vec<ClientLine> {
        let now_ms = rt::clock::wall_ms();
        let mut lines: Vec<_> =
            self.entries.iter().map(|entry| entry.value().line(now_ms)).collect();
        lines.sort_unstable_by_key(|line| line.id);
        lines
    }
}
