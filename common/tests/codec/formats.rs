//! One [`Format`] for each kind of bytes: how to make values, write them and read them.

use common::codec::{DecodeError, Reader};
use common::failure::Failure;
use common::key::{self, PhysicalKey, Slot};
use common::log_record::{self, LogRecord, LogRecordWriter};
use common::op::Op;
use common::register::{Register, VoterSet};
use common::reply::Reply;
use common::stored::Stored;
use common::wire::command::Command;
use common::wire::register::{put_register, put_voter_set, take_register, take_voter_set};
use common::wire::request::{self, RequestHead};
use common::wire::views::Views;
use common::wire::{reply, response};
use proptest::prelude::*;

use crate::message::{self, Message};
use crate::strategies;

/// Values and their encoding.
pub(crate) struct Format<T> {
    pub(crate) values: BoxedStrategy<T>,
    pub(crate) encode: fn(&T) -> Vec<u8>,
    pub(crate) decode: fn(&'static [u8]) -> Result<T, DecodeError>,
    pub(crate) end: End,
}

/// How a format knows where it ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    /// Every length is written down, so every strict prefix is refused.
    Marked,
    /// The last field is the rest of the input.
    Input,
}

pub(crate) fn frames() -> Format<Message> {
    Format {
        values: strategies::message().boxed(),
        encode: message::encode,
        decode: message::decode,
        end: End::Marked,
    }
}

pub(crate) fn requests() -> Format<(RequestHead, Op<'static>)> {
    Format {
        values: (strategies::request_head(), strategies::op()).boxed(),
        encode: |(head, op)| {
            let mut out = Vec::new();
            head.encode(&mut out);
            request::encode_op(&mut out, op);
            out
        },
        decode: request::decode,
        end: End::Marked,
    }
}

pub(crate) fn responses() -> Format<Result<Reply<'static>, Failure>> {
    Format {
        values: strategies::response().boxed(),
        encode: |value| {
            let mut out = Vec::new();
            match value {
                Ok(value) => response::encode_reply(&mut out, value),
                Err(failure) => response::encode_failure(&mut out, failure),
            }
            out
        },
        decode: response::decode,
        end: End::Marked,
    }
}

pub(crate) fn replies() -> Format<Reply<'static>> {
    Format {
        values: strategies::reply().boxed(),
        encode: |value| {
            let mut out = Vec::new();
            reply::encode(&mut out, value);
            out
        },
        decode: reply::decode,
        end: End::Marked,
    }
}

pub(crate) fn log_records() -> Format<LogRecord<'static>> {
    Format {
        values: strategies::log_record().boxed(),
        encode: encode_log_record,
        decode: decode_log_record,
        end: End::Marked,
    }
}

pub(crate) fn stored_values() -> Format<Stored<'static>> {
    Format {
        values: strategies::stored().boxed(),
        encode: encode_stored,
        decode: Stored::decode,
        end: End::Input,
    }
}

pub(crate) fn physical_keys() -> Format<PhysicalKey<'static>> {
    Format {
        values: strategies::physical_key().boxed(),
        encode: encode_key,
        decode: decode_key,
        end: End::Input,
    }
}

pub(crate) fn registers() -> Format<Register> {
    Format {
        values: strategies::register().boxed(),
        encode: encode_register,
        decode: decode_register,
        end: End::Marked,
    }
}

pub(crate) fn voter_sets() -> Format<VoterSet> {
    Format {
        values: strategies::voter_set().boxed(),
        encode: encode_voter_set,
        decode: decode_voter_set,
        end: End::Marked,
    }
}

pub(crate) fn views() -> Format<Views> {
    Format {
        values: strategies::views().boxed(),
        encode: encode_views,
        decode: Views::decode,
        end: End::Marked,
    }
}

pub(crate) fn commands() -> Format<Command> {
    Format {
        values: strategies::command().boxed(),
        encode: encode_command,
        decode: Command::decode,
        end: End::Marked,
    }
}

pub(crate) fn encode_register(register: &Register) -> Vec<u8> {
    let mut out = Vec::new();
    put_register(&mut out, register);
    out
}

pub(crate) fn decode_register(bytes: &[u8]) -> Result<Register, DecodeError> {
    whole(bytes, take_register)
}

pub(crate) fn encode_voter_set(set: &VoterSet) -> Vec<u8> {
    let mut out = Vec::new();
    put_voter_set(&mut out, set);
    out
}

pub(crate) fn decode_voter_set(bytes: &[u8]) -> Result<VoterSet, DecodeError> {
    whole(bytes, take_voter_set)
}

fn whole<T>(
    bytes: &[u8],
    take: fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = take(&mut reader)?;
    reader.end()?;
    Ok(value)
}

pub(crate) fn encode_views(views: &Views) -> Vec<u8> {
    let mut out = Vec::new();
    views.encode(&mut out);
    out
}

pub(crate) fn encode_command(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(&mut out);
    out
}

pub(crate) fn encode_log_record(record: &LogRecord<'static>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(ends) = &record.ends {
        LogRecord::encode_start(&mut out, &record.head, ends);
        return out;
    }
    let mut writer = LogRecordWriter::new(&mut out, &record.head);
    record.mutations.iter().for_each(|mutation| writer.mutation(mutation));
    writer.finish(record.answer);
    out
}

pub(crate) fn encode_stored(stored: &Stored<'static>) -> Vec<u8> {
    let mut out = Vec::new();
    stored.encode(&mut out);
    assert_eq!(out.len(), stored.encoded_bytes());
    out
}

/// Spells the key out part by part, so that its position may be any.
pub(crate) fn encode_key(key: &PhysicalKey<'static>) -> Vec<u8> {
    let mut out = Vec::new();
    key::put_position_prefix(&mut out, key.object.namespace, key.position);
    let length = u16::try_from(key.object.name.len()).expect("names are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(key.object.name);
    match key.slot {
        Slot::Header => out.extend_from_slice(key::HEADER_SUFFIX),
        Slot::Field(field) => key::put_field_suffix(&mut out, field),
    }
    out
}

/// Head, ends and answer alone read the same as those of the whole.
fn decode_log_record(bytes: &'static [u8]) -> Result<LogRecord<'static>, DecodeError> {
    let head = log_record::decode_head(bytes);
    let record = LogRecord::decode(bytes)?;
    assert_eq!(head, Ok(record.head));
    assert_eq!(log_record::decode_ends(bytes).as_ref(), Ok(&record.ends));
    assert_eq!(log_record::answer(bytes), Ok(record.answer));
    Ok(record)
}

/// The prefix alone reads the same as the prefix of the whole.
fn decode_key(bytes: &'static [u8]) -> Result<PhysicalKey<'static>, DecodeError> {
    let key = PhysicalKey::decode(bytes)?;
    let (prefix, suffix) = bytes.split_at(key.prefix_bytes);
    assert_eq!(key::decode_object_prefix(prefix), Ok((key.object, key.position)));
    assert_eq!(key::slot_of_suffix(suffix), Ok(key.slot));
    Ok(key)
}
