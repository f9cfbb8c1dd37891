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
    last_command: Mutex<&'static str>,
    identity: Mutex<Identity>,
}

impl ClientEntry {
    /// A command was started. Its name goes untold where somebody reads the list at this moment.
    pub(crate) fn used(&self, now_ms: u64, command: &'static str) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
        if let Ok(mut last) = self.last_command.try_lock() {
            *last = command;
        }
    }

    /// What the client told about itself has changed.
    pub(crate) fn identify(&self, identity: &Identity) {
        identity.clone_into(&mut lock(&self.identity));
    }

    fn line(&self, now_ms: u64) -> ClientLine {
        let since = |ms: u64| now_ms.saturating_sub(ms) / 1000;
        ClientLine {
            id: self.id,
            address: self.peer.to_string(),
            local_address: self.local.map(|address| address.to_string()).unwrap_or_default(),
            age_s: since(self.since_ms),
            idle_s: since(self.used_ms.load(Ordering::Relaxed)),
            last_command: lock(&self.last_command).to_ascii_lowercase(),
            identity: lock(&self.identity).clone(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            last_command: Mutex::default(),
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
