//! Where a topology puts an object.

use common::address::{NameTooLong, Object};
use common::hash::KeyHash;
use common::ids::Lane;
use serde_json::{Value, json};

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

/// The placement of an object as the `/v1/where` endpoints answer it.
///
/// # Errors
/// A name is over its limit.
pub fn where_json(
    topology: &Topology,
    namespace: &str,
    object: &str,
    field: Option<&str>,
) -> Result<Value, NameTooLong> {
    let named = Object { namespace: namespace.as_bytes(), name: object.as_bytes() };
    match field {
        Some(field) => named.field(field.as_bytes()).check()?,
        None => named.check()?,
    }
    let place = topology.placement(named);
    Ok(json!({
        "namespace": namespace,
        "object": object,
        "field": field,
        "hash": place.hash.0,
        "logic_group": place.lane.group.0,
        "physical_group": place.group.name,
        "lane": place.lane.server.0,
        "server": place.server.name,
        "address": place.server.address,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_placed_by_hash_and_order_of_servers() {
        let text = include_str!("../samples/dev-cluster.yaml");
        let topology = Topology::parse(text).unwrap();
        let answer = where_json(&topology, "user", "happy_fish", Some("reg")).unwrap();
        assert_eq!(answer["hash"], 1_386_519_819);
        let place = topology.placement(Object { namespace: b"user", name: b"happy_fish" });
        assert_eq!(place.lane.group.0, u16::try_from(1_386_519_819 % 17).unwrap());
        assert_eq!(answer["server"], place.server.name);
        assert!(where_json(&topology, &"n".repeat(65), "o", None).is_err());
    }
}
