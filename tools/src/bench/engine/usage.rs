//! What this process used: time, CPU of all its threads, bytes it gave to `write`.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::place::failed;
use crate::bench::BenchError;
use crate::clock;

/// A moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    at: Instant,
    cpu: Duration,
    written: u64,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    pub(super) time: Duration,
    /// User and system, all threads: what getrusage counts, in nanoseconds.
    pub(super) cpu: Duration,
    /// Bytes given to `write`, whether they reached the disk or not.
    pub(super) written: u64,
}

impl Usage {
    /// This moment.
    pub(super) fn now() -> Result<Self, BenchError> {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::try_from(time).map_err(|e| failed("read the CPU time", e))?;
        Ok(Self { at: clock::now(), cpu, written: written()? })
    }

    /// What was used since.
    pub(super) fn spent(&self) -> Result<Spent, BenchError> {
        let now = Self::now()?;
        Ok(Spent {
            time: now.at.duration_since(self.at),
            cpu: now.cpu.saturating_sub(self.cpu),
            written: now.written - self.written,
        })
    }
}

impl Spent {
    /// Microseconds of CPU for each of `count` things.
    pub(super) fn cpu_us(&self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count.max(1) as f64
    }

    /// How many of `count` things were done per second.
    pub(super) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// Bytes that this process gave to `write` so far.
pub(super) fn written() -> Result<u64, BenchError> {
    let text = fs::read_to_string("/proc/self/io").map_err(|e| failed("read /proc/self/io", e))?;
    let number = text.lines().find_map(|line| line.strip_prefix("wchar:")?.trim().parse().ok());
    number.ok_or_else(|| failed("read /proc/self/io", "it has no wchar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_computed_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let before = Usage::now().unwrap();
        fs::write(dir.path().join("x"), vec![1; 100_000]).unwrap();
        let sum: u64 = (0..1_000_000_u64).map(|n| std::hint::black_box(n) % 7).sum();
        let spent = before.spent().unwrap();
        assert!(sum > 0 && spent.written >= 100_000 && spent.cpu > Duration::ZERO);
    }
}
