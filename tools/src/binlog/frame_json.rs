//! A frame as one JSON object. Keys and values have the names and forms that `fdht export` gives
//! them.

use common::address::Field;
use common::key::{PhysicalKey, Slot};
use common::log_record::{LogRecord, Mutation};
use common::stored::Body;
use serde_json::{Map, Value, json};

use super::format::LogPosition;
use super::text::{counter, time};
use crate::record::{Record, to_json};

/// A record.
pub(super) fn record(at: LogPosition, bytes: u64, record: &LogRecord<'_>, values: bool) -> String {
    let head = &record.head;
    let lane = head.stream.lane;
    let mut line = frame(at, bytes, if record.ends.is_some() { "start" } else { "write" });
    let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    put("group", json!(lane.group.0));
    put("server", json!(lane.server.0));
    put("epoch", json!(head.stream.epoch.0));
    put("lsn", json!(head.lsn.0));
    put("time", json!(time(head.hlc.ms())));
    put("time_ms", json!(head.hlc.ms()));
    put("counter", json!(counter(head.hlc)));
    put("node", json!(head.node.0));
    put("open", json!(head.open));
    match &record.ends {
        Some(ends) => {
            let ends = ends.iter().map(|(epoch, lsn)| json!({"epoch": epoch.0, "lsn": lsn.0}));
            put("ends", ends.collect());
        }
        None => {
            put("request", json!(head.request.to_string()));
            put("answer_bytes", json!(record.answer.len()));
            let changes = record.mutations.iter().map(|change| mutation(change, values));
            put("mutations", changes.collect());
        }
    }
    Value::Object(line).to_string()
}

/// A frame of the log itself.
pub(super) fn control(at: LogPosition, bytes: u64, name: &str, durable: LogPosition) -> String {
    let mut line = frame(at, bytes, name);
    let durable = json!({"segment": durable.segment, "offset": durable.offset});
    line.insert("durable".to_owned(), durable);
    Value::Object(line).to_string()
}

/// A frame whose body is no record.
pub(super) fn strange(at: LogPosition, bytes: u64, why: &str) -> String {
    let mut line = frame(at, bytes, "unknown");
    line.insert("error".to_owned(), json!(why));
    Value::Object(line).to_string()
}

fn frame(at: LogPosition, bytes: u64, kind: &str) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("segment".to_owned(), json!(at.segment));
    line.insert("offset".to_owned(), json!(at.offset));
    line.insert("bytes".to_owned(), json!(bytes));
    line.insert("kind".to_owned(), json!(kind));
    line
}

fn mutation(change: &Mutation<'_>, values: bool) -> Value {
    let (op, value, expire_at) = match change.stored.body {
        Body::Value { expire_at, value } => ("set", Some(value), expire_at),
        Body::Tombstone => ("delete", None, 0),
        Body::Header { expire_at, .. } => ("header", None, expire_at),
    };
    let mut line = address(change.key, value.filter(|_| values), expire_at);
    line.insert("op".to_owned(), json!(op));
    if let Some(value) = value {
        line.insert("value_bytes".to_owned(), json!(value.len()));
    }
    if let Body::Header { cleared, .. } = change.stored.body {
        line.insert("cleared".to_owned(), json!(cleared.to_string()));
    }
    Value::Object(line)
}

/// The parts of the key, the value if it is to be shown, and the expiry, as an export has them.
fn address(key: &[u8], value: Option<&[u8]>, expire_at: u64) -> Map<String, Value> {
    let decoded = PhysicalKey::decode(key);
    let (namespace, object, field) = match &decoded {
        Ok(PhysicalKey { object, slot: Slot::Field(Field::Named(name)), .. }) => {
            (object.namespace, object.name, Some(*name))
        }
        Ok(PhysicalKey { object, .. }) => (object.namespace, object.name, None),
        // Not a key of this version: all of it stands as the object.
        Err(_) => (&[][..], key, None),
    };
    let record = Record {
        namespace: Some(namespace.to_owned()),
        object: object.to_owned(),
        field: field.map(<[u8]>::to_owned),
        value: value.unwrap_or_default().to_owned(),
        expire_at_ms: (expire_at != 0).then_some(expire_at),
    };
    let mut line: Map<String, Value> = serde_json::from_str(&to_json(&record)).unwrap_or_default();
    if value.is_none() {
        line.remove("value");
    }
    line
}
