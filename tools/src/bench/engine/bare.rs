//! What a log cannot be faster than: the same bytes appended to a file that was made ahead and synced,
//! with nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storage_node::binlog::{LogFile, LogFs, RealFs};

use super::place::failed;
use super::round::{Meter, Round};
use crate::bench::BenchError;
use crate::clock;

/// A file of zeros, all of its blocks written.
pub(super) struct BareFile {
    file: Arc<dyn LogFile>,
    bytes: u64,
    end: u64,
}

impl BareFile {
    /// Makes it.
    pub(super) fn create(path: &Path, bytes: u64) -> Result<Self, BenchError> {
        let io = |e: std::io::Error| failed("make the file to append to", e);
        let file = RealFs.create(path).map_err(io)?;
        file.preallocate(bytes).map_err(io)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..bytes).step_by(zeros.len()) {
            file.write_all_at(&zeros, at).map_err(io)?;
        }
        file.sync_data().map_err(io)?;
        Ok(Self { file, bytes, end: 0 })
    }

    /// Appends `record` and syncs it, again and again.
    pub(super) fn round(&mut self, record: &[u8], time: Duration) -> Result<Round, BenchError> {
        let io = |e: std::io::Error| failed("append to a file", e);
        let began = clock::now();
        let (mut meter, mut from) = (Meter::start(began)?, began);
        while from.duration_since(began) < time {
            if self.end + record.len() as u64 > self.bytes {
                self.end = 0;
            }
            self.file.write_all_at(record, self.end).map_err(io)?;
            self.file.sync_data().map_err(io)?;
            self.end += record.len() as u64;
            let to = clock::now();
            meter.turn(1, from, to, Duration::ZERO);
            from = to;
        }
        meter.end(0, 0.0)
    }
}
