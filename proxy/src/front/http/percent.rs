//! Percent-encoding of RFC 3986.

use std::fmt::Write as _;

/// A `%` without two hex digits behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadEscape;

/// Decodes `text`. In a query, `+` is a blank, as forms encode it.
pub(super) fn decode(text: &str, plus_is_blank: bool) -> Result<Vec<u8>, BadEscape> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        out.push(match byte {
            b'%' => {
                let (digits, behind) = rest.split_first_chunk::<2>().ok_or(BadEscape)?;
                rest = behind;
                let [upper, lower] = *digits;
                (hex(upper)? << 4) | hex(lower)?
            }
            b'+' if plus_is_blank => b' ',
            other => other,
        });
    }
    Ok(out)
}

fn hex(digit: u8) -> Result<u8, BadEscape> {
    let value = char::from(digit).to_digit(16).ok_or(BadEscape)?;
    u8::try_from(value).map_err(|_| BadEscape)
}

/// Appends `bytes`, all but unreserved characters encoded.
pub(super) fn encode(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plus_is_a_blank_in_queries_only() {
        assert_eq!(decode("a+b%2B%2f", true).unwrap(), b"a b+/");
        assert_eq!(decode("a+b", false).unwrap(), b"a+b");
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for text in ["%", "%4", "%zz", "a%+1", "%é"] {
            assert_eq!(decode(text, false), Err(BadEscape), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_survives(bytes in proptest::collection::vec(any::<u8>(), 0..60), query in any::<bool>()) {
            let mut text = String::new();
            encode(&mut text, &bytes);
            prop_assert_eq!(decode(&text, query).unwrap(), bytes);
        }
    }
}
