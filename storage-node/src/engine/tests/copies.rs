//! Two servers hold copies of one lane. One evaluates operations on what its own reclaim left and logs
//! the results, the other applies them to what its reclaim left, and now and then they change places.
//! Nobody may notice: at equal positions both show the same (I4), nothing comes back (I9), and an
//! operation is logged as it would be where nothing was ever reclaimed.

use std::collections::{BTreeMap, BTreeSet};

use common::address::Field;
use common::ids::ServerIndex;
use common::op::{Action, AddStyle, Batch, Expiry, ExpiryRule, Op, Want, Write};
use common::stored::Body;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::support::{Bench, OPTIONS, Put, object, version};
use crate::engine::{FlushJob, ScanFrom, Slice, StoreOptions};
use crate::group::evaluate::{Draft, Moment, write};

const KEPT: StoreOptions = StoreOptions { cache_bytes: 8 << 10, servers: 1, ..OPTIONS };
const START_MS: u64 = 1_000_000;
const NAMES: [&str; 3] = ["k", "other", "third"];
const FIELDS: [&[u8]; 3] = [b"a", b"b", b"c"];

#[derive(Clone, Debug)]
enum Step {
    /// The leader evaluates and applies an operation of one or several writes.
    Write(Vec<Write<'static>>),
    /// The follower applies so many records more.
    Follow(usize),
    /// The follower applies everything and leads from now on.
    Takeover,
    Time(u64),
    /// One slice of a server's reclaim, whose lane's safe time is behind by so many milliseconds.
    Reclaim {
        server: usize,
        slice: usize,
        behind_ms: u64,
    },
    /// A server reclaims all that it can, over several flushes.
    Settle {
        server: usize,
    },
    BeginFlush {
        server: usize,
    },
    FinishFlush {
        server: usize,
    },
    Crash {
        server: usize,
        commits: usize,
    },
    Check,
}

struct Server {
    bench: Bench,
    flushing: Option<FlushJob>,
}

impl Server {
    fn new() -> Self {
        let options = StoreOptions { purge_tombstones: false, ..KEPT };
        Self { bench: Bench::new(options), flushing: None }
    }

    fn applied(&self) -> usize {
        usize::try_from(self.bench.next() - 1).unwrap()
    }

    fn begin_flush(&mut self) {
        if self.flushing.is_none() {
            self.flushing = self.bench.store_mut().begin_flush();
        }
    }

    fn finish_flush(&mut self) {
        if let Some(job) = self.flushing.take() {
            let done = job.run();
            assert!(done.error().is_none(), "{:?}", done.error());
            drop(self.bench.store_mut().finish_flush(done));
        }
    }

    /// Reclaims all that it can: the second round sees what the first has flushed, and so on.
    fn settle(&mut self, safe_ms: u64) {
        for _ in 0..4 {
            self.bench.reclaim_all(safe_ms);
            self.finish_flush();
            self.begin_flush();
            self.finish_flush();
        }
    }

    fn crash(&mut self, commits: usize) {
        if self.flushing.take().is_none() {
            self.bench.flush_partly(commits);
        }
        self.bench.reopen();
    }

    fn digest(&self, now_ms: u64) -> BTreeMap<u8, u64> {
        let page = self.bench.store().digest_page(ServerIndex(0), &[], usize::MAX, now_ms).unwrap();
        assert_eq!(page.next, None);
        page.buckets
    }

    fn records(&self) -> usize {
        NAMES.iter().map(|name| self.bench.records(name).len()).sum()
    }
}

struct Lane {
    servers: [Server; 2],
    /// A third copy, of which nothing is ever reclaimed.
    whole: Server,
    leader: usize,
    now_ms: u64,
    /// When each record was decided.
    decided: Vec<u64>,
}

impl Lane {
    fn new() -> Self {
        let servers = [Server::new(), Server::new()];
        Self { servers, whole: Server::new(), leader: 0, now_ms: START_MS, decided: Vec::new() }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Write(ref writes) => self.write(writes),
            Step::Follow(records) => self.follow(records),
            Step::Takeover => {
                self.follow(usize::MAX);
                self.leader = 1 - self.leader;
            }
            Step::Time(ms) => self.now_ms += ms,
            Step::Reclaim { server, slice, behind_ms } => {
                let safe = self.safe_ms(server).saturating_sub(behind_ms);
                self.servers[server].bench.reclaim(safe, slice);
            }
            Step::Settle { server } => {
                let safe = self.safe_ms(server);
                self.servers[server].settle(safe);
            }
            Step::BeginFlush { server } => self.servers[server].begin_flush(),
            Step::FinishFlush { server } => self.servers[server].finish_flush(),
            Step::Crash { server, commits } => self.servers[server].crash(commits),
            Step::Check => self.check(),
        }
    }

    /// Up to when everything that was decided is applied at a server.
    fn safe_ms(&self, server: usize) -> u64 {
        let applied = self.servers[server].applied();
        self.decided.get(applied).map_or(self.now_ms, |first| self.now_ms.min(first - 1))
    }

    fn write(&mut self, writes: &[Write<'static>]) {
        let op = match *writes {
            [one] => Op::Write(one),
            _ => Op::Batch(Batch { conditions: Vec::new(), writes: writes.to_vec() }),
        };
        let number = self.servers[self.leader].bench.next();
        let now_ms = self.now_ms;
        let at = Moment { now_ms, version: version(number), cleared: version(number - 1) };
        let [logged, expected] = [&self.servers[self.leader], &self.whole].map(|server| {
            let (mut draft, mut answer) = (Draft::default(), Vec::new());
            let done = write(server.bench.store(), &op, &at, &mut draft, &mut answer);
            let refused = done.err().map(|refused| format!("{refused:?}"));
            (draft.iter().map(|m| (m.key.to_vec(), put(&m.stored.body))).collect(), answer, refused)
        });
        assert_eq!(logged, expected, "{op:?} at {now_ms}");
        let puts: Vec<_> = logged.0;
        if !puts.is_empty() {
            self.decided.push(now_ms);
            self.whole.bench.write(puts.clone());
            self.servers[self.leader].bench.write(puts);
        }
    }

    fn follow(&mut self, records: usize) {
        let follower = &mut self.servers[1 - self.leader];
        for number in (follower.bench.next()..self.whole.bench.next()).take(records) {
            follower.bench.write(self.whole.bench.logged(number).to_vec());
        }
    }

    fn check(&self) {
        let whole = self.whole.digest(self.now_ms);
        for server in &self.servers {
            if server.applied() == self.decided.len() {
                assert_eq!(server.digest(self.now_ms), whole, "at {}", self.now_ms);
                let (store, mut names) = (server.bench.store(), BTreeSet::new());
                let visit = &mut |_: u64, name: &[u8], _: common::reply::ObjectKind| {
                    names.insert(name.to_vec());
                };
                let from =
                    ScanFrom { namespace: b"ns", server: ServerIndex(0), position: 0, max: 100 };
                let next = store.scan(&from, self.now_ms, &mut Slice::unbounded(), visit).unwrap();
                assert_eq!(next, None);
                assert_eq!(server.bench.count(self.now_ms), names.len() as u64, "{names:?}");
            }
        }
    }

    /// Everything is applied everywhere; servers that reclaim and flush for long enough have nothing
    /// left to do.
    fn quiet(&mut self) {
        self.follow(usize::MAX);
        self.check();
        self.now_ms += 100_000;
        for server in &mut self.servers {
            server.settle(self.now_ms);
        }
        self.check();
        for server in &mut self.servers {
            assert_eq!(server.bench.reclaim(self.now_ms, 50), 0, "it is looked at for ever");
            server.bench.reopen();
            assert_eq!(server.bench.reclaim(self.now_ms, 50), 0, "after a restart");
        }
        self.check();
        let [one, other] = &self.servers;
        assert_eq!(one.records(), other.records(), "both reclaim all that they can");
    }
}

fn put(body: &Body<'_>) -> Put {
    match *body {
        Body::Value { expire_at, value } => Put::Value { expire_at, value: value.to_vec() },
        Body::Tombstone => Put::Tombstone,
        Body::Header { expire_at, cleared } => Put::Header { expire_at, cleared: cleared.hlc.0 },
    }
}

fn follow(steps: &[Step]) {
    let mut lane = Lane::new();
    for step in steps {
        lane.run(step);
    }
    lane.quiet();
}

fn set(expiry: Expiry) -> Write<'static> {
    let at = object(NAMES[0]).unnamed();
    Write { expiry, ..Write::put(at, b"5", true) }
}

fn hset(field: &'static [u8]) -> Write<'static> {
    Write::put(object(NAMES[0]).field(field), b"5", false)
}

fn expire(expiry: Expiry) -> Write<'static> {
    let action = Action::TouchObject { rule: ExpiryRule::Always };
    Write { at: object(NAMES[0]).unnamed(), action, expiry, want: Want::Nothing }
}

fn one(write: Write<'static>) -> Step {
    Step::Write(vec![write])
}

#[test]
fn fields_that_only_the_leader_has_reclaimed_do_not_come_back_when_their_string_is_deleted() {
    let mut steps = vec![one(hset(b"a")), one(set(Expiry::Never)), Step::Follow(2)];
    steps.push(Step::Settle { server: 0 });
    steps.extend([one(Write::delete_object(object(NAMES[0]))), Step::Follow(1), Step::Check]);
    follow(&steps);
}

#[test]
fn an_expired_hash_that_only_the_leader_has_reclaimed_does_not_hide_the_next_one() {
    let mut steps = vec![one(hset(b"a")), one(expire(Expiry::After(5))), Step::Follow(2)];
    steps.extend([Step::Time(60_000), Step::Settle { server: 0 }, one(hset(b"b"))]);
    steps.extend([Step::Follow(1), Step::Check, Step::Settle { server: 1 }]);
    steps.extend([Step::Takeover, Step::Check]);
    follow(&steps);
}

#[test]
fn a_field_that_arrives_late_under_an_expired_header_is_not_counted_for_ever() {
    let mut steps = vec![one(hset(b"a")), one(expire(Expiry::After(5))), one(hset(b"b"))];
    steps.extend([Step::Follow(2), Step::Time(60_000)]);
    let mut lane = Lane::new();
    steps.iter().for_each(|step| lane.run(step));
    // As a server whose safe time was wrong: it has dealt with the header before the field comes.
    let follower = &mut lane.servers[1];
    follower.settle(lane.now_ms);
    assert_eq!(follower.bench.reclaim(lane.now_ms, 50), 0);
    lane.follow(1);
    lane.servers[1].settle(lane.now_ms);
    lane.quiet();
}

#[test]
fn a_clean_object_is_looked_at_again_when_something_hides_its_fields_later() {
    let replaced = Write::put(object(NAMES[0]).field(b"c"), b"5", true);
    let mut steps = vec![one(hset(b"c")), one(set(Expiry::Never)), one(replaced)];
    steps.extend([Step::Follow(3), one(set(Expiry::Never))]);
    steps.extend([Step::BeginFlush { server: 1 }, Step::FinishFlush { server: 1 }]);
    // The pass ends before the last write comes, and what it found is not flushed yet.
    steps.push(Step::Reclaim { server: 1, slice: 1, behind_ms: 0 });
    follow(&steps);
}

fn writes() -> impl Strategy<Value = Write<'static>> {
    let field = prop_oneof![
        2 => Just(Field::Unnamed),
        3 => select(&FIELDS[..]).prop_map(Field::Named)
    ];
    let expiry = prop_oneof![
        3 => Just(Expiry::Never),
        2 => Just(Expiry::Keep),
        2 => (0..30_u64).prop_map(Expiry::After),
        1 => (1_000..30_000_u64).prop_map(Expiry::After),
        1 => Just(Expiry::At(START_MS + 10)),
    ];
    let rule = || select(vec![ExpiryRule::Always, ExpiryRule::IfNever, ExpiryRule::IfLater]);
    let action = prop_oneof![
        6 => any::<bool>().prop_map(|replace| Action::Put { value: b"5", replace }),
        2 => Just(Action::Delete),
        3 => Just(Action::DeleteObject),
        1 => Just(Action::Add { delta: 1, style: AddStyle::Lenient }),
        1 => Just(Action::Append { bytes: b"7" }),
        1 => rule().prop_map(|rule| Action::Touch { rule }),
        3 => rule().prop_map(|rule| Action::TouchObject { rule }),
    ];
    let want = select(vec![Want::Nothing, Want::Value]);
    let object = prop_oneof![6 => Just(NAMES[0]), 1 => select(&NAMES[..])].prop_map(object);
    (object, field, action, expiry, want).prop_map(|(object, field, action, expiry, want)| {
        let at = common::address::Address { object, field };
        Write { at, action, expiry, want }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let server = 0..2_usize;
    prop_oneof![
        12 => writes().prop_map(one),
        2 => vec(writes(), 2..5).prop_map(Step::Write),
        3 => (0..5_usize).prop_map(Step::Follow),
        2 => Just(Step::Follow(usize::MAX)),
        1 => Just(Step::Takeover),
        4 => prop_oneof![1..40_u64, 5_000..40_000_u64].prop_map(Step::Time),
        5 => (server.clone(), prop_oneof![1..6_usize, Just(50)], prop_oneof![Just(0), 0..20_u64])
            .prop_map(|(server, slice, behind_ms)| Step::Reclaim { server, slice, behind_ms }),
        3 => server.clone().prop_map(|server| Step::Settle { server }),
        3 => server.clone().prop_map(|server| Step::BeginFlush { server }),
        3 => server.clone().prop_map(|server| Step::FinishFlush { server }),
        1 => (server, 0..4_usize).prop_map(|(server, commits)| Step::Crash { server, commits }),
        3 => Just(Step::Check),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn copies_stay_equal_whoever_reclaims_when(steps in vec(steps(), 1..80)) {
        follow(&steps);
    }
}
