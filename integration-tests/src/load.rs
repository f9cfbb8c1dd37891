//! Load on a cluster while something happens to it: connections that write, read what they wrote and
//! count, each in keys of its own, and that know at any moment what a read may answer.
//!
//! A wrong answer (an old value, a counter that skips or repeats) fails the test where it is seen.
//! Errors are collected, with how long each request took, for the test to judge.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::resp::{Resp, Value};
use crate::wait::{now, wait_for, wait_until};

/// Errors that are kept for the test's message.
const ERRORS_KEPT: usize = 20;
/// How long answers may take to come at all.
const PROGRESS_TIME_MAX: Duration = Duration::from_secs(60);

/// Load that runs until it is stopped.
#[derive(Debug)]
pub struct Load {
    board: Arc<Board>,
    workers: Vec<JoinHandle<Vec<Key>>>,
}

/// What the workers tell while they run.
#[derive(Debug)]
struct Board {
    address: String,
    /// The counter that all workers share.
    shared_name: String,
    stopped: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
    /// Since it was looked at last.
    longest_ms: AtomicU64,
    errors: Mutex<Vec<String>>,
    shared: Mutex<Shared>,
}

/// The counter that all workers share.
#[derive(Debug, Default)]
struct Shared {
    answers: BTreeSet<i64>,
    /// Requests that may have been applied without an answer.
    unknown: u64,
}

/// What one worker knows of one of its keys.
#[derive(Debug)]
struct Key {
    name: String,
    written: u64,
    /// What a read may find; 0 stands for nothing.
    values: BTreeSet<u64>,
    count: i64,
    /// Increments that may have been applied since.
    unknown: i64,
}

/// How a request ended.
enum Outcome {
    Done(Value),
    NotApplied,
    Unknown,
}

/// What there is to say after the end.
#[derive(Debug)]
pub struct Report {
    keys: Vec<Key>,
    shared_name: String,
    shared: Shared,
    /// Requests that were answered well.
    pub answered: u64,
    /// Requests that were not.
    pub failed: u64,
    /// The texts of the first errors.
    pub errors: Vec<String>,
}

/// So many names of keys; they spread over all lanes.
pub fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}:{n}")).collect()
}

impl Load {
    /// Starts `workers` connections to `address`, which share out `keys`.
    pub fn start(address: &str, workers: usize, keys: &[String]) -> Self {
        let board = Arc::new(Board {
            address: address.to_owned(),
            shared_name: format!("shared:{}", keys[0]),
            stopped: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            longest_ms: AtomicU64::new(0),
            errors: Mutex::default(),
            shared: Mutex::default(),
        });
        let start = |worker: usize| {
            let own = keys.iter().skip(worker).step_by(workers).map(|name| Key::new(name));
            let (own, board) = (own.collect(), Arc::clone(&board));
            thread::spawn(move || work(&board, own))
        };
        let workers = (0..workers).map(start).collect();
        Self { board, workers }
    }

    /// Waits until so many more requests were answered well.
    #[track_caller]
    pub fn wait_answered(&self, more: u64) {
        let enough = self.answered() + more;
        wait_until("requests are answered", PROGRESS_TIME_MAX, || {
            self.assert_alive();
            self.answered() >= enough
        });
    }

    /// Lets the load run for so long.
    #[track_caller]
    pub fn run_for(&self, time: Duration) {
        let end = now() + time;
        wait_until("time passes", time + PROGRESS_TIME_MAX, || {
            self.assert_alive();
            now() >= end
        });
    }

    /// How many requests were answered well.
    pub fn answered(&self) -> u64 {
        self.board.answered.load(Ordering::SeqCst)
    }

    /// How many were not.
    pub fn failed(&self) -> u64 {
        self.board.failed.load(Ordering::SeqCst)
    }

    /// The longest time that a request took, since the last call.
    pub fn take_longest(&self) -> Duration {
        Duration::from_millis(self.board.longest_ms.swap(0, Ordering::SeqCst))
    }

    /// A worker ends early only when an answer was wrong.
    #[track_caller]
    fn assert_alive(&self) {
        let ended = self.workers.iter().any(JoinHandle::is_finished);
        assert!(!ended, "an answer was wrong: see above");
    }

    /// Ends the load.
    #[track_caller]
    pub fn stop(self) -> Report {
        self.board.stopped.store(true, Ordering::SeqCst);
        let mut keys = Vec::new();
        for worker in self.workers {
            keys.extend(worker.join().expect("every answer was right"));
        }
        let board = self.board;
        let errors = board.errors.lock().expect("no worker panicked").clone();
        let shared = std::mem::take(&mut *board.shared.lock().expect("no worker panicked"));
        Report {
            keys,
            shared_name: board.shared_name.clone(),
            shared,
            answered: board.answered.load(Ordering::SeqCst),
            failed: board.failed.load(Ordering::SeqCst),
            errors,
        }
    }
}

impl Report {
    /// Asserts that no client saw an error.
    #[track_caller]
    pub fn without_errors(self) -> Self {
        assert_eq!(self.failed, 0, "of {}: {:#?}", self.answered + self.failed, self.errors);
        assert!(self.answered > 0);
        self
    }

    /// Reads everything back: the last value of each key, and exact counters.
    #[track_caller]
    pub fn check(&self, resp: &mut Resp) {
        for key in &self.keys {
            let name = &key.name;
            let value = number(&resp.call(&["GET", &key.value()]));
            assert!(key.values.contains(&value), "{name}: {value}, not {:?}", key.values);
            let count = count(&resp.call(&["GET", &key.counter()]));
            let right = key.count..=key.count + key.unknown;
            assert!(right.contains(&count), "{name}: {count}, not {right:?}");
        }
        let (name, shared) = (&self.shared_name, &self.shared);
        let found = count(&resp.call(&["GET", name]));
        let told = i64::try_from(shared.answers.len()).expect("few");
        let most = told + i64::try_from(shared.unknown).expect("few");
        assert!((told..=most).contains(&found), "{name}: {found}, not {told}..={most}");
        let last = shared.answers.last().copied().unwrap_or_default();
        assert!(last <= found, "{name}: {last} was told, {found} is there");
    }
}

impl Key {
    fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, written: 0, values: BTreeSet::from([0]), count: 0, unknown: 0 }
    }

    fn value(&self) -> String {
        format!("value:{}", self.name)
    }

    fn counter(&self) -> String {
        format!("count:{}", self.name)
    }

    fn set(&mut self, client: &mut Client<'_>) {
        self.written += 1;
        match client.call(&["SET", &self.value(), &format!("{}:padding", self.written)]) {
            Outcome::Done(answer) => {
                assert_eq!(answer, "OK");
                self.values = BTreeSet::from([self.written]);
            }
            Outcome::Unknown => drop(self.values.insert(self.written)),
            Outcome::NotApplied => {}
        }
    }

    fn get(&mut self, client: &mut Client<'_>) {
        if let Outcome::Done(answer) = client.call(&["GET", &self.value()]) {
            let found = number(&answer);
            let may = &self.values;
            assert!(may.contains(&found), "{}: read {found}, may be {may:?} (I8)", self.name);
            self.values = BTreeSet::from([found]);
        }
    }

    fn increment(&mut self, client: &mut Client<'_>) {
        match client.call(&["INCR", &self.counter()]) {
            Outcome::Done(answer) => {
                let (told, least) = (answer.int(), self.count + 1);
                let right = least..=least + self.unknown;
                assert!(right.contains(&told), "{}: INCR {told}, not {right:?} (I7)", self.name);
                (self.count, self.unknown) = (told, 0);
            }
            Outcome::Unknown => self.unknown += 1,
            Outcome::NotApplied => {}
        }
    }
}

/// A worker's connection; made again when it is lost.
struct Client<'a> {
    board: &'a Board,
    resp: Option<Resp>,
}

impl Client<'_> {
    fn call(&mut self, args: &[&str]) -> Outcome {
        let began = now();
        let address = &self.board.address;
        let resp = self.resp.get_or_insert_with(|| {
            let connect = || Resp::try_connect(address);
            wait_for("a connection to the proxy", PROGRESS_TIME_MAX, connect)
        });
        let answer = resp.try_call(args);
        let took = now().duration_since(began);
        let took_ms = u64::try_from(took.as_millis()).expect("fits for ages");
        self.board.longest_ms.fetch_max(took_ms, Ordering::SeqCst);
        let text = match answer {
            Ok(Value::Error(text)) => text,
            Ok(value) => {
                self.board.answered.fetch_add(1, Ordering::SeqCst);
                return Outcome::Done(value);
            }
            Err(error) => {
                self.resp = None;
                format!("UNKNOWN connection lost: {error}")
            }
        };
        self.board.failed.fetch_add(1, Ordering::SeqCst);
        let unknown = text.starts_with("UNKNOWN");
        let mut errors = self.board.errors.lock().expect("workers panic without this lock");
        if errors.len() < ERRORS_KEPT {
            errors.push(format!("{} after {took_ms} ms: {text}", args.join(" ")));
        }
        if unknown { Outcome::Unknown } else { Outcome::NotApplied }
    }

    /// The counter of all: no answer is given twice, and none is lower than one given before.
    fn increment_shared(&mut self, last: &mut i64) {
        let name = &self.board.shared_name;
        match self.call(&["INCR", name]) {
            Outcome::Done(answer) => {
                let told = answer.int();
                assert!(told > *last, "{name}: INCR {told} after {last} (I7)");
                *last = told;
                let new = self.board.shared.lock().map(|mut all| all.answers.insert(told));
                assert!(new.unwrap_or(true), "{name}: INCR {told} was told twice (I7)");
            }
            Outcome::Unknown => {
                self.board.shared.lock().expect("workers panic without this lock").unknown += 1;
            }
            Outcome::NotApplied => {}
        }
    }
}

fn work(board: &Board, mut keys: Vec<Key>) -> Vec<Key> {
    let mut client = Client { board, resp: None };
    let mut last = 0;
    while !board.stopped.load(Ordering::SeqCst) {
        for key in &mut keys {
            if board.stopped.load(Ordering::SeqCst) {
                break;
            }
            key.set(&mut client);
            key.get(&mut client);
            key.increment(&mut client);
        }
        client.increment_shared(&mut last);
    }
    keys
}

/// The number in front of a value; 0 when there is none.
fn number(value: &Value) -> u64 {
    if *value == Value::Nil {
        return 0;
    }
    let text = value.text();
    let number = text.split(':').next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("{text:?} was never written"))
}

fn count(value: &Value) -> i64 {
    if *value == Value::Nil { 0 } else { value.text().parse().expect("a counter") }
}
