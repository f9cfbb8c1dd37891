//! Reads the records of a namespace through a proxy.

use std::io::{self, Write};
use std::time::Duration;

use crate::clock;
use crate::ctl::CtlError;
use crate::record::{Record, to_json};
use crate::resp::{Client, ClientError, Reply};

/// How many objects a SCAN is asked for.
const SCAN_COUNT: &[u8] = b"512";
/// Objects whose values are asked for at once: bounds the memory for large ones.
const VALUES_AT_ONCE: usize = 32;
/// Fields whose expiries one command asks for.
const FIELDS_AT_ONCE: usize = 1 << 10;
/// How many such commands are on their way together: their replies are short enough that the proxy
/// does not wait for them to be read.
const PAGES_AT_ONCE: usize = 16;
/// What PEXPIRETIME and HPEXPIRETIME say of what does not exist.
const GONE: i64 = -2;
/// First and longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Why not everything was copied.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The cluster.
    Read(CtlError),
    /// The output.
    Write(io::Error),
}

impl From<CtlError> for CopyError {
    fn from(e: CtlError) -> Self {
        Self::Read(e)
    }
}

/// Kind and expiry of an object, as TYPE and PEXPIRETIME say.
struct Found {
    object: Vec<u8>,
    hash: bool,
    expire_at_ms: Option<u64>,
}

type Command<'a> = Vec<&'a [u8]>;

/// Reads a namespace over one connection at a time.
pub(super) struct Reader {
    address: String,
    namespace: Vec<u8>,
    retry_for: Duration,
    client: Option<Client>,
}

impl Reader {
    /// Connects. This is not tried again: a wrong address should say so at once.
    pub(super) fn connect(
        address: &str,
        namespace: &[u8],
        retry_for: Duration,
    ) -> Result<Self, CtlError> {
        let client = Some(connect(address, namespace)?);
        let (address, namespace) = (address.to_owned(), namespace.to_owned());
        Ok(Self { address, namespace, retry_for, client })
    }

    /// Writes a line for every record, and returns how many there are.
    pub(super) fn copy(&mut self, to: &mut impl Write) -> Result<u64, CopyError> {
        let (mut cursor, mut count) = (b"0".to_vec(), 0);
        loop {
            let mut replies = self.ask(&[vec![b"SCAN", &cursor, b"COUNT", SCAN_COUNT]])?;
            let (next, objects) = scan_page(replies.pop())?;
            for found in self.look_at(objects)?.chunks(VALUES_AT_ONCE) {
                for record in self.read(found)? {
                    to.write_all(to_json(&record).as_bytes()).map_err(CopyError::Write)?;
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
            .flat_map(|o| [vec![&b"TYPE"[..], o], vec![&b"PEXPIRETIME"[..], o]])
            .collect();
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut replies = self.ask(&commands)?.into_iter();
        let mut all = Vec::with_capacity(objects.len());
        for object in objects {
            let (kind, expiry) = (replies.next(), replies.next());
            let hash = match kind {
                Some(Reply::Simple(kind)) if kind == b"hash" => true,
                Some(Reply::Simple(kind)) if kind == b"string" => false,
                Some(Reply::Simple(kind)) if kind == b"none" => continue,
                other => return Err(unexpected("TYPE", other)),
            };
            let expire_at_ms = match expiry {
                Some(Reply::Int(GONE)) => continue,
                Some(Reply::Int(ms)) => u64::try_from(ms).ok(),
                other => return Err(unexpected("PEXPIRETIME", other)),
            };
            all.push(Found { object, hash, expire_at_ms });
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
                    self.ask(&[vec![other, &found.object]])?.pop().unwrap_or(Reply::Nil)
                }
                reply => reply,
            };
            self.add_records(&mut records, found, reply)?;
        }
        self.with_expiries(records)
    }

    /// Gives the named fields their own expiries where these are earlier than their object's, and
    /// leaves out those that are gone meanwhile.
    fn with_expiries(&mut self, records: Vec<Record>) -> Result<Vec<Record>, CtlError> {
        let mut times = Vec::with_capacity(records.len());
        for pages in pages_of_fields(&records).chunks(PAGES_AT_ONCE) {
            let counts: Vec<String> = pages.iter().map(|page| page.len().to_string()).collect();
            let commands: Vec<Command<'_>> = pages
                .iter()
                .zip(&counts)
                .map(|(page, count)| {
                    let object = page.first().map_or(&[][..], |record| &record.object);
                    let head = [&b"HPEXPIRETIME"[..], object, b"FIELDS", count.as_bytes()];
                    let fields = page.iter().filter_map(|record| record.field.as_deref());
                    head.into_iter().chain(fields).collect()
                })
                .collect();
            for (page, reply) in pages.iter().zip(self.ask(&commands)?) {
                add_times(&mut times, page.len(), reply)?;
            }
        }
        let mut times = times.into_iter();
        let mut kept = Vec::with_capacity(records.len());
        for mut record in records {
            if record.field.is_some() {
                match times.next() {
                    None | Some(GONE) => continue,
                    Some(own) => {
                        record.expire_at_ms = earlier(record.expire_at_ms, u64::try_from(own).ok());
                    }
                }
            }
            kept.push(record);
        }
        Ok(kept)
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
                return Err(CtlError::Patience { seconds: self.retry_for.as_secs(), reason });
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

fn connect(address: &str, namespace: &[u8]) -> Result<Client, ClientError> {
    let mut client = Client::connect(address)?;
    client.select(namespace)?;
    Ok(client)
}

/// Runs of named fields of one object, each for one command.
fn pages_of_fields(records: &[Record]) -> Vec<&[Record]> {
    records
        .chunk_by(|one, other| one.object == other.object)
        .filter(|of_object| of_object.iter().all(|record| record.field.is_some()))
        .flat_map(|of_object| of_object.chunks(FIELDS_AT_ONCE))
        .collect()
}

/// Takes the times of one page.
fn add_times(to: &mut Vec<i64>, count: usize, reply: Reply) -> Result<(), CtlError> {
    match reply {
        Reply::Array(all) if all.len() == count => {
            for time in all {
                let Reply::Int(time) = time else {
                    return Err(unexpected("HPEXPIRETIME", Some(time)));
                };
                to.push(time);
            }
        }
        // The hash became a string meanwhile.
        Reply::Error(e) if e.starts_with("WRONGTYPE") => to.resize(to.len() + count, GONE),
        other => return Err(unexpected("HPEXPIRETIME", Some(other))),
    }
    Ok(())
}

/// The earlier of two expiries; none is never.
fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
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
    CtlError::Reply { command: command.to_owned(), reply }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(object: &str, field: Option<String>) -> Record {
        let (object, field) = (object.into(), field.map(String::into_bytes));
        Record { object, field, ..Record::default() }
    }

    #[test]
    fn fields_are_asked_about_by_object_and_in_pages() {
        let fields = |object: &'static str, count: usize| {
            (0..count).map(move |n| record(object, Some(n.to_string())))
        };
        let mut records: Vec<Record> = fields("a", FIELDS_AT_ONCE + 1).collect();
        records.push(record("s", None));
        records.extend(fields("b", 2));
        let pages = pages_of_fields(&records);
        let lengths: Vec<usize> = pages.iter().map(|page| page.len()).collect();
        assert_eq!(lengths, [FIELDS_AT_ONCE, 1, 2]);
        assert!(pages.iter().flat_map(|page| *page).all(|record| record.field.is_some()));
    }

    #[test]
    fn times_fit_their_page_and_a_hash_that_became_a_string_is_gone() {
        let mut times = Vec::new();
        let two = Reply::Array(vec![Reply::Int(-1), Reply::Int(7)]);
        add_times(&mut times, 2, two.clone()).unwrap();
        add_times(&mut times, 1, Reply::Error("WRONGTYPE x".to_owned())).unwrap();
        assert_eq!(times, [-1, 7, GONE]);
        for reply in [two, Reply::Array(vec![Reply::Nil]), Reply::Error("ERR x".to_owned())] {
            let error = add_times(&mut times, 1, reply).unwrap_err();
            assert!(error.to_string().starts_with("HPEXPIRETIME was answered with"), "{error}");
        }
    }

    #[test]
    fn the_earlier_expiry_counts_and_never_is_later_than_any() {
        assert_eq!(earlier(None, None), None);
        assert_eq!(earlier(Some(7), None), Some(7));
        assert_eq!(earlier(None, Some(7)), Some(7));
        assert_eq!(earlier(Some(9), Some(7)), Some(7));
    }
}
