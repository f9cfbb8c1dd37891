//! The encoding of a step of a register's round: `step u8 | fields`.

use common::codec::{DecodeError, Put, Reader};
use common::ids::ServerIndex;
use common::wire::register::put_register;

use super::fields::{
    put_ballot, put_lane_terms, put_list, put_option, take_ballot, take_epoch, take_lane_terms,
    take_list, take_number, take_option, take_value,
};
use crate::replication::message::{RegisterMessage, RunningLease};
use crate::replication::register::{Ballot, Register};

const PREPARE: u8 = 1;
const PROMISED: u8 = 2;
const OUTBID: u8 = 3;
const ACCEPT: u8 = 4;
const ACCEPTED: u8 = 5;
const LEASE_RUNS: u8 = 6;
const CHOSEN: u8 = 7;

const LEASE_BYTES: usize = 1 + 8 + 8;

pub(super) fn put_step(out: &mut Vec<u8>, step: &RegisterMessage) {
    match step {
        RegisterMessage::Prepare => out.put_u8(PREPARE),
        RegisterMessage::Promised { accepted, leases } => {
            out.put_u8(PROMISED);
            put_option(out, accepted.as_ref(), put_accepted);
            put_list(out, leases, |out, lease| {
                out.put_u8(lease.lane.0);
                out.put_u64(lease.since.0);
                out.put_u64(lease.remaining_ms);
            });
        }
        RegisterMessage::Outbid { promised } => {
            out.put_u8(OUTBID);
            put_ballot(out, *promised);
        }
        RegisterMessage::Accept { value, consent } => {
            out.put_u8(ACCEPT);
            put_register(out, value);
            put_lane_terms(out, consent);
        }
        RegisterMessage::Accepted => out.put_u8(ACCEPTED),
        RegisterMessage::LeaseRuns { remaining_ms } => {
            out.put_u8(LEASE_RUNS);
            out.put_u64(*remaining_ms);
        }
        RegisterMessage::Chosen { value } => {
            out.put_u8(CHOSEN);
            put_register(out, value);
        }
    }
}

pub(super) fn take_step(reader: &mut Reader<'_>) -> Result<RegisterMessage, DecodeError> {
    Ok(match reader.u8("register step")? {
        PREPARE => RegisterMessage::Prepare,
        PROMISED => {
            let accepted = take_option(reader, "accepted", take_accepted)?;
            let leases = take_list(reader, "lease count", LEASE_BYTES, take_lease)?;
            RegisterMessage::Promised { accepted, leases }
        }
        OUTBID => RegisterMessage::Outbid { promised: take_ballot(reader)? },
        ACCEPT => {
            let value = take_value(reader)?;
            RegisterMessage::Accept { value, consent: take_lane_terms(reader)? }
        }
        ACCEPTED => RegisterMessage::Accepted,
        LEASE_RUNS => {
            RegisterMessage::LeaseRuns { remaining_ms: take_number(reader, "remaining time")? }
        }
        CHOSEN => RegisterMessage::Chosen { value: take_value(reader)? },
        other => return Err(DecodeError::Unknown("register step", u64::from(other))),
    })
}

/// What a voter accepted: the ballot, then the value.
pub(super) fn put_accepted(out: &mut Vec<u8>, (ballot, value): &(Ballot, Register)) {
    put_ballot(out, *ballot);
    put_register(out, value);
}

pub(super) fn take_accepted(reader: &mut Reader<'_>) -> Result<(Ballot, Register), DecodeError> {
    Ok((take_ballot(reader)?, take_value(reader)?))
}

fn take_lease(reader: &mut Reader<'_>) -> Result<RunningLease, DecodeError> {
    Ok(RunningLease {
        lane: ServerIndex(reader.u8("server")?),
        since: take_epoch(reader)?,
        remaining_ms: take_number(reader, "remaining time")?,
    })
}
