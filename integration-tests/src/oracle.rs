//! What clients were promised: writers that count up in keys of their own and remember what they sent
//! and what was acknowledged. After any crash a key must hold a number between the two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::resp::{Resp, Value};

/// Fields of one object.
const FIELDS: usize = 3;

/// The promises to a number of writers.
#[derive(Debug)]
pub struct Oracle {
    sent: Vec<AtomicU64>,
    acknowledged: Vec<AtomicU64>,
    keys_per_writer: usize,
    padding: String,
    stopped: AtomicBool,
}

impl Oracle {
    /// `writers` with so many keys each; values are padded to about `value_bytes`.
    pub fn new(writers: usize, keys_per_writer: usize, value_bytes: usize) -> Self {
        let zeros = || (0..writers * keys_per_writer).map(|_| AtomicU64::new(0)).collect();
        Self {
            sent: zeros(),
            acknowledged: zeros(),
            keys_per_writer,
            padding: "x".repeat(value_bytes),
            stopped: AtomicBool::new(false),
        }
    }

    /// How many writers there are.
    pub fn writers(&self) -> usize {
        self.sent.len() / self.keys_per_writer
    }

    /// Lets writers go on, or asks them to stop.
    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }

    /// Writes as number `writer` until the server is gone or the end is asked for. Once an answer is
    /// missing nothing more is sent: the fate of the last write is unknown.
    pub fn write(&self, writer: usize, address: &str) {
        let Some(mut resp) = Resp::try_connect(address) else {
            return;
        };
        let first = writer * self.keys_per_writer;
        let keys = first..first + self.keys_per_writer;
        // Goes on where the last round ended, so that all keys get their turn.
        let sent: u64 = self.sent[keys.clone()].iter().map(|n| n.load(Ordering::SeqCst)).sum();
        let done = usize::try_from(sent).expect("counted up one by one") % self.keys_per_writer;
        for key in keys.cycle().skip(done) {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let (object, field) = place(key);
            let number = self.sent[key].fetch_add(1, Ordering::SeqCst) + 1;
            let value = format!("{number}:{}", self.padding);
            match resp.try_call(&["HSET", &object, &field, &value]) {
                Ok(Value::Int(_)) => self.acknowledged[key].store(number, Ordering::SeqCst),
                _ => return,
            }
        }
    }

    /// The sum of all acknowledged numbers: how many writes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.iter().map(|number| number.load(Ordering::SeqCst)).sum()
    }

    /// Asserts that everything acknowledged is there, and nothing that was never sent.
    #[track_caller]
    pub fn check(&self, resp: &mut Resp) {
        let keys: Vec<usize> = (0..self.sent.len()).collect();
        for chunk in keys.chunks(200) {
            for (object, field) in chunk.iter().map(|key| place(*key)) {
                resp.send(&["HGET", &object, &field]);
            }
            for key in chunk {
                let found = match resp.read() {
                    Value::Nil => 0,
                    value => number_of(&value.text()),
                };
                let least = self.acknowledged[*key].load(Ordering::SeqCst);
                let most = self.sent[*key].load(Ordering::SeqCst);
                let right = (least..=most).contains(&found);
                assert!(right, "key {key} holds {found}, not {least}..={most}");
            }
        }
    }
}

/// Object and field of a key.
fn place(key: usize) -> (String, String) {
    (format!("object-{}", key / FIELDS), format!("field-{key}"))
}

fn number_of(value: &str) -> u64 {
    let number = value.split(':').next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("{value:?} was never written"))
}
