//! Load on one address: threads, each with an event loop and its share of the connections.

use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use super::BenchError;
use super::args::FlowArgs;
use super::connection::{Tally, Until, drive};
use super::cpu;
use super::workload::{Keys, Mix, Workload};
use crate::clock;

/// Requests on their way per connection while keys are written before measuring.
const PREFILL_PIPELINE: u64 = 64;
/// How long answers may be missing.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Longest measurement by count.
const COUNTED_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// When a measurement ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// After this time.
    Time(Duration),
    /// After this many requests.
    Requests(u64),
}

/// One measurement.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Where to.
    pub(super) address: String,
    /// Connections of all threads.
    pub(super) connections: u16,
    /// Threads.
    pub(super) threads: u16,
    /// Bytes of a value.
    pub(super) size: usize,
    /// Different keys.
    pub(super) keys: u64,
    /// Requests on their way per connection.
    pub(super) pipeline: u64,
    /// Which requests.
    pub(super) mix: Mix,
    /// How long.
    pub(super) length: Length,
}

/// What a measurement found.
#[derive(Debug)]
pub(super) struct Measured {
    /// Counts and latencies.
    pub(super) tally: Tally,
    /// How long it took.
    pub(super) time: Duration,
    /// CPU time of the server processes meanwhile, if any were named.
    pub(super) cpu: Option<Duration>,
}

impl Measured {
    /// Requests per second.
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with few digits")]
    pub(super) fn rate(&self) -> f64 {
        self.tally.requests as f64 / self.time.as_secs_f64().max(1e-9)
    }

    /// Microseconds of server CPU per request.
    #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
    pub(super) fn cpu_us(&self) -> Option<f64> {
        let requests = self.tally.requests.max(1) as f64;
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / requests)
    }
}

impl Job {
    /// A measurement with the given traffic to `address`.
    pub(super) fn new(
        address: &str,
        flow: &FlowArgs,
        pipeline: u16,
        mix: Mix,
        length: Length,
    ) -> Self {
        Self {
            address: address.to_owned(),
            connections: flow.connections,
            threads: flow.threads.min(flow.connections),
            size: usize::try_from(flow.size).expect("32 bits fit"),
            keys: flow.keys,
            pipeline: u64::from(pipeline),
            mix,
            length,
        }
    }

    /// The same traffic, but every key written once.
    pub(super) fn prefill(&self) -> Self {
        let length = Length::Requests(self.keys);
        Self { pipeline: PREFILL_PIPELINE, mix: Mix::SET, length, ..self.clone() }
    }
}

/// Whether a measurement takes its keys in order or at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Each once.
    InOrder,
    /// Any.
    Random,
}

/// Runs a measurement beside the CPU time of `pids`.
pub(super) fn measure(job: &Job, pids: &[u32], order: Order) -> Result<Measured, BenchError> {
    let cpu_before = cpu::total(pids)?;
    let began = clock::now();
    let mut tally = Tally::new();
    let parts = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..job.threads).map(|n| scope.spawn(move || one_thread(job, order, n))).collect();
        let parts = threads.into_iter().map(|t| t.join().expect("no thread of the loader panics"));
        parts.collect::<Result<Vec<Tally>, BenchError>>()
    })?;
    parts.iter().for_each(|part| tally.add(part));
    let time = clock::now().duration_since(began);
    let spent = cpu::total(pids)?.saturating_sub(cpu_before);
    Ok(Measured { tally, time, cpu: (!pids.is_empty()).then_some(spent) })
}

fn one_thread(job: &Job, order: Order, thread: u16) -> Result<Tally, BenchError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let job = Rc::new(job.clone());
    LocalSet::new().block_on(&runtime, async {
        let mut streams = Vec::new();
        for connection in (0..job.connections).filter(|c| c % job.threads == thread) {
            streams.push((connection, connect(&job.address).await?));
        }
        let (until, time_max) = match job.length {
            Length::Time(time) => (Some(clock::now() + time), time + SILENCE_MAX),
            Length::Requests(_) => (None, COUNTED_TIME_MAX),
        };
        let mut tasks = Vec::new();
        for (connection, stream) in streams {
            let job = Rc::clone(&job);
            tasks.push(tokio::task::spawn_local(async move {
                let share = share(&job, connection);
                let until = until.map_or(Until::Count(share.1 - share.0), Until::Deadline);
                let keys = match order {
                    Order::InOrder => Keys::Sequence(share.0, share.1),
                    Order::Random => Keys::Random(job.keys),
                };
                let workload = Workload::new(job.mix, keys, job.size, u64::from(connection));
                drive(stream, &job.address, workload, job.pipeline, until).await
            }));
        }
        let all = async {
            let mut tally = Tally::new();
            for task in tasks {
                tally.add(&task.await.expect("no task of the loader panics")?);
            }
            Ok(tally)
        };
        tokio::time::timeout(time_max, all).await.unwrap_or_else(|_| {
            let seconds = SILENCE_MAX.as_secs();
            Err(BenchError::Silent { address: job.address.clone(), seconds })
        })
    })
}

/// The requests of one connection, as a range of all that are to be sent.
fn share(job: &Job, connection: u16) -> (u64, u64) {
    let all = match job.length {
        Length::Requests(count) => count,
        Length::Time(_) => 0,
    };
    let start = |connection: u16| {
        let part = u128::from(all) * u128::from(connection) / u128::from(job.connections);
        u64::try_from(part).expect("not above all")
    };
    (start(connection), start(connection + 1))
}

async fn connect(address: &str) -> Result<TcpStream, BenchError> {
    let failed = |source| BenchError::Connect { address: address.to_owned(), source };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}
