//! The assembly of the process: what starts in which order, and how it stops.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::ids::LogicGroup;
use common::log_record::{self, LogRecord};
use common::version::{Hlc, HlcClock};
use config::{LoadError, Topology};
use rt::secret::Secret;
use rt::stop::{self, Stop, Stopper};
use rt::{clock, logging, metrics, net, panics, process, worker as thread};
use tokio::sync::mpsc;

use crate::args::NodeArgs;
use crate::binlog::{Log, LogOptions, LogPosition, RealFs, WhenAbsent};
use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::flusher::{self, Flusher, Work};
use crate::shared::{Limits, Parts, Shared};
use crate::topology::open_groups;
use crate::worker::{self, Core, Message, OpenedGroup};
use crate::{acceptor, admin, disk};

/// Messages that may wait for a worker.
const INBOX: usize = 1024;

/// Runs a node until a signal, or the end of standard input, asks it to stop.
///
/// # Errors
/// It cannot start; data that was there is unchanged.
pub fn run(args: NodeArgs) -> Result<(), StartError> {
    logging::start(&args.log_level)?;
    panics::abort_on_panic();
    metrics::install();
    let secret = args.secret_file.as_deref().map(Secret::load).transpose()?;
    if secret.is_none() && !net::is_loopback(args.listen.ip()) {
        return Err(StartError::SecretMissing(args.listen));
    }
    let dir = DataDir::open(&args.dir, &args.cluster, &args.id, args.create)?;
    // Ports last of what can fail cheaply, first of what takes time.
    let listener = net::listen(args.listen, "--listen")?;
    let opened = open(&args, dir, secret)?;
    let shared = Arc::clone(&opened.shared);
    let (stopper, stop) = stop::pair();
    let (threads, flusher) = start_workers(opened, &stop)?;
    let listen = listener.local_addr().map_err(|e| StartError::System("--listen", e))?;
    let admin = admin::start(args.admin, listen, Arc::clone(&shared), stop.clone())?;
    tracing::info!(%listen, admin = %admin.address, dir = %args.dir.display(), "node started");
    wait(&args, listener, &shared, stopper, &stop)?;
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
    shared.flusher.send(Work::Stop);
    if flusher.join().is_err() {
        tracing::error!("the flush thread panicked");
    }
    close_log(&shared.log);
    admin.join();
    tracing::info!("node stopped");
    Ok(())
}

struct Opened {
    shared: Arc<Shared>,
    inboxes: Vec<mpsc::Receiver<Message>>,
    groups: BTreeMap<LogicGroup, OpenedGroup>,
    hlc: Hlc,
    work: std::sync::mpsc::Receiver<Work>,
}

/// Opens files and log, and replays what the files do not have.
fn open(args: &NodeArgs, dir: DataDir, secret: Option<Secret>) -> Result<Opened, StartError> {
    let workers = args.workers.map_or_else(|| thread::count_for(thread::processors()), usize::from);
    let limits = limits(args, workers);
    let topology = load_topology(&dir)?;
    let mut groups = match &topology {
        Some(topology) => open_groups(&dir, limits, topology, false)?,
        None => BTreeMap::new(),
    };
    let started = clock::now();
    let mut hlc = groups.values().map(|group| group.store.hlc()).max().unwrap_or_default();
    // A directory whose node never took part has no log yet; one that did must have its log.
    let when_absent = if topology.is_none() { WhenAbsent::Create } else { WhenAbsent::Refuse };
    let options = LogOptions { when_absent, ..LogOptions::default() };
    let identity = dir.log_identity();
    let mut visit = |at, body: &[u8]| replay(&mut groups, &mut hlc, at, body);
    let log_path = dir.log_path();
    let (log, report) = Log::open(Arc::new(RealFs), &log_path, identity, options, &mut visit)?;
    let ms = started.elapsed().as_millis();
    tracing::info!(records = report.records, ms, "log replayed");
    if let Some(cut) = report.cut {
        tracing::warn!(at = %cut.at, records = cut.records, "a torn end of the log was cut off");
    }
    for group in groups.values() {
        let (segment, offset) = group.store.checkpoint().log_mark;
        let covered = LogPosition::new(segment, offset);
        if covered > report.end {
            return Err(StartError::LogBehind(log_path, report.end, group.id, covered));
        }
    }
    let (flusher, work) = Flusher::new();
    let (senders, inboxes) = (0..workers).map(|_| thread::inbox(INBOX)).unzip();
    let shared = Arc::new(Shared::new(Parts {
        name: args.id.clone(),
        cluster: args.cluster.clone(),
        dir,
        secret,
        limits,
        log,
        flusher,
        workers: senders,
        topology,
    }));
    let synced = shared.synced.clone();
    shared.log.on_sync(move |_| synced.iter().for_each(|worker| worker.notify_one()));
    Ok(Opened { shared, inboxes, groups, hlc, work })
}

fn limits(args: &NodeArgs, workers: usize) -> Limits {
    let memory = args.memory.map_or_else(|| process::memory_bytes() / 2, |size| size.0);
    let memory = usize::try_from(memory).unwrap_or(usize::MAX).max(16 << 20);
    Limits {
        // Half of the memory for writes: a memtable that is filled and one that is flushed.
        memtable_bytes: memory / 4 / workers,
        cache_bytes: memory / 2,
        // The log is replayed into memtables at start, so it is bounded by what fits there.
        log_bytes: (memory as u64 / 2).clamp(192 << 20, 4 << 30),
    }
}

fn load_topology(dir: &DataDir) -> Result<Option<Topology>, StartError> {
    match Topology::load(&dir.topology_path()) {
        Ok(topology) => Ok(Some(topology)),
        Err(LoadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(StartError::Damaged(dir.topology_path(), error.to_string())),
    }
}

/// Applies one record of the log, unless its group's file has it.
fn replay(
    groups: &mut BTreeMap<LogicGroup, OpenedGroup>,
    hlc: &mut Hlc,
    at: LogPosition,
    body: &[u8],
) -> Result<(), String> {
    let head = log_record::decode_head(body).map_err(|error| error.to_string())?;
    let id = head.stream.lane.group;
    let group = groups.get_mut(&id).ok_or_else(|| {
        format!("the record is of {id}, which the node's topology does not give it")
    })?;
    *hlc = head.hlc.max(*hlc);
    let applied = group.store.applied().get(&head.stream).copied().unwrap_or_default();
    if head.lsn <= applied {
        return Ok(());
    }
    // Records of a stream have no gaps, so a gap is a part of the log that was lost (I13).
    if head.lsn != applied.next() {
        return Err(format!(
            "{} of {} follows {applied}: records between them are missing; restore the data \
             directory from a backup or another server",
            head.lsn, head.stream
        ));
    }
    let record = LogRecord::decode(body).map_err(|error| error.to_string())?;
    let mark = (at.segment, at.offset);
    group.store.apply(&record.head, &record.mutations, mark).map_err(|error| error.to_string())?;
    Ok(())
}

type Threads = (Vec<JoinHandle<()>>, JoinHandle<()>);

/// Starts the workers and the flush thread.
fn start_workers(opened: Opened, stop: &Stop) -> Result<Threads, StartError> {
    let Opened { shared, inboxes, mut groups, hlc, work } = opened;
    let system = |e| StartError::System("cannot start a thread", e);
    let senders = shared.workers.clone();
    let flusher = flusher::start(work, Arc::clone(&shared), senders).map_err(system)?;
    let mut threads = Vec::new();
    let workers = inboxes.len();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let theirs = |id: &LogicGroup, _: &mut OpenedGroup| usize::from(id.0) % workers == index;
        let share: Vec<_> = groups.extract_if(.., theirs).map(|(_, group)| group).collect();
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        let main = move || {
            let core = Core::new(shared, share, HlcClock::starting_after(hlc));
            worker::run(index, core, inbox, stop)
        };
        threads.push(thread::spawn(&format!("worker-{index}"), main).map_err(system)?);
    }
    Ok((threads, flusher))
}

/// Makes durable what was acknowledged under `everysec` or `none`, before the process ends.
fn close_log(log: &Log) {
    const WAIT_MAX: Duration = Duration::from_secs(30);
    let deadline = clock::now() + WAIT_MAX;
    log.request_sync(log.appended());
    while log.durable() < log.appended() && log.poisoned().is_none() && clock::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Accepts on this thread until somebody asks the process to stop.
fn wait(
    args: &NodeArgs,
    listener: TcpListener,
    shared: &Arc<Shared>,
    stopper: Stopper,
    stop: &Stop,
) -> Result<(), StartError> {
    let system = |e| StartError::System("cannot wait for signals", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(system)?.block_on(async {
        let reserve = args.disk_reserve.map(|size| size.0);
        tokio::spawn(disk::watch(Arc::clone(shared), reserve, stop.clone()));
        let accepting = acceptor::run(listener, Arc::clone(shared), stop.clone());
        let requested = stop::requested(args.exit_on_stdin_eof);
        tokio::select! {
            biased;
            reason = requested => tracing::info!(reason = reason.map_err(system)?, "stopping"),
            () = accepting => {}
        }
        stopper.stop();
        Ok(())
    })
}
