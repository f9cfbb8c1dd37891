//! What `GET /v1/digest` and `GET /v1/digest/keys` ask and answer: the digests of a lane, so that an
//! operator's tool can compare the servers of a group without reading all data.
//!
//! Pure: queries are parsed and answers are made here; the worker that owns the group's store calls
//! in between. Each answer is one bounded page and names the positions of the lane's streams at which
//! it was made.

use common::address::Field;
use common::ids::{LogicGroup, ServerIndex};
use common::key::{PhysicalKey, Slot};
use rt::admin::AdminError;
use serde_json::{Map, Value, json};

use crate::engine::{DigestKey, EngineError, Store};

/// A page looks at so many bytes of records: a few milliseconds of a worker.
const PAGE_BYTES: usize = 1 << 20;
/// A page lists so many keys.
const PAGE_KEYS: usize = 1_000;
/// Longest `from`, in hex digits: a physical key of the longest names.
const FROM_DIGITS_MAX: usize = 64 << 10;

/// The query of `/v1/digest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestQuery {
    /// The logic group.
    pub group: LogicGroup,
    /// The lane in it.
    pub server: ServerIndex,
    /// When records have to be visible, in milliseconds since 1970.
    pub now_ms: u64,
    /// The `next` of the page before; empty for the first page.
    pub from: Vec<u8>,
}

impl DigestQuery {
    /// Reads a raw query: `group=N&server=I&now_ms=T[&from=HEX]`.
    ///
    /// # Errors
    /// A part is missing, unknown, given twice or not what it should be.
    pub fn parse(query: Option<&str>) -> Result<Self, AdminError> {
        let [group, server, now_ms, from] =
            parts("/v1/digest", ["group", "server", "now_ms", "from"], query)?;
        Self::of("/v1/digest", [group, server, now_ms, from])
    }

    fn of(
        path: &str,
        [group, server, now_ms, from]: [Option<&str>; 4],
    ) -> Result<Self, AdminError> {
        Ok(Self {
            group: LogicGroup(number(path, "group", group)?),
            server: ServerIndex(number(path, "server", server)?),
            now_ms: number(path, "now_ms", now_ms)?,
            from: from_hex(from.unwrap_or_default())
                .ok_or_else(|| wrong(path, "`from` is not the `next` of another page"))?,
        })
    }
}

/// The query of `/v1/digest/keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysQuery {
    /// Where and when.
    pub at: DigestQuery,
    /// The buckets whose records are asked for. None asks for positions only.
    pub buckets: Vec<u8>,
}

impl KeysQuery {
    /// The group it is about.
    #[must_use]
    pub fn group(&self) -> LogicGroup {
        self.at.group
    }

    /// Reads a raw query: `group=N&server=I&buckets=1,2&now_ms=T[&from=HEX]`.
    ///
    /// # Errors
    /// A part is missing, unknown, given twice or not what it should be.
    pub fn parse(query: Option<&str>) -> Result<Self, AdminError> {
        let path = "/v1/digest/keys";
        let names = ["group", "server", "now_ms", "from", "buckets"];
        let [group, server, now_ms, from, buckets] = parts(path, names, query)?;
        let buckets = buckets.ok_or_else(|| wrong(path, "`buckets` is missing"))?;
        let buckets = buckets.split(',').filter(|bucket| !bucket.is_empty());
        let buckets = buckets.map(|bucket| number(path, "buckets", Some(bucket)));
        Ok(Self {
            at: DigestQuery::of(path, [group, server, now_ms, from])?,
            buckets: buckets.collect::<Result<_, _>>()?,
        })
    }
}

/// The answer to `/v1/digest`: `{"group","server","positions":[{"epoch","lsn"}],
/// "buckets":{"17":"16 hex digits"},"next":hex or null}`. Buckets of several pages are added up,
/// wrapping.
///
/// # Errors
/// The group's file cannot be read or is damaged, or `from` is no key.
pub fn page_json(store: &Store, query: &DigestQuery) -> Result<Value, EngineError> {
    let page = store.digest_page(query.server, &query.from, PAGE_BYTES, query.now_ms)?;
    let buckets: Map<String, Value> = (page.buckets.iter())
        .map(|(bucket, sum)| (bucket.to_string(), json!(format!("{sum:016x}"))))
        .collect();
    Ok(json!({
        "group": query.group.0,
        "server": query.server.0,
        "positions": positions_json(store, query.server),
        "buckets": buckets,
        "next": page.next.as_deref().map(hex),
    }))
}

/// The answer to `/v1/digest/keys`: `{"group","server","positions":[{"epoch","lsn"}],"keys":
/// [{"namespace","object","field","version","hash"}],"next":hex or null}`. A part of an address that
/// is not UTF-8 is given in hex, as `object_hex` instead of `object`; the unnamed field is null.
///
/// # Errors
/// The group's file cannot be read or is damaged, or `from` is no key.
pub fn keys_json(store: &Store, query: &KeysQuery) -> Result<Value, EngineError> {
    let KeysQuery { at, buckets } = query;
    let found = if buckets.is_empty() {
        Default::default()
    } else {
        store.digest_keys(at.server, buckets, &at.from, PAGE_KEYS, PAGE_BYTES, at.now_ms)?
    };
    let keys = found.keys.iter().map(key_json).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "group": at.group.0,
        "server": at.server.0,
        "positions": positions_json(store, at.server),
        "keys": keys,
        "next": found.next.as_deref().map(hex),
    }))
}

fn positions_json(store: &Store, server: ServerIndex) -> Vec<Value> {
    let of_lane = store.applied().iter().filter(|(stream, _)| stream.lane.server == server);
    of_lane.map(|(stream, lsn)| json!({ "epoch": stream.epoch.0, "lsn": lsn.0 })).collect()
}

fn key_json(found: &DigestKey) -> Result<Value, EngineError> {
    let key = PhysicalKey::decode(&found.key)?;
    let mut answer = Map::new();
    let mut put = |name: &str, bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => drop(answer.insert(name.to_owned(), json!(text))),
        Err(_) => drop(answer.insert(format!("{name}_hex"), json!(hex(bytes)))),
    };
    put("namespace", key.object.namespace);
    put("object", key.object.name);
    match key.slot {
        Slot::Field(Field::Named(field)) => put("field", field),
        Slot::Field(Field::Unnamed) | Slot::Header => {
            drop(answer.insert("field".to_owned(), Value::Null));
        }
    }
    answer.insert("version".to_owned(), json!(found.version.to_string()));
    answer.insert("hash".to_owned(), json!(format!("{:016x}", found.hash)));
    Ok(Value::Object(answer))
}

/// The values of a raw query, in the order of `names`.
fn parts<'q, const N: usize>(
    path: &str,
    names: [&str; N],
    query: Option<&'q str>,
) -> Result<[Option<&'q str>; N], AdminError> {
    let mut values = [None; N];
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = names.iter().position(|known| *known == name);
        let place = place.and_then(|place| values.get_mut(place));
        let place = place.ok_or_else(|| wrong(path, &format!("`{name}` is not known")))?;
        if place.replace(value).is_some() {
            return Err(wrong(path, &format!("`{name}` is given twice")));
        }
    }
    Ok(values)
}

fn number<T: std::str::FromStr>(
    path: &str,
    name: &str,
    value: Option<&str>,
) -> Result<T, AdminError> {
    let value = value.ok_or_else(|| wrong(path, &format!("`{name}` is missing")))?;
    value.parse().map_err(|_| wrong(path, &format!("`{name}` is no number of its range: {value}")))
}

fn wrong(path: &str, what: &str) -> AdminError {
    let buckets = if path.ends_with("/keys") { "&buckets=B,B" } else { "" };
    AdminError::bad_request(format!(
        "write {path}?group=N&server=I{buckets}&now_ms=T[&from=HEX]: {what}"
    ))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() > FROM_DIGITS_MAX || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::address::Object;
    use common::ids::{ClusterId, Epoch, Lane, Lsn, NodeId, RequestId, StoreId, Stream};
    use common::key::put_key;
    use common::log_record::{LogHead, Mutation};
    use common::stored::{Body, Stored};
    use common::version::Hlc;

    use super::*;
    use crate::engine::{StoreIdentity, StoreOptions};
    use crate::files::{Fs, RealFs};

    fn store(directory: &std::path::Path) -> Store {
        let identity = StoreIdentity {
            store: StoreId(7),
            cluster: ClusterId::of_name("demo"),
            node: NodeId::of_name("a1"),
            group: LogicGroup(3),
        };
        let options = StoreOptions { cache_bytes: 1 << 20, servers: 1, purge_tombstones: false };
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let path = directory.join("3.redb");
        let mut store = Store::create(&fs, &path, identity, options).unwrap();
        let lane = Lane { group: LogicGroup(3), server: ServerIndex(0) };
        for number in 1..=2_500 {
            let name = if number == 1 { b"\xff".to_vec() } else { number.to_string().into_bytes() };
            let object = Object { namespace: b"ns", name: &name };
            let address = if number == 2 { object.field(b"f") } else { object.unnamed() };
            let mut key = Vec::new();
            put_key(&mut key, address);
            let head = LogHead {
                stream: Stream { lane, epoch: Epoch(4) },
                lsn: Lsn(number),
                hlc: Hlc(number),
                node: NodeId(5),
                request: RequestId(1),
                open: 0,
            };
            let body = Body::Value { expire_at: 0, value: b"value" };
            let stored = Stored { version: head.version(), body };
            store.apply(&head, &[Mutation { key: &key, stored }], (1, number)).unwrap();
        }
        store
    }

    #[test]
    fn pages_are_answered_until_there_is_no_next() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let query = DigestQuery::parse(Some("group=3&server=0&now_ms=9")).unwrap();
        let page = page_json(&store, &query).unwrap();
        assert_eq!(page["positions"], json!([{ "epoch": 4, "lsn": 2_500 }]));
        assert_eq!(
            (&page["group"], &page["server"], &page["next"]),
            (&json!(3), &json!(0), &Value::Null)
        );
        let buckets = page["buckets"].as_object().unwrap();
        assert!(
            buckets.len() > 200 && buckets.values().all(|sum| sum.as_str().unwrap().len() == 16)
        );

        let all = (0..256).map(|bucket| bucket.to_string()).collect::<Vec<_>>().join(",");
        let (mut keys, mut from) = (Vec::new(), String::new());
        loop {
            let text = format!("group=3&server=0&now_ms=9&buckets={all}&from={from}");
            let page = keys_json(&store, &KeysQuery::parse(Some(&text)).unwrap()).unwrap();
            keys.extend(page["keys"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            next.clone_into(&mut from);
        }
        assert_eq!(keys.len(), 2_500);
        let found = |name: &str, value: &str| {
            keys.iter().find(|key| key[name] == value).unwrap_or_else(|| panic!("{name} {value}"))
        };
        assert_eq!(found("object_hex", "ff")["field"], Value::Null);
        let named = found("object", "2");
        assert_eq!((&named["namespace"], &named["field"]), (&json!("ns"), &json!("f")));
        assert_eq!(named["version"], format!("{:016x}{:016x}{:08x}", 4, 2, 5));
        let none = KeysQuery::parse(Some("group=3&server=0&now_ms=9&buckets=")).unwrap();
        let none = keys_json(&store, &none).unwrap();
        assert_eq!((&none["keys"], &none["next"]), (&json!([]), &Value::Null));
        assert_eq!(none["positions"], page["positions"]);
    }

    #[test]
    fn a_wrong_query_is_answered_with_how_to_write_it() {
        let parsed = KeysQuery::parse(Some("buckets=7,255&group=3&server=1&now_ms=9&from=0aFF"));
        let parsed = parsed.unwrap();
        assert_eq!((parsed.buckets, parsed.at.from), (vec![7, 255], vec![0x0a, 0xff]));
        let wrong = [
            ("server=0&now_ms=9", "`group` is missing"),
            ("group=70000&server=0&now_ms=9", "`group` is no number of its range: 70000"),
            ("group=1&server=256&now_ms=9", "`server` is no number"),
            ("group=1&server=0&now_ms=9&group=2", "`group` is given twice"),
            ("group=1&server=0&now_ms=9&x=2", "`x` is not known"),
            ("group=1&server=0&now_ms=9&from=0g", "`from` is not"),
        ];
        for (query, what) in wrong {
            let text = format!("{:?}", DigestQuery::parse(Some(query)).unwrap_err());
            assert!(text.contains(what) && text.contains("/v1/digest?group=N"), "{query}: {text}");
        }
        let text =
            format!("{:?}", KeysQuery::parse(Some("group=1&server=0&now_ms=9")).unwrap_err());
        assert!(
            text.contains("/v1/digest/keys?") && text.contains("`buckets` is missing"),
            "{text}"
        );
    }
}
