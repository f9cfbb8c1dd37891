//! `fdht bench replicas`: what a second server per group costs, and how far it is behind.
//!
//! Two clusters run at the same time and are measured in turns, so that whatever else the machine
//! does hits both alike.

use super::BenchError;
use super::args::ReplicasArgs;
use super::cluster::LocalCluster;
use super::lag::Lag;
use super::load::{Job, Length, Order, measure};
use super::report::warn_errors;
use super::sample::{Sample, cells, median, sample};
use crate::console;

/// Physical groups of both clusters.
const GROUPS: u16 = 2;

/// What was measured with one pipeline.
struct Case {
    pipeline: u16,
    /// With one server in each group, and with two.
    sides: [Vec<Sample>; 2],
}

/// Lag of the cluster with two servers in one round.
#[derive(Debug, Clone, Copy)]
struct RoundLag {
    p99_ms: f64,
    mean_ms: f64,
}

/// Measures both clusters and prints the tables.
pub(super) fn replicas(args: &ReplicasArgs) -> Result<(), BenchError> {
    console::warn("starting a cluster with 1 server per group and one with 2");
    let one = LocalCluster::start(&args.local, GROUPS, 1)?;
    let two = LocalCluster::start(&args.local, GROUPS, 2)?;
    let clusters = [&one, &two];
    let job = |cluster: &LocalCluster, pipeline| {
        Job::new(cluster.proxy(), &args.flow, pipeline, args.mix, Length::Time(args.time))
    };
    for cluster in clusters {
        warn_errors(&measure(&job(cluster, 1).prefill(), &[], Order::InOrder)?);
    }
    let case = |pipeline: &u16| Case { pipeline: *pipeline, sides: [Vec::new(), Vec::new()] };
    let mut cases: Vec<Case> = args.pipeline.iter().map(case).collect();
    let (mut lags, mut before) = (Vec::new(), two.lag()?);
    for round in 1..=args.rounds {
        console::warn(format!("round {round} of {}", args.rounds));
        for case in &mut cases {
            for (cluster, side) in clusters.iter().zip(&mut case.sides) {
                side.push(sample(&job(cluster, case.pipeline), &cluster.pids()?)?);
            }
        }
        let lag = two.lag()?;
        lags.push(round_lag(before, lag));
        before = lag;
    }
    console::line(table(args, &cases));
    console::line(lag_table(&lags));
    Ok(())
}

fn round_lag(before: Lag, after: Lag) -> RoundLag {
    RoundLag { p99_ms: after.p99_ms, mean_ms: after.mean_ms_since(before) }
}

fn table(args: &ReplicasArgs, cases: &[Case]) -> String {
    let flow = &args.flow;
    let mut text = format!(
        "{}, {} connections, {}-byte values, {} keys, {GROUPS} groups, acks: step, sync: everysec; \
         median of {} rounds of {:.0} s in turns. CPU = microseconds per request of all server \
         processes.\n\n\
         | pipeline | 1 server req/s | CPU us | p50 ms | p99 ms | 2 servers req/s | CPU us | p50 ms \
         | p99 ms | req/s 2 / 1 | CPU 2 / 1 |\n|---|---|---|---|---|---|---|---|---|---|---|",
        args.mix.name(),
        flow.connections,
        flow.size,
        flow.keys,
        args.rounds,
        args.time.as_secs_f64(),
    );
    for Case { pipeline, sides: [one, two] } in cases {
        let ratio = |of: fn(&Sample) -> f64| median(two, of) / median(one, of).max(0.001);
        text.push_str(&format!(
            "\n| {pipeline} {} {} | {:.2} | {:.2} |",
            cells(one),
            cells(two),
            ratio(|s| s.rate),
            ratio(|s| s.cpu_us),
        ));
    }
    text
}

fn lag_table(lags: &[RoundLag]) -> String {
    let mut text = "\nReplication lag with 2 servers, as the nodes tell it: p99 of about the last \
                    minute, of the node where it is greatest; mean of the round over all nodes.\n\n\
                    | round | p99 ms | mean ms |\n|---|---|---|"
        .to_owned();
    for (round, lag) in (1..).zip(lags) {
        text.push_str(&format!("\n| {round} | {:.1} | {:.2} |", lag.p99_ms, lag.mean_ms));
    }
    if let (Some(first), Some(last)) = (lags.first(), lags.last()) {
        let ratio = last.mean_ms / first.mean_ms.max(0.001);
        text.push_str(&format!("\n\nMean of the last round / of the first: {ratio:.2}."));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(sum_ms: f64, count: f64) -> Lag {
        Lag { p99_ms: 7.0, sum_ms, count }
    }

    #[test]
    fn a_rounds_mean_leaves_out_what_was_before() {
        let first = round_lag(lag(1000.0, 10.0), lag(1010.0, 20.0));
        let last = round_lag(lag(1010.0, 20.0), lag(1040.0, 30.0));
        let text = lag_table(&[first, last]);
        assert!(text.contains("| 1 | 7.0 | 1.00 |\n| 2 | 7.0 | 3.00 |"), "{text}");
        assert!(text.ends_with("first: 3.00."), "{text}");
    }

    #[test]
    fn the_ratio_is_two_servers_over_one() {
        use clap::Parser;
        #[derive(Parser)]
        struct Cli {
            #[command(flatten)]
            args: ReplicasArgs,
        }
        let args = Cli::try_parse_from(["bench"]).unwrap().args;
        assert_eq!(args.pipeline, [1, 16]);
        let side = |rate, cpu_us| vec![Sample { rate, cpu_us, p50_ms: 1.0, p99_ms: 2.0 }];
        let case = Case { pipeline: 16, sides: [side(200.0, 5.0), side(100.0, 12.5)] };
        let text = table(&args, &[case]);
        let row = "| 16 | 200 | 5.00 | 1.00 | 2.00 | 100 | 12.50 | 1.00 | 2.00 | 0.50 | 2.50 |";
        assert!(text.ends_with(row), "{text}");
    }
}
