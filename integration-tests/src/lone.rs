//! Nodes and proxies started one by one, for what `fdht dev` would not let happen.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::http::Http;
use crate::process::{Running, command, fdht};
use crate::resp::Resp;
use crate::wait::wait_until;

/// How long one process may take to start.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// Ports of these tests: neither those that `dev` takes nor those of outgoing connections.
const PORTS: (u16, u16) = (10_000, 9_000);

/// A port of 127.0.0.1 that nobody listens on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (first, count) = PORTS;
    let start = u16::try_from(std::process::id() * 37 % u32::from(count)).expect("below count");
    loop {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = first + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// `127.0.0.1` and a free port.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// The arguments of a node.
#[derive(Debug, Clone)]
pub struct NodeArgs {
    /// `--id`
    pub id: String,
    /// `--cluster`
    pub cluster: String,
    /// `--dir`
    pub dir: PathBuf,
    /// `--create`
    pub create: bool,
    /// `--listen`
    pub listen: String,
    /// `--admin`
    pub admin: String,
    /// `--memory`
    pub memory: String,
}

impl NodeArgs {
    /// A new node `a1` of the cluster `lone`.
    pub fn new(dir: &Path) -> Self {
        Self {
            id: "a1".to_owned(),
            cluster: "lone".to_owned(),
            dir: dir.to_owned(),
            create: true,
            listen: free_address(),
            admin: free_address(),
            memory: "128MiB".to_owned(),
        }
    }

    /// The command line behind `fdht`.
    pub fn words(&self) -> Vec<String> {
        let flags = [
            ("--id", self.id.as_str()),
            ("--cluster", &self.cluster),
            ("--dir", self.dir.to_str().expect("plain names")),
            ("--listen", &self.listen),
            ("--admin", &self.admin),
            ("--memory", &self.memory),
            ("--disk-reserve", "16MiB"),
        ];
        let flags = flags.iter().flat_map(|(flag, value)| [*flag, *value]);
        let mut words: Vec<String> = ["node"].into_iter().chain(flags).map(str::to_owned).collect();
        if self.create {
            words.push("--create".to_owned());
        }
        words
    }

    /// Starts the node and waits until it is live.
    #[track_caller]
    pub fn start(&self) -> Running {
        let mut running = Running::start(command(self.words()));
        wait_live(&mut running, &self.admin);
        running
    }
}

/// A topology file of one node, `a1` of the cluster `lone`.
pub fn topology(path: &Path, address: &str, admin: &str) {
    let text = format!(
        "format: 1\ncluster: lone\nepoch: 1\nlogic_groups: 5\nservers:\n  \
         a1: {{ address: \"{address}\", admin: \"{admin}\" }}\n\
         voters: [a1]\nphysical_groups:\n  a: {{ servers: [a1], logic_groups: \"0-4\" }}\n"
    );
    fs::write(path, text).expect("a temporary folder can be written");
}

/// Brings the logic groups of a topology file into being. Its nodes have to run.
#[track_caller]
pub fn create_groups(topology: &Path) {
    let topology = topology.to_str().expect("plain names");
    fdht(["topology", "init", topology]).ok();
}

/// A proxy that was started alone.
#[derive(Debug)]
pub struct LoneProxy {
    /// The process.
    pub running: Running,
    /// Its data address.
    pub address: String,
    /// Its admin address.
    pub admin: String,
}

impl LoneProxy {
    /// Starts a proxy with more arguments than the usual, and waits until it is live.
    #[track_caller]
    pub fn start(topology: &Path, more: &[&str]) -> Self {
        let (address, admin) = (free_address(), free_address());
        let topology = topology.to_str().expect("plain names");
        let words = ["proxy", "--topology", topology, "--listen", &address, "--admin", &admin];
        let mut running = Running::start(command(words.iter().chain(more)));
        wait_live(&mut running, &admin);
        Self { running, address, admin }
    }
}

/// A node that is the only one of its cluster, with a proxy in front of it.
#[derive(Debug)]
pub struct LoneSite {
    /// How the node is started again.
    pub node: NodeArgs,
    /// The node's process.
    pub running: Running,
    /// The proxy.
    pub proxy: LoneProxy,
    folder: tempfile::TempDir,
}

impl LoneSite {
    /// Starts both with a new data directory; `memory` is the node's `--memory`.
    #[track_caller]
    pub fn start(memory: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut node = NodeArgs::new(&folder.path().join("node"));
        node.memory = memory.to_owned();
        let running = node.start();
        node.create = false;
        let file = folder.path().join("topology.yaml");
        topology(&file, &node.listen, &node.admin);
        create_groups(&file);
        let proxy = LoneProxy::start(&file, &[]);
        let site = Self { node, running, proxy, folder };
        site.wait_ready();
        site
    }

    /// Starts the node that was ended, and waits until the proxy is ready again.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.running = self.node.start();
        self.wait_ready();
    }

    /// Ends the node in the usual way.
    #[track_caller]
    pub fn stop(&mut self) {
        self.running.signal(Signal::TERM);
        let status = self.running.wait_end(START_TIME_MAX);
        assert!(status.success(), "{status}: {}", self.running.output());
    }

    /// A client of the proxy.
    #[track_caller]
    pub fn resp(&self) -> Resp {
        Resp::connect(&self.proxy.address)
    }

    /// A folder for more files, gone with the site.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    fn wait_ready(&self) {
        let http = Http::new(&self.proxy.admin);
        wait_until("the proxy is ready", START_TIME_MAX, || http.get("/readyz").status == 200);
    }
}

#[track_caller]
fn wait_live(running: &mut Running, admin: &str) {
    let http = Http::new(admin);
    wait_until("the process is live", START_TIME_MAX, || {
        if let Some(status) = running.try_end() {
            panic!("ended while starting ({status}):\n{}", running.output());
        }
        http.try_get("/livez").is_some_and(|reply| reply.status == 200)
    });
}
