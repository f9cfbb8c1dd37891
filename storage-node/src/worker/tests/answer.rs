//! What a client was told, in the words of the tests.

use common::failure::FailureCode;
use common::reply::{Existed, Lookup, Reply, Written};
use common::wire::response;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// None was received.
    Nothing,
    /// A write was done; whether something was there before, if it looked.
    Written(Existed),
    /// A counter's new number.
    Number(Vec<u8>),
    /// A write found nothing to do.
    NotWritten,
    /// All writes of a batch were done.
    Batch(usize),
    /// A condition of a batch does not hold.
    Refused(u32),
    /// A value.
    Value(Vec<u8>),
    /// No value.
    Missing,
    /// So many objects.
    Count(u64),
    /// The names of a scan, sorted.
    Names(Vec<String>),
    /// It was not done, or nobody knows.
    Failed(FailureCode),
}

/// A blind write was done.
pub(super) const DONE: Answer = Answer::Written(Existed::Unknown);

/// A value.
pub(super) fn value(bytes: impl AsRef<[u8]>) -> Answer {
    Answer::Value(bytes.as_ref().to_vec())
}

/// The names of a scan.
pub(super) fn names<const N: usize>(names: [&str; N]) -> Answer {
    Answer::Names(names.map(str::to_owned).to_vec())
}

/// A counter's new number.
pub(super) fn number(number: i64) -> Answer {
    Answer::Number(number.to_string().into_bytes())
}

impl Answer {
    /// Reads a response body.
    pub(super) fn decode(body: &[u8]) -> Self {
        let reply = match response::decode(body).unwrap() {
            Ok(reply) => reply,
            Err(failure) => {
                assert!(!failure.detail.is_empty(), "a failure says where and why");
                return Self::Failed(failure.code);
            }
        };
        match reply {
            Reply::Lookup(Lookup::Found(found)) => Self::Value(found.value.to_vec()),
            Reply::Lookup(Lookup::Missing) => Self::Missing,
            Reply::Written(Written { applied: true, value: Some(value), .. }) => {
                Self::Number(value.to_vec())
            }
            Reply::Written(written) if written.applied => Self::Written(written.existed),
            Reply::Written(_) => Self::NotWritten,
            Reply::Batch(batch) => {
                batch.refused.map_or(Self::Batch(batch.written.len()), Self::Refused)
            }
            Reply::Count(count) => Self::Count(count),
            Reply::Scan(scan) => {
                let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
                let mut names: Vec<_> = scan.objects.iter().map(|o| text(o.name)).collect();
                names.sort();
                Self::Names(names)
            }
            other => panic!("no test asks for {other:?}"),
        }
    }
}
