//! What a connection sees of the process: the fronts' questions answered from [`Shared`].

use std::sync::atomic::Ordering;

use crate::clients::ClientEntry;
use crate::front::fastdht::{Stat, StatSource};
use crate::front::resp::environment::{ClientLine, Environment, Identity, ServerInfo};
use crate::shared::Shared;

/// Databases that clients are told of. SELECT takes greater numbers as well.
const DATABASES: u32 = 16;

/// The process around one connection.
pub(crate) struct Around<'s> {
    shared: &'s Shared,
    entry: &'s ClientEntry,
}

impl<'s> Around<'s> {
    pub(crate) fn new(shared: &'s Shared, entry: &'s ClientEntry) -> Self {
        Self { shared, entry }
    }
}

impl Environment for Around<'_> {
    fn server(&self) -> ServerInfo {
        let shared = self.shared;
        let topology = shared.topology.load_full();
        ServerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: topology.cluster().to_owned(),
            file_epoch: topology.version().epoch.0,
            logic_groups: topology.logic_groups(),
            process_id: std::process::id(),
            port: shared.listen.port(),
            uptime_s: shared.started.elapsed().as_secs(),
            connected_clients: shared.connections() as u64,
            clients_max: shared.options.connections_max as u64,
            connections_total: shared.connections_total.load(Ordering::Relaxed),
            connections_rejected_total: shared.connections_rejected.load(Ordering::Relaxed),
            commands_total: shared.sum(|counters| &counters.commands),
            bytes_in_total: shared.sum(|counters| &counters.bytes_in),
            bytes_out_total: shared.sum(|counters| &counters.bytes_out),
            keyspace_hits_total: shared.sum(|counters| &counters.hits),
            keyspace_misses_total: shared.sum(|counters| &counters.misses),
            memory_bytes: rt::process::resident_bytes(),
        }
    }

    fn clients(&self) -> Vec<ClientLine> {
        self.shared.clients.lines()
    }

    fn on_identity(&self, _client_id: u64, identity: &Identity) {
        self.entry.identify(identity);
    }

    fn databases(&self) -> u32 {
        DATABASES
    }

    fn namespace_of_database(&self, database: u32) -> Option<Vec<u8>> {
        let topology = self.shared.topology.load_full();
        Some(topology.namespace_of_database(database).as_bytes().to_vec())
    }
}

impl StatSource for Around<'_> {
    fn stat(&self) -> Stat {
        let shared = self.shared;
        Stat {
            server: shared.listen.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: shared.started.elapsed().as_secs(),
            connections_max: shared.options.connections_max as u64,
            connections: shared.connections() as u64,
            counters: shared.fastdht_keys(),
        }
    }
}
