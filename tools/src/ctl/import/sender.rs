//! Delivers records over one connection: pipelined, in order, again after what may pass.
//!
//! A write that may have been done is simply done again, together with everything behind it: all
//! records are sets, so the end result is that of the input order.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::error::ImportError;
use super::reporter::Shared;
use crate::clock;
use crate::ctl::export::is_passing;
use crate::record::Record;
use crate::resp::{Client, ClientError, Reply};

/// Most bytes on their way per connection, unless a single record is longer.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// First and longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A record and where it comes from.
#[derive(Debug)]
pub(super) struct Numbered {
    /// Number in input order, from 0.
    pub(super) number: u64,
    /// For messages: `line 17`.
    pub(super) place: String,
    /// What to write.
    pub(super) record: Record,
}

/// One delivering thread.
pub(super) struct Sender<'a> {
    /// Data address of the proxy.
    pub(super) address: &'a str,
    /// Where everything goes, whatever the records say.
    pub(super) namespace: Option<&'a [u8]>,
    /// Most records per exchange.
    pub(super) batch_max: usize,
    /// Patience without progress.
    pub(super) retry_for: Duration,
    /// Told about every acknowledged record.
    pub(super) shared: &'a Shared,
    /// The connection and the namespace it is in.
    pub(super) client: Option<(Client, Vec<u8>)>,
}

/// How far an exchange came.
struct Attempt {
    /// Records from the front that are acknowledged.
    acknowledged: usize,
    trouble: Option<Trouble>,
}

enum Trouble {
    /// Worth another try.
    Passing(String),
    /// The reply of the first record that was not acknowledged.
    Refused(String),
    Client(ClientError),
}

impl Sender<'_> {
    /// Delivers until the input ends, somebody gives up, or something cannot be delivered.
    pub(super) fn run(mut self, input: &Receiver<Numbered>) -> Result<(), ImportError> {
        while let Ok(first) = input.recv() {
            let mut bytes = first.record.value.len();
            let mut batch = vec![first];
            while batch.len() < self.batch_max && bytes < BATCH_BYTES_MAX {
                let Ok(next) = input.try_recv() else { break };
                bytes += next.record.value.len();
                batch.push(next);
            }
            self.deliver(&batch)?;
        }
        Ok(())
    }

    fn deliver(&mut self, mut batch: &[Numbered]) -> Result<(), ImportError> {
        let (mut progress_at, mut wait) = (clock::now(), BACKOFF.0);
        while let Some(first) = batch.first() {
            if self.shared.is_stopped() {
                return Ok(());
            }
            let attempt = self.attempt(batch);
            let (done, rest) = batch.split_at(attempt.acknowledged);
            if !done.is_empty() {
                self.shared.acknowledge(done.iter().map(|n| n.number));
                (progress_at, wait) = (clock::now(), BACKOFF.0);
            }
            batch = rest;
            let blamed = rest.first().unwrap_or(first);
            let (place, what) = (|| blamed.place.clone(), || blamed.record.describe());
            match attempt.trouble {
                None => {}
                Some(Trouble::Client(e)) => return Err(e.into()),
                Some(Trouble::Refused(reply)) => {
                    return Err(ImportError::Refused { place: place(), what: what(), reply });
                }
                Some(Trouble::Passing(reason)) => {
                    if clock::now().duration_since(progress_at) >= self.retry_for {
                        let seconds = self.retry_for.as_secs();
                        let (place, what) = (place(), what());
                        return Err(ImportError::Patience { place, what, seconds, reason });
                    }
                    clock::pause(wait);
                    wait = (wait * 2).min(BACKOFF.1);
                }
            }
        }
        Ok(())
    }

    /// One exchange with the records at the front that share a namespace.
    fn attempt(&mut self, batch: &[Numbered]) -> Attempt {
        match self.exchange(batch) {
            Ok(attempt) => attempt,
            Err(e) => {
                self.client = None;
                let trouble =
                    if e.may_pass() { Trouble::Passing(e.to_string()) } else { Trouble::Client(e) };
                Attempt { acknowledged: 0, trouble: Some(trouble) }
            }
        }
    }

    fn exchange(&mut self, batch: &[Numbered]) -> Result<Attempt, ClientError> {
        let Some(first) = batch.first() else {
            return Ok(Attempt { acknowledged: 0, trouble: None });
        };
        let namespace = self.namespace_of(&first.record).to_owned();
        let same = batch.iter().take_while(|n| self.namespace_of(&n.record) == namespace);
        let count = same.count();
        let client = self.client_in(&namespace)?;
        for numbered in batch.iter().take(count) {
            queue(client, &numbered.record);
        }
        let replies = client.exchange()?;
        let failed = replies.iter().enumerate().find_map(|(at, reply)| match reply {
            Reply::Error(text) => Some((at, text.clone())),
            _ => None,
        });
        Ok(match failed {
            None => Attempt { acknowledged: count, trouble: None },
            Some((at, text)) if is_passing(&text) => {
                Attempt { acknowledged: at, trouble: Some(Trouble::Passing(text)) }
            }
            Some((at, text)) => Attempt { acknowledged: at, trouble: Some(Trouble::Refused(text)) },
        })
    }

    fn namespace_of<'r>(&'r self, record: &'r Record) -> &'r [u8] {
        self.namespace.or(record.namespace.as_deref()).unwrap_or_default()
    }

    /// The connection, in the namespace. A SELECT is never pipelined: were it refused, the records
    /// behind it would land elsewhere.
    fn client_in(&mut self, namespace: &[u8]) -> Result<&mut Client, ClientError> {
        let (client, current) = match &mut self.client {
            Some(client) => client,
            none => none.insert((Client::connect(self.address)?, Vec::new())),
        };
        if current != namespace {
            client.select(namespace)?;
            namespace.clone_into(current);
        }
        Ok(client)
    }
}

/// Queues the one command that writes a record and its expiry.
fn queue(client: &mut Client, record: &Record) {
    let (object, value) = (&record.object[..], &record.value[..]);
    let expiry = record.expire_at_ms.map(|ms| ms.to_string());
    match (&record.field, &expiry) {
        (None, None) => client.queue(&[b"SET", object, value]),
        (None, Some(ms)) => client.queue(&[b"SET", object, value, b"PXAT", ms.as_bytes()]),
        (Some(field), None) => client.queue(&[b"HSET", object, field, value]),
        (Some(field), Some(ms)) => {
            let (at, one) = (&b"PXAT"[..], &b"1"[..]);
            let ms = ms.as_bytes();
            client.queue(&[b"HSETEX", object, at, ms, b"FIELDS", one, field, value]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::sync_channel;
    use std::thread::{self, JoinHandle};

    /// What a command is answered with; `None` closes the connection.
    type Script = fn(count: usize, args: &[String]) -> Option<&'static str>;

    /// A server that keeps what it answered `+OK` or `:1`, by namespace and the command's arguments.
    struct Server {
        address: String,
        kept: JoinHandle<HashMap<String, String>>,
    }

    fn server(connections: usize, script: Script) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let kept = thread::spawn(move || {
            let (mut kept, mut count) = (HashMap::new(), 0);
            for _ in 0..connections {
                let (stream, _) = listener.accept().unwrap();
                serve(&stream, script, &mut count, &mut kept);
            }
            kept
        });
        Server { address, kept }
    }

    fn serve(
        mut stream: &TcpStream,
        script: Script,
        count: &mut usize,
        kept: &mut HashMap<String, String>,
    ) {
        let mut input = BufReader::new(stream);
        let mut namespace = String::new();
        while let Some(args) = read_command(&mut input) {
            *count += 1;
            let Some(reply) = script(*count, &args) else {
                return;
            };
            if args[0] == "SELECT" {
                namespace.clone_from(&args[1]);
            } else if !reply.starts_with('-') {
                let address = args[1..args.len() - 1].join("/");
                kept.insert(format!("{namespace}:{address}"), args.last().unwrap().clone());
            }
            stream.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
        }
    }

    fn read_command(input: &mut impl BufRead) -> Option<Vec<String>> {
        let mut args = Vec::new();
        for _ in 0..read_number(input, '*')? {
            let len = read_number(input, '$')?;
            let mut arg = vec![0; len + 2];
            input.read_exact(&mut arg).ok()?;
            arg.truncate(len);
            args.push(String::from_utf8(arg).unwrap());
        }
        Some(args)
    }

    fn read_number(input: &mut impl BufRead, kind: char) -> Option<usize> {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        line.strip_prefix(kind)?.trim().parse().ok()
    }

    fn record(namespace: &str, object: &str, field: &str, value: &str) -> Record {
        Record {
            namespace: Some(namespace.into()),
            object: object.into(),
            field: Some(field.into()),
            value: value.into(),
            expire_at_ms: None,
        }
    }

    fn send(address: &str, records: Vec<Record>) -> (Result<(), ImportError>, u64) {
        let shared = Shared::new(0);
        let (queue, from) = sync_channel(records.len());
        for (number, record) in (0..).zip(records) {
            let place = format!("line {}", number + 1);
            queue.send(Numbered { number, place, record }).unwrap();
        }
        drop(queue);
        let retry_for = Duration::from_secs(5);
        let (namespace, batch_max, shared_ref, client) = (None, 10, &shared, None);
        let sender =
            Sender { address, namespace, batch_max, retry_for, shared: shared_ref, client };
        let result = sender.run(&from);
        assert_eq!(shared.done(), shared.acknowledged(), "one sender leaves no gaps");
        (result, shared.done())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_the_last_value_wins() {
        let server = server(2, |count, args| match count {
            2 => Some("-TRYAGAIN group 1 (a1): not ready"),
            7 => None,
            9 => Some("-UNKNOWN request may have been applied"),
            _ => Some(if args[0] == "SELECT" { "+OK" } else { ":1" }),
        });
        let values = ["1", "2", "3", "4"];
        let records = values.iter().map(|value| record("n", "o", "f", value)).collect();
        let (result, done) = send(&server.address, records);
        result.unwrap();
        assert_eq!(done, 4);
        let kept = server.kept.join().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept["n:o/f"], "4");
    }

    #[test]
    fn each_record_goes_to_its_namespace() {
        let server = server(1, |_, _| Some("+OK"));
        let records = vec![record("n", "o", "f", "1"), record("m", "o", "f", "2")];
        let (result, done) = send(&server.address, records);
        result.unwrap();
        assert_eq!(done, 2);
        let kept = server.kept.join().unwrap();
        assert_eq!((kept["n:o/f"].as_str(), kept["m:o/f"].as_str()), ("1", "2"));
    }

    #[test]
    fn each_record_is_one_command_with_its_own_expiry() {
        let server = server(1, |_, _| Some("+OK"));
        let field = record("", "o", "f", "1");
        let unnamed = Record { object: "s".into(), field: None, ..field.clone() };
        let expiring = |record: &Record| Record { expire_at_ms: Some(7), ..record.clone() };
        let records = vec![expiring(&field), expiring(&unnamed), unnamed, field];
        let (result, done) = send(&server.address, records);
        result.unwrap();
        assert_eq!(done, 4);
        let kept = server.kept.join().unwrap();
        let mut kept: Vec<&str> = kept.keys().map(String::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, [":o/PXAT/7/FIELDS/1/f", ":o/f", ":s", ":s/1/PXAT"]);
    }

    #[test]
    fn a_refused_record_is_named_and_those_before_it_count() {
        let server = server(1, |_, args| match args.last().map(String::as_str) {
            Some("2") => Some("-WRONGTYPE not a hash"),
            _ => Some(":1"),
        });
        let records = ["1", "2", "3"].iter().map(|value| record("", "o", "f", value)).collect();
        let (result, done) = send(&server.address, records);
        let text = result.unwrap_err().to_string();
        assert_eq!(text, "line 2 (object \"o\" field \"f\"): WRONGTYPE not a hash");
        assert_eq!(done, 1);
        server.kept.join().unwrap();
    }
}
