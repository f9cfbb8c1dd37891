//! What holds for every format: values survive, cut and damaged bytes are refused or understood, and
//! nothing panics. Decoded values borrow from their input, so the input is leaked.

use std::fmt::Debug;

use common::codec::DecodeError;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use crate::formats::{self, End, Format};

/// Values of one format, each checked by `test`.
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

fn survives_a_round_trip<T: Debug + PartialEq>(format: Format<T>) {
    let Format { values, encode, decode, .. } = format;
    for_all(256, values, |value| {
        let decoded = decode(encode(&value).leak());
        prop_assert_eq!(decoded, Ok(value));
        Ok(())
    });
}

fn is_refused_when_cut_anywhere<T: Debug + PartialEq>(format: Format<T>) {
    let Format { values, encode, decode, end } = format;
    for_all(64, values, |value| {
        let bytes: &'static [u8] = encode(&value).leak();
        // Long names and values make many equal cuts: look closely at both ends only.
        let near_an_end = |length: &usize| *length < 200 || *length + 200 > bytes.len();
        for length in (0..bytes.len()).filter(near_an_end) {
            let cut = bytes.get(..length).expect("a shorter length");
            if let Ok(shorter) = decode(cut) {
                prop_assert!(end == End::Input, "cut to {length}, read as {shorter:?}");
            }
        }
        Ok(())
    });
}

fn is_refused_with_bytes_behind_it<T: Debug + PartialEq>(format: Format<T>) {
    let Format { values, encode, decode, end } = format;
    for_all(64, (values, any::<u8>()), |(value, more)| {
        let mut bytes = encode(&value);
        bytes.push(more);
        let decoded = decode(bytes.leak());
        prop_assert!(decoded.is_err() || end == End::Input, "read as {decoded:?}");
        prop_assert_ne!(decoded, Ok(value));
        Ok(())
    });
}

/// Whatever is understood is a value like any other: it survives a round trip.
fn understands_or_refuses<T: Debug + PartialEq>(
    bytes: &[u8],
    encode: fn(&T) -> Vec<u8>,
    decode: fn(&'static [u8]) -> Result<T, DecodeError>,
) -> TestCaseResult {
    if let Ok(value) = decode(bytes.to_vec().leak()) {
        let again = decode(encode(&value).leak());
        prop_assert_eq!(again, Ok(value));
    }
    Ok(())
}

fn never_panics_on_flipped_bits<T: Debug + PartialEq>(format: Format<T>) {
    let Format { values, encode, decode, .. } = format;
    let flips = prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..4);
    for_all(512, (values, flips), |(value, flips)| {
        let mut bytes = encode(&value);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            *bytes.get_mut(at).expect("an index of the bytes") ^= 1 << bit;
        }
        understands_or_refuses(&bytes, encode, decode)
    });
}

fn never_panics_on_garbage<T: Debug + PartialEq>(format: Format<T>) {
    let Format { encode, decode, .. } = format;
    // Small numbers are kinds and short lengths: they get deeper into a decoder than noise.
    let byte = prop_oneof![0..9_u8, any::<u8>()];
    for_all(512, prop::collection::vec(byte, 0..300), |bytes| {
        understands_or_refuses(&bytes, encode, decode)
    });
}

macro_rules! properties_of {
    ($($format:ident),*) => { $(
        mod $format {
            #[test]
            fn survive_a_round_trip() {
                super::survives_a_round_trip(super::formats::$format());
            }
            #[test]
            fn are_refused_when_cut_anywhere() {
                super::is_refused_when_cut_anywhere(super::formats::$format());
            }
            #[test]
            fn are_refused_with_bytes_behind_them() {
                super::is_refused_with_bytes_behind_it(super::formats::$format());
            }
            #[test]
            fn never_panic_on_flipped_bits() {
                super::never_panics_on_flipped_bits(super::formats::$format());
            }
            #[test]
            fn never_panic_on_garbage() {
                super::never_panics_on_garbage(super::formats::$format());
            }
        }
    )* };
}

properties_of!(frames, requests, responses, replies, log_records, stored_values, physical_keys);
properties_of!(registers, voter_sets, views, commands);
