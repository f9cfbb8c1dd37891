//! Records as JSON lines: `{"ns":"files","obj":"/usr/bin","field":"ls","value":"…"}`, optionally
//! with `"expire_at_ms"`. Without `field` it is the unnamed field. A part that is not UTF-8 is named
//! `ns_base64`, `obj_base64`, `field_base64` or `value_base64` instead.

use serde::{Deserialize, Serialize};

use super::Record;
use super::base64::{self, Base64Error};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    ns: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ns_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    obj: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    obj_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_at_ms: Option<u64>,
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// Not JSON, an unknown name or a wrong type.
    #[error("not a record: {0}")]
    Syntax(String),
    /// A part in both forms.
    #[error("{0:?} and \"{0}_base64\" exclude each other")]
    Both(&'static str),
    /// A part is missing.
    #[error("{0:?} (or \"{0}_base64\") is missing")]
    Missing(&'static str),
    /// A part in base64 that is not.
    #[error("\"{0}_base64\": {1}")]
    Base64(&'static str, Base64Error),
}

/// The record as one line, without the line feed.
pub(crate) fn to_json(record: &Record) -> String {
    let mut line = Line { expire_at_ms: record.expire_at_ms, ..Line::default() };
    let namespace = record.namespace.as_deref().filter(|ns| !ns.is_empty());
    (line.ns, line.ns_base64) = split(namespace);
    (line.obj, line.obj_base64) = split(Some(&record.object));
    (line.field, line.field_base64) = split(record.field.as_deref());
    (line.value, line.value_base64) = split(Some(&record.value));
    serde_json::to_string(&line).expect("strings and a number always serialise")
}

fn split(part: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match part.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (None, None),
        Some((_, Ok(text))) => (Some(text.to_owned()), None),
        Some((bytes, Err(_))) => (None, Some(base64::encode(bytes))),
    }
}

/// The record of one line.
pub(crate) fn from_json(line: &[u8]) -> Result<Record, JsonError> {
    let line: Line = serde_json::from_slice(line).map_err(|e| {
        // Every text is one line to the parser; the caller knows which line of the file it is.
        JsonError::Syntax(e.to_string().replace(" at line 1 column ", " at column "))
    })?;
    Ok(Record {
        namespace: join("ns", line.ns, line.ns_base64)?,
        object: join("obj", line.obj, line.obj_base64)?.ok_or(JsonError::Missing("obj"))?,
        field: join("field", line.field, line.field_base64)?,
        value: join("value", line.value, line.value_base64)?.ok_or(JsonError::Missing("value"))?,
        expire_at_ms: line.expire_at_ms.filter(|ms| *ms != 0),
    })
}

fn join(
    name: &'static str,
    text: Option<String>,
    coded: Option<String>,
) -> Result<Option<Vec<u8>>, JsonError> {
    match (text, coded) {
        (Some(_), Some(_)) => Err(JsonError::Both(name)),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(coded)) => {
            base64::decode(&coded).map(Some).map_err(|e| JsonError::Base64(name, e))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_record_is_plain_json() {
        let record = Record {
            namespace: Some(b"files".to_vec()),
            object: b"/usr/bin".to_vec(),
            field: Some(b"ls".to_vec()),
            value: b"{\"size\":1}\n".to_vec(),
            expire_at_ms: None,
        };
        let line = to_json(&record);
        assert_eq!(
            line,
            r#"{"ns":"files","obj":"/usr/bin","field":"ls","value":"{\"size\":1}\n"}"#
        );
        assert_eq!(from_json(line.as_bytes()).unwrap(), record);
    }

    #[test]
    fn only_what_is_not_utf8_is_base64() {
        let record = Record {
            namespace: None,
            object: vec![0xff, 0],
            field: Some(Vec::new()),
            value: b"ok".to_vec(),
            expire_at_ms: Some(1_700_000_000_000),
        };
        let line = to_json(&record);
        assert_eq!(
            line,
            r#"{"obj_base64":"/wA=","field":"","value":"ok","expire_at_ms":1700000000000}"#
        );
        assert_eq!(from_json(line.as_bytes()).unwrap(), record);
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        for (line, says) in [
            ("{", "not a record"),
            (r#"{"obj":"a"}"#, "\"value\" (or \"value_base64\") is missing"),
            (r#"{"value":"a"}"#, "\"obj\" (or \"obj_base64\") is missing"),
            (r#"{"obj":"a","value":"b","vlaue":"c"}"#, "unknown field `vlaue`"),
            (r#"{"obj":"a","value":1}"#, "invalid type"),
            (r#"{"obj":"a","value":"b","value_base64":"Yg=="}"#, "exclude each other"),
            (r#"{"obj_base64":"*","value":"b"}"#, "\"obj_base64\": base64"),
        ] {
            let text = from_json(line.as_bytes()).unwrap_err().to_string();
            assert!(text.contains(says), "{line}: {text}");
        }
    }
}
