//! A steady load that checks every answer: connections that write, read what they wrote and count,
//! each on keys of its own.
//!
//! Each connection has one request on its way and keeps its pace; what is missed in a pause is not
//! made up. How long a request took includes making its connection anew.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::BenchError;
use super::args::CheckedArgs;
use super::knowledge::{Ending, Key, Step};
use crate::clock;
use crate::resp::{Client, ClientError, Reply};

/// Texts of errors and wrong values that are kept.
const TEXTS_MAX: usize = 10;
/// A connection that is behind by more starts its pace anew.
const BEHIND_MAX: Duration = Duration::from_millis(100);
/// Time between two tries to connect.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// What happened in some time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Requests that ended, well or not.
    pub(super) requests: u64,
    /// Those that clients saw as errors.
    pub(super) errors: u64,
    /// Answers that show a value that was lost, or that is otherwise wrong.
    pub(super) wrong: u64,
    /// The longest that a request took.
    pub(super) longest: Duration,
}

/// What the connections tell while they run.
#[derive(Debug, Default)]
struct Board {
    address: String,
    stopped: AtomicBool,
    requests: AtomicU64,
    errors: AtomicU64,
    wrong: AtomicU64,
    longest_us: AtomicU64,
    texts: Mutex<Vec<String>>,
}

/// A load that runs until it is stopped.
pub(super) struct CheckedLoad {
    board: Arc<Board>,
    workers: Vec<JoinHandle<Vec<Key>>>,
}

impl Drop for CheckedLoad {
    fn drop(&mut self) {
        self.board.stopped.store(true, Ordering::SeqCst);
    }
}

impl CheckedLoad {
    /// Starts the load on a proxy.
    pub(super) fn start(address: &str, args: &CheckedArgs) -> Result<Self, BenchError> {
        let board = Arc::new(Board { address: address.to_owned(), ..Board::default() });
        let mut load = Self { board, workers: Vec::new() };
        let interval = Duration::from_secs(u64::from(args.connections)) / args.rate;
        for connection in 0..args.connections {
            let keys = (0..args.keys).map(|key| Key::new(format!("{connection}:{key}"))).collect();
            let board = Arc::clone(&load.board);
            let work = move || work(&board, keys, interval);
            load.workers.push(thread::Builder::new().name("client".to_owned()).spawn(work)?);
        }
        Ok(load)
    }

    /// What happened since the last call.
    pub(super) fn take(&self) -> Counts {
        let take = |of: &AtomicU64| of.swap(0, Ordering::SeqCst);
        Counts {
            requests: take(&self.board.requests),
            errors: take(&self.board.errors),
            wrong: take(&self.board.wrong),
            longest: Duration::from_micros(take(&self.board.longest_us)),
        }
    }

    /// The first texts of errors and wrong values.
    pub(super) fn texts(&self) -> Vec<String> {
        self.board.texts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the load and reads every value and counter back; [`Self::take`] then tells what that
    /// showed, and the requests that ended meanwhile.
    pub(super) fn stop(&mut self) {
        self.board.stopped.store(true, Ordering::SeqCst);
        let mut connection = Connection { board: &self.board, client: None };
        for worker in self.workers.drain(..) {
            for mut key in worker.join().expect("no connection of the loader panics") {
                connection.step(&mut key, Step::Get);
                connection.step(&mut key, Step::Count);
            }
        }
    }
}

/// Drives one connection until the load is stopped.
fn work(board: &Board, mut keys: Vec<Key>, interval: Duration) -> Vec<Key> {
    let mut connection = Connection { board, client: None };
    let mut due = clock::now();
    loop {
        for key in &mut keys {
            for step in [Step::Set, Step::Get, Step::Incr] {
                if board.stopped.load(Ordering::SeqCst) {
                    return keys;
                }
                let now = clock::now();
                if due > now {
                    clock::pause(due.duration_since(now));
                } else if now.duration_since(due) > BEHIND_MAX {
                    due = now;
                }
                due += interval;
                connection.step(key, step);
            }
        }
    }
}

/// A connection that is made anew when it is lost.
struct Connection<'b> {
    board: &'b Board,
    client: Option<Client>,
}

impl Connection<'_> {
    fn step(&mut self, key: &mut Key, step: Step) {
        let command = key.command(step);
        let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        let began = clock::now();
        let ending = match self.call(&words) {
            Ok(Reply::Error(text)) => {
                let unknown = text.starts_with("UNKNOWN");
                self.error(&text);
                if unknown { Ending::Unknown } else { Ending::NotApplied }
            }
            Ok(reply) => Ending::Done(reply),
            Err(e) => {
                self.client = None;
                self.error(&e.to_string());
                match e {
                    ClientError::Lost { .. } | ClientError::Garbage { .. } => Ending::Unknown,
                    ClientError::Address { .. }
                    | ClientError::Connect { .. }
                    | ClientError::Namespace { .. } => {
                        clock::pause(RETRY_INTERVAL);
                        Ending::NotApplied
                    }
                }
            }
        };
        let took = clock::now().duration_since(began).as_micros();
        self.board.longest_us.fetch_max(u64::try_from(took).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.board.requests.fetch_add(1, Ordering::SeqCst);
        if let Err(wrong) = key.take(step, ending) {
            self.board.wrong.fetch_add(1, Ordering::SeqCst);
            self.note(wrong);
        }
    }

    fn call(&mut self, words: &[&[u8]]) -> Result<Reply, ClientError> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(Client::connect(&self.board.address)?),
        };
        client.call(words)
    }

    fn error(&self, text: &str) {
        self.board.errors.fetch_add(1, Ordering::SeqCst);
        self.note(text.to_owned());
    }

    fn note(&self, text: String) {
        let mut texts = self.board.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < TEXTS_MAX {
            texts.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn errors_and_lost_values_of_a_server_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // Forgets every value, refuses to count, and goes away.
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 512];
            for reply in [&b"+OK\r\n"[..], b"$-1\r\n", b"-TRYAGAIN later\r\n"] {
                assert!(stream.read(&mut bytes).unwrap() > 0);
                stream.write_all(reply).unwrap();
            }
        });
        let board = Board { address, ..Board::default() };
        let mut connection = Connection { board: &board, client: None };
        let mut key = Key::new("k".to_owned());
        for step in [Step::Set, Step::Get, Step::Incr] {
            connection.step(&mut key, step);
        }
        server.join().unwrap();
        connection.step(&mut key, Step::Set);
        let count = |of: &AtomicU64| of.load(Ordering::SeqCst);
        assert_eq!((count(&board.requests), count(&board.errors), count(&board.wrong)), (4, 2, 1));
        let texts = board.texts.lock().unwrap();
        assert!(texts[0].contains("value:k: read 0"), "{texts:?}");
        assert_eq!(texts[1], "TRYAGAIN later");
        assert!(texts[2].contains("lost the connection"), "{texts:?}");
    }
}
