//! A frame as one line for people.

use common::address::Field;
use common::key::{PhysicalKey, Slot};
use common::log_record::{LogRecord, Mutation};
use common::stored::Body;
use common::version::Version;

use super::format::LogPosition;
use super::text::{hlc, position, quoted, time};

/// A record.
pub(super) fn record(at: LogPosition, record: &LogRecord<'_>, values: bool) -> String {
    let head = &record.head;
    let lane = head.stream.lane;
    let mut line = format!(
        "{} {}.{} epoch {} lsn {} {} {}",
        position(at),
        lane.group.0,
        lane.server.0,
        head.stream.epoch.0,
        head.lsn.0,
        hlc(head.hlc),
        head.node,
    );
    match &record.ends {
        Some(ends) => {
            line.push_str(&format!(" start, {} older streams end", ends.len()));
            for (epoch, lsn) in ends {
                line.push_str(&format!(" {}:{}", epoch.0, lsn.0));
            }
        }
        None => {
            line.push_str(&format!(" request {} open {}", head.request, head.open));
            for (index, change) in record.mutations.iter().enumerate() {
                line.push_str(if index == 0 { ": " } else { "; " });
                line.push_str(&mutation(change, values));
            }
        }
    }
    line
}

/// A frame of the log itself.
pub(super) fn control(at: LogPosition, name: &str, durable: LogPosition) -> String {
    format!("{} {name} durable to {}", position(at), position(durable))
}

/// A frame whose body is no record.
pub(super) fn strange(at: LogPosition, bytes: usize, why: &str) -> String {
    format!("{} {bytes} bytes that are no record: {why}", position(at))
}

fn mutation(change: &Mutation<'_>, values: bool) -> String {
    let key = key(change.key);
    match change.stored.body {
        Body::Value { expire_at, value } => {
            let mut text = format!("set {key} {} bytes{}", value.len(), expiry(expire_at));
            if values {
                text.push(' ');
                text.push_str(&quoted(value));
            }
            text
        }
        Body::Tombstone => format!("delete {key}"),
        Body::Header { expire_at, cleared } => {
            format!("header {key}{}{}", expiry(expire_at), clear(cleared))
        }
    }
}

/// Namespace, object and field; the header and the unnamed field have none.
fn key(bytes: &[u8]) -> String {
    let Ok(key) = PhysicalKey::decode(bytes) else {
        return format!("key {}", quoted(bytes));
    };
    let object = format!("{} {}", quoted(key.object.namespace), quoted(key.object.name));
    match key.slot {
        Slot::Header | Slot::Field(Field::Unnamed) => object,
        Slot::Field(Field::Named(name)) => format!("{object} {}", quoted(name)),
    }
}

fn expiry(ms: u64) -> String {
    if ms == 0 { String::new() } else { format!(" expires {}", time(ms)) }
}

/// What a header hides: everything of its object up to a version.
fn clear(cleared: Version) -> String {
    if cleared == Version::default() {
        return String::new();
    }
    format!(" cleared up to epoch {} {} {}", cleared.epoch.0, hlc(cleared.hlc), cleared.node)
}
