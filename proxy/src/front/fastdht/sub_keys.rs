//! GET_SUB_KEYS: the names of an object's fields, in byte order, joined by the byte 0x01.
//!
//! The list keeps the original's bounds, since its clients read it into buffers of that size: less
//! than 64 KiB and at most 4096 names; the first names are listed. Names that this protocol cannot
//! say (empty, too long, reserved, with the separator inside) are left out.

use common::address::Object;
use common::limits::PART_BYTES;
use common::op::{Op, Range};
use common::reply::{ObjectKind, RangeReply, Reply};

use super::call::{ReplyTo, fail};
use super::encode::{begin, finish};
use super::request::{KEY_BYTES_MAX, RESERVED_KEY};
use super::status;
use crate::front::call::{Answer, Durability, Progress, Submit};

/// A list is shorter than this.
const LIST_BYTES_END: usize = 64 << 10;
/// Most names of a list.
const LIST_NAMES_MAX: u32 = 4096;
const SEPARATOR: u8 = 1;

/// A waiting GET_SUB_KEYS.
#[derive(Debug)]
pub(super) struct SubKeys {
    namespace: Vec<u8>,
    object: Vec<u8>,
    list: Vec<u8>,
    names: u32,
}

impl SubKeys {
    /// Submits the first page.
    pub(super) fn start(object: Object<'_>, submit: &mut dyn Submit) -> Self {
        let Object { namespace, name } = object;
        let call =
            Self { namespace: namespace.into(), object: name.into(), list: Vec::new(), names: 0 };
        call.ask(None, submit);
        call
    }

    fn ask(&self, after: Option<&[u8]>, submit: &mut dyn Submit) {
        let range = Range {
            object: Object { namespace: &self.namespace, name: &self.object },
            after,
            count_max: LIST_NAMES_MAX,
            bytes_max: PART_BYTES,
            values: false,
        };
        submit.submit(0, &Op::Range(range), Durability::default());
    }

    /// Takes a page.
    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        to: ReplyTo,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let status = match answer {
            Ok(Reply::Range(range)) => {
                let full = !self.add(&range);
                if let (false, true, Some(last)) = (full, range.more, range.fields.last()) {
                    self.ask(Some(last.name), submit);
                    return Progress::Waiting;
                }
                match range.kind {
                    ObjectKind::String => status::INVALID,
                    ObjectKind::Hash | ObjectKind::Missing if self.names == 0 => status::MISSING,
                    ObjectKind::Hash | ObjectKind::Missing => status::OK,
                }
            }
            Ok(_) => status::UNKNOWN,
            Err(failure) => status::of(&failure),
        };
        if status == status::OK {
            let start = begin(out, to.echo, submit.now_ms(), 0);
            out.extend_from_slice(&self.list);
            finish(out, start);
        } else {
            fail(out, to, submit.now_ms(), status);
        }
        Progress::Done
    }

    /// Adds a page's names; false when the list is full.
    fn add(&mut self, range: &RangeReply<'_>) -> bool {
        for name in range.fields.iter().map(|field| field.name).filter(|name| sayable(name)) {
            let separator = usize::from(self.names > 0);
            if self.names == LIST_NAMES_MAX
                || self.list.len() + separator + name.len() >= LIST_BYTES_END
            {
                return false;
            }
            if separator > 0 {
                self.list.push(SEPARATOR);
            }
            self.list.extend_from_slice(name);
            self.names += 1;
        }
        true
    }
}

fn sayable(name: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&name.len()) && name != RESERVED_KEY && !name.contains(&SEPARATOR)
}
