//! CPU time of other processes, as the kernel counts it.

use std::fs;
use std::io;
use std::time::Duration;

use super::BenchError;
use super::args::ProcessArgs;
use crate::dev::Paths;

/// The processes whose CPU time counts.
pub(super) fn processes(args: &ProcessArgs) -> Result<Vec<u32>, BenchError> {
    let mut pids = args.pid.clone();
    if let Some(dir) = &args.dev {
        let none = || BenchError::NoPids(dir.clone());
        let files = fs::read_dir(Paths::new(dir).pids()).map_err(|_| none())?;
        let before = pids.len();
        for file in files {
            let text = file.and_then(|file| fs::read_to_string(file.path())).map_err(|_| none())?;
            pids.push(text.trim().parse().map_err(|_| none())?);
        }
        if pids.len() == before {
            return Err(none());
        }
    }
    Ok(pids)
}

/// CPU time of all these processes so far, user and system, all threads.
pub(super) fn total(pids: &[u32]) -> Result<Duration, BenchError> {
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let mut ticks = 0;
    for pid in pids {
        ticks += read_ticks(*pid).map_err(|source| BenchError::Process { pid: *pid, source })?;
    }
    Ok(Duration::from_micros(ticks * 1_000_000 / ticks_per_second))
}

fn read_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_ticks(&stat).ok_or_else(|| io::Error::other("unexpected form of /proc/PID/stat"))
}

/// utime + stime: the 14th and 15th field. The second, a name in brackets, may hold anything.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 17 0 0 20 0 1 0 1 1 1";
        assert_eq!(parse_ticks(stat), Some(267));
        assert_eq!(parse_ticks("7 (x) S 1"), None);
    }

    #[test]
    fn the_time_of_this_process_is_known_and_of_no_process_is_an_error() {
        total(&[std::process::id()]).unwrap();
        assert!(matches!(total(&[u32::MAX]), Err(BenchError::Process { .. })));
    }
}
