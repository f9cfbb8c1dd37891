//! One child process: its log, its pid file, its end.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::DevError;
use super::member::Member;
use super::paths::{Paths, failed, remove, replace};
use crate::clock;

/// How much of the end of a log is shown.
const LAST_LINES: usize = 12;
const LAST_BYTES: u64 = 8 << 10;
/// How long the children of a killed `dev` may take to end.
const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(20);

/// A running child process.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    log: PathBuf,
    /// Where this run's part of the log begins.
    log_start: u64,
    pid_file: PathBuf,
}

impl Running {
    /// Starts a member. It ends when the pipe to its standard input does, so it does not outlive
    /// this process; Ctrl-C at the terminal reaches this process only, which stops it in order.
    pub(super) fn start(paths: &Paths, member: &Member, create: bool) -> Result<Self, DevError> {
        let (log, pid_file) = (paths.log(&member.id), paths.pid(&member.id));
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed("open", &log))?;
        let log_start = out.metadata().map_err(failed("look at", &log))?.len();
        let also = out.try_clone().map_err(failed("open", &log))?;
        let spawn = |source| DevError::Spawn { id: member.id.clone(), source };
        let mut child = Command::new(std::env::current_exe().map_err(spawn)?)
            .args(member.command_line(create))
            // Whether data is created is decided here alone.
            .env_remove("FDHT_CREATE")
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(also)
            .process_group(0)
            .spawn()
            .map_err(spawn)?;
        let kept = replace(&pid_file, format!("{}\n", child.id()).as_bytes(), 0o644);
        if let Err(e) = kept {
            drop(child.kill());
            drop(child.wait());
            return Err(e);
        }
        Ok(Self { child, log, log_start, pid_file })
    }

    /// Asks it to stop cleanly.
    pub(super) fn ask_to_stop(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already; `ended` finds that out.
            kill_process(pid, Signal::TERM).ok();
        }
    }

    /// Stops it at once.
    pub(super) fn kill(&mut self) {
        drop(self.child.kill());
    }

    /// How it ended, once it has. The pid file goes with it.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status.to_string(),
            Err(e) => format!("its end is unknown: {e}"),
        };
        drop(remove(&self.pid_file));
        Some(status)
    }

    /// The file its output goes to.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines it wrote, indented.
    pub(super) fn last_lines(&self) -> String {
        last_lines(&self.log, self.log_start).unwrap_or_else(|e| format!("  (unreadable: {e})"))
    }
}

fn last_lines(log: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(LAST_BYTES).max(start);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    if last.is_empty() {
        return Ok("  (it wrote nothing)".to_owned());
    }
    Ok(last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
}

/// Waits for the children of an earlier `dev` that was killed; they end by themselves. Only a
/// process whose command line names the id and this folder counts: pids are used again.
pub(super) fn wait_for_leftovers(paths: &Paths) -> Result<(), DevError> {
    let pids = paths.pids();
    let deadline = clock::now() + LEFTOVER_TIME_MAX;
    for entry in fs::read_dir(&pids).map_err(failed("list", &pids))? {
        let path = entry.map_err(failed("list", &pids))?.path();
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        while let Some(pid) = pid.filter(|pid| is_member(*pid, &id, paths.root())) {
            if clock::now() >= deadline {
                return Err(DevError::StillThere { id, pid });
            }
            clock::pause(Duration::from_millis(50));
        }
        remove(&path)?;
    }
    Ok(())
}

/// Whether the process is one that a `dev` on the folder `root` started under this id.
fn is_member(pid: i32, id: &str, root: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    words.windows(2).any(|pair| pair == [&b"--id"[..], id.as_bytes()])
        && words.iter().any(|word| Path::new(OsStr::from_bytes(word)).starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_this_runs_log_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let old = "old run\n";
        let new: String = (0..20).map(|n| format!("line {n}\n")).collect();
        fs::write(file.path(), format!("{old}{new}")).unwrap();
        let last = last_lines(file.path(), old.len() as u64).unwrap();
        assert_eq!(last.lines().count(), LAST_LINES);
        assert!(last.starts_with("  line 8\n") && last.ends_with("  line 19"), "{last}");
        let nothing = last_lines(file.path(), (old.len() + new.len()) as u64).unwrap();
        assert_eq!(nothing, "  (it wrote nothing)");
    }

    #[test]
    fn an_unrelated_process_with_a_pid_of_old_is_no_member() {
        assert!(!is_member(i32::try_from(std::process::id()).unwrap(), "a1", Path::new("/")));
    }
}
