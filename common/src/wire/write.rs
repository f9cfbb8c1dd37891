//! The encoding of writes and conditions inside a request.
//!
//! ```text
//! write:     address | action u8 | its fields | expiry u8 | its field | want u8
//! condition: address | test u8 | its field
//! ```

use crate::codec::{DecodeError, Put, Reader};
use crate::op::{Action, AddStyle, Condition, Expiry, ExpiryRule, Test, Want, Write};
use crate::wire::request::{put_address, take_address};

pub(super) fn put_write(out: &mut Vec<u8>, write: &Write<'_>) {
    put_address(out, write.at);
    put_action(out, &write.action);
    put_expiry(out, write.expiry);
    out.put_u8(match write.want {
        Want::Nothing => 0,
        Want::Existed => 1,
        Want::Value => 2,
    });
}

pub(super) fn take_write<'a>(reader: &mut Reader<'a>) -> Result<Write<'a>, DecodeError> {
    let at = take_address(reader)?;
    let action = take_action(reader)?;
    let expiry = take_expiry(reader)?;
    let want = match reader.u8("want")? {
        0 => Want::Nothing,
        1 => Want::Existed,
        2 => Want::Value,
        other => return Err(DecodeError::Unknown("want", u64::from(other))),
    };
    Ok(Write { at, action, expiry, want })
}

fn put_action(out: &mut Vec<u8>, action: &Action<'_>) {
    match *action {
        Action::Put { value, replace } => {
            out.put_u8(1);
            out.put_bytes32(value);
            out.put_bool(replace);
        }
        Action::Delete => out.put_u8(2),
        Action::DeleteObject => out.put_u8(3),
        Action::Add { delta, style } => {
            out.put_u8(4);
            out.put_i64(delta);
            out.put_bool(style == AddStyle::Lenient);
        }
        Action::Append { bytes } => {
            out.put_u8(5);
            out.put_bytes32(bytes);
        }
        Action::Touch { rule } => {
            out.put_u8(6);
            put_rule(out, rule);
        }
        Action::TouchObject { rule } => {
            out.put_u8(7);
            put_rule(out, rule);
        }
    }
}

fn take_action<'a>(reader: &mut Reader<'a>) -> Result<Action<'a>, DecodeError> {
    Ok(match reader.u8("action")? {
        1 => {
            let value = reader.bytes32("value")?;
            Action::Put { value, replace: reader.bool("replace")? }
        }
        2 => Action::Delete,
        3 => Action::DeleteObject,
        4 => {
            let delta = reader.i64("increment")?;
            let lenient = reader.bool("lenient")?;
            let style = if lenient { AddStyle::Lenient } else { AddStyle::Strict };
            Action::Add { delta, style }
        }
        5 => Action::Append { bytes: reader.bytes32("value")? },
        6 => Action::Touch { rule: take_rule(reader)? },
        7 => Action::TouchObject { rule: take_rule(reader)? },
        other => return Err(DecodeError::Unknown("action", u64::from(other))),
    })
}

fn put_rule(out: &mut Vec<u8>, rule: ExpiryRule) {
    out.put_u8(match rule {
        ExpiryRule::Always => 0,
        ExpiryRule::IfNever => 1,
        ExpiryRule::IfExpiring => 2,
        ExpiryRule::IfLater => 3,
        ExpiryRule::IfEarlier => 4,
    });
}

fn take_rule(reader: &mut Reader<'_>) -> Result<ExpiryRule, DecodeError> {
    Ok(match reader.u8("expiry rule")? {
        0 => ExpiryRule::Always,
        1 => ExpiryRule::IfNever,
        2 => ExpiryRule::IfExpiring,
        3 => ExpiryRule::IfLater,
        4 => ExpiryRule::IfEarlier,
        other => return Err(DecodeError::Unknown("expiry rule", u64::from(other))),
    })
}

fn put_expiry(out: &mut Vec<u8>, expiry: Expiry) {
    match expiry {
        Expiry::Keep => out.put_u8(0),
        Expiry::Never => out.put_u8(1),
        Expiry::At(ms) => {
            out.put_u8(2);
            out.put_u64(ms);
        }
        Expiry::After(ms) => {
            out.put_u8(3);
            out.put_u64(ms);
        }
        Expiry::AfterSeconds(seconds) => {
            out.put_u8(4);
            out.put_i64(i64::from(seconds));
        }
    }
}

fn take_expiry(reader: &mut Reader<'_>) -> Result<Expiry, DecodeError> {
    Ok(match reader.u8("expiry")? {
        0 => Expiry::Keep,
        1 => Expiry::Never,
        2 => Expiry::At(reader.u64("expiry time")?),
        3 => Expiry::After(reader.u64("expiry time")?),
        4 => {
            let seconds = reader.i64("expiry seconds")?;
            let seconds = i32::try_from(seconds)
                .map_err(|_| DecodeError::Unknown("expiry seconds", seconds.unsigned_abs()))?;
            Expiry::AfterSeconds(seconds)
        }
        other => return Err(DecodeError::Unknown("expiry", u64::from(other))),
    })
}

pub(super) fn put_condition(out: &mut Vec<u8>, condition: &Condition<'_>) {
    put_address(out, condition.at);
    match condition.test {
        Test::Exists => out.put_u8(1),
        Test::Absent => out.put_u8(2),
        Test::ObjectExists => out.put_u8(3),
        Test::ObjectAbsent => out.put_u8(4),
        Test::NotHash => out.put_u8(5),
        Test::NotString => out.put_u8(6),
        Test::VersionIs(version) => {
            out.put_u8(7);
            out.put_version(version);
        }
        Test::ValueIs(value) => {
            out.put_u8(8);
            out.put_bytes32(value);
        }
    }
}

pub(super) fn take_condition<'a>(reader: &mut Reader<'a>) -> Result<Condition<'a>, DecodeError> {
    let at = take_address(reader)?;
    let test = match reader.u8("test")? {
        1 => Test::Exists,
        2 => Test::Absent,
        3 => Test::ObjectExists,
        4 => Test::ObjectAbsent,
        5 => Test::NotHash,
        6 => Test::NotString,
        7 => Test::VersionIs(reader.version()?),
        8 => Test::ValueIs(reader.bytes32("value")?),
        other => return Err(DecodeError::Unknown("test", u64::from(other))),
    };
    Ok(Condition { at, test })
}
