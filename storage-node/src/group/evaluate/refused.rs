//! Why an operation was not executed.

use common::address::NameTooLong;
use common::failure::{Failure, FailureCode};
use common::limits::VALUE_BYTES_MAX;
use thiserror::Error;

use crate::engine::error::EngineError;

/// An operation that was not executed, and changed nothing.
#[derive(Debug, Error)]
pub enum Refused {
    /// The request is wrong for the present data, or in itself; the client is told.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The data could not be read: the group stops.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Refused {
    pub(super) fn is_hash() -> Self {
        Self::wrong_kind("the object is a hash, not a string")
    }

    pub(super) fn is_string() -> Self {
        Self::wrong_kind("the object is a string, not a hash")
    }

    fn wrong_kind(detail: &str) -> Self {
        Failure::new(FailureCode::WrongKind, detail).into()
    }

    pub(super) fn over_limit(what: &str, size: usize, max: usize) -> Self {
        Failure::new(FailureCode::OverLimit, format!("{what} {size}, max {max}")).into()
    }

    pub(super) fn not_integer() -> Self {
        Failure::new(FailureCode::NotInteger, "the value is not a 64-bit decimal integer").into()
    }

    pub(super) fn overflow(present: i64, delta: i64) -> Self {
        let detail = format!("adding {delta} to {present} leaves the range of 64 bits");
        Failure::new(FailureCode::Overflow, detail).into()
    }

    /// The operation belongs to another evaluator.
    pub(super) fn misdirected(wanted: &str) -> Self {
        Failure::new(FailureCode::Malformed, format!("the operation is not {wanted}")).into()
    }
}

impl From<NameTooLong> for Refused {
    fn from(name: NameTooLong) -> Self {
        Failure::new(FailureCode::OverLimit, name.to_string()).into()
    }
}

/// A value may have so many bytes.
pub(super) fn check_value(bytes: usize) -> Result<(), Refused> {
    if bytes > VALUE_BYTES_MAX {
        return Err(Refused::over_limit("bytes of the value:", bytes, VALUE_BYTES_MAX));
    }
    Ok(())
}
