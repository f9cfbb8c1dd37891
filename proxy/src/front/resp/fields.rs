//! HGETALL, HKEYS and HVALS: all fields of a hash, page by page. A page is a consistent view, the
//! whole is not: a write between two pages may be seen or not.

use common::failure::Failure;
use common::limits::PART_BYTES;
use common::op::{Op, Range};
use common::reply::{Lookup, ObjectKind, RangeReply, Reply};

use crate::front::call::{Answer, Progress, Submit};

use super::args::Args;
use super::call::{Kind, submit_one};
use super::command::Outcome;
use super::encode::{self, Proto};
use super::error::{self, unexpected, wrong_kind};
use super::kept::KeptAddress;
use super::many::{GATHERED_BYTES_MAX, too_much};
use super::session::{Context, object};
use super::value::{Partial, Step, part_at};

/// Most fields of a page.
const PAGE_FIELDS: u32 = 8 << 10;

/// What of each field is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Pairs,
    Names,
    Values,
}

/// `HGETALL key`
pub(super) fn hgetall(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    start(ctx, args, What::Pairs)
}

/// `HKEYS key`
pub(super) fn hkeys(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    start(ctx, args, What::Names)
}

/// `HVALS key`
pub(super) fn hvals(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    start(ctx, args, What::Values)
}

fn start(ctx: &mut Context<'_>, args: &Args<'_>, what: What) -> Outcome {
    let object = object(ctx.session, args.get(1))?;
    let at = KeptAddress::new(object.unnamed());
    let fields = Fields { at, what, after: None, count: 0, elements: Vec::new(), cut: None };
    fields.ask(ctx.submit);
    ctx.wait_alone(Kind::Fields(Box::new(fields)))
}

/// Walks through a hash and keeps its encoded elements until their number is known.
pub(super) struct Fields {
    at: KeptAddress,
    what: What,
    /// The last field that is done.
    after: Option<Vec<u8>>,
    count: usize,
    elements: Vec<u8>,
    /// The field behind `after` whose value is fetched in parts.
    cut: Option<Cut>,
}

struct Cut {
    name: Vec<u8>,
    value: Partial,
}

/// How a page or a part of a value was taken.
enum Taken {
    /// More was asked for.
    Asked,
    /// All fields are there.
    All,
    /// The object is a string.
    WrongKind,
}

impl Fields {
    fn ask(&self, submit: &mut dyn Submit) {
        let op = Op::Range(Range {
            object: self.at.object(),
            after: self.after.as_deref(),
            count_max: PAGE_FIELDS,
            bytes_max: PART_BYTES,
            values: self.what != What::Names,
        });
        submit_one(submit, &op);
    }

    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        proto: Proto,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let taken = match answer {
            Ok(Reply::Range(page)) => self.on_page(&page, submit),
            Ok(Reply::Lookup(lookup)) => self.on_part(&lookup, submit),
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(failure),
        };
        match taken {
            Ok(Taken::Asked) => return Progress::Waiting,
            Ok(Taken::All) => {
                match self.what {
                    What::Pairs => encode::map(out, proto, self.count),
                    What::Names | What::Values => encode::array(out, self.count),
                }
                out.extend_from_slice(&self.elements);
            }
            Ok(Taken::WrongKind) => wrong_kind(out),
            Err(failure) => error::failure(out, &failure),
        }
        Progress::Done
    }

    fn on_page(
        &mut self,
        page: &RangeReply<'_>,
        submit: &mut dyn Submit,
    ) -> Result<Taken, Failure> {
        if page.kind == ObjectKind::String {
            return Ok(Taken::WrongKind);
        }
        for field in &page.fields {
            let found = &field.found;
            if self.what != What::Names && (found.value.len() as u64) < u64::from(found.total) {
                self.cut = Some(Cut { name: field.name.to_vec(), value: Partial::default() });
                return self.on_part(&Lookup::Found(*found), submit);
            }
            self.push(field.name, found.value)?;
        }
        let Some(last) = page.fields.last().filter(|_| page.more) else {
            return if page.more { Err(unexpected()) } else { Ok(Taken::All) };
        };
        self.after = Some(last.name.to_vec());
        self.ask(submit);
        Ok(Taken::Asked)
    }

    fn on_part(&mut self, lookup: &Lookup<'_>, submit: &mut dyn Submit) -> Result<Taken, Failure> {
        let mut cut = self.cut.take().ok_or_else(unexpected)?;
        match cut.value.on_part(lookup) {
            Step::More(offset) => {
                submit_one(submit, &part_at(self.at.object().field(&cut.name), offset));
                self.cut = Some(cut);
                return Ok(Taken::Asked);
            }
            Step::Failed(failure) => return Err(failure),
            Step::Complete(value) => self.push(&cut.name, &value)?,
            // It was deleted meanwhile; the walk goes on behind it.
            Step::Missing | Step::WrongKind => {}
        }
        self.after = Some(cut.name);
        self.ask(submit);
        Ok(Taken::Asked)
    }

    fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), Failure> {
        if self.what != What::Values {
            encode::bulk(&mut self.elements, name);
        }
        if self.what != What::Names {
            encode::bulk(&mut self.elements, value);
        }
        self.count += 1;
        if self.elements.len() > GATHERED_BYTES_MAX {
            return Err(too_much());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::{Lookup, ObjectKind, RangeField, RangeReply, Reply};

    use super::super::harness::{Bench, found, lookup};

    fn page<'a>(fields: &[(&'a str, &'a str)], more: bool) -> Reply<'a> {
        let field = |&(name, value): &(&'a str, &'a str)| RangeField {
            name: name.as_bytes(),
            found: found(value.as_bytes(), u32::try_from(value.len()).unwrap(), 1),
        };
        let fields: Vec<_> = fields.iter().map(field).collect();
        Reply::Range(RangeReply { kind: ObjectKind::Hash, expire_at: 0, fields, more })
    }

    fn nothing(kind: ObjectKind) -> Reply<'static> {
        Reply::Range(RangeReply { kind, expire_at: 0, fields: Vec::new(), more: false })
    }

    #[test]
    fn pages_are_put_together() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["HGETALL", "h"]), ["range /h after - values"]);
        assert!(bench.alone);
        assert_eq!(bench.answer(0, page(&[("a", "1"), ("b", "")], true)), "");
        assert_eq!(bench.take_ops(), ["range /h after b values"]);
        assert_eq!(
            bench.answer(0, page(&[("c", "3")], false)),
            "*6\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$0\r\n\r\n$1\r\nc\r\n$1\r\n3\r\n"
        );
        bench.run(&["HELLO", "3"]);
        bench.ops(&["HGETALL", "h"]);
        assert_eq!(bench.answer(0, page(&[("a", "1")], false)), "%1\r\n$1\r\na\r\n$1\r\n1\r\n");
        bench.ops(&["HGETALL", "h"]);
        assert_eq!(bench.answer(0, nothing(ObjectKind::Missing)), "%0\r\n");
    }

    #[test]
    fn names_or_values_alone() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["HKEYS", "h"]), ["range /h after - names"]);
        assert_eq!(bench.answer(0, page(&[("a", "")], false)), "*1\r\n$1\r\na\r\n");
        assert_eq!(bench.ops(&["HVALS", "h"]), ["range /h after - values"]);
        assert_eq!(bench.answer(0, page(&[("a", "1")], false)), "*1\r\n$1\r\n1\r\n");
        // Names come without values, whatever the values' length.
        bench.ops(&["HKEYS", "h"]);
        let fields = vec![RangeField { name: b"a", found: found(b"", 5, 1) }];
        let kind = ObjectKind::Hash;
        let reply = Reply::Range(RangeReply { kind, expire_at: 0, fields, more: false });
        assert_eq!(bench.answer(0, reply), "*1\r\n$1\r\na\r\n");
    }

    #[test]
    fn a_cut_value_is_completed_and_a_vanished_one_left_out() {
        let mut bench = Bench::new();
        let cut = |name| {
            let fields = vec![RangeField { name, found: found(b"ab", 4, 1) }];
            Reply::Range(RangeReply { kind: ObjectKind::Hash, expire_at: 0, fields, more: true })
        };
        bench.ops(&["HVALS", "h"]);
        assert_eq!(bench.answer(0, cut(b"a")), "");
        assert_eq!(bench.take_ops(), ["get /h#a 2+262144"]);
        assert_eq!(bench.answer(0, lookup(b"cd", 4)), "");
        assert_eq!(bench.take_ops(), ["range /h after a values"]);
        assert_eq!(bench.answer(0, cut(b"b")), "");
        bench.take_ops();
        assert_eq!(bench.answer(0, Reply::Lookup(Lookup::Missing)), "");
        assert_eq!(bench.take_ops(), ["range /h after b values"]);
        assert_eq!(bench.answer(0, nothing(ObjectKind::Missing)), "*1\r\n$4\r\nabcd\r\n");
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.ops(&["HGETALL", "s"]);
        assert!(bench.answer(0, nothing(ObjectKind::String)).starts_with("-WRONGTYPE "));
        bench.ops(&["HGETALL", "s"]);
        let text = "-TRYAGAIN group 1 (a1): busy\r\n";
        assert_eq!(bench.fail(0, FailureCode::Busy, "group 1 (a1): busy"), text);
        // A page that promises more and brings nothing would never end.
        bench.ops(&["HGETALL", "s"]);
        assert!(bench.answer(0, page(&[], true)).starts_with("-ERR internal: "));
    }
}
