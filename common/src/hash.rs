//! Placement of keys: the original's Time33 hash with hash tags, and the well-mixed position of an
//! object inside its namespace.
//!
//! Time33 decides the logic group and the home server and must agree with the original client
//! library bit for bit. The position orders objects in the files and in SCAN; Time33 would cluster
//! there. Both are parts of formats and never change.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::address::Object;
use crate::ids::{Lane, LogicGroup, ServerIndex};

/// Seed of the namespace half of [`position`]. Part of the disk format.
const POSITION_SEED: u64 = 0x4644_4854_706f_7321; // "FDHTpos!"
/// Positions have 48 bits; a SCAN cursor has 16 more for the group.
pub const POSITION_BITS: u32 = 48;
/// The greatest position.
pub const POSITION_MAX: u64 = (1 << POSITION_BITS) - 1;

/// The hash code of a key: 31 bits, as the original protocol sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u32);

impl KeyHash {
    /// The hash code of all keys of an object. A `{tag}` inside the object's name stands for it.
    #[must_use]
    pub fn of(object: Object<'_>) -> Self {
        let tag = hash_tag(object.name);
        let hash = if object.namespace.is_empty() {
            time33(0, tag)
        } else {
            time33(time33(time33(0, object.namespace), &[1]), tag)
        };
        Self(hash & 0x7fff_ffff)
    }

    /// The logic group in a cluster with this many logic groups (not 0).
    #[must_use]
    pub fn logic_group(self, logic_groups: u16) -> LogicGroup {
        let group = self.0 % u32::from(logic_groups);
        LogicGroup(u16::try_from(group).expect("a remainder of a 16-bit divisor has 16 bits"))
    }

    /// The home server among the `servers` (not 0) of the key's physical group.
    #[must_use]
    pub fn server_index(self, servers: u8) -> ServerIndex {
        let index = (self.0.rotate_left(16) & 0x7fff_ffff) % u32::from(servers);
        ServerIndex(u8::try_from(index).expect("a remainder of an 8-bit divisor has 8 bits"))
    }

    /// The lane: [`Self::logic_group`] and [`Self::server_index`] together.
    #[must_use]
    pub fn lane(self, logic_groups: u16, servers: u8) -> Lane {
        Lane { group: self.logic_group(logic_groups), server: self.server_index(servers) }
    }
}

fn time33(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |hash, &byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)))
}

/// The part of a name that is hashed: what stands between the first `{` and the next `}` when that
/// is not empty (Redis Cluster's rule), else the whole name.
#[must_use]
pub fn hash_tag(name: &[u8]) -> &[u8] {
    let Some(open) = name.iter().position(|&b| b == b'{') else {
        return name;
    };
    let Some(rest) = name.get(open + 1..) else {
        return name;
    };
    match rest.iter().position(|&b| b == b'}') {
        Some(length) if length > 0 => rest.get(..length).unwrap_or(name),
        _ => name,
    }
}

/// The object's place in its namespace: 48 well-mixed bits.
#[must_use]
pub fn position(object: Object<'_>) -> u64 {
    let seed = xxh3_64_with_seed(object.namespace, POSITION_SEED);
    xxh3_64_with_seed(object.name, seed) >> (u64::BITS - POSITION_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &[u8]) -> Object<'_> {
        Object { namespace: b"", name }
    }

    #[test]
    fn a_tag_stands_for_the_whole_name() {
        assert_eq!(hash_tag(b"sess:{abc}:lock"), b"abc");
        assert_eq!(hash_tag(b"{}x"), b"{}x");
        assert_eq!(hash_tag(b"{x"), b"{x");
        assert_eq!(hash_tag(b"a{x}{y}"), b"x");
        assert_eq!(hash_tag(b"x{"), b"x{");
        assert_eq!(hash_tag(b"x{}{y}"), b"x{}{y}");
        assert_eq!(hash_tag(b"}x{y}"), b"y");
        assert_eq!(KeyHash::of(object(b"{k1}tail")), KeyHash::of(object(b"k1")));
    }

    #[test]
    fn positions_are_pinned_because_they_are_part_of_the_disk_format() {
        assert_eq!(position(object(b"k1")), 0x9be6_ab5a_520e);
        assert_eq!(position(Object { namespace: b"files", name: b"/usr/bin" }), 0x4189_a57c_c76b);
        assert!(position(object(b"")) <= POSITION_MAX);
    }

    #[test]
    fn the_hash_is_the_originals_before_its_top_bit_is_masked() {
        assert_eq!(time33(0, b"user:1000:profile"), 2_725_179_749);
        assert_eq!(time33(0, b"bbs\x01test"), 4_120_080_824);
        let bbs = Object { namespace: b"bbs", name: b"test" };
        assert_eq!(KeyHash::of(bbs), KeyHash(4_120_080_824 & 0x7fff_ffff));
    }

    #[test]
    fn the_whole_namespace_separator_and_tag_are_hashed() {
        let tagged = Object { namespace: b"n{x}", name: b"a{tag}b" };
        assert_eq!(KeyHash::of(tagged), KeyHash(time33(0, b"n{x}\x01tag") & 0x7fff_ffff));
        let nameless = Object { namespace: b"n", name: b"" };
        assert_eq!(KeyHash::of(nameless), KeyHash(time33(0, b"n\x01")));
    }
}
