//! What holds for every value: it survives, cut and damaged bytes are refused or understood, and
//! nothing panics.

use std::fmt::Debug;

use common::codec::{DecodeError, Reader};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::super::{check_peer_frame, put_generation, put_slot, take, take_generation, take_slot};
use super::{decode, encode, put, strategies, whole};
use crate::replication::register::VoterGeneration;
use crate::replication::register::voter::Slot;

fn for_all<V: Debug>(
    cases: u32,
    values: impl Strategy<Value = V>,
    test: impl Fn(V) -> TestCaseResult,
) {
    // Without a file of found failures: what fails here gets a test of its own.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    if let Err(failure) = TestRunner::new(config).run(&values, test) {
        panic!("{failure}");
    }
}

fn encode_slot(slot: &Slot) -> Vec<u8> {
    let mut out = Vec::new();
    put_slot(&mut out, slot);
    out
}

fn decode_slot(bytes: &[u8]) -> Result<Slot, DecodeError> {
    whole(bytes, take_slot)
}

#[test]
fn messages_survive_a_round_trip_also_behind_others() {
    let frame = prop::collection::vec(strategies::incoming(), 0..5);
    for_all(512, (any::<u32>(), frame), |(generation, messages)| {
        let mut body = Vec::new();
        put_generation(&mut body, VoterGeneration(generation));
        messages.iter().for_each(|message| put(&mut body, message));
        let mut reader = Reader::new(&body);
        prop_assert_eq!(take_generation(&mut reader), Ok(VoterGeneration(generation)));
        for message in messages {
            prop_assert_eq!(take(&mut reader), Ok(message));
        }
        prop_assert_eq!(reader.end(), Ok(()));
        Ok(())
    });
}

#[test]
fn slots_survive_a_round_trip() {
    for_all(256, strategies::slot(), |slot| {
        prop_assert_eq!(decode_slot(&encode_slot(&slot)), Ok(slot));
        Ok(())
    });
}

#[test]
fn every_truncation_is_refused() {
    for_all(256, (strategies::incoming(), strategies::slot()), |(message, slot)| {
        let bytes = encode(&message);
        for length in 0..bytes.len() {
            let cut = decode(&bytes[..length]);
            prop_assert!(cut.is_err(), "cut to {length}, read as {cut:?}");
        }
        let bytes = encode_slot(&slot);
        for length in 0..bytes.len() {
            let cut = decode_slot(&bytes[..length]);
            prop_assert!(cut.is_err(), "cut to {length}, read as {cut:?}");
        }
        Ok(())
    });
}

/// Whatever is understood is a value like any other: it survives a round trip.
fn understood_or_refused(bytes: &[u8]) -> TestCaseResult {
    if let Ok(message) = decode(bytes) {
        let again = encode(&message);
        prop_assert_eq!(decode(&again), Ok(message));
    }
    if let Ok(slot) = decode_slot(bytes) {
        prop_assert_eq!(decode_slot(&encode_slot(&slot)), Ok(slot));
    }
    check_peer_frame(bytes);
    Ok(())
}

#[test]
fn flipped_bits_never_panic() {
    let flips = prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..4);
    let values = (strategies::incoming(), strategies::slot(), flips);
    for_all(1_024, values, |(message, slot, flips)| {
        for mut bytes in [encode(&message), encode_slot(&slot)] {
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            understood_or_refused(&bytes)?;
            bytes.splice(0..0, [0; 4]);
            check_peer_frame(&bytes);
        }
        Ok(())
    });
}

#[test]
fn garbage_never_panics() {
    // Small numbers are kinds and short lengths: they get deeper into a decoder than noise.
    let byte = prop_oneof![3 => 0..16_u8, 1 => any::<u8>()];
    for_all(2_048, prop::collection::vec(byte, 0..300), |bytes| understood_or_refused(&bytes));
}
