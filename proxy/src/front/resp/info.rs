//! The text of INFO.

use super::args::Args;
use super::command::is_word;
use super::environment::ServerInfo;

/// The Redis version whose behaviour clients may expect.
pub(super) const COMPATIBLE_VERSION: &str = "7.2.4";

type Line = (&'static str, String);

/// The sections that were asked for, in their own order; all of them by default.
pub(super) fn text(server: &ServerInfo, sections: &Args<'_>) -> String {
    let all = ["default", "all", "everything"];
    let asks_all = |word: &[u8]| all.iter().any(|all| is_word(word, all));
    let everything = sections.is_empty() || sections.iter().any(asks_all);
    let mut text = String::new();
    for (name, lines) in all_sections(server) {
        if everything || sections.iter().any(|word| is_word(word, name)) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str(&format!("# {name}\r\n"));
            lines.iter().for_each(|(key, value)| text.push_str(&format!("{key}:{value}\r\n")));
        }
    }
    text
}

fn all_sections(server: &ServerInfo) -> [(&'static str, Vec<Line>); 10] {
    [
        ("Server", server_lines(server)),
        ("Clients", clients_lines(server)),
        ("Memory", memory_lines(server)),
        ("Persistence", persistence_lines()),
        ("Stats", stats_lines(server)),
        ("Replication", replication_lines()),
        ("CPU", Vec::new()),
        ("Cluster", vec![("cluster_enabled", "0".to_owned())]),
        // Counting keys asks every lane: DBSIZE does, INFO answers even when a lane is down.
        ("Keyspace", Vec::new()),
        ("Proxy", proxy_lines(server)),
    ]
}

fn server_lines(server: &ServerInfo) -> Vec<Line> {
    vec![
        ("redis_version", COMPATIBLE_VERSION.to_owned()),
        ("redis_mode", "standalone".to_owned()),
        ("os", std::env::consts::OS.to_owned()),
        ("arch_bits", usize::BITS.to_string()),
        ("process_id", server.process_id.to_string()),
        ("tcp_port", server.port.to_string()),
        ("uptime_in_seconds", server.uptime_s.to_string()),
        ("uptime_in_days", (server.uptime_s / 86_400).to_string()),
    ]
}

fn clients_lines(server: &ServerInfo) -> Vec<Line> {
    vec![
        ("connected_clients", server.connected_clients.to_string()),
        ("maxclients", server.clients_max.to_string()),
        ("blocked_clients", "0".to_owned()),
    ]
}

fn memory_lines(server: &ServerInfo) -> Vec<Line> {
    vec![
        ("used_memory", server.memory_bytes.to_string()),
        ("used_memory_rss", server.memory_bytes.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory_policy", "noeviction".to_owned()),
    ]
}

fn persistence_lines() -> Vec<Line> {
    vec![
        ("loading", "0".to_owned()),
        ("rdb_bgsave_in_progress", "0".to_owned()),
        ("aof_enabled", "1".to_owned()),
        ("aof_rewrite_in_progress", "0".to_owned()),
    ]
}

fn stats_lines(server: &ServerInfo) -> Vec<Line> {
    vec![
        ("total_connections_received", server.connections_total.to_string()),
        ("total_commands_processed", server.commands_total.to_string()),
        ("total_net_input_bytes", server.bytes_in_total.to_string()),
        ("total_net_output_bytes", server.bytes_out_total.to_string()),
        ("rejected_connections", server.connections_rejected_total.to_string()),
        ("keyspace_hits", server.keyspace_hits_total.to_string()),
        ("keyspace_misses", server.keyspace_misses_total.to_string()),
    ]
}

fn replication_lines() -> Vec<Line> {
    vec![("role", "master".to_owned()), ("connected_slaves", "0".to_owned())]
}

fn proxy_lines(server: &ServerInfo) -> Vec<Line> {
    vec![
        ("fdht_version", server.version.clone()),
        ("fdht_cluster", server.cluster.clone()),
        ("fdht_file_epoch", server.file_epoch.to_string()),
        ("fdht_logic_groups", server.logic_groups.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;

    #[test]
    fn all_sections_hold_what_clients_look_for() {
        let mut bench = Bench::new();
        let text = bench.run(&["INFO"]);
        for line in [
            "# Server",
            "redis_version:7.2.4",
            "redis_mode:standalone",
            "role:master",
            "loading:0",
            "connected_clients:3",
            "cluster_enabled:0",
            "uptime_in_days:1",
            "fdht_cluster:demo",
            "fdht_file_epoch:7",
            "process_id:42",
        ] {
            assert!(text.contains(&format!("{line}\r\n")), "{line} in {text}");
        }
        assert_eq!(bench.run(&["INFO", "everything"]), text);
        assert_eq!(bench.run(&["INFO", "server", "ALL"]), text);
        bench.run(&["HELLO", "3"]);
        assert!(bench.run(&["INFO"]).starts_with('='));
    }

    #[test]
    fn sections_can_be_chosen() {
        let mut bench = Bench::new();
        let text = "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n";
        let expected = format!("${}\r\n{text}\r\n", text.len());
        assert_eq!(bench.run(&["info", "replication"]), expected);
        assert_eq!(bench.run(&["INFO", "nothing"]), "$0\r\n\r\n");
        let both = bench.run(&["INFO", "cluster", "Replication"]);
        assert!(both.contains("connected_slaves:0\r\n\r\n# Cluster\r\n"), "{both}");
    }
}
