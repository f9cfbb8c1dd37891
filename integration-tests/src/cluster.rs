//! A local cluster under test: `fdht dev` in a temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fastdht::FastDht;
use crate::guard::Guard;
use crate::http::Http;
use crate::process::{Finished, Running, command, fdht, is_alive, send};
use crate::resp::Resp;
use crate::wait::{wait_for, wait_until};

/// How long a cluster may take to start on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// How long it may take to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);
/// Lines of each log that a failing test shows.
const LOG_LINES: usize = 25;

/// The shape of a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    groups: u16,
    servers_per_group: u8,
    logic_groups: u16,
    env: BTreeMap<String, String>,
}

impl Options {
    /// One group of one server, and few logic groups.
    pub fn small() -> Self {
        Self::shape(1, 1, 5)
    }

    /// So many of each.
    pub fn shape(groups: u16, servers_per_group: u8, logic_groups: u16) -> Self {
        Self { groups, servers_per_group, logic_groups, env: BTreeMap::new() }
    }

    /// Sets a variable for `dev` and, through it, for all servers.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts a new cluster and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> TestCluster {
        TestCluster::start(self)
    }
}

/// A cluster. Everything of it is killed when it is dropped.
#[derive(Debug)]
pub struct TestCluster {
    options: Options,
    dev: Option<Running>,
    port: u16,
    admin_port: u16,
    root: PathBuf,
    _folder: TempDir,
    _guard: Guard,
}

impl TestCluster {
    #[track_caller]
    fn start(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("fdht-test-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let guard = Guard::of_folder(folder.path());
        let root = folder.path().join("dev");
        show_logs_on_panic(&root);
        let mut cluster = Self {
            options,
            dev: None,
            port: 0,
            admin_port: 0,
            root,
            _folder: folder,
            _guard: guard,
        };
        cluster.start_again();
        cluster
    }

    /// Starts the stopped cluster on its data and waits until it is ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.dev.is_none(), "it runs already");
        let mut dev = Running::start(self.dev_command());
        let ready = dev.wait_line("ready:", START_TIME_MAX);
        self.dev = Some(dev);
        self.port = number_behind(&ready, "redis-cli -p ");
        self.admin_port = number_behind(&ready, "--admin 127.0.0.1:");
    }

    /// The command line that starts this cluster.
    pub fn dev_command(&self) -> std::process::Command {
        let options = &self.options;
        let mut command = command(["dev", "--dir", self.root_text(), "--port", "0"]);
        command.args(["--admin-port", "0"]);
        command.args(["--groups", &options.groups.to_string()]);
        command.args(["--servers-per-group", &options.servers_per_group.to_string()]);
        command.args(["--logic-groups", &options.logic_groups.to_string()]);
        command.envs(&options.env);
        command
    }

    /// The folder of the cluster.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn root_text(&self) -> &str {
        self.root.to_str().expect("temporary folders have plain names")
    }

    /// The proxy's data address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The proxy's admin address.
    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.admin_port)
    }

    /// What `dev` printed since it was started last.
    pub fn output(&self) -> String {
        self.dev().output()
    }

    /// The running `dev`.
    pub fn dev(&self) -> &Running {
        self.dev.as_ref().expect("the cluster runs")
    }

    /// The names of the nodes with data, in order.
    pub fn servers(&self) -> Vec<String> {
        let group = |group: u16| {
            let letter = char::from(b'a' + u8::try_from(group).expect("few groups"));
            (1..=self.options.servers_per_group).map(move |n| format!("{letter}{n}"))
        };
        (0..self.options.groups).flat_map(group).collect()
    }

    /// The names of all nodes, in order: those with data, and the voter beside more than one of them.
    pub fn nodes(&self) -> Vec<String> {
        let mut nodes = self.servers();
        nodes.extend((nodes.len() > 1).then(|| "v1".to_owned()));
        nodes
    }

    /// The names of all nodes, and `proxy`.
    pub fn members(&self) -> Vec<String> {
        let mut members = self.nodes();
        members.push("proxy".to_owned());
        members
    }

    /// The process id of a member, from its file.
    pub fn pid(&self, id: &str) -> Option<i32> {
        let text = fs::read_to_string(self.root.join("pids").join(format!("{id}.pid"))).ok()?;
        text.trim().parse().ok()
    }

    /// The process ids of all members.
    #[track_caller]
    pub fn pids(&self) -> Vec<i32> {
        let pid = |id: &String| self.pid(id).unwrap_or_else(|| panic!("{id} has no pid file"));
        self.members().iter().map(pid).collect()
    }

    /// What a member logged in all its runs.
    pub fn log(&self, id: &str) -> String {
        let path = self.root.join("logs").join(format!("{id}.log"));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// A connection that speaks RESP.
    pub fn resp(&self) -> Resp {
        Resp::connect(&self.address())
    }

    /// A connection that speaks the original's protocol.
    pub fn fastdht(&self) -> FastDht {
        FastDht::connect(&self.address())
    }

    /// A client of the `redis` crate with what `suffix` adds to the URL: `"/3"`, `"/?protocol=resp3"`.
    pub fn redis(&self, suffix: &str) -> redis::Connection {
        let url = format!("redis://{}{suffix}", self.address());
        let client = redis::Client::open(url).expect("a good URL");
        client.get_connection().expect("the proxy takes connections")
    }

    /// HTTP on the data port.
    pub fn http(&self) -> Http {
        Http::new(&self.address())
    }

    /// HTTP on the proxy's admin port.
    pub fn admin(&self) -> Http {
        Http::new(&self.admin_address())
    }

    /// Data and admin address of a node, as the proxy's admin port tells them.
    pub fn node_addresses(&self, id: &str) -> (String, String) {
        let topology = self.admin().get("/v1/topology").json();
        let server = &topology["servers"][id];
        let text = |name: &str| server[name].as_str().expect("an address").to_owned();
        (text("address"), text("admin"))
    }

    /// HTTP on a node's admin port.
    pub fn node_admin(&self, id: &str) -> Http {
        Http::new(&self.node_addresses(id).1)
    }

    /// Runs an operator command against this cluster's admin port.
    #[track_caller]
    pub fn operator(&self, args: &[&str]) -> Finished {
        let admin = self.admin_address();
        fdht(args.iter().copied().chain(["--admin", admin.as_str()]))
    }

    /// Runs a command that moves data against this cluster's data port.
    #[track_caller]
    pub fn data_command(&self, args: &[&str]) -> Finished {
        let proxy = self.address();
        fdht(args.iter().copied().chain(["--proxy", proxy.as_str()]))
    }

    /// `fdht dev --dir .. start|stop ID`.
    #[track_caller]
    pub fn ask_dev(&self, action: &str, id: &str) -> Finished {
        fdht(["dev", "--dir", self.root_text(), action, id])
    }

    /// `kill -9` of one member; waits until it is gone.
    #[track_caller]
    pub fn kill(&self, id: &str) {
        let pid = self.pid(id).unwrap_or_else(|| panic!("{id} does not run"));
        send(pid, Signal::KILL);
        wait_until(&format!("the end of {id}"), STOP_TIME_MAX, || !is_alive(pid));
    }

    /// `kill -9` of `dev` alone; gives the process ids of its children.
    #[track_caller]
    pub fn kill_dev(&mut self) -> Vec<i32> {
        let pids = self.pids();
        self.dev.take().expect("the cluster runs").kill();
        pids
    }

    /// `kill -9` of every node, the proxy and `dev`, all at once.
    #[track_caller]
    pub fn kill_everything(&mut self) {
        let pids = self.pids();
        let mut dev = self.dev.take().expect("the cluster runs");
        for pid in pids.iter().chain([&dev.pid()]) {
            send(*pid, Signal::KILL);
        }
        dev.kill();
        for pid in pids {
            wait_until("the end of a killed process", STOP_TIME_MAX, || !is_alive(pid));
        }
    }

    /// Ctrl-C: everything stops in order, and says so.
    #[track_caller]
    pub fn stop(&mut self) {
        let pids = self.pids();
        let mut dev = self.dev.take().expect("the cluster runs");
        dev.signal(Signal::INT);
        let status = dev.wait_end(STOP_TIME_MAX);
        wait_for("the last words", Duration::from_secs(5), || dev.line("stopped;"));
        assert!(status.success(), "{status}: {}", dev.output());
        assert!(!dev.output().contains("is killed"), "{}", dev.output());
        for pid in pids {
            assert!(!is_alive(pid), "process {pid} outlived dev");
        }
    }

    /// Waits until the proxy answers that it is ready.
    #[track_caller]
    pub fn wait_ready(&self) {
        let admin = self.admin();
        let ready = || admin.try_get("/readyz").is_some_and(|reply| reply.status == 200);
        wait_until("the proxy is ready", START_TIME_MAX, ready);
    }

    /// Waits until `fdht status` has nothing to complain of: every server is reached, in step, and
    /// leads its own lanes.
    #[track_caller]
    pub fn wait_whole(&self) {
        let whole = || self.operator(&["status"]).status == Some(0);
        wait_until("all servers are in step and lead their lanes", START_TIME_MAX, whole);
    }

    /// Asserts that every process lives and that a value can be written and read.
    #[track_caller]
    pub fn assert_serves(&self) {
        for (id, pid) in self.members().iter().zip(self.pids()) {
            assert!(is_alive(pid), "{id} has ended");
        }
        assert!(!self.output().contains("ended by itself"), "{}", self.output());
        let mut resp = self.resp();
        for n in 0..20 {
            let key = format!("still-serving:{n}");
            assert_eq!(resp.call(&["SET", &key, "yes"]), "OK");
            assert_eq!(resp.call(&["GET", &key]), "yes");
        }
    }

    /// Changes the topology file as an editor does (whole, by renaming) and raises its epoch.
    /// Gives the new epoch.
    #[track_caller]
    pub fn edit_topology(&self, edit: impl FnOnce(String) -> String) -> u64 {
        let path = self.root.join("topology.yaml");
        let text = fs::read_to_string(&path).expect("the topology file can be read");
        let line = text.lines().find(|line| line.starts_with("epoch:"));
        let line = line.expect("it has an epoch").to_owned();
        let epoch: u64 = line["epoch:".len()..].trim().parse().expect("a number");
        let text = edit(text.replace(&line, &format!("epoch: {}", epoch + 1)));
        let new = path.with_extension("edited");
        fs::write(&new, text).expect("the folder can be written");
        fs::rename(&new, &path).expect("the file can be replaced");
        epoch + 1
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if self.dev.take().is_some() {
            for id in self.members() {
                if let Some(pid) = self.pid(&id) {
                    send(pid, Signal::KILL);
                    wait_until("the end of a child", STOP_TIME_MAX, || !is_alive(pid));
                }
            }
        }
    }
}

fn number_behind(line: &str, words: &str) -> u16 {
    let (_, rest) = line.split_once(words).unwrap_or_else(|| panic!("{words:?} in {line:?}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("a port behind {words:?} in {line:?}"))
}

/// Folders whose logs a failing test shows.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn show_logs_on_panic(root: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            usual(info);
            let folders = FOLDERS.lock().map(|mut all| std::mem::take(&mut *all));
            folders.unwrap_or_default().iter().for_each(|root| show_logs(root));
        }));
    });
    FOLDERS.lock().expect("nobody panics with this lock").push(root.to_owned());
}

fn show_logs(root: &Path) {
    let Ok(entries) = fs::read_dir(root.join("logs")) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        eprintln!("---- the end of {}\n{}", path.display(), last.join("\n"));
    }
}
