//! One import from beginning to end.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::args::ImportArgs;
use super::checkpoint::Checkpoint;
use super::error::ImportError;
use super::parse::Lines;
use super::reporter::{Shared, rate, report};
use super::sender::{Numbered, Sender};
use super::tree::{Entry, walk};
use crate::ctl::CtlError;
use crate::record::Record;
use crate::resp::Client;
use crate::{clock, console};

/// Records that wait per connection beside those on their way.
const QUEUE_RECORDS: usize = 1024;
/// Unreadable entries that are named; the rest is only counted.
const UNREADABLE_NAMED: u64 = 10;

/// Imports everything and prints what was done.
pub(crate) fn import(args: &ImportArgs) -> Result<(), CtlError> {
    let input = Input::of(args);
    let checkpoint = args.checkpoint.as_deref().map(|path| Checkpoint::new(path, input.name()));
    let skip = checkpoint.as_ref().map_or(Ok(0), Checkpoint::load)?;
    // A wrong address is said at once and not tried for a minute.
    let client = Client::connect(&args.proxy).map_err(ImportError::Client)?;
    let shared = Shared::new(skip);
    let began = clock::now();
    let (unreadable, error) = run(args, &input, checkpoint.as_ref(), skip, client, &shared);
    let (count, time) = (shared.acknowledged(), clock::now().duration_since(began));
    console::line(format!(
        "imported {count} records in {:.1} s ({:.0}/s), {unreadable} unreadable, {} failed{}",
        time.as_secs_f64(),
        rate(count, time),
        u8::from(error.is_some()),
        if skip > 0 { format!(" ({skip} were imported before)") } else { String::new() },
    ));
    error.map_or(Ok(()), |e| Err(e.into()))
}

/// Reads, delivers, reports; returns how many entries were unreadable and the first error.
fn run(
    args: &ImportArgs,
    input: &Input,
    checkpoint: Option<&Checkpoint>,
    skip: u64,
    client: Client,
    shared: &Shared,
) -> (u64, Option<ImportError>) {
    let mut first_client = Some(client);
    thread::scope(|scope| {
        let reporter = scope.spawn(|| report(shared, checkpoint, input.bytes()));
        let mut queues = Vec::new();
        let mut senders = Vec::new();
        for _ in 0..args.connections {
            let (queue, from) = sync_channel(QUEUE_RECORDS);
            queues.push(queue);
            let sender = Sender {
                address: &args.proxy,
                namespace: args.namespace.as_deref().map(str::as_bytes),
                batch_max: usize::from(args.batch),
                retry_for: args.retry_for,
                shared,
                client: first_client.take().map(|client| (client, Vec::new())),
            };
            senders.push(scope.spawn(move || sender.run(&from).inspect_err(|_| shared.stop())));
        }
        let mut reader = Reader { queues, number: 0, skip, unreadable: 0, shared };
        let read = reader.read(args, input);
        let unreadable = reader.unreadable;
        // The senders end when their queues do: what came before a wrong line is still delivered.
        drop(reader);
        let panicless = "no thread of an import panics";
        let delivered: Vec<_> = senders.into_iter().map(|s| s.join().expect(panicless)).collect();
        shared.finish();
        reporter.thread().unpark();
        let reported = reporter.join().expect(panicless);
        let all = delivered.into_iter().chain([read, reported]);
        (unreadable, all.filter_map(Result::err).next())
    })
}

/// Where the records come from.
enum Input {
    Tree(PathBuf),
    File(PathBuf),
    Stdin,
}

impl Input {
    fn of(args: &ImportArgs) -> Self {
        match (&args.tree, &args.file) {
            (Some(root), _) => Self::Tree(root.clone()),
            (None, Some(file)) if file != Path::new("-") => Self::File(file.clone()),
            (None, _) => Self::Stdin,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Tree(root) => format!("tree {}", root.display()),
            Self::File(file) => format!("file {}", file.display()),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    fn bytes(&self) -> Option<u64> {
        match self {
            Self::File(file) => file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len()),
            Self::Tree(_) | Self::Stdin => None,
        }
    }
}

/// Reads the input and hands its records to the senders.
struct Reader<'a> {
    queues: Vec<SyncSender<Numbered>>,
    number: u64,
    skip: u64,
    unreadable: u64,
    shared: &'a Shared,
}

impl Reader<'_> {
    fn read(&mut self, args: &ImportArgs, input: &Input) -> Result<(), ImportError> {
        let failed = |source| ImportError::Read { from: input.name(), source };
        match input {
            Input::Tree(root) => self.read_tree(root)?,
            Input::Stdin => {
                let lines = BufReader::new(io::stdin());
                self.read_lines(Lines::new(lines, input.name(), args.format))?;
            }
            Input::File(path) => {
                let lines = BufReader::new(File::open(path).map_err(failed)?);
                self.read_lines(Lines::new(lines, input.name(), args.format))?;
            }
        }
        if self.number < self.skip && !self.shared.is_stopped() {
            return Err(ImportError::Shrunk { has: self.number, skip: self.skip });
        }
        Ok(())
    }

    fn read_lines<R: io::BufRead>(&mut self, mut lines: Lines<R>) -> Result<(), ImportError> {
        while let Some((line, record, bytes)) = lines.next()? {
            self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            if !self.hand_over(format!("line {line}"), record) {
                break;
            }
        }
        Ok(())
    }

    fn read_tree(&mut self, root: &Path) -> Result<(), ImportError> {
        for entry in walk(root)? {
            match entry {
                Entry::Record(record) => {
                    if !self.hand_over(format!("entry {}", self.number + 1), record) {
                        break;
                    }
                }
                Entry::Unreadable(what) => {
                    self.unreadable += 1;
                    if self.unreadable <= UNREADABLE_NAMED {
                        console::warn(format!("fdht import: unreadable: {what}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives a record to the sender of its object; false when there is no point in going on.
    fn hand_over(&mut self, place: String, record: Record) -> bool {
        let number = self.number;
        self.number += 1;
        if self.shared.is_stopped() {
            return false;
        }
        if number < self.skip {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        record.object.hash(&mut hasher);
        let queues = self.queues.len() as u64;
        let at = usize::try_from(hasher.finish() % queues).expect("below the number of queues");
        self.queues[at].send(Numbered { number, place, record }).is_ok()
    }
}
