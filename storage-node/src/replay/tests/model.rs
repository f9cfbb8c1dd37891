//! What a replay is, record by record: each is copied to the backlog, and what is official leaves it.

use std::collections::BTreeMap;

use common::ids::{LogicGroup, Lsn};
use common::log_record::{self, LogRecord};

use crate::binlog::LogPosition;
use crate::lane::{DedupWindow, Entry};
use crate::replication::position::{Head, Position};
use crate::worker::OpenedGroup;

pub(super) fn visit(
    groups: &mut BTreeMap<LogicGroup, OpenedGroup>,
    dedup: &mut DedupWindow,
    log: LogPosition,
    body: &[u8],
) -> Result<(), String> {
    let head = log_record::decode_head(body).map_err(|error| error.to_string())?;
    let (stream, lsn, id) = (head.stream, head.lsn, head.stream.lane.group);
    let group = groups.get_mut(&id).ok_or_else(|| {
        format!("the record is of {id}, which the node's topology does not give it")
    })?;
    let answer = log_record::answer(body).map_err(|error| error.to_string())?;
    let at = Position { epoch: stream.epoch, lsn };
    dedup.push(head.request, stream.lane, at, head.hlc.ms(), answer);
    let servers = group.lanes.len();
    let lane = group.lanes.get_mut(usize::from(stream.lane.server.0)).ok_or_else(|| {
        format!("the record is of {}, but the group has {servers} servers", stream.lane)
    })?;
    lane.index.note(at, log);
    let ends = log_record::decode_ends(body).map_err(|error| error.to_string())?;
    let ends =
        ends.map(|ends| ends.into_iter().map(|(epoch, lsn)| Position { epoch, lsn }).collect());
    if lsn > lane.held.of(stream.epoch) && !lane.held.take(&Head { at, ends }) {
        if stream.epoch < lane.held.last().epoch {
            return Ok(());
        }
        let last = lane.held.of(stream.epoch);
        return Err(format!(
            "{lsn} of {stream} follows {last}: records between them, or before the stream, are \
             missing; see `Errors at start` in docs/OPERATIONS.md"
        ));
    }
    if lsn > group.store.applied().get(&stream).copied().unwrap_or_default() {
        lane.backlog.push(Entry { at, log, body: body.to_vec() });
    }
    let official = lsn.0.saturating_sub(1).saturating_sub(u64::from(head.open));
    if official > 0 {
        let official = Position { epoch: stream.epoch, lsn: Lsn(official) };
        lane.official = lane.official.max(official);
    }
    let chain = lane.held.chain();
    while let Some(entry) = lane.backlog.pop_official(lane.official, &chain) {
        let record = LogRecord::decode(&entry.body).map_err(|error| error.to_string())?;
        let mark = (entry.log.segment, entry.log.offset);
        let applied = group.store.apply(&record.head, &record.mutations, mark);
        applied.map_err(|error| error.to_string())?;
    }
    Ok(())
}
