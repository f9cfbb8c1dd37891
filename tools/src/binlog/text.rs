//! Names, times and expiries as people read them.

use std::time::{Duration, UNIX_EPOCH};

use common::version::Hlc;

use super::format::LogPosition;

/// The first millisecond of the year 10000, which RFC 3339 has no form for.
const RFC_3339_MS_END: u64 = 253_402_300_800_000;

/// `segment:offset`, as `--from` takes it.
pub(super) fn position(at: LogPosition) -> String {
    format!("{}:{}", at.segment, at.offset)
}

/// Bytes in quotes: UTF-8 as text, with what does not print escaped; other bytes as `\xff`.
pub(super) fn quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// Milliseconds since 1970 in RFC 3339.
pub(super) fn time(ms: u64) -> String {
    if ms >= RFC_3339_MS_END {
        return format!("{ms}ms");
    }
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// A hybrid time: RFC 3339, and behind it the counter if it is not 0.
pub(super) fn hlc(hlc: Hlc) -> String {
    let mut text = time(hlc.ms());
    let counter = counter(hlc);
    if counter > 0 {
        text.push_str(&format!("+{counter}"));
    }
    text
}

/// The part of a hybrid time that tells apart what happened in one millisecond.
pub(super) fn counter(hlc: Hlc) -> u64 {
    hlc.0 - Hlc::from_ms(hlc.ms()).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_in_one_line() {
        assert_eq!(quoted("größe".as_bytes()), "\"größe\"");
        assert_eq!(quoted(b"a\"b\\\n\x1b\0"), "\"a\\\"b\\\\\\n\\u{1b}\\0\"");
        assert_eq!(quoted(&[0xff, b'a', b'"', 0]), "\"\\xffa\\\"\\x00\"");
    }

    #[test]
    fn every_time_has_a_text() {
        assert_eq!(hlc(Hlc::from_ms(1_767_323_045_678)), "2026-01-02T03:04:05.678Z");
        assert_eq!(hlc(Hlc(Hlc::from_ms(1_767_323_045_678).0 + 7)), "2026-01-02T03:04:05.678Z+7");
        assert_eq!(time(RFC_3339_MS_END - 1), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(RFC_3339_MS_END), "253402300800000ms");
        assert_eq!(time(u64::MAX), "18446744073709551615ms");
    }
}
