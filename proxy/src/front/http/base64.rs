//! Base64 of RFC 4648 with padding, for bytes that are not text.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes`.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        let [a, b, c] = group.map(u32::from);
        let bits = (a << 16) | (b << 8) | c;
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let symbol = ALPHABET.get(((bits >> shift) & 63) as usize);
            // A chunk of n bytes fills n + 1 symbols.
            let symbol = symbol.filter(|_| place <= chunk.len()).unwrap_or(&b'=');
            out.push(char::from(*symbol));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_hold() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in examples {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(encode(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
