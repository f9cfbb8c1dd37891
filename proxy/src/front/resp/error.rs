//! Error answers: what is wrong with a command, and what became of its operations.

use common::address::NameTooLong;
use common::failure::{Class, Failure, FailureCode};
use common::limits::VALUE_BYTES_MAX;
use thiserror::Error;

use super::encode;

/// Why a command was refused before anything was asked of a node. The text is the whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum CommandError {
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(String),
    #[error("ERR invalid expire time in '{0}' command")]
    Expire(String),
    #[error("ERR {0}")]
    TooLong(#[from] NameTooLong),
    #[error("ERR {0}")]
    Text(String),
    #[error("ERR {0}")]
    Fixed(&'static str),
    #[error("NOPROTO unsupported protocol version")]
    NoProto,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
}

/// Refuses a value that no node would store.
pub(super) fn check_value(value: &[u8]) -> Result<(), NameTooLong> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(NameTooLong { part: "value", bytes: value.len(), max: VALUE_BYTES_MAX });
    }
    Ok(())
}

/// Writes the answer of a command that failed on the way or on a node.
pub(super) fn failure(out: &mut Vec<u8>, failure: &Failure) {
    let detail = &failure.detail;
    let text = match failure.code {
        FailureCode::WrongKind => return wrong_kind(out),
        FailureCode::NotInteger => CommandError::NotInteger.to_string(),
        FailureCode::Overflow => "ERR increment or decrement would overflow".to_owned(),
        FailureCode::OverLimit => format!("ERR {detail}"),
        FailureCode::Malformed => format!("ERR internal: {detail}"),
        code => match code.class() {
            Class::Client => format!("ERR {detail}"),
            Class::NotApplied => format!("TRYAGAIN {detail}"),
            Class::Stopped => format!("MISCONF {detail}"),
            Class::AcksShort => format!("NOREPLICAS {detail}"),
            Class::Unknown => format!("UNKNOWN request may have been applied: {detail}"),
        },
    };
    encode::error(out, text.as_bytes());
}

/// Writes the answer to a string's command on a hash, or the other way round.
pub(super) fn wrong_kind(out: &mut Vec<u8>) {
    encode::error(out, b"WRONGTYPE Operation against a key holding the wrong kind of value");
}

/// The failure for a reply that does not belong to the operation: a bug on one side.
pub(super) fn unexpected() -> Failure {
    Failure::new(FailureCode::Malformed, "a node's reply does not fit the request")
}

/// Which of two failures of one command to report: the one that says less about what was applied.
pub(super) fn graver(one: Failure, other: Failure) -> Failure {
    let rank = |failure: &Failure| match failure.code.class() {
        Class::Unknown => 4,
        Class::AcksShort => 3,
        Class::Stopped => 2,
        Class::Client => 1,
        Class::NotApplied => 0,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_failure_has_its_prefix() {
        let text = |code| {
            let mut out = Vec::new();
            failure(&mut out, &Failure::new(code, "group 12 (a1): x"));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(FailureCode::NoServer), "-TRYAGAIN group 12 (a1): x\r\n");
        assert_eq!(text(FailureCode::Busy), "-TRYAGAIN group 12 (a1): x\r\n");
        assert_eq!(
            text(FailureCode::Unknown),
            "-UNKNOWN request may have been applied: group 12 (a1): x\r\n"
        );
        assert_eq!(text(FailureCode::AcksShort), "-NOREPLICAS group 12 (a1): x\r\n");
        assert_eq!(text(FailureCode::DiskFull), "-MISCONF group 12 (a1): x\r\n");
        assert_eq!(text(FailureCode::OverLimit), "-ERR group 12 (a1): x\r\n");
        assert_eq!(text(FailureCode::Malformed), "-ERR internal: group 12 (a1): x\r\n");
        assert_eq!(
            text(FailureCode::NotInteger),
            "-ERR value is not an integer or out of range\r\n"
        );
        assert_eq!(text(FailureCode::Overflow), "-ERR increment or decrement would overflow\r\n");
        assert_eq!(
            text(FailureCode::WrongKind),
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
        );
    }

    #[test]
    fn unknown_hides_not_applied_in_whatever_order_they_come() {
        let not_applied = Failure::new(FailureCode::NoServer, "");
        let unknown = Failure::new(FailureCode::Unknown, "");
        assert_eq!(graver(not_applied.clone(), unknown.clone()), unknown);
        assert_eq!(graver(unknown.clone(), not_applied), unknown);
    }
}
