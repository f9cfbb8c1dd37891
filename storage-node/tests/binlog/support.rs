//! What the tests of the binlog share: a log that is opened in one line, and waiting for the sync
//! thread without sleeping.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::ids::{ClusterId, NodeId, StoreId};
use storage_node::binlog::{
    AppendReceipt, Batch, Content, Cut, Flaw, Found, Inspector, Log, LogError, LogFs, LogIdentity,
    LogOptions, LogPosition, MemFs, RecoveryReport, SEGMENT_BYTES_MIN, SyncEvent, WhenAbsent,
};

pub(crate) const IDENTITY: LogIdentity = LogIdentity {
    store: StoreId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
    cluster: ClusterId(0xc1c2_c3c4),
    node: NodeId(0xa1a2_a3a4),
};

/// Small segments, and no sync that nobody asked for.
pub(crate) const OPTIONS: LogOptions = LogOptions {
    segment_bytes: SEGMENT_BYTES_MIN,
    sync_interval: Duration::from_secs(3600),
    when_absent: WhenAbsent::Create,
};

pub(crate) type Records = Vec<(LogPosition, Vec<u8>)>;

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/node/log")
}

pub(crate) fn segment_path(index: u64) -> PathBuf {
    dir().join(format!("{index:016}.binlog"))
}

/// A log with its recovered records and a way to wait for its sync thread.
pub(crate) struct Opened {
    pub(crate) log: Log,
    pub(crate) report: RecoveryReport,
    pub(crate) records: Records,
    pub(crate) events: Arc<Events>,
}

#[derive(Default)]
pub(crate) struct Events {
    seen: Mutex<(LogPosition, Option<Arc<str>>)>,
    changed: Condvar,
}

impl Events {
    /// Waits until the log is durable up to `upto`; `false` if it is poisoned instead.
    pub(crate) fn wait_durable(&self, upto: LogPosition) -> bool {
        let seen = self.seen.lock().unwrap();
        let (seen, timeout) = self
            .changed
            .wait_timeout_while(seen, Duration::from_secs(60), |seen| {
                seen.0 < upto && seen.1.is_none()
            })
            .unwrap();
        assert!(!timeout.timed_out(), "the sync thread is silent: {seen:?}, wanted {upto}");
        seen.0 >= upto
    }

    /// Waits until the log is poisoned.
    pub(crate) fn wait_poisoned(&self) -> Arc<str> {
        let seen = self.seen.lock().unwrap();
        let (seen, timeout) = self
            .changed
            .wait_timeout_while(seen, Duration::from_secs(60), |seen| seen.1.is_none())
            .unwrap();
        assert!(!timeout.timed_out(), "nobody was told of the poisoning");
        seen.1.clone().unwrap()
    }

    fn take(&self, event: SyncEvent) {
        let mut seen = self.seen.lock().unwrap();
        match event {
            SyncEvent::Durable(position) => {
                assert!(position > seen.0, "the durable position rises");
                seen.0 = position;
            }
            SyncEvent::Poisoned(cause) => {
                assert!(seen.1.is_none(), "told once");
                seen.1 = Some(cause);
            }
        }
        self.changed.notify_all();
    }
}

pub(crate) fn open(fs: &MemFs) -> Result<Opened, LogError> {
    open_with(Arc::new(fs.clone()), &dir(), OPTIONS)
}

pub(crate) fn open_with(
    fs: Arc<dyn LogFs>,
    dir: &Path,
    options: LogOptions,
) -> Result<Opened, LogError> {
    let mut records = Records::new();
    let mut visit = |at: LogPosition, body: &[u8]| {
        records.push((at, body.to_vec()));
        Ok(())
    };
    let (log, report) = Log::open(fs, dir, IDENTITY, options, &mut visit)?;
    let events = Arc::new(Events::default());
    let told = Arc::clone(&events);
    log.on_sync(move |event| told.take(event));
    assert_eq!(report.records, records.len() as u64);
    assert_eq!((log.appended(), log.durable()), (report.end, report.end));
    Ok(Opened { log, report, records, events })
}

pub(crate) fn batch(bodies: &[impl AsRef<[u8]>]) -> Batch {
    let mut batch = Batch::new();
    for body in bodies {
        batch.push(|buf| buf.extend_from_slice(body.as_ref())).unwrap();
    }
    batch
}

impl Opened {
    pub(crate) fn append(&self, bodies: &[impl AsRef<[u8]>]) -> Result<AppendReceipt, LogError> {
        self.log.append(&mut batch(bodies))
    }

    /// Syncs up to `upto` and waits; whether it was confirmed.
    pub(crate) fn sync(&self, upto: LogPosition) -> bool {
        self.log.request_sync(upto);
        upto <= self.log.durable() || self.events.wait_durable(upto)
    }
}

/// A body that says its number and has a length of its own.
pub(crate) fn body(number: usize, bytes: usize) -> Vec<u8> {
    let mut body = format!("record {number} ").into_bytes();
    let filling = (1u8..=250).cycle().skip(number % 250);
    body.extend(filling.take(bytes.saturating_sub(body.len())));
    body
}

pub(crate) fn bodies(records: &Records) -> Vec<Vec<u8>> {
    records.iter().map(|(_, body)| body.clone()).collect()
}

/// What an [`Inspector`] found in a log.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) segments: Vec<u64>,
    pub(crate) records: Records,
    pub(crate) seals: u64,
    /// Texts of what a start would refuse.
    pub(crate) refused: Vec<String>,
    /// What a start would cut.
    pub(crate) torn: Option<Cut>,
    pub(crate) stray: Option<LogPosition>,
    pub(crate) end: Option<LogPosition>,
}

impl Seen {
    pub(crate) fn of(inspector: Inspector) -> Self {
        let mut seen = Self::default();
        for found in inspector {
            match found {
                Found::Segment(file) => seen.segments.push(file.index),
                Found::Frame(frame) => match frame.content {
                    Content::Record(body) => seen.records.push((frame.at, body.to_vec())),
                    Content::Seal(_) => seen.seals += 1,
                    Content::Mark(_) => {}
                },
                Found::Flaw(Flaw::Refused(error)) => seen.refused.push(error.to_string()),
                Found::Flaw(Flaw::TornEnd { at, records, .. }) => {
                    assert!(seen.torn.replace(Cut { at, records }).is_none(), "a log has one end");
                }
                Found::Flaw(Flaw::Stray { at, .. }) => seen.stray = Some(at),
                Found::End(at) => assert!(seen.end.replace(at).is_none(), "a log has one end"),
            }
        }
        seen
    }
}

/// Looks at the log of this node without changing it.
pub(crate) fn inspect(fs: &MemFs) -> Seen {
    Seen::of(Inspector::of_folder(Arc::new(fs.clone()), &dir(), Some(IDENTITY)))
}

/// A start must say of the log what looking at it said before.
#[track_caller]
pub(crate) fn agree(seen: &Seen, start: &Result<Opened, LogError>, story: &str) {
    match start {
        Err(error) => {
            let text = error.to_string();
            assert!(seen.refused.contains(&text), "{story}: {text} is not in {:?}", seen.refused);
        }
        // These tests make a log where there is none.
        Ok(opened) if seen.segments.is_empty() => assert!(opened.records.is_empty(), "{story}"),
        Ok(opened) => {
            assert_eq!(seen.refused, [""; 0], "{story}");
            assert_eq!(seen.torn, opened.report.cut, "{story}");
            assert_eq!(seen.end, Some(opened.report.end), "{story}");
            assert_eq!(seen.records, opened.records, "{story}");
        }
    }
}
