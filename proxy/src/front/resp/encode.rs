//! Answers as bytes. Aggregates are written as a header and then their elements; a map has as many
//! pairs, and twice as many elements, as its header says.

use super::number::{push_i64, push_u64};

/// Which version of the protocol a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// The default of every new connection.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Proto {
    /// Its number in HELLO and CLIENT LIST.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// `+OK`, by far the most frequent simple string.
pub fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK\r\n");
}

/// A simple string, which must not contain a line end.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    out.push(b'+');
    out.extend_from_slice(text.as_bytes());
    end(out);
}

/// An error with its prefix. Line ends in it become spaces, as in Redis.
pub fn error(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'-');
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    end(out);
}

/// An integer.
pub fn integer(out: &mut Vec<u8>, value: i64) {
    out.push(b':');
    push_i64(out, value);
    end(out);
}

/// A bulk string.
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    end(out);
}

/// No value.
pub fn null(out: &mut Vec<u8>, proto: Proto) {
    out.extend_from_slice(match proto {
        Proto::Resp2 => b"$-1\r\n",
        Proto::Resp3 => b"_\r\n",
    });
}

/// A bulk string, or no value.
pub fn bulk_or_null(out: &mut Vec<u8>, proto: Proto, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => bulk(out, bytes),
        None => null(out, proto),
    }
}

/// Header of an array.
pub fn array(out: &mut Vec<u8>, elements: usize) {
    header(out, b'*', elements);
}

/// Header of a map.
pub fn map(out: &mut Vec<u8>, proto: Proto, pairs: usize) {
    match proto {
        Proto::Resp2 => header(out, b'*', 2 * pairs),
        Proto::Resp3 => header(out, b'%', pairs),
    }
}

/// Header of a set.
pub fn set(out: &mut Vec<u8>, proto: Proto, elements: usize) {
    match proto {
        Proto::Resp2 => header(out, b'*', elements),
        Proto::Resp3 => header(out, b'~', elements),
    }
}

/// A text for people.
pub fn verbatim(out: &mut Vec<u8>, proto: Proto, text: &str) {
    match proto {
        Proto::Resp2 => bulk(out, text.as_bytes()),
        Proto::Resp3 => {
            header(out, b'=', text.len() + 4);
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(text.as_bytes());
            end(out);
        }
    }
}

fn header(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    push_u64(out, count as u64);
    end(out);
}

fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn scalars_have_their_golden_bytes() {
        assert_eq!(written(ok), "+OK\r\n");
        assert_eq!(written(|out| simple(out, "PONG")), "+PONG\r\n");
        assert_eq!(written(|out| error(out, b"ERR a\r\nb")), "-ERR a  b\r\n");
        assert_eq!(written(|out| integer(out, i64::MIN)), ":-9223372036854775808\r\n");
        assert_eq!(written(|out| bulk(out, b"")), "$0\r\n\r\n");
        assert_eq!(written(|out| bulk(out, b"a\r\n")), "$3\r\na\r\n\r\n");
        assert_eq!(written(|out| bulk_or_null(out, Proto::Resp2, None)), "$-1\r\n");
        assert_eq!(written(|out| bulk_or_null(out, Proto::Resp3, None)), "_\r\n");
        assert_eq!(written(|out| bulk_or_null(out, Proto::Resp3, Some(b"x"))), "$1\r\nx\r\n");
    }

    #[test]
    fn what_resp2_lacks_is_written_as_its_nearest_type() {
        let both = |write: fn(&mut Vec<u8>, Proto)| {
            [Proto::Resp2, Proto::Resp3].map(|proto| written(|out| write(out, proto)))
        };
        assert_eq!(both(|out, proto| map(out, proto, 3)), ["*6\r\n", "%3\r\n"]);
        assert_eq!(both(|out, proto| set(out, proto, 3)), ["*3\r\n", "~3\r\n"]);
        assert_eq!(both(|out, _| array(out, 3)), ["*3\r\n", "*3\r\n"]);
        assert_eq!(
            both(|out, proto| verbatim(out, proto, "hi")),
            ["$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"]
        );
    }
}
