//! `fdht export`: everything of one namespace as JSON lines.
//!
//! Objects are found with SCAN and read with GET or HGETALL. What is written while the export runs
//! may or may not be in it; what was there all the time is in it once.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::CtlError;
use crate::clock;
use crate::console;
use crate::record::{Record, to_json};
use crate::resp::{Client, ClientError, Reply};

/// How many objects a SCAN is asked for.
const SCAN_COUNT: &[u8] = b"512";
/// Objects whose values are asked for at once: bounds the memory for large ones.
const VALUES_AT_ONCE: usize = 32;
/// First and longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// `fdht export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// File to write; standard output without it. It appears under its name when it is complete.
    file: Option<PathBuf>,
    /// Namespace to export; empty for database 0.
    #[arg(short, long, default_value = "", value_name = "NAME")]
    namespace: String,
    /// Data address of a proxy.
    #[arg(
        long,
        env = "FDHT_PROXY",
        default_value = "127.0.0.1:12200",
        value_name = "HOST:PORT"
    )]
    proxy: String,
    /// How long to try again while servers cannot be reached.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    retry_for: Duration,
}

/// Writes every record of the namespace.
pub(crate) fn export(args: &ExportArgs) -> Result<(), CtlError> {
    let mut reader = Reader {
        address: args.proxy.clone(),
        namespace: args.namespace.clone().into_bytes(),
        retry_for: args.retry_for,
        // The first connection is not waited for: a wrong address should say so at once.
        client: Some(connect(&args.proxy, args.namespace.as_bytes())?),
    };
    let Some(path) = &args.file else {
        let mut to = BufWriter::new(io::stdout().lock());
        return match reader.copy(&mut to) {
            // `fdht export | head` has seen enough.
            Err(CopyError::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(CopyError::Write(e)) => Err(CtlError::Stdout(e)),
            Err(CopyError::Read(e)) => Err(e),
            Ok(_) => Ok(()),
        };
    };
    let new = with_suffix(path, ".new");
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CtlError::File { what, path, source }
    };
    let mut to = BufWriter::new(File::create(&new).map_err(failed("create", &new))?);
    let count = reader.copy(&mut to).map_err(|e| match e {
        CopyError::Write(e) => failed("write", &new)(e),
        CopyError::Read(e) => e,
    })?;
    to.get_ref().sync_all().map_err(failed("write", &new))?;
    std::fs::rename(&new, path).map_err(failed("rename to", path))?;
    console::warn(format!("exported {count} records to {}", path.display()));
    Ok(())
}

/// `path` with something after its last character.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn connect(address: &str, namespace: &[u8]) -> Result<Client, ClientError> {
    let mut client = Client::connect(address)?;
    client.select(namespace)?;
    Ok(client)
}

enum CopyError {
    Read(CtlError),
    Write(io::Error),
}

impl From<CtlError> for CopyError {
    fn from(e: CtlError) -> Self {
        Self::Read(e)
    }
}

/// Kind and remaining time of an object, as TYPE and PTTL say.
struct Found {
    object: Vec<u8>,
    hash: bool,
    expire_at_ms: Option<u64>,
}

type Command<'a> = Vec<&'a [u8]>;

struct Reader {
    address: String,
    namespace: Vec<u8>,
    retry_for: Duration,
    client: Option<Client>,
}

impl Reader {
    fn copy(&mut self, to: &mut impl Write) -> Result<u64, CopyError> {
        let (mut cursor, mut count) = (b"0".to_vec(), 0);
        loop {
            let mut replies = self.ask(&[vec![b"SCAN", &cursor, b"COUNT", SCAN_COUNT]])?;
            let (next, objects) = scan_page(replies.pop())?;
            for found in self.look_at(objects)?.chunks(VALUES_AT_ONCE) {
                for record in self.read(found)? {
                    to.write_all(to_json(&record).as_bytes())
                        .map_err(CopyError::Write)?;
                    to.write_all(b"\n").map_err(CopyError::Write)?;
                    count += 1;
                }
            }
            if next == b"0" {
                to.flush().map_err(CopyError::Write)?;
                return Ok(count);
            }
            cursor = next;
        }
    }

    /// Asks for the kind and expiry of each object; those that are gone are left out.
    fn look_at(&mut self, objects: Vec<Vec<u8>>) -> Result<Vec<Found>, CtlError> {
        let commands: Vec<Command<'_>> = objects
            .iter()
            .flat_map(|o| [vec![&b"TYPE"[..], o], vec![&b"PTTL"[..], o]])
            .collect();
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut replies = self.ask(&commands)?.into_iter();
        let now_ms = clock::unix_ms();
        let mut all = Vec::with_capacity(objects.len());
        for object in objects {
            let (kind, left) = (replies.next(), replies.next());
            let hash = match kind {
                Some(Reply::Simple(kind)) if kind == b"hash" => true,
                Some(Reply::Simple(kind)) if kind == b"string" => false,
                Some(Reply::Simple(kind)) if kind == b"none" => continue,
                other => return Err(unexpected("TYPE", other)),
            };
            let expire_at_ms = match left {
                Some(Reply::Int(-1)) => None,
                Some(Reply::Int(-2)) => continue,
                Some(Reply::Int(ms)) => Some(now_ms.saturating_add_signed(ms)),
                other => return Err(unexpected("PTTL", other)),
            };
            all.push(Found {
                object,
                hash,
                expire_at_ms,
            });
        }
        Ok(all)
    }

    fn read(&mut self, found: &[Found]) -> Result<Vec<Record>, CtlError> {
        let command = |f: &Found| if f.hash { &b"HGETALL"[..] } else { b"GET" };
        let commands: Vec<Command<'_>> =
            found.iter().map(|f| vec![command(f), &f.object]).collect();
        let replies = self.ask(&commands)?;
        let mut records = Vec::new();
        for (found, reply) in found.iter().zip(replies) {
            // The object became the other kind since it was looked at: read it as what it is now.
            let reply = match reply {
                Reply::Error(e) if e.starts_with("WRONGTYPE") => {
                    let other = if found.hash { &b"GET"[..] } else { b"HGETALL" };
                    self.ask(&[vec![other, &found.object]])?
                        .pop()
                        .unwrap_or(Reply::Nil)
                }
                reply => reply,
            };
            self.add_records(&mut records, found, reply)?;
        }
        Ok(records)
    }

    fn add_records(
        &self,
        to: &mut Vec<Record>,
        found: &Found,
        reply: Reply,
    ) -> Result<(), CtlError> {
        let record = |field, value| Record {
            namespace: Some(self.namespace.clone()),
            object: found.object.clone(),
            field,
            value,
            expire_at_ms: found.expire_at_ms,
        };
        match reply {
            Reply::Nil => {}
            Reply::Bulk(value) => to.push(record(None, value)),
            Reply::Array(pairs) => {
                let mut pairs = pairs.into_iter();
                while let Some(field) = pairs.next() {
                    let (Reply::Bulk(field), Some(Reply::Bulk(value))) = (field, pairs.next())
                    else {
                        return Err(unexpected("HGETALL", None));
                    };
                    to.push(record(Some(field), value));
                }
            }
            other => return Err(unexpected("GET or HGETALL", Some(other))),
        }
        Ok(())
    }

    /// One exchange of reading commands, tried again as a whole while the trouble may pass.
    fn ask(&mut self, commands: &[Command<'_>]) -> Result<Vec<Reply>, CtlError> {
        let (began, mut wait) = (clock::now(), BACKOFF.0);
        loop {
            let reason = match self.try_ask(commands) {
                Ok(replies) => match replies.iter().find_map(passing) {
                    None => return Ok(replies),
                    Some(error) => error.to_owned(),
                },
                Err(e) if e.may_pass() => {
                    self.client = None;
                    e.to_string()
                }
                Err(e) => return Err(e.into()),
            };
            if clock::now().duration_since(began) >= self.retry_for {
                return Err(CtlError::Patience {
                    seconds: self.retry_for.as_secs(),
                    reason,
                });
            }
            clock::pause(wait);
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    fn try_ask(&mut self, commands: &[Command<'_>]) -> Result<Vec<Reply>, ClientError> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(connect(&self.address, &self.namespace)?),
        };
        for command in commands {
            client.queue(command);
        }
        client.exchange()
    }
}

/// The text of an error that another try may not meet.
fn passing(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Error(e) if is_passing(e) => Some(e),
        _ => None,
    }
}

/// Whether an error reply says that another try may succeed.
pub(crate) fn is_passing(error: &str) -> bool {
    error.starts_with("TRYAGAIN") || error.starts_with("UNKNOWN")
}

fn scan_page(reply: Option<Reply>) -> Result<(Vec<u8>, Vec<Vec<u8>>), CtlError> {
    let Some(Reply::Array(parts)) = reply else {
        return Err(unexpected("SCAN", reply));
    };
    let Ok([Reply::Bulk(cursor), Reply::Array(objects)]) = <[Reply; 2]>::try_from(parts) else {
        return Err(unexpected("SCAN", None));
    };
    let objects = objects.into_iter().map(|object| match object {
        Reply::Bulk(object) => Ok(object),
        other => Err(unexpected("SCAN", Some(other))),
    });
    Ok((cursor, objects.collect::<Result<_, _>>()?))
}

fn unexpected(command: &str, reply: Option<Reply>) -> CtlError {
    let reply = match reply {
        Some(Reply::Error(e)) => e,
        Some(Reply::Simple(text)) => String::from_utf8_lossy(&text).into_owned(),
        _ => "a reply of another shape".to_owned(),
    };
    CtlError::Reply {
        command: command.to_owned(),
        reply,
    }
}
