//! `fdht binlog dump`: one line for each frame.

use std::io::{self, Write};

use common::log_record::{LogHead, LogRecord};

use super::args::DumpArgs;
use super::format::{Content, Found, Frame};
use super::outcome::Outcome;
use super::place::Place;
use super::{frame_json, frame_text};

/// Prints the frames of a log to `out`, and what is wrong to `warn`. Counts the lines in `lines`.
///
/// # Errors
/// `out` takes no more.
pub(super) fn dump(
    place: &Place,
    args: &DumpArgs,
    lines: &mut u64,
    out: &mut impl Write,
    warn: &mut impl FnMut(String),
) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let inspector = place.inspector().begin_at(args.from.unwrap_or_default().segment);
    for found in inspector {
        if args.limit.is_some_and(|limit| *lines >= limit) {
            break;
        }
        match found {
            Found::Frame(frame) => {
                let Some((line, is_record)) = line(&frame, args) else { continue };
                outcome.damage |= !is_record;
                *lines += 1;
                out.write_all(line.as_bytes())?;
                out.write_all(b"\n")?;
            }
            Found::Flaw(flaw) => {
                // In their order, if both go to one terminal.
                out.flush()?;
                outcome.note(&flaw);
                warn(flaw.to_string());
            }
            Found::Segment(_) | Found::End(_) => {}
        }
    }
    Ok(outcome)
}

/// The line of a frame, unless it is left out; and whether it is what a frame should be.
fn line(frame: &Frame, args: &DumpArgs) -> Option<(String, bool)> {
    let Frame { at, bytes, content } = frame;
    if args.from.is_some_and(|from| *at < from) {
        return None;
    }
    let (name, durable) = match content {
        Content::Record(body) => return record_line(frame, body, args),
        Content::Mark(durable) => ("mark", durable),
        Content::Seal(durable) => ("seal", durable),
    };
    if !wants_all(args) {
        return None;
    }
    let line = if args.json {
        frame_json::control(*at, *bytes, name, *durable)
    } else {
        frame_text::control(*at, name, *durable)
    };
    Some((line, true))
}

fn record_line(frame: &Frame, body: &[u8], args: &DumpArgs) -> Option<(String, bool)> {
    let record = match LogRecord::decode(body) {
        Ok(record) => record,
        Err(error) => {
            let why = error.to_string();
            let line = if args.json {
                frame_json::strange(frame.at, frame.bytes, &why)
            } else {
                frame_text::strange(frame.at, body.len(), &why)
            };
            return Some((line, false));
        }
    };
    if !is_wanted(&record.head, args) {
        return None;
    }
    let line = if args.json {
        frame_json::record(frame.at, frame.bytes, &record, args.values)
    } else {
        frame_text::record(frame.at, &record, args.values)
    };
    Some((line, true))
}

fn wants_all(args: &DumpArgs) -> bool {
    args.group.is_none() && args.lane.is_none() && args.lsn.is_none()
}

fn is_wanted(head: &LogHead, args: &DumpArgs) -> bool {
    args.group.is_none_or(|group| head.stream.lane.group == group)
        && args.lane.is_none_or(|lane| head.stream.lane == lane)
        && args.lsn.is_none_or(|lsn| head.lsn == lsn)
}
