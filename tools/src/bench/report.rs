//! `fdht bench load`: one measurement, for people or programs.

use serde_json::json;

use super::BenchError;
use super::args::LoadArgs;
use super::cpu;
use super::load::{Job, Length, Measured, Order, measure};
use crate::cli::Output;
use crate::console;

/// Runs and prints one measurement.
pub(super) fn load(args: &LoadArgs) -> Result<(), BenchError> {
    let length = match args.requests {
        Some(count) => Length::Requests(count),
        None => Length::Time(std::time::Duration::from_secs(args.seconds)),
    };
    let traffic = &args.traffic;
    let job = Job::new(&traffic.proxy, &traffic.flow, args.pipeline, args.mix, length);
    let pids = cpu::processes(&args.processes)?;
    if args.prefill {
        let filled = measure(&job.prefill(), &[], Order::InOrder)?;
        console::warn(format!("wrote {} keys, {:.0}/s", filled.tally.requests, filled.rate()));
        warn_errors(&filled);
    }
    let measured = measure(&job, &pids, Order::Random)?;
    console::line(match args.output {
        Output::Table => text(&job, &measured),
        Output::Json => as_json(&job, &measured),
    });
    warn_errors(&measured);
    Ok(())
}

/// Says what the first error was: a measurement of errors measures nothing.
pub(super) fn warn_errors(measured: &Measured) {
    if let Some(first) = &measured.tally.first_error {
        let (errors, all) = (measured.tally.errors, measured.tally.requests);
        console::warn(format!("warning: {errors} of {all} replies were errors, first {first:?}"));
    }
}

/// A latency quantile in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
pub(super) fn quantile_ms(measured: &Measured, quantile: f64) -> f64 {
    measured.tally.latency_us.value_at_quantile(quantile) as f64 / 1e3
}

fn text(job: &Job, measured: &Measured) -> String {
    let cpu = match measured.cpu_us() {
        Some(us) => format!("{us:.2} us"),
        None => "unknown (--pid or --dev)".to_owned(),
    };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let ms = |quantile| format!("{:.3} ms", quantile_ms(measured, quantile));
    let traffic = format!(
        "{}, {} connections, pipeline {}, {}-byte values, {} keys",
        job.mix.name(),
        job.connections,
        job.pipeline,
        job.size,
        job.keys
    );
    let rows = vec![
        row("traffic", traffic),
        row(
            "requests",
            format!("{} in {:.2} s", measured.tally.requests, measured.time.as_secs_f64()),
        ),
        row("requests/s", format!("{:.0}", measured.rate())),
        row("errors", measured.tally.errors.to_string()),
        row("p50", ms(0.5)),
        row("p99", ms(0.99)),
        row("p99.9", ms(0.999)),
        row("max", ms(1.0)),
        row("server CPU per request", cpu),
    ];
    console::table(&["what", "measured"], rows)
}

fn as_json(job: &Job, measured: &Measured) -> String {
    json!({
        "mix": job.mix.name(), "connections": job.connections, "pipeline": job.pipeline,
        "value_bytes": job.size, "keys": job.keys,
        "requests": measured.tally.requests, "errors": measured.tally.errors,
        "first_error": measured.tally.first_error, "seconds": measured.time.as_secs_f64(),
        "requests_per_second": measured.rate(), "cpu_us_per_request": measured.cpu_us(),
        "p50_ms": quantile_ms(measured, 0.5), "p99_ms": quantile_ms(measured, 0.99),
        "p999_ms": quantile_ms(measured, 0.999), "max_ms": quantile_ms(measured, 1.0),
    })
    .to_string()
}
