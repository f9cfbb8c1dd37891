//! Placement of keys against what the original client library computed.

use std::collections::BTreeMap;

use common::address::Object;
use common::hash::KeyHash;
use common::ids::{LogicGroup, ServerIndex};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    namespace_hex: String,
    object_id_hex: String,
    key_hex: String,
    time33_raw_u32: u32,
    key_hash_code: u32,
    /// By `groups=G,servers=S`: the group and the server.
    placement: BTreeMap<String, (u16, u8)>,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../vectors/fastdht-hash-vectors.json");
    let file: File = serde_json::from_str(text).expect("the file is committed");
    assert!(file.vectors.len() >= 24, "vectors are missing");
    file.vectors
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex} is cut");
    (0..hex.len() / 2)
        .map(|i| hex.get(2 * i..2 * i + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
        .collect::<Option<_>>()
        .expect("the file holds hex digits")
}

/// Both numbers of `groups=G,servers=S`.
fn shape(text: &str) -> (u16, u8) {
    let parts = text.strip_prefix("groups=").and_then(|rest| rest.split_once(",servers="));
    let (groups, servers) = parts.unwrap_or_else(|| panic!("`{text}` is no cluster shape"));
    (groups.parse().expect("a number"), servers.parse().expect("a number"))
}

#[test]
fn every_key_is_placed_where_the_original_client_places_it() {
    let mut placements = 0;
    for vector in vectors() {
        let (namespace, object) = (bytes(&vector.namespace_hex), bytes(&vector.object_id_hex));
        let key = bytes(&vector.key_hex);
        // A plain key of the original, without namespace and object, is an object here.
        let plain = namespace.is_empty() && object.is_empty();
        let name = if plain { &key } else { &object };
        let hash = KeyHash::of(Object { namespace: &namespace, name });
        assert_eq!(hash.0, vector.key_hash_code, "key {}", vector.key_hex);
        assert_eq!(hash.0, vector.time33_raw_u32 & 0x7fff_ffff, "key {}", vector.key_hex);
        for (cluster, (group, server)) in &vector.placement {
            let (groups, servers) = shape(cluster);
            let lane = hash.lane(groups, servers);
            assert_eq!(lane.group, LogicGroup(*group), "key {} in {cluster}", vector.key_hex);
            assert_eq!(lane.server, ServerIndex(*server), "key {} in {cluster}", vector.key_hex);
            placements += 1;
        }
    }
    assert_eq!(placements, 24 * 15);
}
