//! Base64 with the standard alphabet and padding, for the parts of a record that are not UTF-8.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text is not base64.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Base64Error {
    /// The length is not a multiple of four.
    #[error("base64 text must have a multiple of 4 characters")]
    Length,
    /// A character outside of the alphabet, or padding in the middle.
    #[error("base64 text has an unexpected character at position {0}")]
    Character(usize),
}

/// `bytes` as base64 text.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for sextet in 0..4 {
            let index = (bits >> (18 - 6 * sextet)) & 63;
            // A chunk of n bytes has n + 1 characters.
            let used = sextet <= chunk.len();
            text.push(if used { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    text
}

/// The bytes behind base64 text.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return Err(Base64Error::Length);
    }
    let padding = text.iter().rev().take(2).take_while(|c| **c == b'=').count();
    let digits = &text[..text.len() - padding];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for (chunk_index, chunk) in digits.chunks(4).enumerate() {
        let mut bits = 0_u32;
        for at in 0..4 {
            let sextet = match chunk.get(at) {
                Some(c) => sextet(*c).ok_or(Base64Error::Character(chunk_index * 4 + at))?,
                None => 0,
            };
            bits = bits << 6 | sextet;
        }
        let [_, whole @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&whole[..chunk.len() - 1]);
    }
    Ok(bytes)
}

fn sextet(c: u8) -> Option<u32> {
    let index = match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn every_byte_survives() {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        assert_eq!(decode("Zg="), Err(Base64Error::Length));
        assert_eq!(decode("Zg==Zg=="), Err(Base64Error::Character(2)));
        assert_eq!(decode("Z==="), Err(Base64Error::Character(1)));
        assert_eq!(decode("Zm9!"), Err(Base64Error::Character(3)));
    }
}
