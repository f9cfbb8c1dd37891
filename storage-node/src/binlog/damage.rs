//! Telling a torn tail from damage, on the bytes of a segment.
//!
//! Behind the last valid frame stands either nothing but zeros, or the rest of writes that were under
//! way when the power failed, or damage. A disk keeps or loses whole sectors, in any order, so even
//! *valid* frames may stand behind a hole; but a hole is a sector that still has its zeros, and no
//! frame behind it can say that the log was durable further than where it begins. Everything else
//! that has valid frames behind it was complete once and is damage.

use super::frame::{Decoded, HEAD_BYTES, Head};
use super::position::LogPosition;
use super::segment::HEADER_LEN;

/// The unit that a disk writes whole or not at all, in bytes. Real ones may be larger, which makes
/// holes larger, too.
const SECTOR_BYTES: usize = 512;
/// Bodies up to this length are checksummed directly; for longer ones the sums of prefixes are used.
const DIRECT_BYTES: usize = 4096;

/// Bytes of a frame's first word.
const WORD_BYTES: usize = 4;
/// Zeros are recognized in blocks of this size.
const BLOCK_BYTES: usize = 64;

/// What stands behind a place where no valid frame does. Begin with [`behind`](Self::behind), then
/// [`look_at`](Self::look_at) all later segments; an error is the text of what shows that bytes
/// which were complete once are damaged. If there is none, everything behind the place may be cut.
#[derive(Debug)]
pub(super) struct Remains {
    at: LogPosition,
    /// Whether the frame that should stand at `at` misses a sector.
    hole: bool,
    /// Anything but zeros.
    pub(super) dirty: bool,
    /// Whole records.
    pub(super) records: u64,
}

impl Remains {
    /// Looks at the rest of the segment that `at` is in; `data` are the bytes of its file.
    pub(super) fn behind(at: LogPosition, data: &[u8]) -> Result<Self, String> {
        let end = usize::try_from(at.offset).expect("addresses have 64 bits");
        if is_zero(&data[end..]) {
            // The usual end of a log: there is nothing to find.
            let hole = lost_sector(data, end, data.len());
            return Ok(Self { at, hole, dirty: false, records: 0 });
        }
        let first_valid = FrameFinder::new(at.segment, data, end).next();
        let limit = first_valid.map_or(data.len(), |found| found.offset);
        let hole = lost_sector(data, end, limit);
        let mut remains = Self { at, hole, dirty: true, records: 0 };
        remains.judge(FrameFinder::new(at.segment, data, end))?;
        Ok(remains)
    }

    /// Looks at a later segment; `data` are the bytes of its file.
    pub(super) fn look_at(&mut self, index: u64, data: &[u8]) -> Result<(), String> {
        if is_zero(&data[HEADER_LEN..]) {
            return Ok(());
        }
        self.dirty = true;
        self.judge(FrameFinder::new(index, data, HEADER_LEN))
    }

    fn judge(&mut self, frames: FrameFinder<'_>) -> Result<(), String> {
        let segment = frames.segment;
        for found in frames {
            let there = LogPosition::new(segment, found.offset as u64);
            if !self.hole {
                return Err(format!("a valid record follows at {there}"));
            }
            match found.frame {
                Decoded::Control(control) if control.durable > self.at => {
                    let durable = control.durable;
                    return Err(format!("{there} says the log was durable up to {durable}"));
                }
                Decoded::Control(_) => {}
                _ => self.records += 1,
            }
        }
        Ok(())
    }
}

/// A valid frame that was found by looking for one.
pub(super) struct Found<'a> {
    pub(super) offset: usize,
    pub(super) frame: Decoded<'a>,
}

/// Finds the valid frames of a segment from an offset on, whatever stands between them.
pub(super) struct FrameFinder<'a> {
    segment: u64,
    data: &'a [u8],
    at: usize,
    prefixes: Option<PrefixSums>,
}

impl<'a> FrameFinder<'a> {
    /// Looks through `data`, the bytes of the file of `segment`.
    pub(super) fn new(segment: u64, data: &'a [u8], from: usize) -> Self {
        Self { segment, data, at: from, prefixes: None }
    }

    /// Goes on to the first offset at which a word could stand that is not zero: no frame begins
    /// with a zero word, and most of what is searched is zeros.
    fn skip_zeros(&mut self) {
        let zeros = leading_zeros(&self.data[self.at..]);
        self.at += zeros.saturating_sub(WORD_BYTES - 1);
    }

    fn frame_at(&mut self, offset: usize) -> Option<(Decoded<'a>, usize)> {
        let head = Head::read(&self.data[offset..]);
        let from = offset + HEAD_BYTES;
        let end = from + head.body_bytes()?;
        let body = self.data.get(from..end)?;
        let body_crc = if body.len() <= DIRECT_BYTES {
            crc32c::crc32c(body)
        } else {
            // Data that is full of plausible lengths would otherwise take quadratic time.
            let data = self.data;
            self.prefixes.get_or_insert_with(|| PrefixSums::new(data)).range(data, from, end)
        };
        if !head.matches(body_crc, LogPosition::new(self.segment, offset as u64)) {
            return None;
        }
        match head.interpret(body) {
            Decoded::Invalid => None,
            frame => Some((frame, end)),
        }
    }
}

impl<'a> Iterator for FrameFinder<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        while self.at + HEAD_BYTES <= self.data.len() {
            self.skip_zeros();
            let offset = self.at;
            if offset + HEAD_BYTES > self.data.len() {
                break;
            }
            if let Some((frame, end)) = self.frame_at(offset) {
                self.at = end;
                return Some(Found { offset, frame });
            }
            self.at += 1;
        }
        None
    }
}

/// Whether the frame that should stand at `offset` misses a sector: one that it reaches into, before
/// `limit` (the next valid frame, or the end of the data), and that has only zeros from there on.
///
/// A frame whose body has a sector of zeros of its own looks the same. This is why a hole alone does
/// not excuse anything: no mark behind it may say that it was durable.
pub(super) fn lost_sector(data: &[u8], offset: usize, limit: usize) -> bool {
    if offset >= limit {
        return false;
    }
    let body_bytes = match data.get(offset..offset + HEAD_BYTES) {
        Some(head) => Head::read(head).body_bytes().unwrap_or(0),
        None => 0,
    };
    let end = (offset + HEAD_BYTES + body_bytes).min(limit);
    let mut from = offset;
    while from < end {
        let sector_end = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;
        if is_zero(&data[from..sector_end.min(data.len())]) {
            return true;
        }
        from = sector_end;
    }
    false
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    leading_zeros(bytes) == bytes.len()
}

/// Number of zero bytes at the front. Segments are mostly zeros at their end, so they are passed over
/// in blocks.
fn leading_zeros(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    let whole = blocks.iter().take_while(|block| is_zero_block(block)).count() * BLOCK_BYTES;
    whole + bytes[whole..].iter().take_while(|byte| **byte == 0).count()
}

/// Number of bytes up to the last that is not zero, that included.
pub(super) fn without_trailing_zeros(bytes: &[u8]) -> usize {
    let (_, blocks) = bytes.as_rchunks::<BLOCK_BYTES>();
    let whole = blocks.iter().rev().take_while(|block| is_zero_block(block)).count() * BLOCK_BYTES;
    let left = &bytes[..bytes.len() - whole];
    left.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn is_zero_block(block: &[u8; BLOCK_BYTES]) -> bool {
    let (words, _) = block.as_chunks::<8>();
    words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word)) == 0
}

/// CRC32C of any range in nearly constant time, from those of the prefixes at every
/// [`DIRECT_BYTES`].
struct PrefixSums(Vec<u32>);

impl PrefixSums {
    fn new(data: &[u8]) -> Self {
        let mut sums = vec![0];
        for chunk in data.chunks(DIRECT_BYTES) {
            let last = *sums.last().expect("begins with one");
            sums.push(crc32c::crc32c_append(last, chunk));
        }
        Self(sums)
    }

    fn range(&self, data: &[u8], from: usize, end: usize) -> u32 {
        // The sum of a whole is that of its first part, shifted by the length of the second, plus
        // that of the second.
        let shifted = crc32c::crc32c_combine(self.prefix(data, from), 0, end - from);
        self.prefix(data, end) ^ shifted
    }

    fn prefix(&self, data: &[u8], end: usize) -> u32 {
        let chunk = end / DIRECT_BYTES;
        crc32c::crc32c_append(self.0[chunk], &data[chunk * DIRECT_BYTES..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::batch::Batch;

    fn segment_with(bodies: &[&[u8]], at: usize, len: usize) -> Vec<u8> {
        let mut batch = Batch::new();
        for body in bodies {
            batch.push(|buf| buf.extend_from_slice(body)).unwrap();
        }
        let placed = batch.place(LogPosition::new(5, at as u64), None);
        let mut data = vec![0; len];
        data[at..at + placed.bytes.len()].copy_from_slice(placed.bytes);
        data
    }

    #[test]
    fn prefix_sums_agree_with_direct_sums() {
        let data: Vec<u8> = (0..5_000u32).flat_map(|i| (i * 77_777).to_le_bytes()).collect();
        let sums = PrefixSums::new(&data);
        for (from, end) in [(0, 20_000), (1, 2), (4095, 12_289), (8192, 8192), (17, 19_999)] {
            assert_eq!(sums.range(&data, from, end), crc32c::crc32c(&data[from..end]));
        }
    }

    #[test]
    fn frames_are_found_behind_garbage_and_behind_long_ones() {
        let long = vec![7; 3 * DIRECT_BYTES];
        let mut data = segment_with(&[b"broken", &long, b"last"], 100, 20_000);
        data[100] ^= 1;
        let found: Vec<_> = FrameFinder::new(5, &data, 0).map(|found| found.offset).collect();
        assert_eq!(found, [100 + 14, 100 + 14 + 8 + long.len()]);
        assert_eq!(FrameFinder::new(6, &data, 0).count(), 0);
    }

    #[test]
    fn adversarial_lengths_do_not_take_quadratic_time() {
        // Every fourth offset is a plausible length that reaches over most of the data.
        let data: Vec<u8> = 200_000u32.to_le_bytes().repeat(100_000);
        assert_eq!(FrameFinder::new(5, &data, 0).count(), 0);
    }

    #[test]
    fn zeros_are_counted_like_byte_by_byte_wherever_the_others_stand() {
        for len in [0, 1, 3, 63, 64, 65, 200, 257] {
            for at in 0..len {
                let mut data = vec![0; len];
                data[at] = 1;
                assert_eq!(leading_zeros(&data), at, "{at} of {len}");
                assert_eq!(without_trailing_zeros(&data), at + 1, "{at} of {len}");
                assert!(!is_zero(&data));
            }
            let zeros = vec![0; len];
            assert_eq!((leading_zeros(&zeros), without_trailing_zeros(&zeros)), (len, 0));
            assert!(is_zero(&zeros));
        }
    }

    #[test]
    fn frames_are_found_behind_any_number_of_zeros() {
        for at in 0..300 {
            // Lengths whose word has its first byte that is not zero in each place.
            for len in [1, 256, 65_536] {
                let data = segment_with(&[&vec![7; len]], at, at + len + 80);
                let found: Vec<_> =
                    FrameFinder::new(5, &data, 0).map(|found| found.offset).collect();
                assert_eq!(found, [at], "{len} bytes");
            }
        }
    }

    #[test]
    fn a_hole_is_a_sector_of_zeros_inside_of_the_frame() {
        let whole = segment_with(&[&[9; 1500], b"next"], 600, 4096);
        let next = 600 + 8 + 1500;
        assert!(!lost_sector(&whole, 600, next));
        for sector in 1..4 {
            let mut torn = whole.clone();
            let from = (sector * SECTOR_BYTES).max(600);
            torn[from..(sector + 1) * SECTOR_BYTES].fill(0);
            assert!(lost_sector(&torn, 600, next), "sector {sector}");
        }
        let mut flipped = whole.clone();
        flipped[700] ^= 4;
        assert!(!lost_sector(&flipped, 600, next));
        // A length that lies reaches over zeros only behind what is valid, and that does not count.
        flipped[602] = 1;
        assert!(!lost_sector(&flipped, 600, next));
    }
}
