//! Reads `tests/golden/peer.hex`: named cases of annotated bytes, and compares values with them.
//!
//! A case is `[name]` and lines of hex; `#` starts a comment. The file was written from
//! `docs/PROTOCOL.md` and never from the code's output: when they differ, one of the two is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use common::codec::{DecodeError, Reader};

use super::super::{check_peer_frame, put_generation, put_slot, take, take_generation, take_slot};
use super::{decode, encode, golden_cases, put, whole};

const FILE: &str = include_str!("../../../../tests/golden/peer.hex");

/// The cases of the file whose names begin so.
fn cases(prefix: &str) -> BTreeMap<&'static str, Vec<u8>> {
    let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in FILE.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            cases.push((name, Vec::new()));
            continue;
        }
        for byte in line.split_whitespace() {
            let byte = u8::from_str_radix(byte, 16)
                .unwrap_or_else(|e| panic!("`{byte}` in peer.hex is no byte: {e}"));
            cases.last_mut().expect("bytes stand in a case").1.push(byte);
        }
    }
    let count = cases.len();
    let by_name: BTreeMap<_, _> = cases.into_iter().collect();
    assert_eq!(by_name.len(), count, "two cases have the same name");
    by_name.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

/// The value encodes to the bytes of its case and back, and no shorter bytes are understood.
fn check<'a, T: Debug + PartialEq>(
    (name, bytes): (&str, &'a [u8]),
    (value, encoded): (&T, &[u8]),
    decode: impl Fn(&'a [u8]) -> Result<T, DecodeError>,
) {
    assert_eq!(hex(encoded), hex(bytes), "encoding of [{name}]");
    assert_eq!(decode(bytes).as_ref(), Ok(value), "decoding of [{name}]");
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "[{name}] cut to {length}");
    }
}

#[test]
fn every_kind_of_message_has_the_documented_bytes() {
    let mut golden = cases("message ");
    let mut kinds = BTreeSet::new();
    for (name, value) in golden_cases::messages() {
        let bytes = golden.remove(format!("message {name}").as_str()).expect(name);
        check((name, &bytes), (&value, &encode(&value)), decode);
        let kind = bytes[0];
        // The step of a round stands behind kind, group and ballot.
        kinds.insert((kind, if kind == 1 { bytes[23] } else { 0 }));
    }
    assert!(golden.is_empty(), "cases that no value stands for: {:?}", golden.keys());
    let steps = (1..=7).map(|step| (1, step));
    assert_eq!(kinds, steps.chain((2..=15).map(|kind| (kind, 0))).collect());
}

#[test]
fn every_kind_of_slot_has_the_documented_bytes() {
    let mut golden = cases("slot ");
    for (name, value) in golden_cases::slots() {
        let bytes = golden.remove(format!("slot {name}").as_str()).expect(name);
        let mut encoded = Vec::new();
        put_slot(&mut encoded, &value);
        check((name, &bytes), (&value, &encoded), |bytes| whole(bytes, take_slot));
    }
    assert!(golden.is_empty(), "cases that no value stands for: {:?}", golden.keys());
}

#[test]
fn a_frame_is_a_generation_and_messages_up_to_its_end() {
    let golden = cases("frame ").remove("frame of-two-messages").expect("one frame");
    let (generation, messages) = golden_cases::frame();
    let mut encoded = Vec::new();
    put_generation(&mut encoded, generation);
    messages.iter().for_each(|message| put(&mut encoded, message));
    assert_eq!(hex(&encoded), hex(&golden));
    let mut reader = Reader::new(&golden);
    assert_eq!(take_generation(&mut reader), Ok(generation));
    for message in &messages {
        assert_eq!(take(&mut reader).as_ref(), Ok(message));
    }
    assert_eq!(reader.end(), Ok(()));
    for length in 0..golden.len() {
        check_peer_frame(&golden[..length]);
    }
}
