//! CLIENT: what connections tell about themselves and each other.

use std::fmt::Write as _;

use crate::front::call::Started;

use super::args::Args;
use super::command::{Outcome, is_word};
use super::encode;
use super::environment::{ClientLine, Database};
use super::error::CommandError;
use super::introspect::write_help;
use super::number::parse_i64;
use super::session::Context;

/// Longest name of a client or a library.
const ATTRIBUTE_BYTES_MAX: usize = 1 << 10;

/// `CLIENT HELP`
pub(super) fn help(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    write_help(ctx)
}

/// `CLIENT ID`
pub(super) fn id(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    encode::integer(ctx.out, i64::try_from(ctx.session.id()).unwrap_or(i64::MAX));
    Ok(Started::Answered)
}

/// `CLIENT GETNAME`
pub(super) fn getname(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    let name = &ctx.session.identity.name;
    let name = (!name.is_empty()).then_some(name.as_bytes());
    encode::bulk_or_null(ctx.out, ctx.session.identity.proto, name);
    Ok(Started::Answered)
}

/// `CLIENT SETNAME name`
pub(super) fn setname(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    ctx.session.identity.name = check_attribute("Client names", args.get(2))?;
    ctx.identity_changed();
    ctx.ok()
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version`
pub(super) fn setinfo(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let (attribute, value) = (args.get(2), args.get(3));
    let shown = String::from_utf8_lossy(attribute);
    let identity = &mut ctx.session.identity;
    let place = if is_word(attribute, "LIB-NAME") {
        &mut identity.library
    } else if is_word(attribute, "LIB-VER") {
        &mut identity.library_version
    } else {
        return Err(CommandError::Text(format!("Unrecognized option '{shown}'")));
    };
    *place = check_attribute(&shown, value)?;
    ctx.identity_changed();
    ctx.ok()
}

/// `CLIENT INFO`
pub(super) fn info(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    let id = ctx.session.id();
    let mut client = ctx.env.clients().into_iter().find(|client| client.id == id);
    let client = client.get_or_insert_with(|| ClientLine { id, ..ClientLine::default() });
    client.identity = ctx.session.identity.clone();
    client.last_command = ctx.name();
    encode::verbatim(ctx.out, ctx.session.identity.proto, &line(client));
    Ok(Started::Answered)
}

/// `CLIENT LIST [TYPE type] [ID id ...]`
pub(super) fn list(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let mut clients = ctx.env.clients();
    if is_word(args.get(2), "TYPE") && args.len() == 4 {
        let kind = args.get(3);
        let none = ["master", "replica", "slave", "pubsub"];
        if none.iter().any(|word| is_word(kind, word)) {
            clients.clear();
        } else if !is_word(kind, "normal") {
            let kind = String::from_utf8_lossy(kind);
            return Err(CommandError::Text(format!("Unknown client type '{kind}'")));
        }
    } else if is_word(args.get(2), "ID") && args.len() > 3 {
        let id = |text| parse_i64(text).and_then(|id| u64::try_from(id).ok()).filter(|&id| id > 0);
        let ids: Option<Vec<u64>> = args.from(3).iter().map(id).collect();
        let ids = ids.ok_or(CommandError::Fixed("Invalid client ID"))?;
        clients.retain(|client| ids.contains(&client.id));
    } else if args.len() > 2 {
        return Err(CommandError::Syntax);
    }
    let text: String = clients.iter().map(line).collect();
    encode::verbatim(ctx.out, ctx.proto(), &text);
    Ok(Started::Answered)
}

/// Checks what a client calls itself or its library.
pub(super) fn check_attribute(what: &str, value: &[u8]) -> Result<String, CommandError> {
    if !value.iter().all(u8::is_ascii_graphic) {
        return Err(CommandError::Text(format!(
            "{what} cannot contain spaces, newlines or special characters."
        )));
    }
    if value.len() > ATTRIBUTE_BYTES_MAX {
        return Err(CommandError::Text(format!(
            "{what} cannot have more than {ATTRIBUTE_BYTES_MAX} bytes."
        )));
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}

/// A client as Redis lists it. What a proxy does not have (buffers of its own, subscriptions,
/// transactions) reads as idle.
fn line(client: &ClientLine) -> String {
    let identity = &client.identity;
    let command = match client.last_command.as_str() {
        "" => "NULL",
        command => command,
    };
    let mut line = format!(
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags=N db=",
        client.id, client.address, client.local_address, identity.name, client.age_s, client.idle_s
    );
    match &identity.database {
        Database::Number(number) => line.push_str(&number.to_string()),
        Database::Name(name) => push_word(&mut line, name),
    }
    let (library, version) = (&identity.library, &identity.library_version);
    let rest = format!(
        " sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 \
         obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={command} user=default redir=-1 resp={} \
         lib-name={library} lib-ver={version}\n",
        identity.proto.number()
    );
    line.push_str(&rest);
    line
}

/// Appends bytes as one word: what is not printable, and the escape itself, as `\xNN`.
fn push_word(line: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'\\' {
            line.push(char::from(byte));
        } else {
            write!(line, "\\x{byte:02x}").expect("writing to a string cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;
    use super::*;

    fn clients() -> Vec<ClientLine> {
        let client = |id| ClientLine {
            id,
            address: format!("10.0.0.{id}:5000"),
            local_address: "10.0.0.9:12200".to_owned(),
            age_s: 10,
            idle_s: 2,
            ..ClientLine::default()
        };
        vec![client(6), client(7)]
    }

    #[test]
    fn names_and_libraries_are_told_to_the_environment() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(&["CLIENT", "ID"]), ":7\r\n");
        assert_eq!(bench.run(&["CLIENT", "SETNAME", "app"]), "+OK\r\n");
        assert_eq!(bench.run(&["CLIENT", "GETNAME"]), "$3\r\napp\r\n");
        assert_eq!(bench.run(&["CLIENT", "SETINFO", "lib-name", "redis-py"]), "+OK\r\n");
        assert_eq!(bench.run(&["client", "setinfo", "LIB-VER", "8.0"]), "+OK\r\n");
        let last = bench.world.identities.borrow().last().cloned().unwrap();
        assert_eq!(
            (&*last.name, &*last.library, &*last.library_version),
            ("app", "redis-py", "8.0")
        );
        assert_eq!(
            bench.run(&["CLIENT", "SETNAME", "a\n"]),
            "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
        );
        assert_eq!(
            bench.run(&["CLIENT", "SETINFO", "lib-ver", "a b"]),
            "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n"
        );
        assert_eq!(
            bench.run(&["CLIENT", "SETINFO", "foo", "x"]),
            "-ERR Unrecognized option 'foo'\r\n"
        );
        assert_eq!(bench.run(&["CLIENT", "SETNAME", ""]), "+OK\r\n");
        assert_eq!(bench.run(&["CLIENT", "GETNAME"]), "$-1\r\n");
    }

    #[test]
    fn lists_have_one_line_a_client() {
        let mut bench = Bench::new();
        bench.world.clients = clients();
        bench.run(&["SELECT", "my files\n"]);
        let mine = bench.run(&["CLIENT", "INFO"]);
        assert!(mine.contains("id=7 addr=10.0.0.7:5000 laddr=10.0.0.9:12200 "), "{mine}");
        assert!(mine.contains(" age=10 idle=2 "), "{mine}");
        assert!(mine.contains(" db=my\\x20files\\x0a "), "{mine}");
        assert!(mine.contains(" cmd=client|info "), "{mine}");
        assert!(mine.contains(" resp=2 lib-name= lib-ver=\n"), "{mine}");
        let lines = |text: String| text.matches("id=").count();
        assert_eq!(lines(bench.run(&["CLIENT", "LIST"])), 2);
        assert_eq!(lines(bench.run(&["CLIENT", "LIST", "TYPE", "normal"])), 2);
        assert_eq!(lines(bench.run(&["CLIENT", "LIST", "TYPE", "pubsub"])), 0);
        assert_eq!(lines(bench.run(&["CLIENT", "LIST", "ID", "6", "99"])), 1);
        bench.run(&["HELLO", "3"]);
        assert!(bench.run(&["CLIENT", "LIST"]).starts_with('='));
    }

    #[test]
    fn wrong_filters_are_refused() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(&["CLIENT", "LIST", "TYPE", "x"]), "-ERR Unknown client type 'x'\r\n");
        assert_eq!(bench.run(&["CLIENT", "LIST", "ID", "0"]), "-ERR Invalid client ID\r\n");
        assert_eq!(bench.run(&["CLIENT", "LIST", "FOO"]), "-ERR syntax error\r\n");
        assert_eq!(
            bench.run(&["CLIENT", "SETNAME"]),
            "-ERR wrong number of arguments for 'client|setname' command\r\n"
        );
        assert_eq!(
            bench.run(&["CLIENT"]),
            "-ERR wrong number of arguments for 'client' command\r\n"
        );
    }
}
