//! Sizes and times with a unit, such as `80MiB` and `5s`: in the topology file and in flags.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// The units, largest first.
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// How a size is written, for messages.
pub(crate) const SIZE_EXAMPLE: &str =
    "write a whole number and KiB, MiB, GiB or TiB, such as 80MiB";

/// Longest time that a flag takes: what clocks count is not endless.
const TIME_MAX: Duration = Duration::from_hours(366 * 24);

/// Reads a time that a flag takes, such as `500ms`, `5s` or `24h`, of a year at most.
///
/// # Errors
/// What is wrong with it.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time > TIME_MAX {
        return Err("longer than 366 days".into());
    }
    Ok(time)
}

/// A number of bytes that reads and prints itself with a unit: what flags take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{SIZE_EXAMPLE}")]
pub struct BadSize;

impl FromStr for Size {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        parse_size(text).map(Self).ok_or(BadSize)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_size(self.0))
    }
}

/// Reads a size in bytes: a decimal number, directly followed by a unit.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) =
        UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Writes a size in the largest unit that needs no fraction.
pub(crate) fn format_size(bytes: u64) -> String {
    for (unit, shift) in UNITS {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_with_their_unit() {
        for (text, bytes) in [("80MiB", 80 << 20), ("1KiB", 1 << 10), ("3GiB", 3 << 30)] {
            assert_eq!(parse_size(text), Some(bytes));
            assert_eq!(format_size(bytes), text);
        }
        assert_eq!(format_size(1_000), "1000B");
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(parse_time("1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_time("366days"), Ok(TIME_MAX));
        assert!(parse_time("367days").unwrap_err().contains("366 days"));
        assert!(parse_time("500000000000years").unwrap_err().contains("366 days"));
        for text in ["", "5", "-5s", "5 parsecs"] {
            assert!(parse_time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in
            ["", "80", "MiB", "80 MiB", "80MB", "80mib", "-1MiB", "+1MiB", "1.5GiB", "99999999TiB"]
        {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }
}
