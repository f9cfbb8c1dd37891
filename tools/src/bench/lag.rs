//! How far followers are behind their leaders, as nodes tell it in their metrics. Pure.

/// A summary: quantiles over about the last minute, and sum and count since the start.
const METRIC: &str = "fdht_node_replication_lag_seconds";

/// Replication lag of one node, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Lag {
    /// 99 of 100 were not greater, in milliseconds; of several nodes the greatest.
    pub(super) p99_ms: f64,
    /// Sum of all since the start, in milliseconds.
    pub(super) sum_ms: f64,
    /// How many were noted since the start.
    pub(super) count: f64,
}

impl Lag {
    /// Reads the text of `/metrics`. A node without followed lanes says nothing: zeros.
    pub(super) fn of_metrics(text: &str) -> Self {
        let mut lag = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let (Some(rest), Ok(value)) = (name.strip_prefix(METRIC), value.parse::<f64>()) else {
                continue;
            };
            if rest.starts_with("_sum") {
                lag.sum_ms += value * 1e3;
            } else if rest.starts_with("_count") {
                lag.count += value;
            } else if rest.contains("quantile=\"0.99\"") {
                lag.p99_ms = lag.p99_ms.max(value * 1e3);
            }
        }
        lag
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            p99_ms: self.p99_ms.max(other.p99_ms),
            sum_ms: self.sum_ms + other.sum_ms,
            count: self.count + other.count,
        }
    }

    /// The mean of what was noted since `before`, in milliseconds.
    pub(super) fn mean_ms_since(self, before: Self) -> f64 {
        (self.sum_ms - before.sum_ms) / (self.count - before.count).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE fdht_node_replication_lag_seconds summary\n\
        fdht_node_replication_lag_seconds{quantile=\"0.5\"} 0.001\n\
        fdht_node_replication_lag_seconds{quantile=\"0.99\"} 0.25\n\
        fdht_node_replication_lag_seconds{quantile=\"0.999\"} 9\n\
        fdht_node_replication_lag_seconds_sum 3\n\
        fdht_node_replication_lag_seconds_count 40\n\
        fdht_node_log_bytes 77\n";

    #[test]
    fn the_summary_is_read_and_nodes_are_put_together() {
        let one = Lag::of_metrics(TEXT);
        assert_eq!(one, Lag { p99_ms: 250.0, sum_ms: 3000.0, count: 40.0 });
        let other = Lag { p99_ms: 300.0, sum_ms: 1000.0, count: 10.0 };
        let both = one.and(other);
        assert_eq!(both, Lag { p99_ms: 300.0, sum_ms: 4000.0, count: 50.0 });
        assert!((both.mean_ms_since(one) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_node_that_says_nothing_and_a_time_without_records_are_zero() {
        let nothing = Lag::of_metrics("");
        assert_eq!(nothing, Lag::default());
        assert!(nothing.mean_ms_since(nothing).abs() < 1e-9);
    }
}
