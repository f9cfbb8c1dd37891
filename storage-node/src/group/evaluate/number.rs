//! Values that are decimal numbers.

use std::io::Write as _;

use common::op::AddStyle;

use super::refused::Refused;

/// Longest value that the original server could read as a number, in bytes.
const LENIENT_BYTES_MAX: usize = 27;
/// Length of the longest 64-bit integer: `-9223372036854775808`.
const TEXT_BYTES_MAX: usize = 20;

/// The number after adding `delta` to the number that `present` spells; nothing counts as 0.
pub(super) fn add(present: Option<&[u8]>, delta: i64, style: AddStyle) -> Result<i64, Refused> {
    match (present, style) {
        (None, _) => Ok(delta),
        (Some(text), AddStyle::Strict) => {
            let number = strict(text).ok_or_else(Refused::not_integer)?;
            number.checked_add(delta).ok_or_else(|| Refused::overflow(number, delta))
        }
        (Some(text), AddStyle::Lenient) => Ok(lenient(text).wrapping_add(delta)),
    }
}

/// As Redis reads integers: the one spelling that the number itself would be written with.
fn strict(text: &[u8]) -> Option<i64> {
    if text == b"0" {
        return Some(0);
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !matches!(digits.first(), Some(b'1'..=b'9')) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// As the original server: C's `strtoll`, which stops at the first strange byte and at the ends of
/// the 64-bit range; a value too long for its buffer counts as 0.
fn lenient(text: &[u8]) -> i64 {
    if text.len() > LENIENT_BYTES_MAX {
        return 0;
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let blanks = text.iter().take_while(|byte| is_blank(byte)).count();
    let (negative, digits) = match text.get(blanks..).unwrap_or_default() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    (digits.iter().map_while(|byte| char::from(*byte).to_digit(10))).fold(0i64, |number, digit| {
        let shifted = number.saturating_mul(10);
        let digit = i64::from(digit);
        if negative { shifted.saturating_sub(digit) } else { shifted.saturating_add(digit) }
    })
}

/// A number's decimal text, without an allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl Decimal {
    pub(super) fn of(number: i64) -> Self {
        let mut bytes = [0; TEXT_BYTES_MAX];
        let mut rest = bytes.as_mut_slice();
        write!(rest, "{number}").expect("the buffer holds every 64-bit integer");
        let length = TEXT_BYTES_MAX - rest.len();
        Self { bytes, length }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).expect("the length was measured in the buffer")
    }
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;

    use super::*;

    #[test]
    fn strict_takes_only_the_spelling_of_redis() {
        let good: [(&[u8], i64); 7] = [
            (b"0", 0),
            (b"7", 7),
            (b"-7", -7),
            (b"10", 10),
            (b"9223372036854775807", i64::MAX),
            (b"-9223372036854775808", i64::MIN),
            (b"1000000000000000000", 1_000_000_000_000_000_000),
        ];
        for (text, number) in good {
            assert_eq!(strict(text), Some(number), "{text:?}");
        }
        let bad: [&[u8]; 13] = [
            b"",
            b"-",
            b"-0",
            b"+1",
            b"01",
            b"-01",
            b" 1",
            b"1 ",
            b"1.5",
            b"0x10",
            b"12abc",
            b"9223372036854775808",
            b"-9223372036854775809",
        ];
        for text in bad {
            assert_eq!(strict(text), None, "{text:?}");
        }
    }

    #[test]
    fn lenient_reads_what_strtoll_reads() {
        let table: [(&[u8], i64); 14] = [
            (b"", 0),
            (b"12abc", 12),
            (b"value-1", 0),
            (b" \t\n\x0b\x0c\r-5x", -5),
            (b"+5", 5),
            (b"+-5", 0),
            (b"- 5", 0),
            (b"007", 7),
            (b"1\x002", 1),
            (b"99999999999999999999", i64::MAX),
            (b"-99999999999999999999", i64::MIN),
            (b"-9223372036854775808", i64::MIN),
            (b"000000000000000000000000027", 27),
            (b"0000000000000000000000000028", 0),
        ];
        for (text, number) in table {
            assert_eq!(lenient(text), number, "{text:?}");
        }
    }

    #[test]
    fn overflow_is_refused_or_wraps() {
        let max: &[u8] = b"9223372036854775807";
        let refused = add(Some(max), 1, AddStyle::Strict);
        let Err(Refused::Failure(failure)) = refused else { panic!("{refused:?}") };
        assert_eq!(failure.code, FailureCode::Overflow);
        assert_eq!(add(Some(max), 1, AddStyle::Lenient).unwrap(), i64::MIN);
        assert_eq!(add(None, i64::MIN, AddStyle::Strict).unwrap(), i64::MIN);
    }

    #[test]
    fn decimals_are_spelled_whole() {
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
