//! What one side of a comparison showed, and the median of several rounds.

use super::BenchError;
use super::load::{Job, Order, measure};
use super::report::{quantile_ms, warn_errors};

/// What one side showed in one round.
pub(super) struct Sample {
    /// Requests per second.
    pub(super) rate: f64,
    /// Microseconds of server CPU per request.
    pub(super) cpu_us: f64,
    /// Half of the requests took no longer, in milliseconds.
    pub(super) p50_ms: f64,
    /// 99 of 100 requests took no longer, in milliseconds.
    pub(super) p99_ms: f64,
}

/// Measures one round; says on standard error when replies were errors.
pub(super) fn sample(job: &Job, pids: &[u32]) -> Result<Sample, BenchError> {
    let measured = measure(job, pids, Order::Random)?;
    warn_errors(&measured);
    Ok(Sample {
        rate: measured.rate(),
        cpu_us: measured.cpu_us().unwrap_or_default(),
        p50_ms: quantile_ms(&measured, 0.5),
        p99_ms: quantile_ms(&measured, 0.99),
    })
}

/// The medians of a side as cells of a Markdown table, without the bar at the end.
pub(super) fn cells(side: &[Sample]) -> String {
    format!(
        "| {:.0} | {:.2} | {:.2} | {:.2}",
        median(side, |s| s.rate),
        median(side, |s| s.cpu_us),
        median(side, |s| s.p50_ms),
        median(side, |s| s.p99_ms)
    )
}

/// The median of one figure over the rounds.
pub(super) fn median<T>(side: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = side.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_outlier() {
        let sample = |rate| Sample { rate, cpu_us: 0.0, p50_ms: 0.0, p99_ms: 0.0 };
        let side = [sample(3.0), sample(900.0), sample(2.0)];
        assert!((median(&side, |s| s.rate) - 3.0).abs() < 1e-9);
    }
}
