//! The framing of records in a segment, as bytes: no file is touched here.
//!
//! ```text
//! word u32 | crc u32 | body          little endian
//! ```
//! * `word`: the body's length; bit 31 set marks a control frame of the log itself. 0 = no frame.
//! * `crc`: CRC32C of body, word, segment number and offset, in this order. With the position in it,
//!   bytes of an older use of the same block never count as a record.

use common::limits::FRAME_BYTES_MAX;

use super::position::LogPosition;

/// Bytes of a frame before its body.
pub(super) const HEAD_BYTES: usize = 8;
/// Longest body of a record, in bytes: followers get it in one frame, with what stands around it.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - (1 << 10);
/// Bytes of a control frame's body: the durable position and the kind.
const CONTROL_BODY_BYTES: usize = 17;
/// Bytes of a whole control frame.
pub(super) const CONTROL_BYTES: usize = HEAD_BYTES + CONTROL_BODY_BYTES;
/// The word of every control frame.
const CONTROL_WORD: u32 = 1 << 31 | 17;
const KIND_MARK: u8 = 1;
const KIND_SEAL: u8 = 2;

// A record's length never reaches the bit of control frames, and a control word says its length.
const _: () = assert!(BODY_BYTES_MAX < 1 << 31);
const _: () = assert!(CONTROL_WORD as usize == 1 << 31 | CONTROL_BODY_BYTES);

/// Which control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlKind {
    /// Says how far the log was durable when the frames behind it were written.
    Mark,
    /// The last frame of a segment; the log goes on in the next one. Says the same as a mark.
    Seal,
}

/// A frame of the log itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) kind: ControlKind,
    /// The log was durable up to here when this frame was written.
    pub(super) durable: LogPosition,
}

/// The first eight bytes of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    word: u32,
    crc: u32,
}

/// What stands at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    Record(&'a [u8]),
    Control(Control),
    /// The buffer ends before the frame does; it needs so many bytes.
    Short(usize),
    /// No valid frame. A word of zero is one of these: whether it is the end of the data or a hole
    /// shows in what follows.
    Invalid,
}

impl Head {
    /// Reads the head at the front of `bytes`, which holds at least [`HEAD_BYTES`].
    pub(super) fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
        };
        Self { word: word(0), crc: word(4) }
    }

    /// Length of the body, if the word can be that of a frame.
    pub(super) fn body_bytes(self) -> Option<usize> {
        if self.word == CONTROL_WORD {
            return Some(CONTROL_BODY_BYTES);
        }
        usize::try_from(self.word).ok().filter(|bytes| (1..=BODY_BYTES_MAX).contains(bytes))
    }

    /// Whether it is that of a control frame.
    pub(super) fn is_control(self) -> bool {
        self.word == CONTROL_WORD
    }

    /// Whether the checksum is that of a body with the CRC32C `body_crc` at `at`.
    pub(super) fn matches(self, body_crc: u32, at: LogPosition) -> bool {
        frame_crc(body_crc, self.word, at) == self.crc
    }

    /// What a frame with this head and a body that matched it is.
    pub(super) fn interpret(self, body: &[u8]) -> Decoded<'_> {
        if self.word != CONTROL_WORD {
            return Decoded::Record(body);
        }
        let number = |at: usize| {
            u64::from_le_bytes(body[at..at + 8].try_into().expect("a slice of eight bytes"))
        };
        let kind = match body[16] {
            KIND_MARK => ControlKind::Mark,
            KIND_SEAL => ControlKind::Seal,
            _ => return Decoded::Invalid,
        };
        Decoded::Control(Control { kind, durable: LogPosition::new(number(0), number(8)) })
    }
}

/// Reads the frame at the front of `bytes`, which stands at `at` in the log.
pub(super) fn decode(bytes: &[u8], at: LogPosition) -> Decoded<'_> {
    if bytes.len() < HEAD_BYTES {
        return Decoded::Short(HEAD_BYTES);
    }
    let head = Head::read(bytes);
    let Some(body_bytes) = head.body_bytes() else {
        return Decoded::Invalid;
    };
    let end = HEAD_BYTES + body_bytes;
    if bytes.len() < end {
        return Decoded::Short(end);
    }
    let body = &bytes[HEAD_BYTES..end];
    if head.matches(crc32c::crc32c(body), at) { head.interpret(body) } else { Decoded::Invalid }
}

/// Writes the head of a record whose body has the length and CRC32C given.
pub(super) fn write_record_head(head: &mut [u8], body_bytes: usize, crc: u32, at: LogPosition) {
    let word = u32::try_from(body_bytes).expect("bodies are at most BODY_BYTES_MAX");
    write_head(head, word, crc, at);
}

/// A whole control frame for the position `at`.
pub(super) fn control_frame(control: Control, at: LogPosition) -> [u8; CONTROL_BYTES] {
    let mut frame = [0; CONTROL_BYTES];
    let (head, body) = frame.split_at_mut(HEAD_BYTES);
    body[0..8].copy_from_slice(&control.durable.segment.to_le_bytes());
    body[8..16].copy_from_slice(&control.durable.offset.to_le_bytes());
    // The kind stands last so that a frame never ends in zeros: see `damage::lost_sector`.
    body[16] = match control.kind {
        ControlKind::Mark => KIND_MARK,
        ControlKind::Seal => KIND_SEAL,
    };
    write_head(head, CONTROL_WORD, crc32c::crc32c(body), at);
    frame
}

fn write_head(head: &mut [u8], word: u32, body_crc: u32, at: LogPosition) {
    head[0..4].copy_from_slice(&word.to_le_bytes());
    head[4..8].copy_from_slice(&frame_crc(body_crc, word, at).to_le_bytes());
}

/// The body comes first, so that its part is computed before the position is known, outside of the
/// lock.
fn frame_crc(body_crc: u32, word: u32, at: LogPosition) -> u32 {
    let mut place = [0; 20];
    place[0..4].copy_from_slice(&word.to_le_bytes());
    place[4..12].copy_from_slice(&at.segment.to_le_bytes());
    place[12..20].copy_from_slice(&at.offset.to_le_bytes());
    crc32c::crc32c_append(body_crc, &place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8], at: LogPosition) -> Vec<u8> {
        let mut frame = vec![0; HEAD_BYTES];
        write_record_head(&mut frame, body.len(), crc32c::crc32c(body), at);
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn a_frame_is_valid_only_at_its_own_position() {
        let at = LogPosition::new(7, 4096);
        let frame = record(b"body", at);
        assert_eq!(decode(&frame, at), Decoded::Record(b"body"));
        assert_eq!(decode(&frame, LogPosition::new(7, 4097)), Decoded::Invalid);
        assert_eq!(decode(&frame, LogPosition::new(8, 4096)), Decoded::Invalid);
    }

    #[test]
    fn every_truncation_asks_for_more_and_every_bit_flip_is_noticed() {
        let at = LogPosition::new(1, 5000);
        let seal = Control { kind: ControlKind::Seal, durable: LogPosition::new(1, 4096) };
        for frame in [record(b"some bytes", at), control_frame(seal, at).to_vec()] {
            for length in 0..frame.len() {
                assert!(matches!(decode(&frame[..length], at), Decoded::Short(n) if n > length));
            }
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let decoded = decode(&flipped, at);
                assert!(matches!(decoded, Decoded::Invalid | Decoded::Short(_)), "bit {bit}");
            }
        }
    }

    #[test]
    fn control_frames_round_trip_and_never_end_in_zeros() {
        let at = LogPosition::new(2, 9000);
        for kind in [ControlKind::Mark, ControlKind::Seal] {
            let control = Control { kind, durable: LogPosition::new(1, 8000) };
            let frame = control_frame(control, at);
            assert_eq!(decode(&frame, at), Decoded::Control(control));
            assert_ne!(frame[CONTROL_BYTES - 1], 0);
        }
    }

    #[test]
    fn zeros_and_lying_lengths_are_no_frames() {
        let at = LogPosition::new(1, 4096);
        assert_eq!(decode(&[0; 64], at), Decoded::Invalid);
        assert_eq!(decode(&[0xff; 64], at), Decoded::Invalid);
    }
}
