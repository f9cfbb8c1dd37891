//! The program under test as a process: run to its end, or in the background.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::guard::Guard;
use crate::wait::{wait_for, wait_until};

/// How long a command that ends by itself may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(120);

/// The built program. Cargo puts it beside the folder of the test programs.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test program has a path");
    let folder = test.parent().and_then(std::path::Path::parent);
    let program = folder.expect("test programs are in target/*/deps").join("fdht-under-test");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

/// The program with these arguments and none of the settings of whoever runs the tests.
pub fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FDHT_") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// What a command that ended left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Asserts that it ended well, and gives the standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, Some(0), "{self:#?}");
        self.stdout
    }

    /// Asserts the exit status and that the error output is one line with all of `words`.
    #[track_caller]
    pub fn refused(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:#?}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "one clear line: {self:#?}");
        self.says(words);
    }

    /// Asserts that the error output has all of `words`.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:#?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
    }
}

/// Runs `fdht` with these arguments to its end.
#[track_caller]
pub fn fdht<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Finished {
    finish(command(args))
}

/// Runs a command to its end.
#[track_caller]
pub fn finish(mut command: Command) -> Finished {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program can be started");
    let _guard = Guard::of_process(child.id());
    let stdout = read_all(child.stdout.take().expect("piped"));
    let stderr = read_all(child.stderr.take().expect("piped"));
    let what = format!("the end of {command:?}");
    let status = wait_for(&what, COMMAND_TIME_MAX, || child.try_wait().expect("own child"));
    let text = |reader: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().expect("reading does not panic")).into_owned()
    };
    Finished { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// A process in the background. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Arc<Mutex<String>>,
    _guard: Guard,
}

impl Running {
    /// Starts a command; both outputs are collected.
    pub fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program can be started");
        let guard = Guard::of_process(child.id());
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().expect("piped"), &output);
        collect(child.stderr.take().expect("piped"), &output);
        Self { child, output, _guard: guard }
    }

    /// Starts `fdht` with these arguments.
    pub fn fdht<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::start(command(args))
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// Everything it printed so far.
    pub fn output(&self) -> String {
        self.output.lock().expect("readers do not panic").clone()
    }

    /// Waits for a line that begins with `start`, and gives it. Panics when the process ends first.
    #[track_caller]
    pub fn wait_line(&mut self, start: &str, deadline: Duration) -> String {
        let what = format!("a line that begins with {start:?} from process {}", self.pid());
        wait_for(&what, deadline, || {
            let line = self.line(start);
            if line.is_none()
                && let Some(status) = self.try_end()
            {
                // What it wrote last may still be on its way through the pipe.
                let drained = "the output of a process that ended";
                wait_until(drained, Duration::from_secs(5), || !self.output().is_empty());
                panic!("ended ({status}) before {start:?}:\n{}", self.output());
            }
            line
        })
    }

    /// The first line so far that begins with `start`.
    pub fn line(&self, start: &str) -> Option<String> {
        let output = self.output();
        output.lines().find(|line| line.starts_with(start)).map(str::to_owned)
    }

    /// Sends a signal. A process that has ended already is fine.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// How it ended, if it has.
    pub fn try_end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("own child")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_end(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("the end of process {}", self.pid());
        wait_for(&what, deadline, || self.try_end())
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_end(Duration::from_secs(20));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) {
    let to = Arc::clone(to);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            to.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// Sends a signal to a process. One that has ended already is fine.
pub fn send(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("not 0");
    kill_process(pid, signal).ok();
}

/// Holds a process still, and waits until all its threads stand: on a busy machine they run on for many
/// milliseconds after the signal, and answer.
#[track_caller]
pub fn hold(pid: i32) {
    send(pid, Signal::STOP);
    wait_until(&format!("process {pid} stands still"), Duration::from_secs(20), || {
        thread_states(pid).is_some_and(|states| states.iter().all(|state| *state == 'T'))
    });
}

/// The state of each thread of a process as the kernel shows it, proc_pid_stat(5); `None` when it ended.
fn thread_states(pid: i32) -> Option<Vec<char>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let state = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // Behind the name, which is in parentheses and may contain any character.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    Some(threads.flatten().filter_map(state).collect())
}

/// Whether a process runs. One that ended and that nobody has waited for does not; one whose first
/// thread has ended before the others does, and still holds its ports and files.
pub fn is_alive(pid: i32) -> bool {
    thread_states(pid).is_some_and(|states| states.iter().any(|state| !matches!(state, 'Z' | 'X')))
}

/// Resident memory of a process, in KiB.
#[track_caller]
pub fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.unwrap_or_else(|e| panic!("process {pid} is gone: {e}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.unwrap_or_else(|| panic!("process {pid} has ended"));
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}
