//! Opening the log at start: what the files of the groups do not have is applied again.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::LogicGroup;
use common::log_record::{self, LogRecord};
use common::version::Hlc;
use rt::clock;

use crate::binlog::{Log, LogFs, LogOptions, LogPosition};
use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::worker::OpenedGroup;

/// Opens the log of a data directory and applies to `groups` what their files do not have. Returns
/// besides the log the greatest time that files and log know.
///
/// # Errors
/// The log is damaged, or not the one that belongs to the files.
pub(crate) fn open_log(
    fs: Arc<dyn LogFs>,
    dir: &DataDir,
    options: LogOptions,
    groups: &mut BTreeMap<LogicGroup, OpenedGroup>,
) -> Result<(Log, Hlc), StartError> {
    let started = clock::now();
    let mut hlc = groups.values().map(|group| group.store.hlc()).max().unwrap_or_default();
    let mut visit = |at, body: &[u8]| replay(groups, &mut hlc, at, body);
    let path = dir.log_path();
    let (log, report) = Log::open(fs, &path, dir.log_identity(), options, &mut visit)?;
    let ms = started.elapsed().as_millis();
    tracing::info!(records = report.records, ms, "log replayed");
    if let Some(cut) = report.cut {
        tracing::warn!(at = %cut.at, records = cut.records, "a torn end of the log was cut off");
    }
    for group in groups.values() {
        let (segment, offset) = group.store.checkpoint().log_mark;
        let covered = LogPosition::new(segment, offset);
        // It is where a record begins, so the log of that record ends behind it.
        if covered >= report.end {
            return Err(StartError::LogBehind(path, report.end, group.id, covered));
        }
    }
    Ok((log, hlc))
}

/// Applies one record of the log, unless its group's file has it.
fn replay(
    groups: &mut BTreeMap<LogicGroup, OpenedGroup>,
    hlc: &mut Hlc,
    at: LogPosition,
    body: &[u8],
) -> Result<(), String> {
    let head = log_record::decode_head(body).map_err(|error| error.to_string())?;
    let id = head.stream.lane.group;
    let group = groups.get_mut(&id).ok_or_else(|| {
        format!("the record is of {id}, which the node's topology does not give it")
    })?;
    *hlc = head.hlc.max(*hlc);
    let applied = group.store.applied().get(&head.stream).copied().unwrap_or_default();
    if head.lsn <= applied {
        return Ok(());
    }
    // Records of a stream have no gaps, so a gap is a part of the log that was lost (I13).
    if head.lsn != applied.next() {
        return Err(format!(
            "{} of {} follows {applied}: records between them are missing; restore the data \
             directory from a backup or another server",
            head.lsn, head.stream
        ));
    }
    let record = LogRecord::decode(body).map_err(|error| error.to_string())?;
    let mark = (at.segment, at.offset);
    group.store.apply(&record.head, &record.mutations, mark).map_err(|error| error.to_string())?;
    Ok(())
}
