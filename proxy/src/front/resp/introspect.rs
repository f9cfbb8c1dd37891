//! COMMAND: the table of commands, told to clients.

use crate::front::call::Started;

use super::args::Args;
use super::command::{Command, Keys, Outcome, find, find_in, flag, is_word};
use super::encode::{self, Proto};
use super::error::CommandError;
use super::glob::{self, Case};
use super::session::Context;
use super::table::COMMANDS;

/// `COMMAND`
pub(super) fn all(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    encode::array(ctx.out, COMMANDS.len());
    COMMANDS
        .iter()
        .for_each(|command| write_info(ctx.out, ctx.session.identity.proto, None, command));
    Ok(Started::Answered)
}

/// `COMMAND COUNT`
pub(super) fn count(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    encode::integer(ctx.out, i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX));
    Ok(Started::Answered)
}

/// `COMMAND INFO [command ...]`
pub(super) fn info(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let names = args.from(2);
    if names.is_empty() {
        return all(ctx, args);
    }
    let proto = ctx.proto();
    encode::array(ctx.out, names.len());
    for name in names.iter() {
        match find_full(name) {
            Some((container, command)) => write_info(ctx.out, proto, container, command),
            None => encode::null(ctx.out, proto),
        }
    }
    Ok(Started::Answered)
}

/// `COMMAND DOCS [command ...]`
pub(super) fn docs(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let names = args.from(2);
    let found: Vec<_> = if names.is_empty() {
        COMMANDS.iter().map(|command| (None, command)).collect()
    } else {
        names.iter().filter_map(find_full).collect()
    };
    let proto = ctx.proto();
    encode::map(ctx.out, proto, found.len());
    found.iter().for_each(|(container, command)| write_docs(ctx.out, proto, *container, command));
    Ok(Started::Answered)
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub(super) fn list(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let (by, value) = (args.get(3), args.get(4));
    let keeps: Box<dyn Fn(&Command) -> bool> = if args.len() == 2 {
        Box::new(|_| true)
    } else if args.len() != 5 || !is_word(args.get(2), "FILTERBY") {
        return Err(CommandError::Syntax);
    } else if is_word(by, "MODULE") {
        Box::new(|_| false)
    } else if is_word(by, "ACLCAT") {
        let is_value = |category: &'static str| {
            category.strip_prefix('@').is_some_and(|name| is_word(value, name))
        };
        Box::new(move |command| categories(command).into_iter().any(is_value))
    } else if is_word(by, "PATTERN") {
        Box::new(|command| glob::matches(value, command.name.as_bytes(), Case::Insensitive))
    } else {
        return Err(CommandError::Syntax);
    };
    let names: Vec<_> = COMMANDS.iter().filter(|command| keeps(command)).collect();
    encode::array(ctx.out, names.len());
    names.iter().for_each(|command| encode::bulk(ctx.out, lower(None, command).as_bytes()));
    Ok(Started::Answered)
}

/// `COMMAND GETKEYS command [argument ...]`
pub(super) fn getkeys(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let args = args.from(2);
    let command = find(args.get(0)).ok_or(CommandError::Fixed("Invalid command specified"))?;
    let sub = find_in(command.subcommands, args.get(1));
    let command = sub.unwrap_or(command);
    if command.keys == Keys::NONE {
        return Err(CommandError::Fixed("The command has no key arguments"));
    }
    if !command.takes(args.len()) {
        return Err(CommandError::Fixed("Invalid number of arguments specified for command"));
    }
    let keys = key_indexes(command.keys, args.len());
    encode::array(ctx.out, keys.len());
    keys.for_each(|index| encode::bulk(ctx.out, args.get(index)));
    Ok(Started::Answered)
}

/// Which of this many arguments are keys.
fn key_indexes(keys: Keys, arguments: usize) -> impl ExactSizeIterator<Item = usize> {
    let first = usize::try_from(keys.first).unwrap_or_default();
    let behind = match usize::try_from(keys.last) {
        Ok(last) => last + 1,
        Err(_) => arguments,
    };
    (first..behind).step_by(usize::try_from(keys.step).unwrap_or(1).max(1))
}

/// `COMMAND HELP`
pub(super) fn help(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    write_help(ctx)
}

/// Answers HELP of whatever container the command belongs to.
pub(super) fn write_help(ctx: &mut Context<'_>) -> Outcome {
    let container = ctx.container();
    encode::array(ctx.out, 1 + 2 * container.subcommands.len());
    let name = container.name;
    let title = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    encode::simple(ctx.out, &title);
    for command in container.subcommands {
        encode::simple(ctx.out, command.name);
        encode::simple(ctx.out, &format!("    {}", command.summary));
    }
    Ok(Started::Answered)
}

type Full = (Option<&'static Command>, &'static Command);

/// Finds `name` or `container|name`.
fn find_full(name: &[u8]) -> Option<Full> {
    let mut words = name.splitn(2, |&byte| byte == b'|');
    let command = find(words.next()?)?;
    match words.next() {
        None => Some((None, command)),
        Some(sub) => Some((Some(command), find_in(command.subcommands, sub)?)),
    }
}

fn lower(container: Option<&Command>, command: &Command) -> String {
    let name = command.name.to_ascii_lowercase();
    match container {
        None => name,
        Some(container) => format!("{}|{name}", container.name.to_ascii_lowercase()),
    }
}

/// The ACL categories, which follow from the flags and the group.
fn categories(command: &Command) -> Vec<&'static str> {
    let flags = command.flags;
    let by_flag = [
        (flags.has(flag::WRITE), "@write"),
        (flags.has(flag::READONLY), "@read"),
        (flags.has(flag::ADMIN), "@admin"),
        (flags.has(flag::ADMIN), "@dangerous"),
        (flags.has(flag::FAST), "@fast"),
        (!flags.has(flag::FAST), "@slow"),
    ];
    let by_flag = by_flag.into_iter().filter(|(set, _)| *set).map(|(_, name)| name);
    command.group.category().into_iter().chain(by_flag).collect()
}

fn write_names(out: &mut Vec<u8>, proto: Proto, names: &[&str]) {
    encode::set(out, proto, names.len());
    names.iter().for_each(|name| encode::simple(out, name));
}

fn write_info(
    out: &mut Vec<u8>,
    proto: Proto,
    container: Option<&Command>,
    command: &'static Command,
) {
    let keys = command.keys;
    encode::array(out, 10);
    encode::bulk(out, lower(container, command).as_bytes());
    encode::integer(out, i64::from(command.arity));
    write_names(out, proto, &command.flags.names().collect::<Vec<_>>());
    for number in [keys.first, keys.last, keys.step] {
        encode::integer(out, i64::from(number));
    }
    write_names(out, proto, &categories(command));
    // No tips.
    encode::array(out, 0);
    write_key_spec(out, proto, command);
    encode::array(out, command.subcommands.len());
    for sub in command.subcommands {
        write_info(out, proto, Some(command), sub);
    }
}

/// The key specifications: the first, last and step of above in the newer form.
fn write_key_spec(out: &mut Vec<u8>, proto: Proto, command: &Command) {
    let keys = command.keys;
    if keys == Keys::NONE {
        return encode::array(out, 0);
    }
    let key = |out: &mut Vec<u8>, name: &str| encode::bulk(out, name.as_bytes());
    let number = |out: &mut Vec<u8>, name: &str, value: i32| {
        key(out, name);
        encode::integer(out, i64::from(value));
    };
    encode::array(out, 1);
    encode::map(out, proto, 3);
    key(out, "flags");
    write_names(out, proto, &[if command.flags.has(flag::WRITE) { "RW" } else { "RO" }]);
    key(out, "begin_search");
    encode::map(out, proto, 2);
    key(out, "type");
    key(out, "index");
    key(out, "spec");
    encode::map(out, proto, 1);
    number(out, "index", keys.first);
    key(out, "find_keys");
    encode::map(out, proto, 2);
    key(out, "type");
    key(out, "range");
    key(out, "spec");
    encode::map(out, proto, 3);
    // Relative to the first key, unless it counts from the end.
    let last = if keys.last < 0 { keys.last } else { keys.last - keys.first };
    number(out, "lastkey", last);
    number(out, "keystep", keys.step);
    number(out, "limit", 0);
}

fn write_docs(
    out: &mut Vec<u8>,
    proto: Proto,
    container: Option<&Command>,
    command: &'static Command,
) {
    let text = |out: &mut Vec<u8>, key: &str, value: &str| {
        encode::bulk(out, key.as_bytes());
        encode::bulk(out, value.as_bytes());
    };
    encode::bulk(out, lower(container, command).as_bytes());
    let subcommands = command.subcommands;
    encode::map(out, proto, 3 + usize::from(!subcommands.is_empty()));
    text(out, "summary", command.summary);
    text(out, "since", command.since);
    text(out, "group", command.group.name());
    if !subcommands.is_empty() {
        encode::bulk(out, b"subcommands");
        encode::map(out, proto, subcommands.len());
        subcommands.iter().for_each(|sub| write_docs(out, proto, Some(command), sub));
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;

    /// Every command and subcommand with the words that reach it.
    fn rows() -> Vec<(Vec<&'static str>, &'static Command)> {
        let subs = COMMANDS.iter().flat_map(|command| {
            command.subcommands.iter().map(|sub| (vec![command.name, sub.name], sub))
        });
        COMMANDS.iter().map(|command| (vec![command.name], command)).chain(subs).collect()
    }

    #[test]
    fn the_table_is_sorted_and_every_row_is_found_in_any_case() {
        for table in std::iter::once(COMMANDS).chain(COMMANDS.iter().map(|row| row.subcommands)) {
            assert!(table.is_sorted_by(|one, other| one.name < other.name));
            for row in table {
                assert_eq!(row.name, row.name.to_ascii_uppercase());
                let lower = row.name.to_ascii_lowercase();
                assert!(std::ptr::eq(find_in(table, lower.as_bytes()).unwrap(), row));
            }
        }
        assert!(find(b"").is_none());
        assert!(find(&[b'x'; 1_000]).is_none());
    }

    #[test]
    fn every_row_refuses_wrong_numbers_of_arguments() {
        for (words, row) in rows() {
            let least = usize::try_from(row.arity.unsigned_abs()).unwrap();
            let mut wrong: Vec<usize> = (words.len()..least).collect();
            if row.arity > 0 {
                wrong.push(least + 1);
            }
            for count in wrong {
                let filler = std::iter::repeat_n("x", count - words.len());
                let args: Vec<&str> = words.iter().copied().chain(filler).collect();
                if args.len() > words.len() && !row.subcommands.is_empty() {
                    continue;
                }
                let name = words.join("|").to_lowercase();
                assert_eq!(
                    Bench::new().run(&args),
                    format!("-ERR wrong number of arguments for '{name}' command\r\n")
                );
            }
        }
    }

    #[test]
    fn every_row_takes_any_bytes_without_panic() {
        let junk: [&[u8]; 6] = [b"", b"-1", b"0", &[0xff, 0, b'\r', b'\n'], b"EX", b"{"];
        for (words, row) in rows() {
            let least = usize::try_from(row.arity.unsigned_abs()).unwrap();
            for shift in 0..junk.len() {
                for count in least..least + 5 {
                    let filler = junk.iter().cycle().skip(shift).take(count - words.len()).copied();
                    let args: Vec<&[u8]> =
                        words.iter().map(|word| word.as_bytes()).chain(filler).collect();
                    let mut bench = Bench::new();
                    let answer = bench.run_bytes(&args);
                    assert!(!answer.is_empty() || bench.call.is_some(), "{words:?}");
                }
            }
        }
    }

    #[test]
    fn flags_keys_and_groups_fit_together() {
        for (words, row) in rows() {
            let (write, read) = (row.flags.has(flag::WRITE), row.flags.has(flag::READONLY));
            assert!(!(write && read), "{words:?}");
            assert!(!row.flags.has(flag::DENYOOM) || write, "{words:?}");
            assert!(row.keys == Keys::NONE || write || read, "{words:?}");
            assert!(!row.summary.contains(['\r', '\n']) && row.summary.ends_with('.'));
        }
    }

    #[test]
    fn command_tells_the_table() {
        let mut bench = Bench::new();
        let total = COMMANDS.len();
        assert_eq!(bench.run(&["COMMAND", "COUNT"]), format!(":{total}\r\n"));
        assert!(
            bench.run(&["COMMAND"]).starts_with(&format!("*{total}\r\n*10\r\n$6\r\nappend\r\n"))
        );
        assert_eq!(bench.run(&["COMMAND", "INFO"]), bench.run(&["COMMAND"]));
        assert_eq!(
            bench.run(&["COMMAND", "INFO", "get", "nope"]),
            "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
             *3\r\n+@string\r\n+@read\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*1\r\n+RO\r\n\
             $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n\
             $5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n\
             $4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n\
             *0\r\n$-1\r\n"
        );
        let sub = bench.run(&["COMMAND", "INFO", "client|id"]);
        assert!(sub.starts_with("*1\r\n*10\r\n$9\r\nclient|id\r\n:2\r\n"), "{sub}");
    }

    #[test]
    fn docs_and_lists() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.run(&["COMMAND", "DOCS", "GET", "nope"]),
            "*2\r\n$3\r\nget\r\n*6\r\n$7\r\nsummary\r\n$34\r\nReturns the string value of a key.\r\n\
             $5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n"
        );
        bench.run(&["HELLO", "3"]);
        let total = COMMANDS.len();
        assert!(bench.run(&["COMMAND", "DOCS"]).starts_with(&format!("%{total}\r\n")));
        assert!(bench.run(&["COMMAND", "LIST"]).starts_with(&format!("*{total}\r\n")));
        assert_eq!(
            bench.run(&["COMMAND", "LIST", "FILTERBY", "PATTERN", "mg*"]),
            "*1\r\n$4\r\nmget\r\n"
        );
        let hashes = bench.run(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", "hash"]);
        assert!(hashes.starts_with("*21\r\n"), "{hashes}");
        assert_eq!(bench.run(&["COMMAND", "LIST", "FILTERBY", "MODULE", "x"]), "*0\r\n");
        assert_eq!(bench.run(&["COMMAND", "LIST", "x"]), "-ERR syntax error\r\n");
        assert!(bench.run(&["CLIENT", "HELP"]).starts_with("*15\r\n+CLIENT <subcommand> "));
        assert!(bench.run(&["CONFIG", "HELP"]).starts_with("*5\r\n+CONFIG <subcommand> "));
    }

    #[test]
    fn keys_of_commands() {
        let mut bench = Bench::new();
        let keys = |bench: &mut Bench, words: &[&str]| {
            let all: Vec<&str> = ["COMMAND", "GETKEYS"].iter().chain(words).copied().collect();
            bench.run(&all)
        };
        assert_eq!(keys(&mut bench, &["get", "a"]), "*1\r\n$1\r\na\r\n");
        let pairs = ["MSET", "a", "1", "b", "2"];
        assert_eq!(keys(&mut bench, &pairs), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        assert_eq!(keys(&mut bench, &["DEL", "a", "b"]), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        assert_eq!(keys(&mut bench, &["nope", "a"]), "-ERR Invalid command specified\r\n");
        assert_eq!(keys(&mut bench, &["PING", "a"]), "-ERR The command has no key arguments\r\n");
        assert_eq!(
            keys(&mut bench, &["GET", "a", "b"]),
            "-ERR Invalid number of arguments specified for command\r\n"
        );
    }
}
