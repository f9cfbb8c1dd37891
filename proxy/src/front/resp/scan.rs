//! SCAN: walks through the logic groups, and through each by hash position.
//!
//! A cursor is the group in its upper 16 bits and a position in the other 48: where to go on. It
//! holds no state, so it is valid on every proxy and after every change of the topology. The lanes
//! of a group are asked together; what they tell is used up to the lowest position that all of them
//! have reached, so no object is passed over.

use common::failure::Failure;
use common::hash::POSITION_BITS;
use common::ids::{Lane, LogicGroup};
use common::op::{self, Op};
use common::reply::{Reply, ScanReply};

use crate::front::call::{Answer, Progress, Started, Submit};

use super::args::Args;
use super::call::{Kind, kind_name};
use super::command::{Outcome, is_word};
use super::encode;
use super::error::{self, CommandError, unexpected};
use super::gathered::Gathered;
use super::glob::{self, Case};
use super::number::{parse_i64, push_u64};
use super::session::Context;

const COUNT_DEFAULT: u64 = 10;
/// Most objects one lane is asked for at a time.
const PAGE_OBJECTS_MAX: u64 = 1 << 10;
/// Most times the lanes of a group are asked by one command.
const ROUNDS_MAX: u32 = 16;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    group: u16,
    position: u64,
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let groups = ctx.submit.logic_groups();
    let cursor = parse_cursor(args.get(1)).filter(|cursor| cursor.group < groups);
    let cursor = cursor.ok_or(CommandError::Fixed("invalid cursor"))?;
    let mut scan = Scan {
        namespace: ctx.session.namespace.clone(),
        filter: Filter::default(),
        groups,
        cursor: Some(cursor),
        examined: 0,
        count: COUNT_DEFAULT,
        rounds: 0,
        round: Round::default(),
        found: 0,
        elements: Vec::new(),
    };
    let mut options = args.from(2).iter();
    while let Some(word) = options.next() {
        let value = options.next().ok_or(CommandError::Syntax)?;
        if is_word(word, "COUNT") {
            let count = parse_i64(value).ok_or(CommandError::NotInteger)?;
            let count = u64::try_from(count).ok().filter(|&count| count > 0);
            scan.count = count.ok_or(CommandError::Syntax)?;
        } else if is_word(word, "MATCH") {
            // The pattern that matches everything is the most frequent one.
            scan.filter.pattern = (value != b"*").then(|| value.to_vec());
        } else if is_word(word, "TYPE") {
            scan.filter.kind = Some(value.to_ascii_lowercase());
        } else {
            return Err(CommandError::Syntax);
        }
    }
    match scan.ask(ctx.submit) {
        Progress::Waiting => ctx.wait_alone(Kind::Scan(Box::new(scan))),
        Progress::Done => {
            scan.write(ctx.out);
            Ok(Started::Answered)
        }
    }
}

/// A page of keys in the making.
pub(super) struct Scan {
    namespace: Vec<u8>,
    filter: Filter,
    groups: u16,
    /// Where the next round starts; none at the end.
    cursor: Option<Cursor>,
    /// Objects seen, whether or not they passed the filter: what COUNT bounds.
    examined: u64,
    count: u64,
    rounds: u32,
    round: Round,
    found: usize,
    elements: Vec<u8>,
}

/// What the lanes of one group told in one round.
#[derive(Default)]
struct Round {
    gathered: Gathered,
    /// Positions and encoded names; names that the filter refused are empty.
    objects: Vec<(u64, Vec<u8>)>,
    /// The lowest position from which a lane wants to go on.
    next: Option<u64>,
}

#[derive(Default)]
struct Filter {
    pattern: Option<Vec<u8>>,
    kind: Option<Vec<u8>>,
}

impl Filter {
    fn passes(&self, name: &[u8], kind: &str) -> bool {
        let pattern = self.pattern.as_ref();
        self.kind.as_ref().is_none_or(|wanted| wanted == kind.as_bytes())
            && pattern.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive))
    }
}

impl Scan {
    /// Asks the lanes of the cursor's group, or of the next one that has any.
    fn ask(&mut self, submit: &mut dyn Submit) -> Progress {
        while let Some(cursor) = self.cursor {
            let lanes: Vec<Lane> = submit.lanes_of(LogicGroup(cursor.group));
            let left = self.count.saturating_sub(self.examined).clamp(1, PAGE_OBJECTS_MAX);
            let op = Op::Scan(op::Scan {
                namespace: &self.namespace,
                from: cursor.position,
                count_max: u32::try_from(left).unwrap_or(u32::MAX),
            });
            for (part, lane) in (0..).zip(&lanes) {
                submit.submit_to(part, *lane, &op);
            }
            self.round = Round { gathered: Gathered::of(lanes.len()), ..Round::default() };
            if !lanes.is_empty() {
                return Progress::Waiting;
            }
            self.cursor = self.behind(cursor.group);
        }
        Progress::Done
    }

    fn behind(&self, group: u16) -> Option<Cursor> {
        let group = group.checked_add(1).filter(|&group| group < self.groups)?;
        Some(Cursor { group, position: 0 })
    }

    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let taken = match answer {
            Ok(Reply::Scan(page)) => self.on_page(&page).map(|()| Progress::Done),
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(failure),
        };
        if self.round.gathered.on_part(taken) == Progress::Waiting {
            return Progress::Waiting;
        }
        if let Some(failure) = self.round.gathered.failure() {
            error::failure(out, failure);
            return Progress::Done;
        }
        self.finish_round();
        let enough = self.examined >= self.count || self.rounds >= ROUNDS_MAX;
        if !enough && self.ask(submit) == Progress::Waiting {
            return Progress::Waiting;
        }
        self.write(out);
        Progress::Done
    }

    fn on_page(&mut self, page: &ScanReply<'_>) -> Result<(), Failure> {
        let from = self.cursor.map_or(0, |cursor| cursor.position);
        for object in &page.objects {
            let mut element = Vec::new();
            if self.filter.passes(object.name, kind_name(object.kind)) {
                encode::bulk(&mut element, object.name);
            }
            self.round.objects.push((object.position, element));
        }
        let Some(next) = page.next else { return Ok(()) };
        // A lane that does not get ahead would keep the client here for ever.
        if next <= from || next > POSITION_MASK {
            return Err(unexpected());
        }
        self.round.next = Some(self.round.next.map_or(next, |lowest| lowest.min(next)));
        Ok(())
    }

    /// Takes over what all lanes have reached; the rest is asked for again.
    fn finish_round(&mut self) {
        let Some(cursor) = self.cursor else { return };
        let round = std::mem::take(&mut self.round);
        let reached = round.next.unwrap_or(u64::MAX);
        for (_, element) in round.objects.iter().filter(|(position, _)| *position < reached) {
            self.examined += 1;
            self.found += usize::from(!element.is_empty());
            self.elements.extend_from_slice(element);
        }
        self.rounds += 1;
        self.cursor = match round.next {
            Some(position) => Some(Cursor { group: cursor.group, position }),
            None => self.behind(cursor.group),
        };
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut cursor = Vec::new();
        push_u64(&mut cursor, self.cursor.map_or(0, Cursor::number));
        encode::array(out, 2);
        encode::bulk(out, &cursor);
        encode::array(out, self.found);
        out.extend_from_slice(&self.elements);
    }
}

impl Cursor {
    fn number(self) -> u64 {
        u64::from(self.group) << POSITION_BITS | self.position
    }
}

/// Reads a cursor, of which Redis clients expect any unsigned 64-bit number to be one.
fn parse_cursor(text: &[u8]) -> Option<Cursor> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(text).ok().filter(|_| digits)?;
    let number: u64 = text.parse().ok()?;
    let group = u16::try_from(number >> POSITION_BITS).ok()?;
    Some(Cursor { group, position: number & POSITION_MASK })
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::{ObjectKind, Reply, ScanObject, ScanReply};

    use super::super::harness::Bench;

    fn page<'a>(objects: &[(u64, &'a str)], next: Option<u64>) -> Reply<'a> {
        let object = |&(position, name): &(u64, &'a str)| {
            let kind = if name.starts_with('h') { ObjectKind::Hash } else { ObjectKind::String };
            ScanObject { position, name: name.as_bytes(), kind }
        };
        Reply::Scan(ScanReply { objects: objects.iter().map(object).collect(), next })
    }

    #[test]
    fn lanes_are_merged_up_to_the_lowest_position_reached() {
        let mut bench = Bench::new();
        let ops = bench.ops(&["SCAN", "0", "COUNT", "3"]);
        assert_eq!(ops, ["0.0 scan  from 0 count 3", "0.1 scan  from 0 count 3"]);
        assert!(bench.alone);
        assert_eq!(bench.answer(0, page(&[(5, "a"), (9, "b"), (9, "c")], Some(10))), "");
        assert_eq!(
            bench.answer(1, page(&[(4, "d"), (20, "e"), (30, "f")], Some(31))),
            "*2\r\n$2\r\n10\r\n*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n"
        );
        let ops = bench.ops(&["SCAN", "10", "COUNT", "3"]);
        assert_eq!(ops[0], "0.0 scan  from 10 count 3");
        assert_eq!(bench.answer(0, page(&[], None)), "");
        // Two are not enough, so the walk goes on in the next group.
        assert_eq!(bench.answer(1, page(&[(20, "e"), (30, "f")], None)), "");
        let ops = bench.take_ops();
        assert_eq!(ops, ["1.0 scan  from 0 count 1", "1.1 scan  from 0 count 1"]);
        assert_eq!(bench.answer(1, page(&[(7, "g")], Some(8))), "");
        let cursor = (1u64 << 48) | 8;
        let text = bench.answer(0, page(&[], None));
        assert!(text.starts_with(&format!("*2\r\n${}\r\n{cursor}\r\n*3\r\n", 15)), "{text}");
    }

    #[test]
    fn the_last_group_ends_the_walk() {
        let mut bench = Bench::new();
        let cursor = (4u64 << 48).to_string();
        bench.ops(&["SCAN", &cursor]);
        bench.answer(0, page(&[], None));
        assert_eq!(bench.answer(1, page(&[(1, "a")], None)), "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    }

    #[test]
    fn filters_hide_names_but_count_them() {
        let mut bench = Bench::new();
        bench.ops(&["SCAN", "0", "match", "s*", "TYPE", "String", "COUNT", "3"]);
        bench.answer(0, page(&[(1, "hs"), (2, "s1"), (3, "x")], Some(4)));
        assert_eq!(bench.answer(1, page(&[], None)), "*2\r\n$1\r\n4\r\n*1\r\n$2\r\ns1\r\n");
        bench.ops(&["SCAN", "0", "TYPE", "hash", "MATCH", "*", "COUNT", "1"]);
        bench.answer(0, page(&[(1, "hs"), (2, "s1")], Some(4)));
        assert_eq!(bench.answer(1, page(&[], None)), "*2\r\n$1\r\n4\r\n*1\r\n$2\r\nhs\r\n");
        bench.ops(&["SCAN", "0", "TYPE", "zset", "COUNT", "1"]);
        bench.answer(0, page(&[(1, "hs")], Some(4)));
        assert_eq!(bench.answer(1, page(&[], None)), "*2\r\n$1\r\n4\r\n*0\r\n");
    }

    #[test]
    fn rounds_of_one_command_are_bounded() {
        let mut bench = Bench::new();
        bench.ops(&["SCAN", "0", "COUNT", "1000000"]);
        let mut rounds = 0;
        loop {
            rounds += 1;
            bench.answer(0, page(&[(rounds, "a")], Some(rounds + 1)));
            if !bench.answer(1, page(&[], None)).is_empty() {
                break;
            }
            assert_eq!(bench.take_ops().len(), 2);
        }
        assert_eq!(rounds, 16);
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        let beyond = (5u64 << 48).to_string();
        for cursor in ["", "x", "-1", "+1", "18446744073709551616", &beyond] {
            assert_eq!(bench.run(&["SCAN", cursor]), "-ERR invalid cursor\r\n", "{cursor}");
        }
        for options in [&["COUNT", "0"][..], &["COUNT"], &["FOO", "1"], &["COUNT", "-1"]] {
            let words: Vec<_> = ["SCAN", "0"].iter().chain(options).copied().collect();
            assert_eq!(bench.run(&words), "-ERR syntax error\r\n");
        }
        assert_eq!(
            bench.run(&["SCAN", "0", "COUNT", "x"]),
            "-ERR value is not an integer or out of range\r\n"
        );
        bench.ops(&["SCAN", "0"]);
        bench.fail(0, FailureCode::NoServer, "group 0 (a1): down");
        assert_eq!(bench.answer(1, page(&[], None)), "-TRYAGAIN group 0 (a1): down\r\n");
        bench.ops(&["SCAN", "0"]);
        bench.answer(0, page(&[], Some(0)));
        assert!(bench.answer(1, page(&[], None)).starts_with("-ERR internal: "));
    }
}
