//! One server's copy of one lane, asked over its admin port.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::judge::{Reading, State};
use super::positions::Positions;
use crate::ctl::CtlError;
use crate::ctl::admin::{get, items};

/// The digests of a lane: by bucket, those without a record absent.
pub(super) type Digest = BTreeMap<u8, u64>;

/// A copy of a lane that can be compared with another. The seam at which tests put servers in.
pub(super) trait Side: Sync {
    /// The digests of all buckets.
    fn digest(&self) -> Result<Digest, CtlError>;

    /// The keys in some buckets, and how far the server was when the last of them was read.
    fn keys(&self, buckets: &[u8]) -> Result<(Reading, Positions), CtlError>;

    /// How far the server is.
    fn positions(&self) -> Result<Positions, CtlError>;
}

/// A lane on a node.
#[derive(Debug)]
pub(super) struct Remote<'a> {
    /// Admin address of the node.
    pub(super) admin: &'a str,
    /// Logic group.
    pub(super) group: u64,
    /// Server index of the lane.
    pub(super) lane: usize,
    /// When records have to be visible, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

impl Remote<'_> {
    /// Asks for page after page and hands each to `take`.
    fn pages(
        &self,
        endpoint: &str,
        buckets: &str,
        mut take: impl FnMut(&Value) -> Result<(), CtlError>,
    ) -> Result<Positions, CtlError> {
        let Self { group, lane, now_ms, .. } = self;
        let path = format!("{endpoint}?group={group}&server={lane}&now_ms={now_ms}{buckets}");
        let (mut from, mut positions) = (String::new(), Positions::default());
        loop {
            let page = get(self.admin, &format!("{path}{from}"))?;
            positions.join(&Positions::of_json(&page["positions"]));
            take(&page)?;
            match page["next"].as_str() {
                Some(next) => from = format!("&from={next}"),
                None => return Ok(positions),
            }
        }
    }

    fn garbled(&self, what: &Value) -> CtlError {
        let command = format!("the digest of group {} at {}", self.group, self.admin);
        CtlError::Reply { command, reply: what.to_string() }
    }
}

impl Side for Remote<'_> {
    fn digest(&self) -> Result<Digest, CtlError> {
        let mut digest = Digest::new();
        self.pages("/v1/digest", "", |page| {
            let buckets = page["buckets"].as_object().ok_or_else(|| self.garbled(page))?;
            for (bucket, sum) in buckets {
                let parsed = bucket.parse().ok().zip(hex(sum));
                let (bucket, sum) = parsed.ok_or_else(|| self.garbled(sum))?;
                add(&mut digest, bucket, sum);
            }
            Ok(())
        })?;
        Ok(digest)
    }

    fn keys(&self, buckets: &[u8]) -> Result<(Reading, Positions), CtlError> {
        let buckets: Vec<String> = buckets.iter().map(u8::to_string).collect();
        let mut reading = Reading::new();
        let positions =
            self.pages("/v1/digest/keys", &format!("&buckets={}", buckets.join(",")), |page| {
                for key in items(&page["keys"]) {
                    let (address, state) = split(key).ok_or_else(|| self.garbled(key))?;
                    reading.insert(address, state);
                }
                Ok(())
            })?;
        Ok((reading, positions))
    }

    fn positions(&self) -> Result<Positions, CtlError> {
        Ok(self.keys(&[])?.1)
    }
}

fn hex(sum: &Value) -> Option<u64> {
    u64::from_str_radix(sum.as_str()?, 16).ok()
}

/// Adds what a page says of a bucket to what pages before said.
fn add(digest: &mut Digest, bucket: u8, sum: u64) {
    let total = digest.entry(bucket).or_default();
    *total = total.wrapping_add(sum);
}

/// Takes a listed key apart: its address as JSON text, and what the server shows of it.
fn split(key: &Value) -> Option<(String, State)> {
    let mut address: Map<String, Value> = key.as_object()?.clone();
    let version = address.remove("version")?.as_str()?.to_owned();
    let hash = address.remove("hash")?.as_str()?.to_owned();
    Some((Value::Object(address).to_string(), State { version, hash }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listed_key_is_an_address_and_a_state() {
        let key = json!({"namespace": "files", "object_hex": "ff", "field": null,
                         "version": "07", "hash": "0a"});
        let (address, state) = split(&key).unwrap();
        assert_eq!(address, r#"{"field":null,"namespace":"files","object_hex":"ff"}"#);
        assert_eq!((state.version.as_str(), state.hash.as_str()), ("07", "0a"));
        assert_eq!(split(&json!({"namespace": "files", "version": "07"})), None);
    }

    #[test]
    fn sums_of_pages_wrap() {
        let mut digest = Digest::new();
        add(&mut digest, 7, u64::MAX);
        add(&mut digest, 7, 3);
        assert_eq!(digest, Digest::from([(7, 2)]));
        assert_eq!(hex(&json!("00000000000000ff")), Some(255));
        assert_eq!(hex(&json!(255)), None);
    }
}
