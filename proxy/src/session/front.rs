//! The protocol of a session: the one place where the driver tells RESP from FastDHT.

use std::sync::Arc;

use crate::clients::ClientEntry;
use crate::counters::Counters;
use crate::environment::Around;
use crate::front::call::{Answer, Progress, Started, Submit};
use crate::front::fastdht::{FastDhtCall, FastDhtSession};
use crate::front::resp::call::RespCall;
use crate::front::resp::command::Command;
use crate::front::resp::decode::{Decoder, RespError};
use crate::front::resp::session::RespSession;
use crate::pool::LARGE_BYTES;
use crate::worker::Worker;

/// Longest RESP command: the longest value with room for names, options and framing. Many smaller
/// values may share one.
const COMMAND_BYTES_MAX: usize = 64 << 20;

/// A connection's protocol with its state.
pub(crate) enum Front {
    Resp {
        session: Box<RespSession>,
        decoder: Decoder,
        broken: Option<RespError>,
        entry: Arc<ClientEntry>,
    },
    FastDht {
        session: FastDhtSession,
        entry: Arc<ClientEntry>,
    },
}

/// A waiting command of either protocol.
#[derive(Debug)]
pub(crate) enum Call {
    Resp(RespCall),
    FastDht(FastDhtCall),
}

/// What stands at the front of the input.
pub(crate) enum Next {
    /// A command of so many bytes, to be given to [`Front::start`].
    Command {
        length: usize,
        /// Whether it has to go by the connections for large requests.
        large: bool,
    },
    /// More bytes are needed.
    Incomplete,
    /// Nothing can follow: the connection closes behind [`Front::answer_broken`].
    Broken,
}

/// What became of a command.
pub(crate) enum Begun {
    /// The answer was written.
    Answered { close: bool },
    /// Operations are outstanding.
    Waiting { call: Call, alone: bool },
}

impl Front {
    pub(crate) fn resp(entry: Arc<ClientEntry>) -> Self {
        Self::Resp {
            session: Box::new(RespSession::new(entry.id)),
            decoder: Decoder::new(COMMAND_BYTES_MAX),
            broken: None,
            entry,
        }
    }

    pub(crate) fn fastdht(entry: Arc<ClientEntry>, package_max: usize) -> Self {
        Self::FastDht { session: FastDhtSession::new(package_max), entry }
    }

    /// Looks at the front of the input.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Next {
        let length = match self {
            Self::Resp { decoder, broken, .. } => match decoder.decode(bytes) {
                Ok(length) => length,
                Err(error) => {
                    *broken = Some(error);
                    return Next::Broken;
                }
            },
            Self::FastDht { session, .. } => match session.decode(bytes) {
                Ok(frame) => frame.map(|frame| frame.bytes()),
                Err(error) => {
                    tracing::debug!(%error, "FastDHT connection closed");
                    return Next::Broken;
                }
            },
        };
        match length {
            Some(length) => Next::Command { length, large: length > LARGE_BYTES },
            None => Next::Incomplete,
        }
    }

    /// The last words of a broken connection.
    pub(crate) fn answer_broken(&mut self, out: &mut Vec<u8>) {
        if let Self::Resp { broken: Some(error), .. } = self {
            error.answer(out);
        }
    }

    /// Starts the command that [`Self::next`] found at the front of `bytes`.
    pub(crate) fn start(
        &mut self,
        worker: &Worker,
        bytes: &[u8],
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Begun {
        worker.counters.commands.add(1);
        match self {
            Self::Resp { session, decoder, entry, .. } => {
                let args = decoder.args(bytes);
                let around = Around::new(&worker.shared, entry);
                let started = session.start(&args, &around, submit, out);
                let name = session.last_command().map_or("", Command::name);
                entry.used(submit.now_ms(), name);
                begun(started, Call::Resp)
            }
            Self::FastDht { session, entry } => {
                let Ok(Some(frame)) = session.decode(bytes) else {
                    return Begun::Answered { close: true };
                };
                let around = Around::new(&worker.shared, entry);
                begun(session.start(&frame, &around, submit, out), Call::FastDht)
            }
        }
    }

    /// The connection is over.
    pub(crate) fn on_close(&self, worker: &Worker) {
        let (Self::Resp { entry, .. } | Self::FastDht { entry, .. }) = self;
        worker.shared.clients.remove(entry.id);
    }
}

fn begun<C>(started: Started<C>, call: impl FnOnce(C) -> Call) -> Begun {
    match started {
        Started::Answered => Begun::Answered { close: false },
        Started::AnsweredAndClose => Begun::Answered { close: true },
        Started::Waiting(waiting) => Begun::Waiting { call: call(waiting), alone: false },
        Started::WaitingAlone(waiting) => Begun::Waiting { call: call(waiting), alone: true },
    }
}

impl Call {
    pub(crate) fn on_answer(
        &mut self,
        counters: &Counters,
        part: u32,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        match self {
            Self::Resp(call) => call.on_answer(part, answer, submit, out),
            Self::FastDht(call) => {
                let progress = call.on_answer(part, answer, submit, out);
                if progress == Progress::Done {
                    counters.fastdht.add(call.counters());
                }
                progress
            }
        }
    }

    /// Whether the connection closes behind the answer.
    pub(crate) fn closes(&self) -> bool {
        match self {
            Self::Resp(_) => false,
            Self::FastDht(call) => call.closes(),
        }
    }
}
