//! The original FastDHT's binary protocol, as its clients speak it.
//!
//! All integers are big-endian two's complement. Requests and answers begin with the same 19 bytes:
//!
//! ```text
//! offset  0  pkg_len        i32  bytes of the body behind the header
//!         4  key_hash_code  i32  ignored for routing, echoed
//!         8  timestamp      i32  the sender's time in seconds, 0: not told
//!        12  expires        i32  see `expiry`
//!        16  cmd            u8   answers: 40
//!        17  keep_alive     u8   0: close after the answer; echoed
//!        18  status         u8   0, or a Linux errno number; then the body is empty
//! ```
//!
//! A package over the limit, or with a negative length, closes the connection without an answer; any
//! other mistake is answered with status 22 and the connection goes on. What differs from the
//! original stands in `docs/FASTDHT.md`.

mod batch_read;
mod batch_write;
mod call;
mod decode;
mod encode;
mod expiry;
mod names;
pub(in crate::front) mod parts;
mod read;
mod request;
mod session;
mod stat;
mod status;
mod sub_keys;

#[cfg(test)]
pub(in crate::front) mod model;
#[cfg(test)]
mod tests;

pub use call::FastDhtCall;
pub use decode::{
    Frame, FrameError, HEADER_BYTES, Header, PACKAGE_BYTES_DEFAULT, PACKAGE_BYTES_MAX, decode,
};
pub use session::FastDhtSession;
pub use stat::{Counter, Counters, Stat, StatSource};
