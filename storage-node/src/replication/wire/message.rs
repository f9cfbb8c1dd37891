//! The encoding of messages: `kind u8 | fields`.

use common::codec::{DecodeError, Put, Reader};
use common::register::VoterSet;
use common::wire::register::{put_register, put_voter_set, take_voter_set};

use super::fields::{
    put_ballot, put_lane_terms, put_position, put_positions, put_term, put_terms, take_ballot,
    take_epoch, take_group, take_lane_terms, take_lsn, take_number, take_position, take_positions,
    take_term, take_terms, take_value,
};
use super::records::{RecordsWriter, take_records};
use super::register_message::{put_step, take_step};
use crate::replication::message::{Message, Pull, Records, Term};

const REGISTER: u8 = 1;
const RENEW: u8 = 2;
const GRANTED: u8 = 3;
const ASK_REGISTER: u8 = 4;
const TELL_REGISTER: u8 = 5;
const DEPART: u8 = 6;
const SEAL: u8 = 7;
const SEALED: u8 = 8;
const SUPERSEDED: u8 = 9;
const COPY: u8 = 10;
const PULL: u8 = 11;
pub(super) const RECORDS: u8 = 12;
const NOT_LEADING: u8 = 13;
const VOTERS: u8 = 14;
const NEEDS_RESEED: u8 = 15;

/// What a peer frame brings: the machines' messages, and what only their drivers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// For a machine. Never [`Message::Records`].
    Message(Message),
    /// Records, as the answer to a pull or a copy.
    Records {
        /// Without spans: the bodies say which records they are.
        records: Records,
        /// Everything the leader will still append to the stream has a greater time, in
        /// milliseconds since 1970. 0 promises nothing.
        safe_ms: u64,
        /// Some of them have to be durable before they are official.
        sync: bool,
        /// Log records, in the order to append; not looked into.
        bodies: Vec<&'a [u8]>,
    },
    /// The voters, as the sender knows them.
    Voters(VoterSet),
    /// The answer to a pull for records that have left the leader's log: only a copy of the whole
    /// group helps.
    NeedsReseed(Term),
}

/// Appends a message. [`Message::Records`] is written without records and with a time of 0: its
/// records are added with a [`RecordsWriter`].
pub fn put_message(out: &mut Vec<u8>, message: &Message) {
    match message {
        Message::Register { group, ballot, step } => {
            out.put_u8(REGISTER);
            out.put_u16(group.0);
            put_ballot(out, *ballot);
            put_step(out, step);
        }
        Message::Renew { sent_ms, terms } => {
            out.put_u8(RENEW);
            out.put_u64(*sent_ms);
            put_terms(out, terms);
        }
        Message::Granted { sent_ms, granted, refused } => {
            out.put_u8(GRANTED);
            out.put_u64(*sent_ms);
            put_terms(out, granted);
            put_terms(out, refused);
        }
        Message::AskRegister { group, known } => {
            out.put_u8(ASK_REGISTER);
            out.put_u16(group.0);
            out.put_u64(known.0);
        }
        Message::TellRegister { value } => {
            out.put_u8(TELL_REGISTER);
            put_register(out, value);
        }
        Message::Depart { group, known, consent } => {
            out.put_u8(DEPART);
            out.put_u16(group.0);
            out.put_u64(known.0);
            put_lane_terms(out, consent);
        }
        Message::Seal(term) => put_head(out, SEAL, *term),
        Message::Sealed { term, last, kept } => {
            put_head(out, SEALED, *term);
            put_position(out, *last);
            out.put_bool(*kept);
        }
        Message::Superseded { term, promised } => {
            put_head(out, SUPERSEDED, *term);
            out.put_u64(promised.0);
        }
        Message::Copy { term, have } => {
            put_head(out, COPY, *term);
            put_positions(out, have);
        }
        Message::Pull(pull) => {
            put_head(out, PULL, pull.term);
            out.put_u64(pull.life);
            put_positions(out, &pull.have);
            out.put_u64(pull.written.0);
            out.put_u64(pull.durable.0);
            out.put_bool(pull.leaving);
        }
        Message::Records(records) => RecordsWriter::new(out, records, 0, false).finish(),
        Message::NotLeading { term, known } => {
            put_head(out, NOT_LEADING, *term);
            out.put_u64(known.0);
        }
    }
}

/// What the servers of a lane say to each other begins with a term.
pub(super) fn put_head(out: &mut Vec<u8>, kind: u8, term: Term) {
    out.put_u8(kind);
    put_term(out, term);
}

/// Appends the voters as the sender knows them.
pub fn put_voters(out: &mut Vec<u8>, voters: &VoterSet) {
    out.put_u8(VOTERS);
    put_voter_set(out, voters);
}

/// Appends a leader's answer to a pull for records that have left its log.
pub fn put_needs_reseed(out: &mut Vec<u8>, term: Term) {
    put_head(out, NEEDS_RESEED, term);
}

/// Reads the next message of a body.
///
/// # Errors
/// The bytes are no message of this version. Nothing that follows can be read.
pub fn take<'a>(reader: &mut Reader<'a>) -> Result<Incoming<'a>, DecodeError> {
    let message = match reader.u8("message kind")? {
        RECORDS => return take_records(reader),
        VOTERS => return take_voter_set(reader).map(Incoming::Voters),
        NEEDS_RESEED => return take_term(reader).map(Incoming::NeedsReseed),
        REGISTER => {
            let group = take_group(reader)?;
            let ballot = take_ballot(reader)?;
            Message::Register { group, ballot, step: take_step(reader)? }
        }
        RENEW => {
            let sent_ms = take_number(reader, "time of sending")?;
            Message::Renew { sent_ms, terms: take_terms(reader, "term count")? }
        }
        GRANTED => {
            let sent_ms = take_number(reader, "time of sending")?;
            let granted = take_terms(reader, "granted count")?;
            Message::Granted { sent_ms, granted, refused: take_terms(reader, "refused count")? }
        }
        ASK_REGISTER => {
            Message::AskRegister { group: take_group(reader)?, known: take_epoch(reader)? }
        }
        TELL_REGISTER => Message::TellRegister { value: take_value(reader)? },
        DEPART => {
            let group = take_group(reader)?;
            let known = take_epoch(reader)?;
            Message::Depart { group, known, consent: take_lane_terms(reader)? }
        }
        kind => take_lane_message(reader, kind)?,
    };
    Ok(Incoming::Message(message))
}

fn take_lane_message(reader: &mut Reader<'_>, kind: u8) -> Result<Message, DecodeError> {
    Ok(match kind {
        SEAL => Message::Seal(take_term(reader)?),
        SEALED => Message::Sealed {
            term: take_term(reader)?,
            last: take_position(reader)?,
            kept: reader.bool("log kept")?,
        },
        SUPERSEDED => {
            Message::Superseded { term: take_term(reader)?, promised: take_epoch(reader)? }
        }
        COPY => Message::Copy { term: take_term(reader)?, have: take_positions(reader)? },
        PULL => Message::Pull(Pull {
            term: take_term(reader)?,
            life: reader.u64("life")?,
            have: take_positions(reader)?,
            written: take_lsn(reader)?,
            durable: take_lsn(reader)?,
            leaving: reader.bool("leaving")?,
        }),
        NOT_LEADING => Message::NotLeading { term: take_term(reader)?, known: take_epoch(reader)? },
        other => return Err(DecodeError::Unknown("message kind", u64::from(other))),
    })
}
