//! One connection to a node as the pool sees it: its state, what waits to be written, what waits to
//! be answered.

use std::collections::VecDeque;

use common::failure::{Failure, FailureCode};
use common::ids::LogicGroup;
use common::wire::frame;
use rt::out_buffer::OutBuffer;

use crate::pool::in_flight::{InFlight, Ticket, Unanswered};

/// Most bytes of requests that wait for a connection to be made.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Most bytes of requests that wait for the node to read them.
const UNSENT_BYTES_MAX: usize = 128 << 20;

/// Whether a connection is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// The first attempt is under way.
    Connecting,
    /// Requests flow.
    Up,
    /// The last attempt failed or the connection broke; another attempt follows.
    Down {
        /// What happened.
        error: String,
    },
}

/// A connection and its requests. Between connections requests wait in `waiting`; only what was
/// moved to `out` may have reached the node.
#[derive(Debug)]
pub(crate) struct Connection {
    state: LinkState,
    in_flight: InFlight,
    /// Frames under their ids. Some may have been given up since.
    waiting: VecDeque<(u64, Vec<u8>)>,
    waiting_bytes: usize,
    out: OutBuffer,
    scratch: Vec<u8>,
}

/// A request that never left, on its way to another connection.
pub(crate) struct Moved {
    lost: Unanswered,
    frame: Vec<u8>,
}

impl Moved {
    pub(crate) fn group(&self) -> LogicGroup {
        self.lost.ticket.group
    }
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self {
            state: LinkState::Connecting,
            in_flight: InFlight::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            out: OutBuffer::default(),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> &LinkState {
        &self.state
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Takes a request whose frame `encode` writes under the id it is given.
    ///
    /// # Errors
    /// Too many bytes wait already; nothing was taken.
    pub(crate) fn send(
        &mut self,
        ticket: Ticket,
        deadline_ms: u64,
        read: bool,
        encode: impl FnOnce(u64, &mut Vec<u8>),
    ) -> Result<(), Failure> {
        let up = self.state == LinkState::Up;
        if up && self.out.unsent().len() > UNSENT_BYTES_MAX {
            return Err(Failure::new(FailureCode::Busy, "the node reads too slowly"));
        }
        if !up && self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(Failure::new(FailureCode::Busy, self.down_reason()));
        }
        let id = self.in_flight.add(ticket, deadline_ms, read, up);
        if up {
            encode(id, self.out.end());
        } else {
            self.scratch.clear();
            encode(id, &mut self.scratch);
            let frame = self.scratch.clone();
            self.wait(id, frame);
        }
        Ok(())
    }

    fn wait(&mut self, id: u64, frame: Vec<u8>) {
        self.waiting_bytes += frame.len();
        self.waiting.push_back((id, frame));
    }

    /// Takes out the waiting requests of some groups.
    pub(crate) fn take_waiting(&mut self, wanted: impl Fn(LogicGroup) -> bool) -> Vec<Moved> {
        let mut moved = Vec::new();
        for (id, frame) in std::mem::take(&mut self.waiting) {
            match self.in_flight.give_up(id) {
                Some(lost) if wanted(lost.ticket.group) => moved.push(Moved { lost, frame }),
                Some(lost) => self.take_over(Moved { lost, frame }),
                None => {}
            }
        }
        self.waiting_bytes = self.waiting.iter().map(|(_, frame)| frame.len()).sum();
        moved
    }

    /// Lets a request wait here that waited on another connection.
    pub(crate) fn take_over(&mut self, moved: Moved) {
        let Moved { lost, mut frame } = moved;
        let id = self.in_flight.add(lost.ticket, lost.deadline_ms, lost.read, false);
        frame::set_id(&mut frame, id);
        self.wait(id, frame);
    }

    /// Puts a frame that nobody waits for between the requests, if there is a connection.
    pub(crate) fn tell(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.state == LinkState::Up {
            encode(self.out.end());
        }
    }

    /// The connection is made: what waited and was not given up goes out. `refresh` brings
    /// a frame's times up to date, given the milliseconds that remain.
    pub(crate) fn on_up(&mut self, now_ms: u64, refresh: impl Fn(&mut [u8], u64)) {
        self.state = LinkState::Up;
        self.out.clear();
        self.waiting_bytes = 0;
        for (id, mut frame) in self.waiting.drain(..) {
            if let Some(deadline_ms) = self.in_flight.on_sent(id) {
                refresh(&mut frame, deadline_ms.saturating_sub(now_ms));
                self.out.end().extend_from_slice(&frame);
            }
        }
    }

    /// The connection broke or was not made. What may have reached the node is given up; what only
    /// waited goes on waiting for the next attempt.
    pub(crate) fn on_down(&mut self, error: String, given_up: &mut Vec<(Ticket, Failure)>) {
        self.out.clear();
        let mut lost = Vec::new();
        self.in_flight.give_up_sent(&mut lost);
        given_up.extend(lost.into_iter().map(|lost| (lost.ticket, after_sending(lost, &error))));
        self.state = LinkState::Down { error };
    }

    /// Gives up the requests whose clients stop waiting.
    pub(crate) fn expire(&mut self, now_ms: u64, given_up: &mut Vec<(Ticket, Failure)>) {
        let mut expired = Vec::new();
        self.in_flight.expire(now_ms, &mut expired);
        if expired.iter().any(|lost| !lost.sent) {
            let in_flight = &self.in_flight;
            self.waiting.retain(|(id, _)| in_flight.holds(*id));
            self.waiting_bytes = self.waiting.iter().map(|(_, frame)| frame.len()).sum();
        }
        for lost in expired {
            let failure = if lost.sent {
                after_sending(lost, "no answer in time")
            } else {
                Failure::new(FailureCode::NoServer, self.down_reason())
            };
            given_up.push((lost.ticket, failure));
        }
    }

    /// Whose answer this is; `None` if it was given up.
    pub(crate) fn on_answer(&mut self, id: u64) -> Option<Ticket> {
        self.in_flight.take(id)
    }

    /// What has to be written.
    pub(crate) fn out(&mut self) -> &mut OutBuffer {
        &mut self.out
    }

    fn down_reason(&self) -> String {
        match &self.state {
            LinkState::Down { error } => error.clone(),
            LinkState::Connecting => "no connection yet".to_owned(),
            LinkState::Up => "busy".to_owned(),
        }
    }
}

/// A read that was sent and lost changed nothing; a write may have been applied.
fn after_sending(lost: Unanswered, error: &str) -> Failure {
    let code = if lost.read { FailureCode::NoServer } else { FailureCode::Unknown };
    Failure::new(code, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(sequence: u64) -> Ticket {
        Ticket { owner: 0, serial: 1, sequence, part: 0, group: LogicGroup(0) }
    }

    fn send(connection: &mut Connection, sequence: u64, read: bool) {
        let encode = |_, out: &mut Vec<u8>| out.push(u8::try_from(sequence).unwrap());
        connection.send(ticket(sequence), 100, read, encode).unwrap();
    }

    #[test]
    fn only_what_may_have_reached_the_node_is_unknown() {
        let mut connection = Connection::new();
        let mut given_up = Vec::new();
        send(&mut connection, 1, false);
        connection.on_down("refused".into(), &mut given_up);
        assert!(given_up.is_empty(), "it only waited");
        connection.on_up(0, |_, _| {});
        assert_eq!(connection.out().unsent(), [1]);
        send(&mut connection, 2, true);
        connection.on_down("reset".into(), &mut given_up);
        let codes: Vec<_> = given_up.iter().map(|(t, f)| (t.sequence, f.code)).collect();
        assert_eq!(codes, [(1, FailureCode::Unknown), (2, FailureCode::NoServer)]);
        assert_eq!(connection.out().unsent(), [0; 0]);
    }

    #[test]
    fn a_request_that_waited_until_its_deadline_is_not_applied_and_never_sent() {
        let mut connection = Connection::new();
        let mut given_up = Vec::new();
        send(&mut connection, 1, false);
        connection.expire(100, &mut given_up);
        assert_eq!(given_up[0].1.code, FailureCode::NoServer);
        connection.on_up(0, |_, _| {});
        assert_eq!(connection.out().unsent(), [0; 0]);
    }

    #[test]
    fn partial_writes_go_on_where_they_stopped() {
        let mut connection = Connection::new();
        connection.on_up(0, |_, _| {});
        for sequence in 1..=3 {
            send(&mut connection, sequence, false);
        }
        connection.out().on_written(2);
        assert_eq!(connection.out().unsent(), [3]);
        connection.out().on_written(1);
        assert_eq!(connection.out().unsent(), [0; 0]);
        assert_eq!(connection.in_flight(), 3);
    }

    #[test]
    fn waiting_requests_move_to_the_connection_that_turns_out_to_be_theirs() {
        let (mut first, mut second) = (Connection::new(), Connection::new());
        for group in [4, 5, 6] {
            let ticket = Ticket { group: LogicGroup(group), ..ticket(u64::from(group)) };
            let encode = |id, out: &mut Vec<u8>| {
                frame::encode(out, frame::FrameType::Request, id, |body| body.push(7));
            };
            first.send(ticket, 100, false, encode).unwrap();
        }
        for moved in first.take_waiting(|group| group.0 == 5) {
            second.take_over(moved);
        }
        second.on_up(0, |_, _| {});
        let frame::Decoded::Frame(moved, _) = frame::decode(second.out().unsent()).unwrap() else {
            panic!("a whole frame");
        };
        let id = moved.id;
        assert_eq!(second.on_answer(id).unwrap().group, LogicGroup(5));
        assert_eq!((first.in_flight(), second.in_flight()), (2, 0));
    }
}
