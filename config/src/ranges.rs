//! Sets of logic groups as text: `0-8,12`.

use std::fmt::Write as _;

/// Why a text is no set of logic groups below a given count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    #[error("{0} is neither a number nor a range; write numbers and ranges such as \"0-8,12\"")]
    Syntax(String),
    #[error("the range {0}-{1} ends before it begins; swap its ends")]
    Reversed(u64, u64),
    #[error("logic group {0} does not exist; there are {1}, numbered 0-{last}", last = .1 - 1)]
    TooGreat(u64, u16),
}

/// Reads a comma-separated list of numbers and ranges below `count`, in the order written. The empty
/// text is the empty set.
pub(crate) fn parse_ranges(text: &str, count: u16) -> Result<Vec<(u16, u16)>, RangeError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|part| parse_range(part.trim(), count)).collect()
}

fn parse_range(part: &str, count: u16) -> Result<(u16, u16), RangeError> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = if digits { text.parse::<u64>().ok() } else { None };
        parsed.ok_or_else(|| RangeError::Syntax(crate::problem::quoted(part)))
    };
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (number(first.trim())?, number(last.trim())?),
        None => (number(part)?, number(part)?),
    };
    if first > last {
        return Err(RangeError::Reversed(first, last));
    }
    let below =
        |n: u64| u16::try_from(n).ok().filter(|n| *n < count).ok_or(RangeError::TooGreat(n, count));
    Ok((below(first)?, below(last)?))
}

/// Writes ascending numbers in the form that [`parse_ranges`] reads.
pub(crate) fn format_ranges(numbers: impl IntoIterator<Item = u16>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let mut text = String::new();
    for (first, last) in ranges {
        let comma = if text.is_empty() { "" } else { "," };
        let written = if first == last {
            write!(text, "{comma}{first}")
        } else {
            write!(text, "{comma}{first}-{last}")
        };
        written.expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written_back() {
        assert_eq!(parse_ranges("0-8,12", 61), Ok(vec![(0, 8), (12, 12)]));
        assert_eq!(parse_ranges(" 3 , 5 - 6 ", 61), Ok(vec![(3, 3), (5, 6)]));
        assert_eq!(parse_ranges("", 61), Ok(vec![]));
        assert_eq!(format_ranges([0, 1, 2, 3, 12, 14, 15]), "0-3,12,14-15");
        assert_eq!(format_ranges([]), "");
        assert_eq!(format_ranges([u16::MAX - 1, u16::MAX]), "65534-65535");
    }

    #[test]
    fn mistakes_are_told_apart() {
        let syntax = |text: &str| Err(RangeError::Syntax(format!("{text:?}")));
        assert_eq!(parse_ranges("0-", 61), syntax("0-"));
        assert_eq!(parse_ranges("1,,2", 61), syntax(""));
        assert_eq!(parse_ranges("+1", 61), syntax("+1"));
        assert_eq!(parse_ranges("1-2-3", 61), syntax("1-2-3"));
        assert_eq!(parse_ranges("9-3", 61), Err(RangeError::Reversed(9, 3)));
        assert_eq!(parse_ranges("0-61", 61), Err(RangeError::TooGreat(61, 61)));
        assert_eq!(parse_ranges("70000", 61), Err(RangeError::TooGreat(70_000, 61)));
        assert_eq!(
            RangeError::TooGreat(61, 61).to_string(),
            "logic group 61 does not exist; there are 61, numbered 0-60"
        );
    }
}
