//! Digests of a lane: whether two servers hold the same data, without comparing all of it.
//!
//! What counts is what a reader can see at one time. Every visible record falls into one of
//! [`BUCKETS`] buckets by its physical key and adds a hash of itself to the bucket's sum, so the order
//! does not matter and pages add up. Tombstones, expired records and what has been reclaimed of them
//! add nothing (guarantees 6): servers reclaim at different moments. For the same reason a header is
//! no record of its own here; what it decides, the expiry of an object, is part of each of the
//! object's fields.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::ids::ServerIndex;
use common::key::{HEADER_SUFFIX, KIND_HEADER, KIND_UNNAMED, UNNAMED_SUFFIX};
use common::stored::{Body, Stored};
use common::version::Version;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::engine::EngineError;
use crate::engine::file::FileReader;
use crate::engine::layout::split_key;
use crate::engine::slice::Slice;
use crate::engine::store::{Store, lane_of};
use crate::engine::visible::Hiding;

/// Buckets of a lane.
pub const BUCKETS: usize = 256;
/// What looking at a record or object costs besides its bytes.
const VISIT_BYTES: usize = 64;

/// Digests of a part of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestPage {
    /// By bucket, the wrapping sum of the hashes of its records that lie in this part. A bucket
    /// without one is absent.
    pub buckets: BTreeMap<u8, u64>,
    /// Where the next part begins: a physical key, or where this one was to begin. None at the end of the
    /// lane.
    pub next: Option<Vec<u8>>,
}

/// One visible record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestKey {
    /// Its physical key.
    pub key: Vec<u8>,
    /// Its version, or that of the object's header if that is greater and gives it its expiry.
    pub version: Version,
    /// The hash it adds to its bucket.
    pub hash: u64,
}

/// Some visible records of a lane, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestKeys {
    /// The records.
    pub keys: Vec<DigestKey>,
    /// Where the next part begins: a physical key, or where this one was to begin. None at the end of the
    /// lane.
    pub next: Option<Vec<u8>>,
}

/// The bucket of a physical key.
#[must_use]
pub fn bucket_of(key: &[u8]) -> u8 {
    let [first, ..] = xxh3_64(key).to_be_bytes();
    first
}

/// A record that is visible, as a walk meets it.
struct Visible<'a> {
    prefix: &'a [u8],
    suffix: &'a [u8],
    version: Version,
    expire_at: u64,
    object_expire_at: u64,
    value: &'a [u8],
}

impl Visible<'_> {
    fn key(&self) -> Vec<u8> {
        [self.prefix, self.suffix].concat()
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut head = Vec::with_capacity(key.len() + 36);
        head.extend_from_slice(&self.version.epoch.0.to_be_bytes());
        head.extend_from_slice(&self.version.hlc.0.to_be_bytes());
        head.extend_from_slice(&self.version.node.0.to_be_bytes());
        head.extend_from_slice(&self.expire_at.to_be_bytes());
        head.extend_from_slice(&self.object_expire_at.to_be_bytes());
        head.extend_from_slice(key);
        xxh3_64_with_seed(self.value, xxh3_64(&head))
    }
}

impl Store {
    /// Digests a part of a lane: what is visible at `now_ms` (milliseconds since 1970) from the
    /// physical key `from` on, empty for the beginning. Stops after looking at about `bytes_max` bytes
    /// of records, those that do not count included, but looks at one at least. A page that had to put
    /// what is in memory in order first has nothing else, and the next one begins where it did.
    ///
    /// # Errors
    /// The file cannot be read or is damaged, or `from` is no physical key.
    pub fn digest_page(
        &self,
        server: ServerIndex,
        from: &[u8],
        bytes_max: usize,
        now_ms: u64,
    ) -> Result<DigestPage, EngineError> {
        let mut buckets: BTreeMap<u8, u64> = BTreeMap::new();
        let next = self.walk(server, from, bytes_max, now_ms, &mut |record| {
            let key = record.key();
            let sum = buckets.entry(bucket_of(&key)).or_default();
            *sum = sum.wrapping_add(record.hash(&key));
            ControlFlow::Continue(())
        })?;
        Ok(DigestPage { buckets, next })
    }

    /// Lists what is visible at `now_ms` in some buckets of a lane, from the physical key `from` on.
    /// Stops after `max` records, or after looking at about `bytes_max` bytes. May have nothing and begin
    /// again, as [`Self::digest_page`].
    ///
    /// # Errors
    /// The file cannot be read or is damaged, or `from` is no physical key.
    pub fn digest_keys(
        &self,
        server: ServerIndex,
        buckets: &[u8],
        from: &[u8],
        max: usize,
        bytes_max: usize,
        now_ms: u64,
    ) -> Result<DigestKeys, EngineError> {
        let mut keys = Vec::new();
        let next = self.walk(server, from, bytes_max, now_ms, &mut |record| {
            let key = record.key();
            if buckets.contains(&bucket_of(&key)) {
                let hash = record.hash(&key);
                keys.push(DigestKey { key, version: record.version, hash });
            }
            if keys.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(DigestKeys { keys, next })
    }

    /// Visits the visible records of a lane in key order until `bytes_max` is used up or `visit` breaks.
    /// Returns the key of the first record that was not looked at, or `from`.
    fn walk(
        &self,
        server: ServerIndex,
        from: &[u8],
        bytes_max: usize,
        now_ms: u64,
        visit: &mut dyn FnMut(&Visible<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let (start, start_suffix) = if from.is_empty() { (from, from) } else { split_key(from)? };
        if !start.is_empty() {
            lane_of(start, self.options.servers)?;
        }
        // Memtables are put in order over as many pages as it takes.
        if !self.prepare_scan(&mut Slice::steps((bytes_max / VISIT_BYTES).max(1))) {
            return Ok(Some(from.to_vec()));
        }
        let reader = self.reader()?;
        let mut budget = Budget { left: bytes_max.max(1), next: None };
        self.objects(&reader, start, |prefix, _, _| {
            if budget.left == 0 {
                budget.next = Some([prefix, HEADER_SUFFIX].concat());
                return Ok(ControlFlow::Break(()));
            }
            if lane_of(prefix, self.options.servers)? == server {
                let from = if prefix == start { start_suffix } else { &[] };
                self.walk_object(&reader, prefix, from, now_ms, &mut budget, visit)?;
            }
            budget.spend(prefix.len());
            let full = budget.next.is_some();
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(budget.next)
    }

    fn walk_object(
        &self,
        reader: &FileReader,
        prefix: &[u8],
        from: &[u8],
        now_ms: u64,
        budget: &mut Budget,
        visit: &mut dyn FnMut(&Visible<'_>) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let layers = self.layers(reader);
        let mut hiding = Hiding::new(None, None, now_ms);
        let mut header_version = Version::default();
        // What stands before the beginning decides over what is behind it.
        for suffix in [HEADER_SUFFIX, UNNAMED_SUFFIX].into_iter().filter(|suffix| *suffix < from) {
            if let Some(record) = layers.record(prefix, suffix)? {
                observe(&mut hiding, &mut header_version, suffix, &record.stored());
            }
        }
        layers.fields(prefix, from, |suffix, stored, _| {
            if budget.left == 0 {
                budget.next = Some([prefix, suffix].concat());
                return ControlFlow::Break(());
            }
            budget.spend(suffix.len() + stored.encoded_bytes());
            observe(&mut hiding, &mut header_version, suffix, &stored);
            let Body::Value { expire_at, value } = stored.body else {
                return ControlFlow::Continue(());
            };
            let unnamed = suffix.first() == Some(&KIND_UNNAMED);
            let visible = if unnamed {
                hiding.unnamed_visible(&stored)
            } else {
                hiding.named_visible(&stored)
            };
            if !visible {
                return ControlFlow::Continue(());
            }
            let object_expire_at = if unnamed { 0 } else { hiding.object_expire_at() };
            let version = match object_expire_at {
                0 => stored.version,
                _ => stored.version.max(header_version),
            };
            let record = Visible { prefix, suffix, version, expire_at, object_expire_at, value };
            if visit(&record).is_break() {
                budget.left = 0;
            }
            ControlFlow::Continue(())
        })
    }
}

/// How much a walk may still look at.
struct Budget {
    left: usize,
    next: Option<Vec<u8>>,
}

impl Budget {
    fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes.saturating_add(VISIT_BYTES));
    }
}

fn observe(hiding: &mut Hiding, header: &mut Version, suffix: &[u8], stored: &Stored<'_>) {
    match suffix.first() {
        Some(&KIND_HEADER) => {
            hiding.add_header(stored);
            *header = stored.version;
        }
        Some(&KIND_UNNAMED) => hiding.add_unnamed(stored),
        _ => {}
    }
}
