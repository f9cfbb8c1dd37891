//! The assembly of the process: what starts in which order, and how it stops.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::ids::LogicGroup;
use common::version::{Hlc, HlcClock};
use config::{LoadError, Topology};
use rt::secret::Secret;
use rt::stop::{self, Stop, Stopper};
use rt::{clock, logging, metrics, net, panics, process, worker as thread};
use tokio::sync::mpsc;

use crate::args::NodeArgs;
use crate::binlog::{Log, LogOptions, RealFs, WhenAbsent};
use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::flusher::{self, Flusher, Work};
use crate::shared::{Limits, Parts, Shared};
use crate::topology::open_groups;
use crate::worker::{self, Core, Message, OpenedGroup};
use crate::{acceptor, admin, disk, replay};

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
    // A directory whose node never took part has no log yet; one that did must have its log.
    let when_absent = if topology.is_none() { WhenAbsent::Create } else { WhenAbsent::Refuse };
    let options = LogOptions { when_absent, ..LogOptions::default() };
    let (log, hlc) = replay::open_log(Arc::new(RealFs), &dir, options, &mut groups)?;
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
