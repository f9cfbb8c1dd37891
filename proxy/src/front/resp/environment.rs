//! What a connection sees of the process around it.

use super::encode::Proto;

/// The proxy around a connection. Implemented by the session driver, and by tests.
pub trait Environment {
    /// What INFO tells about the process.
    fn server(&self) -> ServerInfo;

    /// All RESP connections of the process, for CLIENT LIST.
    fn clients(&self) -> Vec<ClientLine>;

    /// What a client told about itself has changed.
    fn on_identity(&self, client_id: u64, identity: &Identity);

    /// How many databases SELECT counts; numbers below it are valid.
    fn databases(&self) -> u32;

    /// The namespace that the topology file gives a database number.
    fn namespace_of_database(&self, database: u32) -> Option<Vec<u8>>;
}

/// Facts and counters of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// The proxy's own version.
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// The topology file's epoch.
    pub file_epoch: u64,
    /// Number of logic groups.
    pub logic_groups: u16,
    /// Operating system process id.
    pub process_id: u32,
    /// The port clients connect to.
    pub port: u16,
    /// Seconds since the process started.
    pub uptime_s: u64,
    /// Client connections now.
    pub connected_clients: u64,
    /// Most client connections.
    pub clients_max: u64,
    /// Connections accepted since the start.
    pub connections_total: u64,
    /// Connections refused since the start.
    pub connections_rejected_total: u64,
    /// Commands executed since the start.
    pub commands_total: u64,
    /// Bytes read from clients since the start.
    pub bytes_in_total: u64,
    /// Bytes written to clients since the start.
    pub bytes_out_total: u64,
    /// Reads that found their record.
    pub keyspace_hits_total: u64,
    /// Reads that did not.
    pub keyspace_misses_total: u64,
    /// Resident memory of the process, in bytes.
    pub memory_bytes: u64,
}

/// What a client chose or told about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// CLIENT SETNAME; empty for none. Printable ASCII.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME. Printable ASCII.
    pub library: String,
    /// CLIENT SETINFO LIB-VER. Printable ASCII.
    pub library_version: String,
    /// The database: its number, or the name that SELECT was given.
    pub database: Database,
    /// The protocol version.
    pub proto: Proto,
}

/// A selected database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// By number.
    Number(u32),
    /// By the namespace's name.
    Name(Vec<u8>),
}

impl Default for Database {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// One client in CLIENT LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLine {
    /// The connection's number in this process, from 1.
    pub id: u64,
    /// The client's address.
    pub address: String,
    /// The address it connected to.
    pub local_address: String,
    /// Seconds since it connected.
    pub age_s: u64,
    /// Seconds since its last command.
    pub idle_s: u64,
    /// Its last command in lower case; empty if there was none.
    pub last_command: String,
    /// What it told about itself.
    pub identity: Identity,
}
