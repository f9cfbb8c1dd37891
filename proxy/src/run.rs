//! The assembly of the process: what starts in which order, and how it stops.

use std::sync::Arc;
use std::thread::JoinHandle;

use config::{Topology, TopologyHandle, WatchOptions};
use rt::secret::Secret;
use rt::stop::{self, Stop, Stopper};
use rt::{clock, logging, metrics, net, panics, worker as thread};
use tokio::sync::mpsc;

use crate::args::ProxyArgs;
use crate::error::StartError;
use crate::front::fastdht::PACKAGE_BYTES_MAX;
use crate::shared::{Options, Shared};
use crate::worker::Message;
use crate::{acceptor, admin, worker};

/// Messages that may wait for a worker.
const INBOX: usize = 1024;

/// Runs a proxy until a signal, or the end of standard input, asks it to stop.
///
/// # Errors
/// It cannot start; nothing was changed.
pub fn run(args: ProxyArgs) -> Result<(), StartError> {
    logging::start(&args.log_level)?;
    panics::abort_on_panic();
    metrics::install();
    let topology = Topology::load(&args.topology)?;
    let listener = net::listen(args.listen, "--listen")?;
    let listen = listener.local_addr().map_err(|e| StartError::System("--listen", e))?;
    let shared = Arc::new(shared(&args, topology, listen)?);
    let (stopper, stop) = stop::pair();
    let (workers, threads) = start_workers(&shared, &stop)?;
    let admin = admin::start(args.admin, Arc::clone(&shared), workers.clone(), stop.clone())?;
    let options = WatchOptions::new(clock::wall_ms);
    let guard = config::watch(&args.topology, shared.topology.clone(), options)
        .map_err(|e| StartError::System("cannot watch the topology file", e))?;
    let started = || tracing::info!(listen = %listen, admin = %admin.address, "proxy started");
    wait(&args, listener, &shared, workers, started, stopper, stop)?;
    drop(guard);
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
    admin.join();
    tracing::info!("proxy stopped");
    Ok(())
}

fn shared(
    args: &ProxyArgs,
    topology: Topology,
    listen: std::net::SocketAddr,
) -> Result<Shared, StartError> {
    let secret = args.secret_file.as_deref().map(Secret::load).transpose()?;
    let package_max = usize::try_from(args.fastdht_package_max.0).unwrap_or(usize::MAX);
    if package_max > PACKAGE_BYTES_MAX {
        return Err(StartError::PackageMax(args.fastdht_package_max.0));
    }
    for warning in topology.warnings() {
        tracing::warn!("{warning}");
    }
    let source = args.topology.display().to_string();
    let handle = TopologyHandle::new(topology, source.clone(), clock::wall_ms());
    let options = Options {
        id: args.id.clone(),
        topology_file: source,
        secret,
        fastdht_package_max: package_max,
        deadline_ms: u64::try_from(args.deadline.as_millis()).unwrap_or(u64::MAX),
        connections_max: args.connections_max,
    };
    let buffers_max = usize::try_from(args.buffers_max.0).unwrap_or(usize::MAX);
    let workers = args.workers.map_or_else(|| thread::count_for(thread::processors()), usize::from);
    Ok(Shared::new(options, handle, listen, buffers_max, workers))
}

type Workers = (Vec<mpsc::Sender<Message>>, Vec<JoinHandle<()>>);

fn start_workers(shared: &Arc<Shared>, stop: &Stop) -> Result<Workers, StartError> {
    let (senders, inboxes): (Vec<_>, Vec<_>) =
        (0..shared.workers()).map(|_| thread::inbox(INBOX)).unzip();
    // Before any of them runs: the first one may adopt a topology from a node as soon as it does,
    // and whoever is not told then goes by the old one until the next.
    tell_of_topologies(shared, senders.clone());
    let mut threads = Vec::new();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let (shared, stop) = (Arc::clone(shared), stop.clone());
        let main = move || worker::run(index, shared, inbox, stop);
        let started = thread::spawn(&format!("worker-{index}"), main);
        threads.push(started.map_err(|e| StartError::System("cannot start a worker", e))?);
    }
    Ok((senders, threads))
}

/// A change of the topology reaches every worker.
fn tell_of_topologies(shared: &Shared, workers: Vec<mpsc::Sender<Message>>) {
    shared.topology.subscribe(move |_| {
        for worker in &workers {
            // A full inbox means a worker that is thousands of clients behind; it reads the
            // topology from the handle whenever it gets there, so waiting loses nothing.
            drop(worker.blocking_send(Message::Topology));
        }
    });
}

/// Accepts on this thread until somebody asks the process to stop.
fn wait(
    args: &ProxyArgs,
    listener: std::net::TcpListener,
    shared: &Arc<Shared>,
    workers: Vec<mpsc::Sender<Message>>,
    started: impl FnOnce(),
    stopper: Stopper,
    stop: Stop,
) -> Result<(), StartError> {
    let system = |e| StartError::System("cannot wait for signals", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(system)?.block_on(async {
        let accepting = acceptor::run(listener, Arc::clone(shared), workers, stop);
        let requested = stop::requested(args.exit_on_stdin_eof).map_err(system)?;
        started();
        tokio::select! {
            biased;
            reason = requested => tracing::info!(reason, "stopping"),
            () = accepting => {}
        }
        stopper.stop();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topology of so many servers that nobody runs.
    fn topology(epoch: u64, servers: usize) -> Topology {
        let server = |n| format!("  a{n}: {{ address: \"127.0.0.1:{n}\", admin: \"h:{n}\" }}\n");
        let servers: String = (1..=servers).map(server).collect();
        let text = format!(
            "format: 1\ncluster: demo\nepoch: {epoch}\nlogic_groups: 61\nservers:\n{servers}voters: \
             [a1]\nphysical_groups:\n  a: {{ servers: [a1], logic_groups: \"0-60\" }}\n"
        );
        Topology::parse(&text).unwrap()
    }

    fn nodes(worker: &mpsc::Sender<Message>) -> usize {
        let (sender, answer) = tokio::sync::oneshot::channel();
        assert!(worker.blocking_send(Message::Status(sender)).is_ok());
        answer.blocking_recv().unwrap().nodes.len()
    }

    #[test]
    fn workers_hear_of_a_topology_that_is_adopted_as_soon_as_they_run() {
        let options = Options {
            id: "p".to_owned(),
            topology_file: "t.yaml".to_owned(),
            secret: None,
            fastdht_package_max: 1 << 20,
            deadline_ms: 5_000,
            connections_max: 1,
        };
        let handle = TopologyHandle::new(topology(1, 1), "t.yaml", 0);
        let shared = Shared::new(options, handle, ([127, 0, 0, 1], 0).into(), 1 << 20, 2);
        let shared = Arc::new(shared);
        let (stopper, stop) = stop::pair();
        let (workers, threads) = start_workers(&shared, &stop).unwrap();
        // They have begun, with the topology of the file.
        assert_eq!(workers.iter().map(nodes).collect::<Vec<_>>(), [1, 1]);
        shared.topology.adopt(topology(2, 2), "node a1", 0).unwrap();
        assert_eq!(workers.iter().map(nodes).collect::<Vec<_>>(), [2, 2]);
        stopper.stop();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
