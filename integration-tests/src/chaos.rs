//! A group of two servers and a voter, each started by hand behind a relay: for what `fdht dev` would
//! not let happen. Everything of it is killed when it is dropped.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::chaos_relay::{Fault, PeerRelay};
use crate::http::Http;
use crate::lone::{LoneProxy, NodeArgs, create_groups};
use crate::process::{Finished, Running, command, fdht};
use crate::resp::Resp;
use crate::wait::wait_until;

/// The nodes: two servers of the group `a`, and a voter without data. All three vote.
pub const NODES: [&str; 3] = ["a1", "a2", "v1"];
/// How long anything may take on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Characters of each log that a failing test shows.
const LOG_CHARS: usize = 4_000;

/// Lets one test of a file at a time run its cluster: their times count.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has dropped its cluster.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node's process and what stands before it.
#[derive(Debug)]
struct Hand {
    args: NodeArgs,
    relay: PeerRelay,
    running: Option<Running>,
    /// What its earlier processes logged.
    log: String,
}

/// The cluster.
#[derive(Debug)]
pub struct HandCluster {
    nodes: BTreeMap<&'static str, Hand>,
    proxy: Option<LoneProxy>,
    folder: TempDir,
}

impl HandCluster {
    /// Starts everything and waits until it serves. `deadline` is the proxy's.
    #[track_caller]
    pub fn start(deadline: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("fdht-test-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let hand = |id: &'static str| {
            let mut args = NodeArgs::new(&folder.path().join(id));
            args.id = id.to_owned();
            let relay = PeerRelay::to(&args.listen);
            (id, Hand { args, relay, running: None, log: String::new() })
        };
        let nodes = NODES.map(hand).into();
        let mut cluster = Self { nodes, proxy: None, folder };
        cluster.write_topology(1, &[]);
        for id in NODES {
            cluster.start_node(id, &[]);
            cluster.hand(id).args.create = false;
        }
        create_groups(&cluster.file());
        cluster.proxy = Some(LoneProxy::start(&cluster.file(), &["--deadline", deadline]));
        cluster.wait_whole();
        cluster
    }

    fn hand(&mut self, id: &str) -> &mut Hand {
        self.nodes.get_mut(id).expect("one of the three")
    }

    /// The topology file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("topology.yaml")
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the topology file with another address for some nodes than that of their relay.
    pub fn write_topology(&self, epoch: u64, other: &[(&str, &str)]) {
        let mut servers = String::new();
        for (id, hand) in &self.nodes {
            let other = other.iter().find(|(name, _)| name == id).map(|(_, address)| *address);
            let (address, admin) = (other.unwrap_or(hand.relay.address()), &hand.args.admin);
            writeln!(servers, "  {id}: {{ address: \"{address}\", admin: \"{admin}\" }}")
                .expect("a String takes everything");
        }
        let text = format!(
            "format: 1\ncluster: lone\nepoch: {epoch}\nlogic_groups: 5\nservers:\n{servers}\
             voters: [a1, a2, v1]\nphysical_groups:\n  a: {{ servers: [a1, a2], logic_groups: \
             \"0-4\" }}\n"
        );
        let new = self.file().with_extension("edited");
        std::fs::write(&new, text).expect("the folder can be written");
        std::fs::rename(&new, self.file()).expect("the file can be replaced");
    }

    /// The arguments of a node, to start it in another way.
    pub fn args(&self, id: &str) -> NodeArgs {
        self.nodes[id].args.clone()
    }

    /// The relay in front of a node.
    pub fn relay(&self, id: &str) -> &PeerRelay {
        &self.nodes[id].relay
    }

    /// Cuts, holds or heals the link between two nodes, whichever of them dials.
    pub fn link(&self, one: &str, other: &str, fault: Option<Fault>) {
        self.relay(one).set(other, fault);
        self.relay(other).set(one, fault);
    }

    /// Starts a node with more arguments (later ones count) and waits until it is live. A file that
    /// grows above a limit that is set later is an error there, and not its end.
    #[track_caller]
    pub fn start_node(&mut self, id: &str, more: &[&str]) {
        let hand = self.hand(id);
        assert!(hand.running.is_none(), "{id} runs");
        let words = replaced(hand.args.words(), more);
        let plain = command(words);
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        shell.arg(plain.get_program()).args(plain.get_args());
        for (name, _) in plain.get_envs() {
            shell.env_remove(name);
        }
        hand.running = Some(Running::start(shell));
        let admin = Http::new(&hand.args.admin);
        wait_until(&format!("{id} is live"), TIME_MAX, || {
            admin.try_get("/livez").is_some_and(|reply| reply.status == 200)
        });
    }

    /// `kill -9` of a node.
    #[track_caller]
    pub fn kill(&mut self, id: &str) {
        let hand = self.hand(id);
        let mut running = hand.running.take().expect("it runs");
        running.kill();
        hand.log.push_str(&running.output());
    }

    /// Makes a node's data directory go away, so that it has to be created anew.
    pub fn remove_data(&mut self, id: &str) {
        let hand = self.hand(id);
        assert!(hand.running.is_none(), "{id} runs");
        std::fs::remove_dir_all(&hand.args.dir).expect("its folder");
        hand.args.create = true;
    }

    /// The process id of a node.
    pub fn pid(&self, id: &str) -> i32 {
        self.nodes[id].running.as_ref().expect("it runs").pid()
    }

    /// What a node logged.
    pub fn log(&self, id: &str) -> String {
        let hand = &self.nodes[id];
        let now = hand.running.as_ref().map(Running::output).unwrap_or_default();
        format!("{}{now}", hand.log)
    }

    /// HTTP on a node's admin port.
    pub fn admin(&self, id: &str) -> Http {
        Http::new(&self.nodes[id].args.admin)
    }

    /// A node's data directory, as it tells.
    #[track_caller]
    pub fn store(&self, id: &str) -> String {
        let nodes = self.admin(id).get("/v1/nodes").expect(200).json();
        nodes[0]["store_id"].as_str().expect("a store id").to_owned()
    }

    /// The proxy.
    pub fn proxy(&self) -> &LoneProxy {
        self.proxy.as_ref().expect("it was started")
    }

    /// A connection that speaks RESP.
    pub fn resp(&self) -> Resp {
        Resp::connect(&self.proxy().address)
    }

    /// Runs an operator command.
    #[track_caller]
    pub fn operator(&self, args: &[&str]) -> Finished {
        let admin = self.proxy().admin.as_str();
        fdht(args.iter().copied().chain(["--admin", admin]))
    }

    /// Waits until all servers are in step and lead their lanes.
    #[track_caller]
    pub fn wait_whole(&self) {
        wait_until("all servers are in step and lead their lanes", TIME_MAX, || {
            self.operator(&["status"]).status == Some(0)
        });
    }

    /// The servers in step of each logic group, as a node knows them; empty lists where it does not.
    pub fn in_step(&self, id: &str) -> Vec<Vec<String>> {
        let groups = self.admin(id).get("/v1/groups").expect(200).json();
        let names = |group: &serde_json::Value| {
            let names = group["in_step"].as_array().expect("a list").iter();
            names.map(|name| name.as_str().expect("a name").to_owned()).collect()
        };
        groups.as_array().expect("a list").iter().map(names).collect()
    }
}

/// Arguments with the values of `more` in place of their own.
fn replaced(mut words: Vec<String>, more: &[&str]) -> Vec<String> {
    for pair in more.chunks(2) {
        let at = words.iter().position(|word| word == pair[0]);
        match at.and_then(|at| words.get_mut(at + 1)) {
            Some(value) => pair[1].clone_into(value),
            None => words.extend(pair.iter().map(|word| (*word).to_owned())),
        }
    }
    words
}

impl Drop for HandCluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let proxy = self.proxy.as_ref().map(|proxy| proxy.running.output()).unwrap_or_default();
        let logs = NODES.map(|id| (id, self.log(id)));
        for (id, log) in logs.into_iter().chain([("proxy", proxy)]) {
            let skipped = log.chars().count().saturating_sub(LOG_CHARS);
            eprintln!("---- {id}: {}", log.chars().skip(skipped).collect::<String>());
        }
    }
}
