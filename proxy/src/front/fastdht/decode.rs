//! Packages off the front of a connection's input. Nothing is allocated: a package borrows.

use thiserror::Error;

use crate::front::sniff::FASTDHT_PACKAGE_BYTES_END;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 19;
/// Longest package, header included, unless configured otherwise; the original's default.
pub const PACKAGE_BYTES_DEFAULT: usize = 256 << 10;
/// Longest package that may be configured.
pub const PACKAGE_BYTES_MAX: usize = FASTDHT_PACKAGE_BYTES_END - 1;

const _: () = assert!(PACKAGE_BYTES_DEFAULT <= PACKAGE_BYTES_MAX);

/// A request's header without its length and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client's idea of the key's hash code.
    pub key_hash: i32,
    /// The client's time in seconds; 0 when it does not tell.
    pub timestamp: i32,
    /// The expiry asked for.
    pub expires: i32,
    /// The command's code.
    pub command: u8,
    /// 0 asks to close the connection after the answer.
    pub keep_alive: u8,
}

/// One request as it stands in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// How many bytes it takes at the front of the input.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Why a connection has to be closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length is negative.
    #[error("the package length {0} is negative")]
    Negative(i32),
    /// The package is over the limit.
    #[error("a package of {bytes} bytes, max {max}; raise --fastdht-package-max")]
    OverLimit {
        /// Its bytes, header included.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// The package at the front of `input`, or `None` while it is incomplete. The length is judged as
/// soon as it has arrived.
///
/// # Errors
/// The connection is to be closed.
pub fn decode(input: &[u8], package_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((length, _)) = input.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let body_bytes = usize::try_from(length).map_err(|_| FrameError::Negative(length))?;
    let bytes = HEADER_BYTES + body_bytes;
    if bytes > package_max {
        return Err(FrameError::OverLimit { bytes, max: package_max });
    }
    let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    Ok(rest.get(..body_bytes).map(|body| Frame { header: header_of(header), body }))
}

fn header_of(bytes: &[u8; HEADER_BYTES]) -> Header {
    let [_, _, _, _, h0, h1, h2, h3, t0, t1, t2, t3, e0, e1, e2, e3, command, keep_alive, _] =
        *bytes;
    Header {
        key_hash: i32::from_be_bytes([h0, h1, h2, h3]),
        timestamp: i32::from_be_bytes([t0, t1, t2, t3]),
        expires: i32::from_be_bytes([e0, e1, e2, e3]),
        command,
        keep_alive,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn package(length: i32, body: &[u8]) -> Vec<u8> {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([0, 0, 0, 7, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 13, 1, 0]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_package_is_taken_when_its_last_byte_has_arrived() {
        let bytes = package(3, b"abcd");
        for cut in 0..HEADER_BYTES + 3 {
            assert_eq!(decode(&bytes[..cut], 1000), Ok(None), "{cut}");
        }
        let frame = decode(&bytes, 1000).unwrap().unwrap();
        assert_eq!((frame.body, frame.bytes()), (&b"abc"[..], 22));
        let header = Header { key_hash: 7, timestamp: 8, expires: -1, command: 13, keep_alive: 1 };
        assert_eq!(frame.header, header);
    }

    #[test]
    fn a_length_that_lies_is_refused_before_the_rest_arrives() {
        assert_eq!(decode(&[0xff; 4], 1000), Err(FrameError::Negative(-1)));
        assert_eq!(
            decode(&982_i32.to_be_bytes(), 1000),
            Err(FrameError::OverLimit { bytes: 1001, max: 1000 })
        );
        assert_eq!(decode(&981_i32.to_be_bytes(), 1000), Ok(None));
        assert!(decode(&i32::MAX.to_be_bytes(), PACKAGE_BYTES_MAX).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(Some(frame)) = decode(&bytes, 60) {
                prop_assert!(frame.bytes() <= bytes.len().min(60));
            }
        }
    }
}
