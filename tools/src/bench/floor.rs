//! `fdht bench floor`: a cluster beside a do-nothing relay and echo, measured in turns so that
//! whatever else the machine does hits both alike.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::BenchError;
use super::args::FloorArgs;
use super::cpu;
use super::load::{Job, Length, Order, measure};
use super::report::warn_errors;
use super::sample::{Sample, cells, median, sample};
use super::workload::Mix;
use crate::console;

/// What is measured: request kind and pipeline.
const CASES: [(Mix, u16); 4] = [(Mix::GET, 1), (Mix::SET, 1), (Mix::GET, 16), (Mix::SET, 16)];

/// A child that ends with this process.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Measures both sides and prints the table.
pub(super) fn floor(args: &FloorArgs) -> Result<(), BenchError> {
    let cluster_pids = cpu::processes(&args.processes)?;
    if cluster_pids.is_empty() {
        return Err(BenchError::WhoseCpu);
    }
    // All processes of a `dev` but its one proxy are nodes.
    let counted = args.processes.dev.is_some().then(|| cluster_pids.len() - 1);
    let nodes = match (args.nodes.map(usize::from), counted) {
        (Some(nodes), _) | (None, Some(nodes)) if nodes > 0 => nodes,
        _ => return Err(BenchError::WhoseCpu),
    };
    let size = args.traffic.flow.size.to_string();
    let echo = ["bench", "echo", "--frames", "--size", &size];
    let echoes: Vec<Server> = (0..nodes).map(|_| start("echo", &echo)).collect::<Result<_, _>>()?;
    let workers = args.workers.to_string();
    let mut relay_args = vec!["bench", "relay", "--workers", &workers];
    echoes.iter().for_each(|echo| relay_args.extend(["--to", &echo.address]));
    let relay = start("relay", &relay_args)?;
    let floor_pids: Vec<u32> =
        echoes.iter().chain([&relay]).map(|server| server.child.id()).collect();

    let (proxy, flow) = (&args.traffic.proxy, &args.traffic.flow);
    let job = |mix, pipeline| Job::new(proxy, flow, pipeline, mix, Length::Time(args.time));
    warn_errors(&measure(&job(Mix::SET, 1).prefill(), &[], Order::InOrder)?);
    let mut samples: Vec<(Vec<Sample>, Vec<Sample>)> =
        CASES.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for round in 1..=args.rounds {
        console::warn(format!("round {round} of {}", args.rounds));
        for ((mix, pipeline), (cluster, floor)) in CASES.iter().zip(&mut samples) {
            let job = job(*mix, *pipeline);
            cluster.push(sample(&job, &cluster_pids)?);
            let job = Job { address: relay.address.clone(), ..job };
            floor.push(sample(&job, &floor_pids)?);
        }
    }
    console::line(table(args, nodes, &samples));
    Ok(())
}

fn start(what: &'static str, args: &[&str]) -> Result<Server, BenchError> {
    let failed = |source| BenchError::Child { what, source };
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(args)
        .arg("--exit-on-stdin-eof")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stdout = child.stdout.take().expect("it was asked for");
    let mut server = Server { child, address: String::new() };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    let address = line.trim().strip_prefix("listening on ");
    let silent = || failed(io::Error::other("it ended without saying where it listens"));
    address.ok_or_else(silent)?.clone_into(&mut server.address);
    Ok(server)
}

fn table(args: &FloorArgs, nodes: usize, samples: &[(Vec<Sample>, Vec<Sample>)]) -> String {
    let flow = &args.traffic.flow;
    let mut text = format!(
        "{} connections, {}-byte values, {} keys, {nodes} nodes, {} proxy worker(s); median of {} \
         rounds of {:.0} s in turns. CPU = microseconds per request of all server processes.\n\n\
         | request | pipeline | cluster req/s | CPU us | p50 ms | p99 ms | floor req/s | CPU us | \
         p50 ms | p99 ms | CPU cluster / floor |\n|---|---|---|---|---|---|---|---|---|---|---|",
        flow.connections,
        flow.size,
        flow.keys,
        args.workers,
        args.rounds,
        args.time.as_secs_f64(),
    );
    for ((mix, pipeline), (cluster, floor)) in CASES.iter().zip(samples) {
        let ratio = median(cluster, |s| s.cpu_us) / median(floor, |s| s.cpu_us).max(0.001);
        text.push_str(&format!(
            "\n| {} | {pipeline} {} {} | {ratio:.1} |",
            mix.name(),
            cells(cluster),
            cells(floor)
        ));
    }
    text
}
