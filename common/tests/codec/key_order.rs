//! The order of physical keys, on which SCAN, ranges and sorted flushes rest.

use common::address::{Field, Object};
use common::hash;
use common::key::{self, PhysicalKey, Slot};
use proptest::prelude::*;

use crate::formats;
use crate::strategies;

/// What the bytes of a key have to sort by.
fn rank<'a>(key: &PhysicalKey<'a>) -> impl Ord + use<'a> {
    let Object { namespace, name } = key.object;
    ((namespace.len(), namespace), key.position, (name.len(), name), key.slot)
}

/// Keys that often agree in their first parts.
fn crowded_key() -> impl Strategy<Value = PhysicalKey<'static>> {
    let names: [&'static [u8]; 8] =
        [b"", b"\0", b"\x01", b"\x02", b"a", b"a\0", b"a\xff", b"\xff\xff"];
    let name = || prop::sample::select(names.to_vec());
    let slot = prop_oneof![
        Just(Slot::Header),
        Just(Slot::Field(Field::Unnamed)),
        name().prop_map(|name| Slot::Field(Field::Named(name))),
    ];
    let position = prop::sample::select(vec![0, 1, 0xff, 0x100, hash::POSITION_MAX]);
    (name(), position, name(), slot).prop_map(|(namespace, position, name, slot)| PhysicalKey {
        object: Object { namespace, name },
        position,
        slot,
        prefix_bytes: 1 + namespace.len() + 6 + 2 + name.len(),
    })
}

#[test]
fn an_objects_header_comes_first_then_the_unnamed_field_then_the_named_ones() {
    let named = |name| Slot::Field(Field::Named(name));
    assert!(Slot::Header < Slot::Field(Field::Unnamed));
    assert!(Slot::Field(Field::Unnamed) < named(b""));
    assert!(named(b"") < named(b"\0") && named(b"\0") < named(b"a") && named(b"a") < named(b"b"));
}

#[test]
fn bounds_of_a_namespace_a_position_and_an_object_are_prefixes_of_their_keys() {
    let object = Object { namespace: b"files", name: b"/usr/bin" };
    let mut key = Vec::new();
    key::put_key(&mut key, object.field(b"ls"));
    let position = hash::position(object);
    let (mut in_namespace, mut at_position, mut of_object) = (vec![], vec![], vec![]);
    key::put_namespace_prefix(&mut in_namespace, object.namespace);
    key::put_position_prefix(&mut at_position, object.namespace, position);
    key::put_object_prefix(&mut of_object, object);
    assert!(key.starts_with(&in_namespace));
    assert!(at_position.starts_with(&in_namespace) && key.starts_with(&at_position));
    assert!(of_object.starts_with(&at_position) && key.starts_with(&of_object));
    assert_eq!(key::decode_object_prefix(&of_object), Ok((object, position)));
    assert!(key::decode_object_prefix(&key).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_sort_by_namespace_position_object_and_slot(
        one in prop_oneof![crowded_key(), strategies::physical_key()],
        other in prop_oneof![crowded_key(), strategies::physical_key()],
    ) {
        let bytes = formats::encode_key(&one).cmp(&formats::encode_key(&other));
        prop_assert_eq!(bytes, rank(&one).cmp(&rank(&other)));
    }

    #[test]
    fn all_records_of_an_object_are_neighbours(
        keys in prop::collection::vec(crowded_key(), 0..200),
    ) {
        let mut keys: Vec<_> = keys.iter().map(formats::encode_key).collect();
        keys.sort();
        let mut prefixes: Vec<_> = keys
            .iter()
            .map(|key| {
                let prefix_bytes = PhysicalKey::decode(key).expect("a key").prefix_bytes;
                key.get(..prefix_bytes).expect("inside the key")
            })
            .collect();
        prefixes.dedup();
        let runs = prefixes.len();
        prefixes.sort_unstable();
        prefixes.dedup();
        prop_assert_eq!(runs, prefixes.len(), "an object's keys are apart");
    }
}
