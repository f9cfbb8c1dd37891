//! The assembly of the process: what starts in which order, and how it stops.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::ids::LogicGroup;
use common::version::Hlc;
use config::{LoadError, Topology};
use rt::secret::Secret;
use rt::stop::{self, Stop, Stopper};
use rt::{clock, logging, metrics, net, panics, process, worker as thread};
use tokio::sync::{mpsc, oneshot};

use crate::args::{MEMORY_MIN, NodeArgs};
use crate::binlog::{Log, LogOptions, WhenAbsent};
use crate::catch_up::{self, CatchUp};
use crate::control::{self, Control, ControlEvent, ControlInbox, ControlStart, ControlStore, Kept};
use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::files::RealFs;
use crate::flusher::{self, Flusher, Work};
use crate::lane::{DEDUP_BYTES_DEFAULT, DedupWindow, Retention};
use crate::shared::{Limits, Parts, Shared};
use crate::topology::open_groups;
use crate::worker::{self, COMPACT_BYTES_MIN, Core, Life, Message, OpenedGroup, Started};
use crate::{acceptor, admin, disk, parallel, replay};

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
    if args.create {
        // A directory that is made and not used would be in the way of the next attempt.
        drop(net::listen(args.listen, "--listen")?);
        drop(net::listen(args.admin, "--admin")?);
    }
    let dir = DataDir::open(Arc::new(RealFs), &args.dir, &args.cluster, &args.id, args.create)?;
    // Ports last of what can fail cheaply, first of what takes time.
    let listener = net::listen(args.listen, "--listen")?;
    let opened = open(&args, dir, secret)?;
    let shared = Arc::clone(&opened.shared);
    let (stopper, stop) = stop::pair();
    let (threads, helpers) = start_threads(opened, &stop)?;
    let listen = listener.local_addr().map_err(|e| StartError::System("--listen", e))?;
    let admin = admin::start(args.admin, listen, Arc::clone(&shared), stop.clone())?;
    let started = || {
        tracing::info!(%listen, admin = %admin.address, dir = %args.dir.display(), "node started");
    };
    wait(&args, listener, &shared, started, stopper, &stop)?;
    threads.into_iter().for_each(|thread| join(thread, "worker"));
    helpers.stop(&shared);
    admin.join();
    tracing::info!("node stopped");
    Ok(())
}

struct Opened {
    shared: Arc<Shared>,
    inboxes: Vec<mpsc::Receiver<Message>>,
    started: Vec<Started>,
    work: std::sync::mpsc::Receiver<Work>,
    reading: std::sync::mpsc::Receiver<catch_up::Work>,
    control: ControlInbox,
    store: ControlStore,
    kept: Kept,
}

/// Opens files and log, and finds in the log what the files do not have.
fn open(args: &NodeArgs, dir: DataDir, secret: Option<Secret>) -> Result<Opened, StartError> {
    let workers = args.workers.map_or_else(|| thread::count_for(thread::processors()), usize::from);
    let limits = limits(args);
    let topology = load_topology(&dir)?;
    let (mut store, kept) = open_control(&dir, topology.is_none())?;
    let mut groups = match &topology {
        Some(topology) => open_groups(&dir, limits, topology, false)?,
        None => BTreeMap::new(),
    };
    // A directory whose node never took part has no log yet; one that did must have its log.
    let when_absent = if topology.is_none() { WhenAbsent::Create } else { WhenAbsent::Refuse };
    let options = LogOptions { when_absent, ..LogOptions::default() };
    let dedup = (0..workers).map(|_| DedupWindow::new(limits.dedup_bytes / workers)).collect();
    let memory = limits.memtable_bytes;
    let replayed =
        match replay::open_log(Arc::clone(dir.fs()), &dir, options, &mut groups, dedup, memory) {
            Ok(replayed) => replayed,
            Err(error) => {
                parallel::drop_all(groups.into_values());
                return Err(error);
            }
        };
    let held = groups.values().flat_map(OpenedGroup::lanes_held);
    let control::Started { life, forgot } =
        store.start_life(&control::boot_id(), held, clock::wall_ms())?;
    if !forgot.is_empty() {
        let lanes = forgot.len();
        tracing::warn!(
            lanes,
            "the machine lost power: these lanes catch up before they are led here"
        );
    }
    let life = Life { life, promises: kept.promises.clone(), forgot };
    let started = share_out(groups, replayed.dedup, replayed.hlc);
    let (flusher, work) = Flusher::new();
    let (catch_up, reading) = CatchUp::new();
    let (control, control_inbox) = Control::new();
    let (senders, inboxes) = (0..workers).map(|_| thread::inbox(INBOX)).unzip();
    let shared = Arc::new(Shared::new(Parts {
        name: args.id.clone(),
        cluster: args.cluster.clone(),
        dir,
        secret,
        limits,
        log: replayed.log,
        flusher,
        catch_up,
        control,
        life,
        voters: kept.voters.clone(),
        workers: senders,
        topology,
    }));
    let synced = shared.synced.clone();
    shared.log.on_sync(move |_| synced.iter().for_each(|worker| worker.notify_one()));
    Ok(Opened { shared, inboxes, started, work, reading, control: control_inbox, store, kept })
}

fn open_control(dir: &DataDir, new: bool) -> Result<(ControlStore, Kept), StartError> {
    let (path, identity) = (dir.control_path(), dir.node_identity());
    let exists = dir.fs().exists(&path).map_err(|e| StartError::Io(path.clone(), e))?;
    // A node that never took part may have been stopped before it made the file.
    let opened = if new && !exists {
        ControlStore::create(&**dir.fs(), &path, &identity)
    } else {
        ControlStore::open(&**dir.fs(), &path, &identity)
    };
    Ok(opened?)
}

/// Group g belongs to worker g mod their number.
fn share_out(
    mut groups: BTreeMap<LogicGroup, OpenedGroup>,
    dedup: Vec<DedupWindow>,
    hlc: Hlc,
) -> Vec<Started> {
    let workers = dedup.len();
    let share = |(index, dedup)| {
        let theirs = |id: &LogicGroup, _: &mut OpenedGroup| usize::from(id.0) % workers == index;
        let groups = groups.extract_if(.., theirs).map(|(_, group)| group).collect();
        Started { groups, dedup, hlc }
    };
    dedup.into_iter().enumerate().map(share).collect()
}

fn limits(args: &NodeArgs) -> Limits {
    let memory = args.memory.map_or_else(|| process::memory_bytes() / 2, |size| size.0);
    let memory = usize::try_from(memory.max(MEMORY_MIN.0)).unwrap_or(usize::MAX);
    let dedup_bytes = DEDUP_BYTES_DEFAULT.min(memory / 4);
    // Connections, the log's and the allocator's buffers, indexes of what is being flushed.
    let other = memory / 16 * 3;
    let half = (memory - dedup_bytes - other) / 2;
    Limits {
        // Those that are being flushed included.
        memtable_bytes: half,
        // The allocator gives a page of 4 KiB and its counters 5 KiB.
        cache_bytes: half / 5 * 4,
        dedup_bytes,
        // The log is replayed into memtables at start, so it is bounded by what fits there.
        log_bytes: (memory as u64 / 2).clamp(192 << 20, 4 << 30),
        compact_bytes: COMPACT_BYTES_MIN,
        retention: Retention {
            keep_bytes: args.log_keep.0,
            keep_ms: u64::try_from(args.log_keep_for.as_millis()).unwrap_or(u64::MAX),
        },
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

/// The threads beside the workers.
struct Helpers {
    flusher: JoinHandle<()>,
    catch_up: JoinHandle<()>,
    control: JoinHandle<()>,
}

/// Starts the workers and the threads that wait for disks in their place.
fn start_threads(
    opened: Opened,
    stop: &Stop,
) -> Result<(Vec<JoinHandle<()>>, Helpers), StartError> {
    let Opened { shared, inboxes, started, work, reading, control, store, kept } = opened;
    let system = |e| StartError::System("cannot start a thread", e);
    let flusher = flusher::start(work, Arc::clone(&shared), shared.workers.clone());
    let log = Arc::clone(&shared);
    let workers = shared.workers.clone();
    let open = move |from| log.log.reader(from);
    // A worker is gone only while the node stops.
    let done = move |worker: usize, done| {
        if let Some(worker) = workers.get(worker) {
            drop(worker.blocking_send(Message::CaughtUp(done)));
        }
    };
    let catch_up = catch_up::start(reading, open, done);
    let (workers, told) = (shared.workers.clone(), Arc::clone(&shared));
    let outlet = Box::new(move |worker: usize, event: ControlEvent| {
        if let ControlEvent::Voters(set) = &event {
            told.voters.store(Arc::new(set.clone()));
        }
        if let Some(worker) = workers.get(worker) {
            drop(worker.blocking_send(Message::Control(event)));
        }
    });
    let workers = shared.workers.len();
    let fs = Arc::clone(shared.dir.fs());
    let start = ControlStart { fs, store, kept, node: shared.node, workers, outlet };
    let control = control::start(control, start);
    let helpers = Helpers {
        flusher: flusher.map_err(system)?,
        catch_up: catch_up.map_err(system)?,
        control: control.map_err(system)?,
    };
    let mut threads = Vec::new();
    for (index, (inbox, started)) in inboxes.into_iter().zip(started).enumerate() {
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        let main = move || {
            let core = Core::new(index, shared, started);
            worker::run(index, core, inbox, stop)
        };
        threads.push(thread::spawn(&format!("worker-{index}"), main).map_err(system)?);
    }
    Ok((threads, helpers))
}

impl Helpers {
    /// Ends the threads once the workers have ended. Whether everything is durable then.
    fn stop(self, shared: &Shared) {
        shared.flusher.send(Work::Stop);
        shared.catch_up.stop();
        join(self.flusher, "flush");
        join(self.catch_up, "catch-up");
        let clean = close_log(&shared.log);
        shared.control.stop(clean);
        join(self.control, "control");
    }
}

fn join(thread: JoinHandle<()>, name: &str) {
    if thread.join().is_err() {
        tracing::error!(thread = name, "a thread panicked");
    }
}

/// Makes durable what was acknowledged under `everysec` or `none`, before the process ends. Whether
/// all of it is.
fn close_log(log: &Log) -> bool {
    const WAIT_MAX: Duration = Duration::from_secs(30);
    let deadline = clock::now() + WAIT_MAX;
    log.request_sync(log.appended());
    while log.durable() < log.appended() && log.poisoned().is_none() && clock::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    log.poisoned().is_none() && log.durable() >= log.appended()
}

/// Accepts on this thread until somebody asks the process to stop.
fn wait(
    args: &NodeArgs,
    listener: TcpListener,
    shared: &Arc<Shared>,
    started: impl FnOnce(),
    stopper: Stopper,
    stop: &Stop,
) -> Result<(), StartError> {
    let system = |e| StartError::System("cannot wait for signals", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(system)?.block_on(async {
        let reserve = args.disk_reserve.map(|size| size.0);
        tokio::spawn(disk::watch(Arc::clone(shared), reserve, stop.clone()));
        let accepting = acceptor::run(listener, Arc::clone(shared), stop.clone());
        let requested = stop::requested(args.exit_on_stdin_eof).map_err(system)?;
        started();
        let stopping = async {
            let reason = requested.await;
            tracing::info!(reason, "stopping: the lanes are handed over first");
            depart(shared).await;
        };
        tokio::select! {
            biased;
            () = stopping => {}
            () = accepting => {}
        }
        stopper.stop();
        Ok(())
    })
}

/// Hands all lanes over and leaves R in every group, so that nobody has to find out that this node
/// is gone (guarantees 4.6).
async fn depart(shared: &Shared) {
    const DEPART_MAX: Duration = Duration::from_secs(3);
    let mut answers = Vec::new();
    for worker in &shared.workers {
        let (sender, receiver) = oneshot::channel();
        if worker.send(Message::Depart(sender)).await.is_ok() {
            answers.push(receiver);
        }
    }
    let all = async {
        for answer in answers {
            // A worker that is gone has nothing to hand over.
            drop(answer.await);
        }
    };
    if tokio::time::timeout(DEPART_MAX, all).await.is_err() {
        tracing::warn!("not all lanes could be handed over in time");
    }
}
