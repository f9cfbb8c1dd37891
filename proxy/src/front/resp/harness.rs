//! A session for tests: commands in as words, operations out as short texts, answers fed by hand.

use std::cell::RefCell;

use common::address::{Address, Field, Object};
use common::failure::{Failure, FailureCode};
use common::hash::KeyHash;
use common::ids::{Lane, LogicGroup, ServerIndex};
use common::op::{Action, Condition, Op, Test, Write};
use common::reply::{BatchReply, Described, Existed, Found, Lookup, ObjectKind, Reply, Written};
use common::version::{Hlc, Version};

use crate::front::call::{Answer, Durability, Progress, Started, Submit};

use super::call::RespCall;
use super::decode::Decoder;
use super::environment::{ClientLine, Environment, Identity, ServerInfo};
use super::session::RespSession;

/// Now, for every test.
pub(super) const NOW_MS: u64 = 1_700_000_000_123;
pub(super) const GROUPS: u16 = 5;
const SERVERS: u8 = 2;

/// A command as an array of bulk strings.
pub(super) fn command(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n", arg.len()).into_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A connection and everything it needs.
pub(super) struct Bench {
    pub(super) session: RespSession,
    pub(super) world: World,
    pub(super) sent: Recorder,
    pub(super) call: Option<RespCall>,
    pub(super) alone: bool,
    pub(super) closed: bool,
    /// The decoder's limit.
    pub(super) bytes_max: usize,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            session: RespSession::new(7),
            world: World::default(),
            sent: Recorder::default(),
            call: None,
            alone: false,
            closed: false,
            bytes_max: 64 << 20,
        }
    }

    /// Starts a command; what was answered at once.
    pub(super) fn run(&mut self, words: &[&str]) -> String {
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        String::from_utf8(self.run_bytes(&args)).unwrap()
    }

    pub(super) fn run_bytes(&mut self, args: &[&[u8]]) -> Vec<u8> {
        assert!(self.call.is_none(), "the last command is not done");
        let bytes = command(args);
        let mut decoder = Decoder::new(self.bytes_max);
        assert_eq!(decoder.decode(&bytes), Ok(Some(bytes.len())));
        let mut out = Vec::new();
        let args = decoder.args(&bytes);
        match self.session.start(&args, &self.world, &mut self.sent, &mut out) {
            Started::Answered => {}
            Started::AnsweredAndClose => self.closed = true,
            Started::Waiting(call) => (self.call, self.alone) = (Some(call), false),
            Started::WaitingAlone(call) => (self.call, self.alone) = (Some(call), true),
        }
        assert!(self.call.is_none() || out.is_empty(), "answered before it was done");
        out
    }

    /// Starts a command that must wait; the operations it sent.
    pub(super) fn ops(&mut self, words: &[&str]) -> Vec<String> {
        assert_eq!(self.run(words), "");
        assert!(self.call.is_some(), "{words:?} waits for nothing");
        self.take_ops()
    }

    /// The operations sent since the last time.
    pub(super) fn take_ops(&mut self) -> Vec<String> {
        self.sent.take().into_iter().map(|(_, text)| text).collect()
    }

    /// Feeds one answer; the client's answer if that was the last one.
    pub(super) fn answer(&mut self, part: u32, reply: Reply<'_>) -> String {
        String::from_utf8(self.feed(part, Ok(reply))).unwrap()
    }

    pub(super) fn fail(&mut self, part: u32, code: FailureCode, detail: &str) -> String {
        String::from_utf8(self.feed(part, Err(Failure::new(code, detail)))).unwrap()
    }

    pub(super) fn feed(&mut self, part: u32, answer: Answer<'_>) -> Vec<u8> {
        let mut call = self.call.take().expect("a call waits");
        let mut out = Vec::new();
        match call.on_answer(part, answer, &mut self.sent, &mut out) {
            Progress::Done => assert!(!out.is_empty(), "done without an answer"),
            Progress::Waiting => {
                assert!(out.is_empty(), "answered before it was done");
                self.call = Some(call);
            }
        }
        out
    }
}

/// Records operations as texts.
#[derive(Default)]
pub(super) struct Recorder {
    ops: Vec<(u32, String)>,
}

impl Recorder {
    /// Part numbers and texts since the last time.
    pub(super) fn take(&mut self) -> Vec<(u32, String)> {
        std::mem::take(&mut self.ops)
    }
}

impl Submit for Recorder {
    fn submit(&mut self, part: u32, op: &Op<'_>, durability: Durability) {
        assert_eq!(durability, Durability::default());
        let lane = self.lane_of(op.object().expect("it has an object"));
        if let Op::Batch(batch) = op {
            let of_write = batch.writes.iter().map(|write| write.at);
            let all = of_write.chain(batch.conditions.iter().map(|condition| condition.at));
            all.for_each(|at| assert_eq!(self.lane_of(at.object), lane));
        }
        if let Op::GetMany(many) = op {
            many.at.iter().for_each(|at| assert_eq!(self.lane_of(at.object), lane));
        }
        self.ops.push((part, text(op)));
    }

    fn submit_to(&mut self, part: u32, lane: Lane, op: &Op<'_>) {
        self.ops.push((part, format!("{}.{} {}", lane.group.0, lane.server.0, text(op))));
    }

    fn lane_of(&self, object: Object<'_>) -> Lane {
        KeyHash::of(object).lane(GROUPS, SERVERS)
    }

    fn logic_groups(&self) -> u16 {
        GROUPS
    }

    fn lanes_of(&self, group: LogicGroup) -> Vec<Lane> {
        (0..SERVERS).map(|server| Lane { group, server: ServerIndex(server) }).collect()
    }

    fn now_ms(&self) -> u64 {
        NOW_MS
    }
}

/// The process around the connection.
#[derive(Default)]
pub(super) struct World {
    pub(super) identities: RefCell<Vec<Identity>>,
    pub(super) clients: Vec<ClientLine>,
}

impl Environment for World {
    fn server(&self) -> ServerInfo {
        ServerInfo {
            version: "0.1.0".to_owned(),
            cluster: "demo".to_owned(),
            file_epoch: 7,
            connected_clients: 3,
            process_id: 42,
            uptime_s: 90_000,
            ..ServerInfo::default()
        }
    }

    fn clients(&self) -> Vec<ClientLine> {
        self.clients.clone()
    }

    fn on_identity(&self, client_id: u64, identity: &Identity) {
        assert_eq!(client_id, 7);
        self.identities.borrow_mut().push(identity.clone());
    }

    fn databases(&self) -> u32 {
        16
    }

    fn namespace_of_database(&self, database: u32) -> Option<Vec<u8>> {
        (database == 3).then(|| b"files".to_vec())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn object_text(object: Object<'_>) -> String {
    format!("{}/{}", lossy(object.namespace), lossy(object.name))
}

fn at_text(at: Address<'_>) -> String {
    match at.field {
        Field::Unnamed => object_text(at.object),
        Field::Named(name) => format!("{}#{}", object_text(at.object), lossy(name)),
    }
}

fn write_text(write: &Write<'_>) -> String {
    let at = at_text(write.at);
    let action = match write.action {
        Action::Put { value, replace: true } => format!("put {at}={} replace", lossy(value)),
        Action::Put { value, replace: false } => format!("put {at}={}", lossy(value)),
        Action::Delete => format!("delete {at}"),
        Action::DeleteObject => format!("delete-object {at}"),
        Action::Add { delta, style: common::op::AddStyle::Strict } => format!("add {at} {delta}"),
        Action::Add { .. } => panic!("RESP adds strictly"),
        Action::Append { bytes } => format!("append {at}={}", lossy(bytes)),
        Action::Touch { rule } => format!("touch {at} {rule:?}"),
        Action::TouchObject { rule } => format!("touch-object {at} {rule:?}"),
    };
    let how = format!("{:?} {:?}", write.expiry, write.want).to_lowercase();
    format!("{action} {how}")
}

fn condition_text(condition: &Condition<'_>) -> String {
    let test = match condition.test {
        Test::Exists => "exists",
        Test::Absent => "absent",
        Test::ObjectExists => "object-exists",
        Test::ObjectAbsent => "object-absent",
        Test::NotHash => "not-hash",
        Test::NotString => "not-string",
        Test::VersionIs(_) => "version",
        Test::ValueIs(_) => "value",
    };
    format!("{} {test}", at_text(condition.at))
}

fn text(op: &Op<'_>) -> String {
    match op {
        Op::Get(get) => {
            format!("get {} {}+{}", at_text(get.at), get.part.offset, get.part.limit)
        }
        Op::GetMany(many) => {
            let at: Vec<_> = many.at.iter().map(|at| at_text(*at)).collect();
            format!("get-many {} max {}", at.join(" "), many.bytes_max)
        }
        Op::Write(write) => format!("write {}", write_text(write)),
        Op::Batch(batch) => {
            let conditions: Vec<_> = batch.conditions.iter().map(condition_text).collect();
            let writes: Vec<_> = batch.writes.iter().map(write_text).collect();
            format!("batch [{}] [{}]", conditions.join(", "), writes.join(", "))
        }
        Op::Range(range) => {
            let after = range.after.map_or("-".to_owned(), lossy);
            let what = if range.values { "values" } else { "names" };
            format!("range {} after {after} {what}", object_text(range.object))
        }
        Op::Describe(describe) => {
            let count = if describe.count { " count" } else { "" };
            format!("describe {}{count}", object_text(describe.object))
        }
        Op::Scan(scan) => {
            format!("scan {} from {} count {}", lossy(scan.namespace), scan.from, scan.count_max)
        }
        Op::Count { namespace } => format!("count {}", lossy(namespace)),
    }
}

/// A version for tests.
pub(super) fn version(number: u64) -> Version {
    Version { hlc: Hlc(number), ..Version::default() }
}

pub(super) fn found(value: &[u8], total: u32, number: u64) -> Found<'_> {
    Found { version: version(number), expire_at: 0, total, value }
}

/// A found record.
pub(super) fn lookup(value: &[u8], total: u32) -> Reply<'_> {
    Reply::Lookup(Lookup::Found(found(value, total, 1)))
}

fn one_written(applied: bool, existed: Existed, value: Option<&[u8]>) -> Written<'_> {
    Written { applied, existed, version: version(1), expire_at: 0, total: 7, value }
}

/// What a write did; the length afterwards is 7.
pub(super) fn written(applied: bool, existed: Existed, value: Option<&[u8]>) -> Reply<'_> {
    Reply::Written(one_written(applied, existed, value))
}

/// What a batch did.
pub(super) fn batch<'a>(refused: Option<u32>, writes: &[(Existed, Option<&'a [u8]>)]) -> Reply<'a> {
    let one = |&(existed, value): &(Existed, Option<&'a [u8]>)| {
        one_written(refused.is_none(), existed, value)
    };
    Reply::Batch(BatchReply { refused, written: writes.iter().map(one).collect() })
}

/// What an object is.
pub(super) fn described(kind: ObjectKind, expire_at: u64, size: u64) -> Reply<'static> {
    Reply::Described(Described { kind, expire_at, version: version(1), size })
}
