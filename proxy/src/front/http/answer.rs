//! Answers, and the table of what happened: status and code of every error.

use common::failure::{Failure, FailureCode};
use serde::Serialize;

/// After how many seconds a client may ask again when nothing was applied.
const RETRY_AFTER_SECONDS: &str = "1";

/// One answer. The driver adds `Content-Length` where it does not stand here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    code: &'a str,
}

impl HttpAnswer {
    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// An answer with a body of this type.
    pub(super) fn of_body(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("Content-Type", content_type.to_owned())], body }
    }

    /// An answer with a JSON body.
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("maps with text keys are always JSON");
        Self::of_body(status, "application/json", body)
    }

    /// An error: what was wrong, for people, and its kind, for programs.
    pub(super) fn error(status: u16, code: &str, error: &str) -> Self {
        Self::json(status, &ErrorBody { error, code })
    }

    /// A request that cannot be understood.
    pub(crate) fn bad_request(error: &str) -> Self {
        Self::error(400, "bad_request", error)
    }

    /// Nothing stands at the address.
    pub(super) fn missing(what: &str) -> Self {
        Self::error(404, "missing", &format!("{what} does not exist"))
    }

    /// The object is of the other kind.
    pub(super) fn wrong_kind(error: &str) -> Self {
        Self::error(409, "wrong_kind", error)
    }

    /// `If-Match` or `If-None-Match` did not hold.
    pub(super) fn precondition_failed(what: &str) -> Self {
        Self::error(412, "precondition_failed", &format!("{what} is not as the request expects it"))
    }

    /// A name, a value or a number is too large.
    pub(crate) fn over_limit(error: &str) -> Self {
        Self::error(413, "over_limit", error)
    }

    /// The proxy's buffers are full; nothing was applied.
    pub(crate) fn busy() -> Self {
        Self::error(503, "not_applied", "the proxy's buffers are full; try again")
            .with("Retry-After", RETRY_AFTER_SECONDS)
    }

    /// The proxy is stopping; nothing was applied.
    pub(crate) fn stopping() -> Self {
        Self::error(503, "not_applied", "the proxy is stopping; use another one")
            .with("Retry-After", RETRY_AFTER_SECONDS)
    }

    /// A node answered something else than it was asked: a bug.
    pub(crate) fn unexpected() -> Self {
        Self::error(500, "internal", "a node answered with another kind of reply")
    }

    /// What happened to an operation that was not answered with a reply.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        let (status, code) = match failure.code {
            FailureCode::WrongKind => (409, "wrong_kind"),
            FailureCode::OverLimit => (413, "over_limit"),
            FailureCode::NotInteger | FailureCode::Overflow | FailureCode::AcksTooWeak => {
                (400, "bad_request")
            }
            FailureCode::Malformed => (500, "internal"),
            FailureCode::NotLeader
            | FailureCode::NotYet
            | FailureCode::WrongCluster
            | FailureCode::UnknownGroup
            | FailureCode::DeadlinePassed
            | FailureCode::NoServer
            | FailureCode::Busy => (503, "not_applied"),
            FailureCode::DiskFull => (507, "disk_full"),
            FailureCode::Stopped => (507, "stopped"),
            FailureCode::AcksShort => (504, "acks_short"),
            FailureCode::Unknown | FailureCode::Interrupted => (504, "unknown"),
        };
        let answer = Self::error(status, code, &failure.detail);
        if status == 503 {
            return answer.with("Retry-After", RETRY_AFTER_SECONDS);
        }
        answer
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
