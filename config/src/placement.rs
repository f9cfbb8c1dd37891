//! Where a topology puts an object.

use common::address::{NameTooLong, Object};
use common::hash::KeyHash;
use common::ids::Lane;
use serde_json::{Map, Value, json};

use crate::topology::{PhysicalGroup, Server, Topology};

/// The place of an object's keys.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'t> {
    /// The object's hash code.
    pub hash: KeyHash,
    /// Its lane.
    pub lane: Lane,
    /// The physical group that holds the lane.
    pub group: &'t PhysicalGroup,
    /// The lane's home server.
    pub server: &'t Server,
}

impl Topology {
    /// The place of an object. Every object has one: each logic group is assigned exactly once.
    ///
    /// # Panics
    /// Never: validation refuses a physical group without servers.
    #[must_use]
    pub fn placement(&self, object: Object<'_>) -> Placement<'_> {
        let hash = KeyHash::of(object);
        let id = hash.logic_group(self.logic_groups());
        let group = self.physical_group_of(id);
        let servers = u8::try_from(group.servers.len()).expect("at most SERVERS_PER_GROUP_MAX");
        let lane = Lane { group: id, server: hash.server_index(servers) };
        let server = self.leader(lane).expect("groups list known servers");
        Placement { hash, lane, group, server }
    }
}

/// The placement of an object as the `/v1/where` endpoints answer it. A name that is not UTF-8 is
/// given in hex, as `object_hex` instead of `object`.
///
/// # Errors
/// A name is over its limit.
pub fn where_json(
    topology: &Topology,
    namespace: &[u8],
    object: &[u8],
    field: Option<&[u8]>,
) -> Result<Value, NameTooLong> {
    let named = Object { namespace, name: object };
    match field {
        Some(field) => named.field(field).check()?,
        None => named.check()?,
    }
    let place = topology.placement(named);
    let mut answer = Map::new();
    let mut put = |name: &str, bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => drop(answer.insert(name.to_owned(), json!(text))),
        Err(_) => drop(answer.insert(format!("{name}_hex"), json!(hex(bytes)))),
    };
    put("namespace", namespace);
    put("object", object);
    match field {
        Some(field) => put("field", field),
        None => drop(answer.insert("field".to_owned(), Value::Null)),
    }
    answer.insert("hash".to_owned(), json!(place.hash.0));
    answer.insert("logic_group".to_owned(), json!(place.lane.group.0));
    answer.insert("physical_group".to_owned(), json!(place.group.name));
    answer.insert("lane".to_owned(), json!(place.lane.server.0));
    answer.insert("server".to_owned(), json!(place.server.name));
    answer.insert("address".to_owned(), json!(place.server.address));
    Ok(Value::Object(answer))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_placed_by_hash_and_order_of_servers() {
        let text = include_str!("../samples/dev-cluster.yaml");
        let topology = Topology::parse(text).unwrap();
        let answer = where_json(&topology, b"user", b"happy_fish", Some(b"reg")).unwrap();
        assert_eq!(answer["hash"], 1_386_519_819);
        let place = topology.placement(Object { namespace: b"user", name: b"happy_fish" });
        assert_eq!(place.lane.group.0, u16::try_from(1_386_519_819 % 17).unwrap());
        assert_eq!(answer["server"], place.server.name);
        assert!(where_json(&topology, &[b'n'; 65], b"o", None).is_err());
        let answer = where_json(&topology, b"", b"\xff", None).unwrap();
        assert_eq!((&answer["object_hex"], &answer["object"]), (&json!("ff"), &Value::Null));
    }
}
