//! STAT: lines `name=value`, the original's names in its order.

use std::fmt::Write as _;

/// What the process knows for STAT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Address and port of the proxy.
    pub server: String,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Most client connections.
    pub connections_max: u64,
    /// Client connections at the moment.
    pub connections: u64,
    /// Keys served through this protocol.
    pub counters: Counters,
}

/// Keys by what was done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Stored, or their expiry changed by a read.
    pub set: Counter,
    /// Incremented.
    pub inc: Counter,
    /// Deleted.
    pub delete: Counter,
    /// Read.
    pub get: Counter,
}

/// How often something was asked for and how often it succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// All.
    pub total: u64,
    /// Those with status 0.
    pub success: u64,
}

/// Where STAT gets its values; asked only when a client sends it.
pub trait StatSource {
    /// The values now.
    fn stat(&self) -> Stat;
}

impl Counter {
    /// Counts one key with its status.
    pub(super) fn of_status(status: u8) -> Self {
        Self { total: 1, success: u64::from(status == super::status::OK) }
    }

    /// Adds another counter.
    pub fn add(&mut self, other: Self) {
        self.total += other.total;
        self.success += other.success;
    }
}

impl Counters {
    /// Adds other counters.
    pub fn add(&mut self, other: &Self) {
        self.set.add(other.set);
        self.inc.add(other.inc);
        self.delete.add(other.delete);
        self.get.add(other.get);
    }
}

/// The text. The C client's test program reads it into 1024 bytes, PHP takes at most 32 lines.
pub(super) fn text(stat: &Stat, now_ms: u64) -> String {
    let mut text = format!("server={}\nversion={}\n", stat.server, stat.version);
    let Stat { counters, .. } = stat;
    let numbers = [
        ("uptime", stat.uptime_seconds),
        ("curr_time", now_ms / 1000),
        ("max_connections", stat.connections_max),
        ("curr_connections", stat.connections),
        ("total_set_count", counters.set.total),
        ("success_set_count", counters.set.success),
        ("total_inc_count", counters.inc.total),
        ("success_inc_count", counters.inc.success),
        ("total_delete_count", counters.delete.total),
        ("success_delete_count", counters.delete.success),
        ("total_get_count", counters.get.total),
        ("success_get_count", counters.get.success),
    ];
    for (name, value) in numbers {
        writeln!(text, "{name}={value}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_the_originals_and_fit_its_clients_even_with_the_largest_numbers() {
        let largest = Counter { total: u64::MAX, success: u64::MAX };
        let stat = Stat {
            server: "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:12200".into(),
            version: "0.1.0".into(),
            uptime_seconds: u64::MAX,
            connections_max: u64::MAX,
            connections: u64::MAX,
            counters: Counters { set: largest, inc: largest, delete: largest, get: largest },
        };
        let text = text(&stat, 1_700_000_000_500);
        assert!(text.len() < 1024, "{}", text.len());
        let names: Vec<_> = text.lines().map(|line| line.split_once('=').unwrap().0).collect();
        assert_eq!(names[..4], ["server", "version", "uptime", "curr_time"]);
        assert_eq!(names.len(), 14);
        assert!(text.contains("\ncurr_time=1700000000\n"));
    }
}
