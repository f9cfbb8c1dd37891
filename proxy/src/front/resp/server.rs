//! Commands about the server: INFO, CONFIG GET, TIME.

use common::limits::VALUE_BYTES_MAX;

use crate::front::call::Started;

use super::args::Args;
use super::command::Outcome;
use super::encode;
use super::glob::{self, Case};
use super::info;
use super::introspect::write_help;
use super::number::push_u64;
use super::session::Context;

/// `INFO [section ...]`
pub(super) fn info(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let text = info::text(&ctx.env.server(), &args.from(1));
    encode::verbatim(ctx.out, ctx.proto(), &text);
    Ok(Started::Answered)
}

/// `TIME`
pub(super) fn time(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    let now_ms = ctx.submit.now_ms();
    encode::array(ctx.out, 2);
    for number in [now_ms / 1_000, now_ms % 1_000 * 1_000] {
        let mut text = Vec::new();
        push_u64(&mut text, number);
        encode::bulk(ctx.out, &text);
    }
    Ok(Started::Answered)
}

/// `CONFIG HELP`
pub(super) fn config_help(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    write_help(ctx)
}

/// `CONFIG GET pattern [pattern ...]`. The settings that clients and tools look at, each with the
/// value that describes this system best.
pub(super) fn config_get(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let server = ctx.env.server();
    let settings = [
        ("appendfsync", "everysec".to_owned()),
        ("appendonly", "yes".to_owned()),
        ("databases", ctx.env.databases().to_string()),
        ("maxclients", server.clients_max.to_string()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("notify-keyspace-events", String::new()),
        ("port", server.port.to_string()),
        ("proto-max-bulk-len", VALUE_BYTES_MAX.to_string()),
        ("replica-read-only", "yes".to_owned()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    let wanted = |name: &str| {
        let matches = |pattern| glob::matches(pattern, name.as_bytes(), Case::Insensitive);
        args.from(2).iter().any(matches)
    };
    let hits: Vec<_> = settings.iter().filter(|(name, _)| wanted(name)).collect();
    encode::map(ctx.out, ctx.proto(), hits.len());
    for (name, value) in hits {
        encode::bulk(ctx.out, name.as_bytes());
        encode::bulk(ctx.out, value.as_bytes());
    }
    Ok(Started::Answered)
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;

    #[test]
    fn config_get_takes_patterns() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(&["CONFIG", "GET", "SAVE"]), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
        assert_eq!(
            bench.run(&["CONFIG", "GET", "maxmemory*", "time?ut"]),
            "*6\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n\
             $7\r\ntimeout\r\n$1\r\n0\r\n"
        );
        assert_eq!(bench.run(&["CONFIG", "GET", "nothing"]), "*0\r\n");
        for name in ["appendonly", "databases", "notify-keyspace-events", "proto-max-bulk-len"] {
            assert!(bench.run(&["CONFIG", "GET", name]).starts_with("*2\r\n"), "{name}");
        }
        bench.run(&["HELLO", "3"]);
        assert!(bench.run(&["CONFIG", "GET", "*"]).starts_with("%12\r\n"));
        assert_eq!(
            bench.run(&["CONFIG", "SET", "save", ""]),
            "-ERR unknown subcommand 'SET'. Try CONFIG HELP.\r\n"
        );
    }

    #[test]
    fn time_is_in_seconds_and_microseconds() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(&["TIME"]), "*2\r\n$10\r\n1700000000\r\n$6\r\n123000\r\n");
    }
}
