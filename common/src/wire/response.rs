//! The body of a response frame: a reply or a failure.
//!
//! ```text
//! outcome u8: 0 | reply
//!         or: failure code u8 (not 0) | detail u16+text | view, behind some codes
//! view:   present u8 | if present: epoch u64 | count u8 | count x (node u32, since-epoch u64)
//! ```
//!
//! The codes with a view are those of [`FailureCode::names_view`].

use crate::codec::{DecodeError, Put, Reader};
use crate::failure::{Failure, FailureCode};
use crate::ids::{Epoch, NodeId};
use crate::limits::SERVERS_PER_GROUP_MAX;
use crate::reply::Reply;
use crate::view::GroupView;
use crate::wire::reply;

/// The outcome of an operation that was executed: its reply follows.
pub const OUTCOME_REPLY: u8 = 0;

/// Appends the response to an operation that was executed.
pub fn encode_reply(out: &mut Vec<u8>, value: &Reply<'_>) {
    out.put_u8(OUTCOME_REPLY);
    reply::encode(out, value);
}

/// Appends the response to an operation that was not. A longer text is cut at
/// [`DETAIL_BYTES_MAX`](crate::limits::DETAIL_BYTES_MAX).
pub fn encode_failure(out: &mut Vec<u8>, failure: &Failure) {
    out.put_u8(failure.code.as_u8());
    out.put_detail(&failure.detail);
    if failure.code.names_view() {
        put_view(out, failure.view.as_deref());
    }
}

fn put_view(out: &mut Vec<u8>, view: Option<&GroupView>) {
    out.put_bool(view.is_some());
    let Some(view) = view else { return };
    out.put_u64(view.epoch.0);
    out.put_len8(view.leaders.len());
    for (node, since) in &view.leaders {
        out.put_u32(node.0);
        out.put_u64(since.0);
    }
}

fn take_view(reader: &mut Reader<'_>) -> Result<Option<Box<GroupView>>, DecodeError> {
    if !reader.bool("view given")? {
        return Ok(None);
    }
    let epoch = Epoch(reader.u64("view epoch")?);
    let leaders = reader.list8("leader count", SERVERS_PER_GROUP_MAX, |reader| {
        Ok((NodeId(reader.u32("leader")?), Epoch(reader.u64("since-epoch")?)))
    })?;
    Ok(Some(Box::new(GroupView { epoch, leaders })))
}

/// Reads a whole response body.
///
/// # Errors
/// The bytes are no response of this version.
pub fn decode(body: &[u8]) -> Result<Result<Reply<'_>, Failure>, DecodeError> {
    let mut reader = Reader::new(body);
    let code = reader.u8("outcome")?;
    if code == OUTCOME_REPLY {
        return reply::decode(reader.rest()).map(Ok);
    }
    let code =
        FailureCode::from_u8(code).ok_or(DecodeError::Unknown("outcome", u64::from(code)))?;
    let detail = String::from_utf8_lossy(reader.bytes16("detail")?).into_owned();
    let view = if code.names_view() { take_view(&mut reader)? } else { None };
    reader.end()?;
    Ok(Err(Failure { code, detail, view }))
}
