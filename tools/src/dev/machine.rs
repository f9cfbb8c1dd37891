//! How much memory a node of a local cluster gets.

use std::fs;

const MIB: u64 = 1 << 20;
/// A node of a local cluster gets no more than this, in MiB.
const NODE_MIB_MAX: u64 = 256;
/// Nor less than this, in MiB, whatever the machine has; a voter without data needs no more.
pub(super) const NODE_MIB_MIN: u64 = 32;

/// MiB for each of `nodes` nodes with data: together half of the machine at most.
pub(super) fn memory_per_node_mib(nodes: usize) -> u64 {
    share(machine_bytes(), nodes as u64)
}

fn share(machine_bytes: Option<u64>, nodes: u64) -> u64 {
    let half = machine_bytes.map_or(u64::MAX, |bytes| bytes / 2);
    (half / nodes.max(1) / MIB).clamp(NODE_MIB_MIN, NODE_MIB_MAX)
}

/// The memory of the machine or of the control group that this process is in, where it is known.
fn machine_bytes() -> Option<u64> {
    let total = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(mem_total);
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok());
    [total, limit].into_iter().flatten().min()
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_share_half_of_the_machine() {
        assert_eq!(share(Some(1 << 30), 4), 128);
        assert_eq!(share(Some(64 << 30), 4), NODE_MIB_MAX);
        assert_eq!(share(Some(64 << 20), 4), NODE_MIB_MIN);
        assert_eq!(share(None, 4), NODE_MIB_MAX);
        assert_eq!(mem_total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
    }
}
