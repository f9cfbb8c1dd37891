//! The JSON of records and objects. Bytes that are not UTF-8 stand in base64, under another name.

use common::version::Version;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::base64;
use super::target::Name;
use crate::front::fastdht::parts::Record;

/// One record.
pub(super) struct RecordJson<'a> {
    pub(super) name: &'a Name,
    pub(super) record: &'a Record,
}

impl Serialize for RecordJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_object(&mut map, self.name)?;
        match &self.name.field {
            Some(field) => put_bytes(&mut map, "field", "field_base64", field)?,
            None => map.serialize_entry("field", &None::<()>)?,
        }
        let Record { version, expire_at, value } = self.record;
        put_bytes(&mut map, "value", "value_base64", value)?;
        put_state(&mut map, *version, *expire_at)?;
        map.end()
    }
}

/// One page of an object.
pub(super) struct ObjectJson<'a> {
    pub(super) name: &'a Name,
    pub(super) expire_at: u64,
    pub(super) fields: &'a [FieldJson],
    /// Path and query of the next page.
    pub(super) next: Option<String>,
}

/// One field of a page.
#[derive(Debug)]
pub(super) struct FieldJson {
    pub(super) name: Vec<u8>,
    pub(super) version: Version,
    pub(super) expire_at: u64,
    pub(super) value: FieldValue,
}

/// A field's value, or its length where values were not asked for.
#[derive(Debug)]
pub(super) enum FieldValue {
    Whole(Vec<u8>),
    Bytes(u32),
}

impl Serialize for ObjectJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_object(&mut map, self.name)?;
        map.serialize_entry("expire_at_ms", &self.expire_at)?;
        map.serialize_entry("fields", &Fields(self.fields))?;
        map.serialize_entry("next", &self.next)?;
        map.end()
    }
}

struct Fields<'a>(&'a [FieldJson]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|field| list.serialize_element(field))?;
        list.end()
    }
}

impl Serialize for FieldJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_bytes(&mut map, "field", "field_base64", &self.name)?;
        match &self.value {
            FieldValue::Whole(value) => put_bytes(&mut map, "value", "value_base64", value)?,
            FieldValue::Bytes(bytes) => map.serialize_entry("value_bytes", bytes)?,
        }
        put_state(&mut map, self.version, self.expire_at)?;
        map.end()
    }
}

fn put_object<M: SerializeMap>(map: &mut M, name: &Name) -> Result<(), M::Error> {
    put_bytes(map, "namespace", "namespace_base64", &name.namespace)?;
    put_bytes(map, "object", "object_base64", &name.object)
}

fn put_state<M: SerializeMap>(map: &mut M, version: Version, at: u64) -> Result<(), M::Error> {
    map.serialize_entry("version", &version.to_string())?;
    map.serialize_entry("expire_at_ms", &at)
}

fn put_bytes<M: SerializeMap>(
    map: &mut M,
    text_key: &str,
    base64_key: &str,
    bytes: &[u8],
) -> Result<(), M::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => map.serialize_entry(text_key, text),
        Err(_) => map.serialize_entry(base64_key, &base64::encode(bytes)),
    }
}
