//! What each action does to the data that stands.

use common::address::Field;
use common::key;
use common::op::{self, AddStyle, Expiry, ExpiryRule, Want, Write};
use common::reply::Existed;
use common::stored::{Body, Stored};

use super::draft::Step;
use super::expiry;
use super::keys::KeyBuffer;
use super::live::Live;
use super::moment::Moment;
use super::number::{self, Decimal};
use super::object::{self, ObjectState};
use super::outcome::{Outcome, Told};
use super::refused::{Refused, check_value};
use super::target::{Look, Target};
use crate::engine::error::EngineError;
use crate::engine::view::View;
use crate::group::changes::Changes;

/// One write, and all that it reads and writes.
pub(super) struct Action<'v, 'd, V> {
    /// The present, with a batch's earlier writes.
    pub(super) view: &'v V,
    /// The batch's earlier writes alone.
    pub(super) earlier: Option<&'v Changes>,
    pub(super) at: &'d Moment,
    pub(super) keys: &'d mut KeyBuffer,
    pub(super) step: &'d mut Step,
}

impl<'v, V: View> Action<'v, '_, V> {
    /// Executes the write.
    pub(super) fn run(&mut self, write: &Write<'_>) -> Result<Outcome<'v>, Refused> {
        write.at.check()?;
        self.keys.set_object(write.at.object);
        match write.action {
            op::Action::Put { value, replace } => self.put(write, value, replace),
            op::Action::Delete => self.delete(write),
            op::Action::DeleteObject => self.delete_object(write.want),
            op::Action::Add { delta, style } => self.add(write, delta, style),
            op::Action::Append { bytes } => self.append(write, bytes),
            op::Action::Touch { rule } => self.touch(write, rule),
            op::Action::TouchObject { rule } => self.touch_object(write, rule),
        }
    }

    fn put(
        &mut self,
        write: &Write<'_>,
        value: &[u8],
        replace: bool,
    ) -> Result<Outcome<'v>, Refused> {
        check_value(value.len())?;
        let blind = write.want == Want::Nothing && write.expiry != Expiry::Keep;
        let look = if blind { Look::Spared } else { Look::Needed };
        let target = self.place_of_put(write.at.field, replace, look)?;
        let live = target.was.live();
        let expire_at = self.resolve(write.expiry, live.map(|live| live.expire_at));
        self.store(write.at.field, &target, expire_at, value, &[])?;
        let existed = target.was.existed();
        let value_told = Told::was(target.was.into_record(), write.want);
        Ok(self.stored(existed, expire_at, value.len(), value_told))
    }

    fn place_of_put(
        &mut self,
        field: Field<'_>,
        replace: bool,
        look: Look,
    ) -> Result<Target<'v>, Refused> {
        let now_ms = self.at.now_ms;
        if replace && field == Field::Unnamed {
            return Ok(Target::of_replacing_string(self.view, self.keys, look, now_ms)?);
        }
        if replace {
            let state = ObjectState::load(self.view, self.keys, now_ms)?;
            if state.string().is_some() {
                self.bury_string(state.header.expire_at != 0)?;
                return Ok(Target::cleared());
            }
        }
        Target::find(self.view, self.keys, field, look, self.at)
    }

    fn add(
        &mut self,
        write: &Write<'_>,
        delta: i64,
        style: AddStyle,
    ) -> Result<Outcome<'v>, Refused> {
        let target = self.find(write.at.field)?;
        let live = target.was.live();
        let sum = Decimal::of(number::add(live.map(|live| live.value), delta, style)?);
        let expire_at = self.resolve(write.expiry, live.map(|live| live.expire_at));
        self.store(write.at.field, &target, expire_at, sum.as_bytes(), &[])?;
        let total = sum.as_bytes().len();
        Ok(self.stored(target.was.existed(), expire_at, total, Told::Number(sum)))
    }

    fn append(&mut self, write: &Write<'_>, bytes: &[u8]) -> Result<Outcome<'v>, Refused> {
        let target = self.find(write.at.field)?;
        let live = target.was.live();
        let present = live.map(|live| live.value).unwrap_or_default();
        let total = present.len() + bytes.len();
        check_value(total)?;
        let expire_at = self.resolve(write.expiry, live.map(|live| live.expire_at));
        self.store(write.at.field, &target, expire_at, present, bytes)?;
        Ok(self.stored(target.was.existed(), expire_at, total, Told::Nothing))
    }

    fn delete(&mut self, write: &Write<'_>) -> Result<Outcome<'v>, Refused> {
        let target = self.find(write.at.field)?;
        let Some(record) = target.was.into_record() else {
            return Ok(Outcome::missing());
        };
        match write.at.field {
            Field::Unnamed => self.bury_string(target.stale_header)?,
            Field::Named(_) => self.bury(write.at.field),
        }
        Ok(Outcome::deleted(self.at.version, Some(record), write.want))
    }

    fn delete_object(&mut self, want: Want) -> Result<Outcome<'v>, Refused> {
        let state = ObjectState::load(self.view, self.keys, self.at.now_ms)?;
        if state.string().is_some() {
            self.bury_string(state.header.expire_at != 0)?;
            return Ok(Outcome::deleted(self.at.version, state.into_string(), want));
        }
        if !state.any_field(self.view, self.keys)? {
            return Ok(Outcome::missing());
        }
        self.reset_header();
        Ok(Outcome::deleted(self.at.version, None, want))
    }

    fn touch(&mut self, write: &Write<'_>, rule: ExpiryRule) -> Result<Outcome<'v>, Refused> {
        let Some(record) = self.find(write.at.field)?.was.into_record() else {
            return Ok(Outcome::missing());
        };
        let Live { expire_at: present, value, .. } = object::live(&record);
        let expire_at = self.resolve(write.expiry, Some(present));
        if !expiry::allows(rule, present, expire_at) {
            return Ok(Outcome::present(record, write.want));
        }
        self.push_value(write.at.field, expire_at, value, &[]);
        let total = value.len();
        let value_told = Told::was(Some(record), write.want);
        Ok(self.stored(Existed::Yes, expire_at, total, value_told))
    }

    fn touch_object(
        &mut self,
        write: &Write<'_>,
        rule: ExpiryRule,
    ) -> Result<Outcome<'v>, Refused> {
        let state = ObjectState::load(self.view, self.keys, self.at.now_ms)?;
        if state.string().is_some() {
            let at = write.at.object.unnamed();
            return self.touch(&Write { at, ..*write }, rule);
        }
        if !state.any_field(self.view, self.keys)? {
            return Ok(Outcome::missing());
        }
        let present = state.hash_expire_at();
        let expire_at = self.resolve(write.expiry, Some(present));
        if !expiry::allows(rule, present, expire_at) {
            return Ok(Outcome::present_hash(present));
        }
        let body = Body::Header { expire_at, cleared: state.header.cleared };
        self.step.push(self.keys.header(), &Stored { version: self.at.version, body }, &[]);
        Ok(self.stored(Existed::Yes, expire_at, 0, Told::Nothing))
    }

    fn find(&mut self, field: Field<'_>) -> Result<Target<'v>, Refused> {
        Target::find(self.view, self.keys, field, Look::Needed, self.at)
    }

    fn resolve(&self, expiry: Expiry, present: Option<u64>) -> u64 {
        expiry::resolve(expiry, self.at.now_ms, present)
    }

    fn stored(
        &self,
        existed: Existed,
        expire_at: u64,
        total: usize,
        value: Told<'v>,
    ) -> Outcome<'v> {
        let total = u32::try_from(total).expect("checked against VALUE_BYTES_MAX");
        Outcome { applied: true, existed, version: self.at.version, expire_at, total, value }
    }

    /// Writes a value, `head` and `tail` together, to its place.
    fn store(
        &mut self,
        field: Field<'_>,
        target: &Target<'_>,
        expire_at: u64,
        head: &[u8],
        tail: &[u8],
    ) -> Result<(), EngineError> {
        if target.spent_string {
            self.bury_string(target.stale_header)?;
        } else if target.stale_header {
            self.reset_header();
        } else if field == Field::Unnamed {
            self.bury_earlier_fields();
        }
        self.push_value(field, expire_at, head, tail);
        Ok(())
    }

    fn push_value(&mut self, field: Field<'_>, expire_at: u64, head: &[u8], tail: &[u8]) {
        let body = Body::Value { expire_at, value: head };
        let stored = Stored { version: self.at.version, body };
        self.step.push(self.keys.field(field), &stored, tail);
    }

    /// Deletes one record.
    fn bury(&mut self, field: Field<'_>) {
        let stored = Stored { version: self.at.version, body: Body::Tombstone };
        self.step.push(self.keys.field(field), &stored, &[]);
    }

    /// Deletes the string. What it hides of an older hash stays hidden.
    fn bury_string(&mut self, stale_header: bool) -> Result<(), EngineError> {
        self.bury(Field::Unnamed);
        if stale_header || object::may_hide_fields(self.view, self.keys)? {
            self.reset_header();
        }
        Ok(())
    }

    /// Clears all that the object had, and its expiry.
    fn reset_header(&mut self) {
        let body = Body::Header { expire_at: 0, cleared: self.at.cleared };
        self.step.push(self.keys.header(), &Stored { version: self.at.version, body }, &[]);
        self.bury_earlier_fields();
    }

    /// Deletes the named fields that the same batch wrote: they have the version of what is written
    /// now, so neither a header nor a string hides them.
    fn bury_earlier_fields(&mut self) {
        let Some(earlier) = self.earlier else { return };
        let start = [self.keys.prefix(), key::NAMED_SUFFIX_START].concat();
        let stored = Stored { version: self.at.version, body: Body::Tombstone };
        for change in earlier.range(&start, &start) {
            if Live::of(&change.stored).is_some() {
                self.step.push(change.key, &stored, &[]);
            }
        }
    }
}
