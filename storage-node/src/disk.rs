//! The watch over free disk space: below the reserve writes are refused, above it they resume by
//! themselves.

use std::sync::Arc;
use std::time::Duration;

use rt::stop::Stop;

use crate::shared::Shared;

/// How often the free space is read.
const INTERVAL: Duration = Duration::from_millis(500);
const RESERVE_BYTES_MAX: u64 = 2 << 30;

/// Watches until `stop`. `reserve` in bytes; `None`: 5 % of the disk, at most 2 GiB.
pub(crate) async fn watch(shared: Arc<Shared>, reserve: Option<u64>, mut stop: Stop) {
    loop {
        match rustix::fs::statvfs(shared.dir.path()) {
            Ok(disk) => {
                let total = disk.f_blocks.saturating_mul(disk.f_frsize);
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let reserve = reserve.unwrap_or_else(|| (total / 20).min(RESERVE_BYTES_MAX));
                metrics::gauge!("fdht_node_disk_free_bytes").set(free as f64);
                shared.set_disk_full(free < reserve);
                shared.set_disk_room(free.saturating_sub(reserve));
            }
            Err(error) => tracing::warn!(%error, "cannot read the free disk space"),
        }
        tokio::select! {
            biased;
            () = stop.stopped() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
