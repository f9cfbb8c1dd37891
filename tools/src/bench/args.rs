//! The command line of `fdht bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};

use super::engine::EngineArgs;
use super::workload::Mix;
use crate::cli::Output;

/// `fdht bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Send GET and SET to a RESP port and measure.
    Load(LoadArgs),
    /// Measure a cluster and a do-nothing relay and echo in turns, and print a Markdown table.
    Floor(FloorArgs),
    /// A proxy that does nothing but pass requests on: many clients, few connections behind.
    Relay(RelayArgs),
    /// A server that answers without doing anything: +OK, or to GET a value.
    Echo(EchoArgs),
    /// What a second server per group costs: start two local clusters, with one and with two servers
    /// in each group, measure them in turns, and print Markdown tables, replication lag included.
    Replicas(ReplicasArgs),
    /// What clients notice when a server dies, restarts or hangs: start a local cluster of two groups
    /// of two servers, disturb it under a load that checks every answer, and print a Markdown table.
    /// Exit status 1 when a request failed, a value was lost or wrong, or the servers differ.
    Failover(FailoverArgs),
    /// How long a server that was away needs until it is in step again: start a local cluster of one
    /// group of two servers, kill one, write, start it again, and print a Markdown table. Exit
    /// status 1 as for `failover`.
    Return(ReturnArgs),
    /// Measure the storage engine in this process, without network and replication, beside plain redb
    /// on the same data, and print Markdown tables with the targets. Missed targets are no error.
    Engine(Box<EngineArgs>),
}

/// Whose CPU time is measured.
#[derive(Debug, Args)]
pub(super) struct ProcessArgs {
    /// A server process whose CPU time counts; may be repeated.
    #[arg(long, value_name = "PID")]
    pub(super) pid: Vec<u32>,
    /// Folder of a running `fdht dev` whose processes' CPU time counts.
    #[arg(long, value_name = "DIR")]
    pub(super) dev: Option<PathBuf>,
}

/// Traffic to a proxy that runs already.
#[derive(Debug, Args)]
pub(super) struct TrafficArgs {
    /// Data address of a proxy.
    #[arg(long, env = "FDHT_PROXY", default_value = "127.0.0.1:12200", value_name = "HOST:PORT")]
    pub(super) proxy: String,
    #[command(flatten)]
    pub(super) flow: FlowArgs,
}

/// What every measurement has.
#[derive(Debug, Args)]
pub(super) struct FlowArgs {
    /// Client connections.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u16).range(1..=10_000))]
    pub(super) connections: u16,
    /// Threads of the loader.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=256))]
    pub(super) threads: u16,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(0..=16 << 20))]
    pub(super) size: u32,
    /// Different keys.
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..))]
    pub(super) keys: u64,
}

/// `fdht bench load`.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    pub(super) traffic: TrafficArgs,
    /// Requests on their way per connection.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=10_000))]
    pub(super) pipeline: u16,
    /// `get`, `set`, or how many of the requests are SET: `20%set`.
    #[arg(long, default_value = "get")]
    pub(super) mix: Mix,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: u64,
    /// Measure this many requests instead of a time.
    #[arg(long, conflicts_with = "seconds")]
    pub(super) requests: Option<u64>,
    /// Write every key once before measuring.
    #[arg(long)]
    pub(super) prefill: bool,
    #[command(flatten)]
    pub(super) processes: ProcessArgs,
    /// How to show the result.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

/// `fdht bench floor`.
#[derive(Debug, Args)]
pub(super) struct FloorArgs {
    #[command(flatten)]
    pub(super) traffic: TrafficArgs,
    #[command(flatten)]
    pub(super) processes: ProcessArgs,
    /// Workers of the relay: as many as the proxy has.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=256))]
    pub(super) workers: u16,
    /// Echo processes behind the relay [default: as many as `--dev` has nodes].
    #[arg(long, value_parser = value_parser!(u16).range(1..=256))]
    pub(super) nodes: Option<u16>,
    /// Rounds of both sides in turns; the median counts.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(1..=100))]
    pub(super) rounds: u16,
    /// Length of each measurement.
    #[arg(long, default_value = "3s", value_parser = config::parse_time)]
    pub(super) time: Duration,
}

/// `fdht bench relay`.
#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    #[command(flatten)]
    pub(super) listen: ListenArgs,
    /// Where an `echo --frames` listens; may be repeated.
    #[arg(long, required = true, num_args = 1.., value_name = "HOST:PORT")]
    pub(super) to: Vec<String>,
    /// Threads, each with its own connection to every echo.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=256))]
    pub(super) workers: u16,
}

/// `fdht bench echo`.
#[derive(Debug, Args)]
pub(super) struct EchoArgs {
    #[command(flatten)]
    pub(super) listen: ListenArgs,
    /// Bytes of the value that answers a GET.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(0..=16 << 20))]
    pub(super) size: u32,
    /// Speak the relay's frames instead of bare RESP.
    #[arg(long)]
    pub(super) frames: bool,
}

/// Where a measuring server listens and when it ends.
#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Address to listen on; port 0 takes a free one. The first line of output says which.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(super) listen: String,
    /// End when standard input does.
    #[arg(long)]
    pub(super) exit_on_stdin_eof: bool,
}

/// A local cluster that is started for one measurement.
#[derive(Debug, Args)]
pub(super) struct LocalArgs {
    /// Where the folder of a cluster is made; it is removed at the end [default: the system's place
    /// for temporary files]. Choose one on the disk that is to be measured.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Logic groups of a cluster.
    #[arg(long, default_value_t = 17, value_parser = value_parser!(u16).range(2..))]
    pub(super) logic_groups: u16,
}

/// `fdht bench replicas`.
#[derive(Debug, Args)]
pub(super) struct ReplicasArgs {
    #[command(flatten)]
    pub(super) local: LocalArgs,
    #[command(flatten)]
    pub(super) flow: FlowArgs,
    /// `get`, `set`, or how many of the requests are SET: `20%set`.
    #[arg(long, default_value = "set")]
    pub(super) mix: Mix,
    /// Requests on their way per connection; several are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_name = "N,..",
          value_parser = value_parser!(u16).range(1..=10_000))]
    pub(super) pipeline: Vec<u16>,
    /// Rounds of both clusters in turns; the median counts.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(1..=100))]
    pub(super) rounds: u16,
    /// Length of each measurement.
    #[arg(long, default_value = "2s", value_parser = config::parse_time)]
    pub(super) time: Duration,
}

/// `fdht bench failover`.
#[derive(Debug, Args)]
pub(super) struct FailoverArgs {
    #[command(flatten)]
    pub(super) local: LocalArgs,
    #[command(flatten)]
    pub(super) checked: CheckedArgs,
    /// How long the load runs undisturbed, and on after a server went away.
    #[arg(long, default_value = "5s", value_parser = config::parse_time)]
    pub(super) time: Duration,
    /// How long a server is stopped without ending (SIGSTOP).
    #[arg(long, default_value = "10s", value_parser = config::parse_time)]
    pub(super) freeze: Duration,
}

/// `fdht bench return`.
#[derive(Debug, Args)]
pub(super) struct ReturnArgs {
    #[command(flatten)]
    pub(super) local: LocalArgs,
    /// The server that is away.
    #[arg(long, default_value = "a2", value_parser = ["a1", "a2"])]
    pub(super) server: String,
    /// Records that are written while it is away.
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..))]
    pub(super) records: u64,
    /// Bytes of a record's value.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(0..=16 << 20))]
    pub(super) size: u32,
    /// Connections that write them.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u16).range(1..=10_000))]
    pub(super) writers: u16,
    /// Connections of the light load that checks every answer meanwhile.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u16).range(1..=1000))]
    pub(super) connections: u16,
    /// Requests per second of that load, all connections together.
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: u32,
    /// How long the server may take.
    #[arg(long, default_value = "10m", value_parser = config::parse_time)]
    pub(super) within: Duration,
}

/// A load that checks every answer: SET, GET and INCR in turn on keys that only one connection uses.
#[derive(Debug, Args)]
pub(super) struct CheckedArgs {
    /// Client connections; each waits for its answer before it sends the next request.
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u16).range(1..=1000))]
    pub(super) connections: u16,
    /// Requests per second, all connections together. What is missed in a pause is not made up.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: u32,
    /// Keys of each connection.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u16).range(1..))]
    pub(super) keys: u16,
}
