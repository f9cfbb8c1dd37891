//! What a client is told of a request (guarantees 1, design's table of outcomes). Pure.
//!
//! Unknown is what may have been applied: it was sent, and no attempt's answer said otherwise. It is
//! never reported as failed, and a read is never unknown. What was refused or never sent is not
//! applied.

use common::failure::{Class, Failure, FailureCode};
use common::ids::LogicGroup;

use crate::pool::requests::About;

/// Whether a node refuses for now: the same request may be answered a little later, or elsewhere.
pub(crate) fn is_retryable(code: FailureCode) -> bool {
    match code {
        // A node that does not know a group was left behind: views tell who leads it.
        FailureCode::NotLeader
        | FailureCode::NotYet
        | FailureCode::NoServer
        | FailureCode::UnknownGroup
        | FailureCode::Interrupted => true,
        FailureCode::WrongKind
        | FailureCode::OverLimit
        | FailureCode::NotInteger
        | FailureCode::Overflow
        | FailureCode::AcksTooWeak
        | FailureCode::WrongCluster
        | FailureCode::DeadlinePassed
        | FailureCode::Busy
        | FailureCode::DiskFull
        | FailureCode::Stopped
        | FailureCode::AcksShort
        | FailureCode::Unknown
        | FailureCode::Malformed => false,
    }
}

/// Whether an attempt that a node refused so may have been applied.
pub(crate) fn may_be_applied(about: &About, code: FailureCode) -> bool {
    !about.read && code.class() == Class::Unknown
}

/// Whether an attempt that got no answer may have been applied.
pub(crate) fn may_be_applied_unanswered(about: &About) -> bool {
    !about.read
}

/// A failure that ends a request. The last attempt's "not applied" says nothing of the attempts
/// before it.
pub(crate) fn definitive(about: &About, failure: Failure) -> Failure {
    match failure.code.class() {
        Class::NotApplied | Class::Stopped if about.maybe_applied => {
            Failure::new(FailureCode::Unknown, failure.detail)
        }
        Class::Unknown if about.read => Failure::new(FailureCode::NoServer, failure.detail),
        _ => failure,
    }
}

/// The client stops waiting. `servers` names the group and its servers, `reasons` says why each of
/// them did not serve.
pub(crate) fn at_deadline(about: &About, servers: &str, reasons: &str) -> Failure {
    let unanswered = about.sent.is_some();
    let (code, what) = if about.maybe_applied || (unanswered && !about.read) {
        (FailureCode::Unknown, "no answer in time")
    } else if unanswered {
        (FailureCode::NoServer, "no answer in time")
    } else {
        (FailureCode::NoServer, "no leader serves it")
    };
    Failure::new(code, format!("{servers}: {what}: {reasons}"))
}

/// A request that is not taken, because the worker keeps `kept` already, which is its limit.
pub(crate) fn too_much(group: LogicGroup, kept: &str) -> Failure {
    let text = format!(
        "{group}: too much waits for the nodes: {kept} are unanswered in a worker of this proxy; \
         `fdht status` shows which node does not answer, else send less at once"
    );
    Failure::new(FailureCode::Busy, text)
}

#[cfg(test)]
mod tests {
    use common::ids::Lane;

    use super::*;
    use crate::pool::nodes::{ConnectionKey, LaneClass};
    use crate::pool::requests::{LaneKey, Sent, Ticket};

    fn about(read: bool, sent: bool, maybe_applied: bool) -> About {
        let to = ConnectionKey { node: 1, lane_class: LaneClass::Worker(0) };
        About {
            ticket: Ticket { owner: 0, serial: 1, sequence: 1, part: 0, group: LogicGroup(12) },
            lane: LaneKey { lane: Lane::default(), large: false },
            deadline_ms: 0,
            read,
            sent: sent.then_some(Sent { to, at_ms: 0 }),
            maybe_applied,
        }
    }

    #[test]
    fn only_a_write_that_may_have_been_applied_is_unknown() {
        let code = |read, sent, maybe| at_deadline(&about(read, sent, maybe), "g", "r").code;
        assert_eq!(code(false, false, false), FailureCode::NoServer);
        assert_eq!(code(false, true, false), FailureCode::Unknown);
        assert_eq!(code(false, false, true), FailureCode::Unknown);
        assert_eq!(code(true, false, false), FailureCode::NoServer);
        assert_eq!(code(true, true, false), FailureCode::NoServer);
        assert!(may_be_applied(&about(false, true, false), FailureCode::Interrupted));
        assert!(!may_be_applied(&about(true, true, false), FailureCode::Interrupted));
        assert!(!may_be_applied(&about(false, true, false), FailureCode::NotLeader));
        let text = at_deadline(&about(false, false, false), "group 12 (a1, a2)", "a1: refused");
        assert_eq!(text.detail, "group 12 (a1, a2): no leader serves it: a1: refused");
    }

    #[test]
    fn a_refusal_of_the_last_attempt_does_not_undo_an_earlier_one() {
        let ends = |maybe, read, code| {
            definitive(&about(read, true, maybe), Failure::new(code, "why")).code
        };
        for code in [FailureCode::Busy, FailureCode::DiskFull, FailureCode::DeadlinePassed] {
            assert_eq!(ends(false, false, code), code);
            assert_eq!(ends(true, false, code), FailureCode::Unknown);
        }
        // The leader looked for an answer under the request id first.
        assert_eq!(ends(true, false, FailureCode::WrongKind), FailureCode::WrongKind);
        assert_eq!(ends(true, false, FailureCode::AcksShort), FailureCode::AcksShort);
        assert_eq!(ends(false, true, FailureCode::Unknown), FailureCode::NoServer);
    }
}
