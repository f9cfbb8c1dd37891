//! A cluster that exists for one measurement: `fdht dev` in a folder of its own.
//!
//! A shell waits for the end of a pipe that only this process holds; then it ends the cluster and
//! removes the folder. So neither outlives this process, however it ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::BenchError;
use super::args::{LocalArgs, ProcessArgs};
use super::cpu;
use super::lag::Lag;
use super::standing::whole;
use crate::clock;
use crate::dev::Paths;

/// `$1` is the process of `dev`, `$2` the folder. A `dev` that does not stop within a minute is
/// killed; its children end when it does.
const GUARD: &str = r#"
trap "" INT TERM HUP
cat >/dev/null
kill "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -eq 600 ]; then kill -9 "$1" 2>/dev/null; fi
    sleep 0.1
done
rm -rf -- "$2" 2>/dev/null || { sleep 1; rm -rf -- "$2"; }
"#;

/// How often the cluster is looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long the cluster may take until all is as it should be.
const WHOLE_TIME_MAX: Duration = Duration::from_secs(120);
/// How long `dev` may take to notice the end of a process.
const END_TIME_MAX: Duration = Duration::from_secs(20);
/// Longest wait for a node's metrics.
const METRICS_TIME_MAX: Duration = Duration::from_secs(10);

/// A running local cluster.
pub(super) struct LocalCluster {
    dev: Child,
    guard: Child,
    dir: PathBuf,
    proxy: String,
    admin: String,
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // `dev` first: the guard waits until its process is gone for good.
        drop(self.dev.wait());
        drop(self.guard.wait());
    }
}

impl LocalCluster {
    /// Starts a new cluster and waits until every server is in step and leads its lanes.
    pub(super) fn start(args: &LocalArgs, groups: u16, servers: u8) -> Result<Self, BenchError> {
        let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let name = format!("fdht-bench-{}-{groups}x{servers}", std::process::id());
        let root = parent.join(name);
        fs::create_dir(&root).map_err(|e| failed(format!("create {}", root.display()), e))?;
        let (dir, said) = (root.join("dev"), root.join("dev.err"));
        let started = Self::spawn(args, &root, &dir, [groups, u16::from(servers)]);
        let mut cluster = match started {
            Ok(cluster) => cluster,
            Err(e) => {
                drop(fs::remove_dir_all(&root));
                return Err(e);
            }
        };
        let out = cluster.dev.stdout.take().expect("it was asked for");
        // It ends with `dev`; what is said later has no reader, which `dev` does not mind.
        if !BufReader::new(out).lines().map_while(Result::ok).any(|line| line.starts_with("ready:"))
        {
            let reason = fs::read_to_string(said).unwrap_or_default();
            return Err(failed("start it", reason.trim()));
        }
        let settings =
            fs::read_to_string(dir.join("settings.json")).map_err(|e| failed("start it", e))?;
        let settings: Value = serde_json::from_str(&settings).map_err(|e| failed("start it", e))?;
        cluster.proxy = format!("127.0.0.1:{}", settings["port"]);
        cluster.admin = format!("127.0.0.1:{}", settings["admin_port"]);
        cluster.wait_whole()?;
        Ok(cluster)
    }

    fn spawn(
        args: &LocalArgs,
        root: &Path,
        dir: &Path,
        [groups, servers]: [u16; 2],
    ) -> Result<Self, BenchError> {
        let what = "`fdht dev` of a local cluster";
        let child = |source| BenchError::Child { what, source };
        let said = File::create(root.join("dev.err")).map_err(child)?;
        let dev = Command::new(std::env::current_exe().map_err(child)?)
            .args(["dev", "--port", "0", "--admin-port", "0", "--dir"])
            .arg(dir)
            .args(["--groups", &groups.to_string(), "--servers-per-group", &servers.to_string()])
            .args(["--logic-groups", &args.logic_groups.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .map_err(child)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "guard", &dev.id().to_string()]).arg(root);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match shell.spawn() {
            Ok(guard) => {
                let (proxy, admin) = (String::new(), String::new());
                Ok(Self { dev, guard, dir: dir.to_owned(), proxy, admin })
            }
            Err(source) => {
                let mut dev = dev;
                drop(dev.kill());
                drop(dev.wait());
                Err(BenchError::Child { what: "shell that ends a local cluster", source })
            }
        }
    }

    /// The proxy's data address.
    pub(super) fn proxy(&self) -> &str {
        &self.proxy
    }

    /// The processes of the proxy and of all nodes.
    pub(super) fn pids(&self) -> Result<Vec<u32>, BenchError> {
        cpu::processes(&ProcessArgs { pid: Vec::new(), dev: Some(self.dir.clone()) })
    }

    /// Sends a signal to a member.
    pub(super) fn signal(&self, id: &str, signal: Signal) -> Result<(), BenchError> {
        let what = || format!("send a signal to {id}");
        let text = fs::read_to_string(self.pid_file(id)).map_err(|e| failed(what(), e))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(what(), "its pid file holds no process id"))?;
        kill_process(pid, signal).map_err(|e| failed(what(), e))
    }

    /// `kill -9` of a member; returns when it is gone.
    pub(super) fn kill(&self, id: &str) -> Result<(), BenchError> {
        self.signal(id, Signal::KILL)?;
        let deadline = clock::now() + END_TIME_MAX;
        // `dev` removes the file when it has seen the end.
        while self.pid_file(id).exists() {
            if clock::now() > deadline {
                return Err(failed(format!("kill {id}"), "`fdht dev` does not see its end"));
            }
            clock::pause(LOOK_INTERVAL);
        }
        Ok(())
    }

    fn pid_file(&self, id: &str) -> PathBuf {
        Paths::new(&self.dir).pids().join(format!("{id}.pid"))
    }

    /// `fdht dev start|stop ID`: returns when the member is ready, or has ended.
    pub(super) fn ask_dev(&self, action: &str, id: &str) -> Result<(), BenchError> {
        let mut command = fdht()?;
        command.args(["dev", "--dir"]).arg(&self.dir).args([action, id]);
        let output = run(&mut command)?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(format!("{action} {id}"), String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// `fdht status -o json`.
    pub(super) fn status(&self) -> Result<Value, BenchError> {
        let output = run(fdht()?.args(["status", "-o", "json", "--admin", &self.admin]))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            failed("ask for its status", String::from_utf8_lossy(&output.stderr).trim())
        })
    }

    /// Waits until status has nothing to complain of.
    pub(super) fn wait_whole(&self) -> Result<(), BenchError> {
        let deadline = clock::now() + WHOLE_TIME_MAX;
        loop {
            let found = self.status().map_err(|e| e.to_string()).and_then(|all| whole(&all));
            match found {
                Ok(()) => return Ok(()),
                Err(reason) if clock::now() > deadline => {
                    let seconds = WHOLE_TIME_MAX.as_secs();
                    return Err(failed(format!("become whole within {seconds} s"), reason));
                }
                Err(_) => clock::pause(LOOK_INTERVAL),
            }
        }
    }

    /// `fdht verify`: nothing when all servers of each group are equal, else all that it says.
    pub(super) fn verify(&self) -> Result<Option<String>, BenchError> {
        let output = run(fdht()?.args(["verify", "--admin", &self.admin]))?;
        if output.status.success() {
            return Ok(None);
        }
        let said = [output.stdout, output.stderr].concat();
        Ok(Some(String::from_utf8_lossy(&said).trim().to_owned()))
    }

    /// Replication lag of all nodes together.
    pub(super) fn lag(&self) -> Result<Lag, BenchError> {
        let status = self.status()?;
        let servers = status["topology"]["servers"].as_object().into_iter().flatten();
        let mut lag = Lag::default();
        for admin in servers.filter_map(|(_, server)| server["admin"].as_str()) {
            lag = lag.and(Lag::of_metrics(&metrics(admin)?));
        }
        Ok(lag)
    }
}

/// The text of a process's `/metrics`.
fn metrics(admin: &str) -> Result<String, BenchError> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(METRICS_TIME_MAX))
        // An operator's HTTP_PROXY is for the outside world.
        .proxy(None)
        .build()
        .new_agent();
    let read = || agent.get(format!("http://{admin}/metrics")).call()?.body_mut().read_to_string();
    read().map_err(|e| failed(format!("read the metrics of {admin}"), e))
}

fn fdht() -> Result<Command, BenchError> {
    Ok(Command::new(std::env::current_exe()?))
}

fn run(command: &mut Command) -> Result<Output, BenchError> {
    command.stdin(Stdio::null());
    command.output().map_err(|source| BenchError::Child { what: "command `fdht`", source })
}

/// The error of a cluster that cannot do `what`.
pub(super) fn failed(what: impl Into<String>, reason: impl ToString) -> BenchError {
    BenchError::Cluster { what: what.into(), reason: reason.to_string() }
}
