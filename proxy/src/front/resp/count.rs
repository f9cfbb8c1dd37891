//! DBSIZE: asks every lane for its count.

use common::ids::{Lane, LogicGroup};
use common::op::Op;
use common::reply::Reply;

use crate::front::call::{Answer, Progress, Started, Submit};

use super::args::Args;
use super::call::Kind;
use super::command::Outcome;
use super::encode;
use super::error::{self, unexpected};
use super::gathered::Gathered;
use super::session::Context;

/// Most lanes that are asked at the same time.
const WINDOW: usize = 256;

/// `DBSIZE`
pub(super) fn dbsize(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    let groups = (0..ctx.submit.logic_groups()).map(LogicGroup);
    let lanes: Vec<Lane> = groups.flat_map(|group| ctx.submit.lanes_of(group)).collect();
    let mut count = Count {
        namespace: ctx.session.namespace.clone(),
        lanes: lanes.into_iter(),
        asked: 0,
        gathered: Gathered::default(),
        sum: 0,
    };
    while count.gathered.outstanding() < WINDOW && count.ask_next(ctx.submit) {}
    if count.gathered.outstanding() == 0 {
        encode::integer(ctx.out, 0);
        return Ok(Started::Answered);
    }
    ctx.wait_alone(Kind::Count(Box::new(count)))
}

/// Adds up the lanes' counts.
pub(super) struct Count {
    namespace: Vec<u8>,
    lanes: std::vec::IntoIter<Lane>,
    asked: u32,
    gathered: Gathered,
    sum: u64,
}

impl Count {
    fn ask_next(&mut self, submit: &mut dyn Submit) -> bool {
        let Some(lane) = self.lanes.next() else {
            return false;
        };
        submit.submit_to(self.asked, lane, &Op::Count { namespace: &self.namespace });
        self.asked += 1;
        self.gathered.add();
        true
    }

    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let taken = match answer {
            Ok(Reply::Count(count)) => {
                self.sum = self.sum.saturating_add(count);
                Ok(Progress::Done)
            }
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(failure),
        };
        if taken.is_ok() && !self.gathered.has_failed() {
            self.ask_next(submit);
        }
        if self.gathered.on_part(taken) == Progress::Waiting {
            return Progress::Waiting;
        }
        match self.gathered.failure() {
            Some(failure) => error::failure(out, failure),
            None => encode::integer(out, i64::try_from(self.sum).unwrap_or(i64::MAX)),
        }
        Progress::Done
    }
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::Reply;

    use super::super::harness::Bench;

    #[test]
    fn every_lane_is_counted() {
        let mut bench = Bench::new();
        bench.run(&["SELECT", "files"]);
        let ops = bench.ops(&["DBSIZE"]);
        assert!(bench.alone);
        assert_eq!(ops.len(), 10);
        assert_eq!(ops[0], "0.0 count files");
        assert_eq!(ops[9], "4.1 count files");
        for part in 0..9 {
            assert_eq!(bench.answer(part, Reply::Count(10)), "");
        }
        assert_eq!(bench.answer(9, Reply::Count(1)), ":91\r\n");
        bench.ops(&["DBSIZE"]);
        bench.fail(0, FailureCode::NoServer, "group 0 (a1): down");
        for part in 1..9 {
            assert_eq!(bench.answer(part, Reply::Count(10)), "");
        }
        assert_eq!(bench.answer(9, Reply::Count(1)), "-TRYAGAIN group 0 (a1): down\r\n");
    }
}
