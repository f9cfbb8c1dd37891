//! What became of a request: an answer at once, or a call that waits for nodes.

use super::answer::HttpAnswer;
use super::object::ListObject;
use super::record::{GetRecord, WriteRequest};
use crate::front::call::{Answer, Submit};

/// A started request.
#[derive(Debug)]
pub enum HttpStarted {
    /// It is answered.
    Answered(HttpAnswer),
    /// Its operations were submitted.
    Waiting(HttpCall),
}

/// A request that waits for answers of nodes.
#[derive(Debug)]
pub struct HttpCall(Box<Waiting>);

#[derive(Debug)]
pub(super) enum Waiting {
    Get(GetRecord),
    Write(WriteRequest),
    List(ListObject),
}

impl HttpCall {
    pub(super) fn new(waiting: Waiting) -> Self {
        Self(Box::new(waiting))
    }

    /// Takes the answer to one operation; the request's answer when it is done.
    pub fn on_answer(
        &mut self,
        _part: u32,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
    ) -> Option<HttpAnswer> {
        let reply = match answer {
            Ok(reply) => reply,
            Err(failure) => return Some(HttpAnswer::of_failure(&failure)),
        };
        match &mut *self.0 {
            Waiting::Get(get) => get.on_reply(&reply, submit),
            Waiting::Write(write) => Some(write.on_reply(&reply)),
            Waiting::List(list) => list.on_reply(&reply, submit),
        }
    }
}
