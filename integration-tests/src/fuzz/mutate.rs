//! Random changes of bytes that make sense, so that what comes out nearly does.

use crate::Random;

/// Longest input that is made, in bytes.
const BYTES_MAX: usize = 32 << 10;
/// Lengths and counts that lie, cut to the width of the field.
const LIES: [u64; 18] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x1_0001,
    0x2_0000,
    0x0400_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
/// The same as text.
const TEXT_LIES: [&[u8]; 12] = [
    b"",
    b"0",
    b"-1",
    b"00",
    b"1e9",
    b"65536",
    b"1048576",
    b"1048577",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551616",
];
/// Bytes that mean something in one of the formats.
const SIGNS: &[u8] = b"\0\x01\x02\x7f\x80\xff\r\n\t *$:+-\"'\\%&=?/{}[],;0";

/// `input` after one to four changes; some take pieces from `other`.
pub(super) fn mutate(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        change(&mut bytes, other, random);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    match random.below(12) {
        0 | 1 => with_byte(bytes, random, |byte, random| *byte ^= 1 << random.below(8)),
        2 => with_byte(bytes, random, |byte, random| *byte = SIGNS[random.below(SIGNS.len())]),
        3 => {
            let (at, count) = (random.below(bytes.len() + 1), 1 + random.below(8));
            let new = random.bytes(count);
            drop(bytes.splice(at..at, new));
        }
        4 => {
            let range = range(bytes.len(), random);
            bytes.drain(range);
        }
        5 => {
            let range = range(bytes.len(), random);
            let (at, copy) = (random.below(bytes.len() + 1), bytes[range].to_vec());
            drop(bytes.splice(at..at, copy));
        }
        6 => {
            let range = range(other.len(), random);
            let at = random.below(bytes.len() + 1);
            drop(bytes.splice(at..at, other[range].to_vec()));
        }
        7 => {
            bytes.truncate(random.below(bytes.len() + 1));
            bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        8 | 9 => number_lie(bytes, random),
        10 => text_lie(bytes, random),
        _ => {
            let byte = [0, 0xff, b'a', b'9'][random.below(4)];
            bytes.resize(bytes.len() + random.below(4 << 10), byte);
        }
    }
}

fn with_byte(bytes: &mut [u8], random: &mut Random, set: impl FnOnce(&mut u8, &mut Random)) {
    if !bytes.is_empty() {
        let at = random.below(bytes.len());
        set(&mut bytes[at], random);
    }
}

/// A range, mostly a short one.
fn range(length: usize, random: &mut Random) -> std::ops::Range<usize> {
    let start = random.below(length + 1);
    let longest = if random.below(4) == 0 { length - start } else { (length - start).min(16) };
    start..start + random.below(longest + 1)
}

/// Puts a lie where a binary number may stand.
fn number_lie(bytes: &mut [u8], random: &mut Random) {
    let width = 1 << random.below(4);
    if bytes.len() < width {
        return;
    }
    let (at, lie) = (random.below(bytes.len() - width + 1), LIES[random.below(LIES.len())]);
    let place = &mut bytes[at..at + width];
    place.copy_from_slice(&lie.to_le_bytes()[..width]);
    if random.below(3) == 0 {
        place.reverse();
    }
}

/// Puts a lie in place of a decimal number.
fn text_lie(bytes: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(bytes.len() + 1);
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
    let start = from + start;
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let lie = TEXT_LIES[random.below(TEXT_LIES.len())];
    drop(bytes.splice(start..start + digits, lie.to_vec()));
}
