//! The body of a response frame: a reply or a failure.
//!
//! ```text
//! outcome u8: 0 | reply
//!         or: failure code u8 (not 0) | detail u16+text
//! ```

use crate::codec::{DecodeError, Put, Reader};
use crate::failure::{Failure, FailureCode};
use crate::reply::Reply;
use crate::wire::reply;

/// Appends the response to an operation that was executed.
pub fn encode_reply(out: &mut Vec<u8>, value: &Reply<'_>) {
    out.put_u8(0);
    reply::encode(out, value);
}

/// Appends the response to an operation that was not. A longer text is cut at
/// [`DETAIL_BYTES_MAX`](crate::limits::DETAIL_BYTES_MAX).
pub fn encode_failure(out: &mut Vec<u8>, failure: &Failure) {
    out.put_u8(failure.code.as_u8());
    out.put_detail(&failure.detail);
}

/// Reads a whole response body.
///
/// # Errors
/// The bytes are no response of this version.
pub fn decode(body: &[u8]) -> Result<Result<Reply<'_>, Failure>, DecodeError> {
    let mut reader = Reader::new(body);
    let code = reader.u8("outcome")?;
    if code == 0 {
        return reply::decode(reader.rest()).map(Ok);
    }
    let code =
        FailureCode::from_u8(code).ok_or(DecodeError::Unknown("outcome", u64::from(code)))?;
    let detail = String::from_utf8_lossy(reader.bytes16("detail")?).into_owned();
    reader.end()?;
    Ok(Err(Failure { code, detail }))
}
