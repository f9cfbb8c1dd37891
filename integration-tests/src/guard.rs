//! Nothing that a test starts outlives it: a guard is a shell that waits for the end of the pipe from
//! this process, and then kills what it guards.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends when its standard input does; `$1` is a process to kill, `$2` a folder to remove (or empty).
/// The folder's processes may need a moment to end, hence the few tries.
const SCRIPT: &str = r#"
trap "" INT TERM HUP
cat >/dev/null
if [ -n "$1" ]; then kill -9 "$1" 2>/dev/null; fi
if [ -n "$2" ]; then
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf "$2" 2>/dev/null && exit
        sleep 0.2
    done
fi
"#;

/// A process or folder that goes away with this process at the latest.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
}

impl Guard {
    /// Kills process `pid` when this process ends.
    pub fn of_process(pid: u32) -> Self {
        Self::start(&pid.to_string(), "")
    }

    /// Removes a folder when this process ends.
    pub fn of_folder(path: &Path) -> Self {
        Self::start("", path.to_str().expect("temporary folders have plain names"))
    }

    fn start(pid: &str, folder: &str) -> Self {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard", pid, folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("every system with these tests has a shell");
        Self { shell }
    }

    /// Lets what is guarded be.
    fn disarm(&mut self) {
        // Both fail only when the shell is gone already.
        drop(self.shell.kill());
        drop(self.shell.wait());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.disarm();
    }
}
