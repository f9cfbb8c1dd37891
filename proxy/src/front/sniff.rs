//! Which protocol a connection speaks, from its first bytes. Decided once per connection.
//!
//! | first bytes | protocol |
//! |---|---|
//! | 0x00, 0x01, 0x80 ..= 0xff | FastDHT: the upper byte of its package length, or of a negative one |
//! | 0x16 | TLS |
//! | `*` | RESP |
//! | a line `METHOD SP target SP HTTP/1.x` | HTTP |
//! | a line `PRI * HTTP/2.0` | HTTP/2, answered with 505 |
//! | any other line | RESP inline commands |
//!
//! So a FastDHT package is shorter than 32 MiB ([`FASTDHT_PACKAGE_BYTES_END`]). More bytes never
//! change a decision.

/// A FastDHT package of this many bytes or more would begin with a byte that means something else.
pub const FASTDHT_PACKAGE_BYTES_END: usize = 0x0200_0000;
/// A first line that is not complete after this many bytes is refused.
pub const FIRST_LINE_BYTES_MAX: usize = 8 << 10;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// RESP, arrays or inline.
    Resp,
    /// The original FastDHT's protocol.
    FastDht,
    /// HTTP/1.0 or HTTP/1.1.
    Http,
    /// The preface of HTTP/2, which is not spoken here.
    Http2,
    /// A TLS handshake.
    Tls,
    /// More bytes are needed.
    Undecided,
    /// The first line does not end within [`FIRST_LINE_BYTES_MAX`].
    TooLong,
}

/// Looks at everything that has arrived since the connection was opened.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Sniff {
    match bytes.first() {
        None => Sniff::Undecided,
        Some(0x00..=0x01 | 0x80..=0xff) => Sniff::FastDht,
        Some(0x16) => Sniff::Tls,
        Some(b'*') => Sniff::Resp,
        Some(_) => by_line(bytes),
    }
}

fn by_line(bytes: &[u8]) -> Sniff {
    let looked_at = bytes.get(..FIRST_LINE_BYTES_MAX).unwrap_or(bytes);
    match looked_at.iter().position(|&byte| byte == b'\n') {
        Some(end) => {
            let line = looked_at.get(..end).unwrap_or(looked_at);
            of_line(line.strip_suffix(b"\r").unwrap_or(line))
        }
        None if bytes.len() >= FIRST_LINE_BYTES_MAX => Sniff::TooLong,
        None => Sniff::Undecided,
    }
}

fn of_line(line: &[u8]) -> Sniff {
    if line == b"PRI * HTTP/2.0" {
        return Sniff::Http2;
    }
    let mut words = line.split(|&byte| byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    match (method, target, version, words.next()) {
        (
            Some(method),
            Some(target),
            Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor]),
            None,
        ) if is_token(method) && !target.is_empty() && minor.is_ascii_digit() => Sniff::Http,
        _ => Sniff::Resp,
    }
}

/// A token of RFC 9110, section 5.6.2.
fn is_token(word: &[u8]) -> bool {
    !word.is_empty()
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_byte_decides_for_binary_protocols_and_resp_arrays() {
        assert_eq!(sniff(b""), Sniff::Undecided);
        for byte in [0x00, 0x01, 0x80, 0xff] {
            assert_eq!(sniff(&[byte]), Sniff::FastDht);
        }
        assert_eq!(sniff(&[0x16]), Sniff::Tls);
        assert_eq!(sniff(b"*"), Sniff::Resp);
        assert_eq!(FASTDHT_PACKAGE_BYTES_END, 32 << 20);
    }

    #[test]
    fn the_first_line_tells_http_from_inline_commands() {
        assert_eq!(sniff(b"GET /v1/kv/a/b HTTP/1.1\r\nHost: x\r\n"), Sniff::Http);
        assert_eq!(sniff(b"DELETE /x HTTP/1.0\n"), Sniff::Http);
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Sniff::Http2);
        for inline in
            ["PING\r\n", "\r\n", "GET  HTTP/1.1\r\n", "SET a HTTP/2.0\n", "G(T / HTTP/1.1\n"]
        {
            assert_eq!(sniff(inline.as_bytes()), Sniff::Resp, "{inline:?}");
        }
        assert_eq!(sniff(b"GET / HTTP/1.1 x\r\n"), Sniff::Resp);
        assert_eq!(sniff(b"GET / HTTP/1.1"), Sniff::Undecided);
    }

    #[test]
    fn a_first_line_without_end_is_refused() {
        let mut bytes = vec![b'a'; FIRST_LINE_BYTES_MAX - 1];
        assert_eq!(sniff(&bytes), Sniff::Undecided);
        bytes.extend_from_slice(b"a\n");
        assert_eq!(sniff(&bytes), Sniff::TooLong);
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_a_decision(bytes in proptest::collection::vec(any::<u8>(), 0..200),
                                              end in any::<bool>(), cut in 0usize..200) {
            let mut bytes = bytes;
            if end { bytes.push(b'\n'); }
            let prefix = sniff(&bytes[..cut.min(bytes.len())]);
            prop_assert!(prefix == Sniff::Undecided || prefix == sniff(&bytes));
        }
    }
}
