//! `fdht bench failover`: what clients notice when a server dies, restarts or hangs.

use std::time::Duration;

use rustix::process::Signal;

use super::BenchError;
use super::args::FailoverArgs;
use super::checked::{CheckedLoad, Counts};
use super::cluster::LocalCluster;
use crate::{clock, console};

/// Physical groups, and servers in each.
const SHAPE: (u16, u8) = (2, 2);
/// How long the load goes on after a server is back.
const AFTER: Duration = Duration::from_secs(1);

/// What is done to a server.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Nothing.
    Nothing,
    /// `kill -9`.
    Kill(&'static str),
    /// Stopped as an operator does.
    Stop(&'static str),
    /// Started, and waited for until all is as it should be.
    Start(&'static str),
    /// SIGSTOP: it is there and does nothing.
    Freeze(&'static str),
    /// SIGCONT, and waited for until all is as it should be.
    Thaw(&'static str),
}

/// One that votes is killed, one that does not is stopped, another that votes hangs.
const EVENTS: [Event; 7] = [
    Event::Nothing,
    Event::Kill("a1"),
    Event::Start("a1"),
    Event::Stop("b2"),
    Event::Start("b2"),
    Event::Freeze("b1"),
    Event::Thaw("b1"),
];

impl Event {
    fn name(self) -> String {
        match self {
            Self::Nothing => "undisturbed".to_owned(),
            Self::Kill(id) => format!("kill -9 of {id}"),
            Self::Stop(id) => format!("planned stop of {id}"),
            Self::Start(id) => format!("start of {id} until it leads its lanes"),
            Self::Freeze(id) => format!("SIGSTOP of {id}"),
            Self::Thaw(id) => format!("SIGCONT of {id} until it leads its lanes"),
        }
    }

    fn happen(self, cluster: &LocalCluster, args: &FailoverArgs) -> Result<(), BenchError> {
        match self {
            Self::Nothing => clock::pause(args.time),
            Self::Kill(id) => {
                cluster.kill(id)?;
                clock::pause(args.time);
            }
            Self::Stop(id) => {
                cluster.ask_dev("stop", id)?;
                clock::pause(args.time);
            }
            Self::Start(id) => {
                cluster.ask_dev("start", id)?;
                cluster.wait_whole()?;
                clock::pause(AFTER);
            }
            Self::Freeze(id) => {
                cluster.signal(id, Signal::STOP)?;
                clock::pause(args.freeze);
            }
            Self::Thaw(id) => {
                cluster.signal(id, Signal::CONT)?;
                cluster.wait_whole()?;
                clock::pause(AFTER);
            }
        }
        Ok(())
    }
}

/// A row of the table.
struct Row {
    what: String,
    time: Duration,
    counts: Counts,
}

/// Measures and prints the table.
pub(super) fn failover(args: &FailoverArgs) -> Result<(), BenchError> {
    console::warn("starting a cluster of 2 groups of 2 servers");
    let cluster = LocalCluster::start(&args.local, SHAPE.0, SHAPE.1)?;
    let mut load = CheckedLoad::start(cluster.proxy(), &args.checked)?;
    let mut rows = Vec::new();
    let mut failure = None;
    for event in EVENTS {
        console::warn(event.name());
        let began = clock::now();
        let happened = event.happen(&cluster, args);
        rows.push(row(event.name(), began, load.take()));
        if let Err(e) = happened {
            failure = Some(e);
            break;
        }
    }
    let began = clock::now();
    load.stop();
    rows.push(row("all values and counters read back".to_owned(), began, load.take()));
    console::line(table(args, &rows));
    // What was measured until then is worth seeing.
    if let Some(e) = failure {
        load.texts().iter().for_each(console::warn);
        return Err(e);
    }
    judge(&cluster, &load, rows.iter().map(|row| &row.counts))
}

fn row(what: String, began: std::time::Instant, counts: Counts) -> Row {
    Row { what, time: clock::now().duration_since(began), counts }
}

/// Prints verify's verdict and the first errors; fails when anything was found.
pub(super) fn judge<'c>(
    cluster: &LocalCluster,
    load: &CheckedLoad,
    counts: impl Iterator<Item = &'c Counts>,
) -> Result<(), BenchError> {
    let (errors, wrong) =
        counts.fold((0, 0), |(errors, wrong), c| (errors + c.errors, wrong + c.wrong));
    let verified = cluster.verify()?;
    let said =
        verified.as_deref().map_or("equal".to_owned(), |said| format!("not proved equal\n{said}"));
    console::line(format!("\nverify: the servers of each group are {said}"));
    load.texts().iter().for_each(console::warn);
    if errors == 0 && wrong == 0 && verified.is_none() {
        return Ok(());
    }
    let verdict = if verified.is_none() { "equal servers" } else { "servers not proved equal" };
    Err(BenchError::Found(format!("{errors} errors, {wrong} lost or wrong values, {verdict}")))
}

fn table(args: &FailoverArgs, rows: &[Row]) -> String {
    let mut text = format!(
        "{} groups of {} servers, {} connections with SET, GET and INCR in turn, {} requests/s \
         asked for.\n\n\
         | disturbance | s | requests/s | errors | lost or wrong | longest request ms |\n\
         |---|---|---|---|---|---|",
        SHAPE.0, SHAPE.1, args.checked.connections, args.checked.rate,
    );
    for Row { what, time, counts } in rows {
        text.push_str(&format!(
            "\n| {what} | {:.1} | {:.0} | {} | {} | {:.1} |",
            time.as_secs_f64(),
            rate(counts.requests, *time),
            counts.errors,
            counts.wrong,
            counts.longest.as_secs_f64() * 1e3,
        ));
    }
    text
}

/// So many per second.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with few digits")]
pub(super) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_that_goes_away_comes_back_before_the_next_goes() {
        let mut away = None;
        for event in EVENTS {
            match event {
                Event::Nothing => {}
                Event::Kill(id) | Event::Stop(id) | Event::Freeze(id) => {
                    assert_eq!(away.replace(id), None, "{event:?}");
                }
                Event::Start(id) | Event::Thaw(id) => assert_eq!(away.take(), Some(id)),
            }
        }
        assert_eq!(away, None);
    }
}
