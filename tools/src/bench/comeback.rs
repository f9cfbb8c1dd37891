//! `fdht bench return`: how long a server that was away needs until it is in step again.

use std::thread;
use std::time::{Duration, Instant};

use super::BenchError;
use super::args::{CheckedArgs, ReturnArgs};
use super::checked::{CheckedLoad, Counts};
use super::cluster::{LOOK_INTERVAL, LocalCluster, failed};
use super::failover::{judge, rate};
use super::load::{Job, Length, Measured, Order, measure};
use super::report::warn_errors;
use super::standing::{Standing, whole};
use super::workload::Mix;
use crate::{clock, console};

/// Physical groups, and servers in each: all records belong to the server that is away.
const SHAPE: (u16, u8) = (1, 2);
/// Keys of each connection of the light load.
const LIGHT_KEYS: u16 = 50;

/// Times from the start of the server's process.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// Until it said it was ready.
    ready: Duration,
    /// Until it was in step in every group.
    in_step: Duration,
    /// Until it led its lanes again and nothing else was to complain of.
    whole: Duration,
}

/// Measures and prints the table.
pub(super) fn comeback(args: &ReturnArgs) -> Result<(), BenchError> {
    console::warn("starting a cluster of 1 group of 2 servers");
    let cluster = LocalCluster::start(&args.local, SHAPE.0, SHAPE.1)?;
    let light = CheckedArgs { connections: args.connections, rate: args.rate, keys: LIGHT_KEYS };
    let mut load = CheckedLoad::start(cluster.proxy(), &light)?;

    let server = &args.server;
    console::warn(format!("kill -9 of {server}, then {} records", args.records));
    cluster.kill(server)?;
    let written = write(args, cluster.proxy())?;
    warn_errors(&written);
    let without = load.take();
    let status = cluster.status()?;
    if Standing::of(&status, server).is_none_or(|standing| standing.in_step > 0) {
        return Err(failed(format!("go on without {server}"), "it still counts as in step"));
    }
    console::warn(format!("start of {server}"));
    let times = wait_for_return(&cluster, args);
    let with = load.take();
    load.stop();
    let end = load.take();
    let times = times.inspect_err(|_| load.texts().iter().for_each(console::warn))?;
    console::line(table(args, &written, times, [without, with]));
    let written = Counts { errors: written.tally.errors, ..Counts::default() };
    judge(&cluster, &load, [written, without, with, end].iter())
}

fn write(args: &ReturnArgs, proxy: &str) -> Result<Measured, BenchError> {
    let job = Job {
        address: proxy.to_owned(),
        connections: args.writers,
        threads: 1,
        size: usize::try_from(args.size).expect("32 bits fit"),
        keys: args.records,
        pipeline: 1,
        mix: Mix::SET,
        length: Length::Requests(args.records),
    };
    measure(&job.prefill(), &[], Order::InOrder)
}

/// Starts the server and looks at it until all is as it should be.
fn wait_for_return(cluster: &LocalCluster, args: &ReturnArgs) -> Result<Times, BenchError> {
    let began = clock::now();
    thread::scope(|scope| {
        let starting = scope.spawn(|| {
            cluster.ask_dev("start", &args.server).map(|()| clock::now().duration_since(began))
        });
        let (in_step, whole) = watch(cluster, args, began)?;
        let ready = starting.join().expect("asking does not panic")?;
        Ok(Times { ready, in_step, whole })
    })
}

fn watch(
    cluster: &LocalCluster,
    args: &ReturnArgs,
    began: Instant,
) -> Result<(Duration, Duration), BenchError> {
    let mut in_step = None;
    loop {
        let status = cluster.status()?;
        let passed = clock::now().duration_since(began);
        let standing = Standing::of(&status, &args.server);
        if in_step.is_none() && standing.is_some_and(Standing::is_in_step) {
            in_step = Some(passed);
        }
        match (in_step, whole(&status)) {
            (Some(in_step), Ok(())) => return Ok((in_step, passed)),
            (_, Err(reason)) if passed > args.within => {
                let within = humantime::format_duration(args.within);
                let server = &args.server;
                return Err(failed(format!("get {server} back within {within}"), reason));
            }
            _ => clock::pause(LOOK_INTERVAL),
        }
    }
}

fn table(
    args: &ReturnArgs,
    written: &Measured,
    times: Times,
    [without, with]: [Counts; 2],
) -> String {
    let mut text = format!(
        "One group of 2 servers, {} away, {} records with {}-byte values written meanwhile; light \
         load of {} requests/s with SET, GET and INCR in turn. Times count from the start of the \
         process.\n\n| what | measured |\n|---|---|",
        args.server, args.records, args.size, args.rate,
    );
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let light = |counts: Counts| {
        format!(
            "{} requests, {} errors, {} lost or wrong, longest {:.1} ms",
            counts.requests,
            counts.errors,
            counts.wrong,
            counts.longest.as_secs_f64() * 1e3
        )
    };
    let rows = [
        ("written while away", format!("{:.0} records/s", written.rate())),
        ("errors of these writes", written.tally.errors.to_string()),
        ("process is ready after", seconds(times.ready)),
        ("in step in every group after", seconds(times.in_step)),
        ("caught up", format!("{:.0} records/s", rate(args.records, times.in_step))),
        ("leads its lanes again after", seconds(times.whole)),
        ("light load while away", light(without)),
        ("light load during the return", light(with)),
    ];
    for (what, measured) in rows {
        text.push_str(&format!("\n| {what} | {measured} |"));
    }
    text
}
