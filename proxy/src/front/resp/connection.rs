//! Commands about the connection itself: HELLO, AUTH, PING, ECHO, SELECT, QUIT, RESET.

use common::address::Object;

use crate::front::call::Started;

use super::args::Args;
use super::client::check_attribute;
use super::command::{Outcome, is_word};
use super::encode::{self, Proto};
use super::environment::{Database, Identity};
use super::error::CommandError;
use super::info::COMPATIBLE_VERSION;
use super::number::parse_i64;
use super::session::Context;

/// `HELLO [version [AUTH user password] [SETNAME name]]`
pub(super) fn hello(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let mut proto = None;
    if args.len() > 1 {
        let text = "Protocol version is not an integer or out of range";
        let version = parse_i64(args.get(1)).ok_or(CommandError::Fixed(text))?;
        proto = Some(match version {
            2 => Proto::Resp2,
            3 => Proto::Resp3,
            _ => return Err(CommandError::NoProto),
        });
    }
    let mut user = None;
    let mut name = None;
    let mut options = args.from(2).iter();
    while let Some(word) = options.next() {
        if is_word(word, "AUTH") && options.len() >= 2 {
            user = options.next();
            options.next();
        } else if is_word(word, "SETNAME") && options.len() >= 1 {
            let text = options.next().unwrap_or_default();
            name = Some(check_attribute("Client names", text)?);
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(CommandError::Text(format!("Syntax error in HELLO option '{word}'")));
        }
    }
    if user.is_some_and(|user| user != b"default") {
        return Err(CommandError::WrongPass);
    }
    let identity = &mut ctx.session.identity;
    identity.proto = proto.unwrap_or(identity.proto);
    if let Some(name) = name {
        identity.name = name;
    }
    ctx.identity_changed();
    write_greeting(ctx);
    Ok(Started::Answered)
}

fn write_greeting(ctx: &mut Context<'_>) {
    let (id, proto) = (ctx.session.id(), ctx.proto());
    let out = &mut *ctx.out;
    let text = |out: &mut Vec<u8>, key: &str, value: &str| {
        encode::bulk(out, key.as_bytes());
        encode::bulk(out, value.as_bytes());
    };
    encode::map(out, proto, 7);
    text(out, "server", "redis");
    text(out, "version", COMPATIBLE_VERSION);
    encode::bulk(out, b"proto");
    encode::integer(out, proto.number());
    encode::bulk(out, b"id");
    encode::integer(out, i64::try_from(id).unwrap_or(i64::MAX));
    text(out, "mode", "standalone");
    text(out, "role", "master");
    encode::bulk(out, b"modules");
    encode::array(out, 0);
}

/// `AUTH [user] password`. There are no users but the default one, which needs no password.
pub(super) fn auth(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    match args.len() {
        2 => Err(CommandError::Fixed(
            "AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        3 if args.get(1) == b"default" => ctx.ok(),
        3 => Err(CommandError::WrongPass),
        _ => Err(CommandError::Syntax),
    }
}

/// `PING [message]`
pub(super) fn ping(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    match args.len() {
        1 => encode::simple(ctx.out, "PONG"),
        2 => encode::bulk(ctx.out, args.get(1)),
        _ => return Err(CommandError::Arity(ctx.name())),
    }
    Ok(Started::Answered)
}

/// `ECHO message`
pub(super) fn echo(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    encode::bulk(ctx.out, args.get(1));
    Ok(Started::Answered)
}

/// `SELECT database`. What is no number is the name of a namespace; namespaces need no declaration.
pub(super) fn select(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let text = args.get(1);
    let database = match parse_i64(text) {
        Some(number) => {
            let out_of_range = CommandError::Fixed("DB index is out of range");
            let number = u32::try_from(number).ok();
            let known = |number: &u32| {
                *number < ctx.env.databases() || ctx.env.namespace_of_database(*number).is_some()
            };
            Database::Number(number.filter(known).ok_or(out_of_range)?)
        }
        None if text.is_empty() => return Err(CommandError::NotInteger),
        None => {
            Object { namespace: text, name: b"" }.check()?;
            Database::Name(text.to_vec())
        }
    };
    ctx.select(database);
    ctx.identity_changed();
    ctx.ok()
}

/// `QUIT`
pub(super) fn quit(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    encode::ok(ctx.out);
    Ok(Started::AnsweredAndClose)
}

/// RESET. What the client's library is called stays.
pub(super) fn reset(ctx: &mut Context<'_>, _args: &Args<'_>) -> Outcome {
    let identity = std::mem::take(&mut ctx.session.identity);
    let Identity { library, library_version, .. } = identity;
    ctx.session.identity = Identity { library, library_version, ..Identity::default() };
    ctx.select(Database::Number(0));
    ctx.identity_changed();
    encode::simple(ctx.out, "RESET");
    Ok(Started::Answered)
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;

    const WRONG_PASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

    #[test]
    fn hello_switches_the_version_and_greets() {
        let mut bench = Bench::new();
        let rest = "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n\
            $5\r\nproto\r\n:V\r\n$2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
            $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
        assert_eq!(bench.run(&["HELLO"]), format!("*14\r\n{}", rest.replace('V', "2")));
        let three = format!("%7\r\n{}", rest.replace('V', "3"));
        let words = ["HELLO", "3", "AUTH", "default", "secret", "SETNAME", "app"];
        assert_eq!(bench.run(&words), three);
        assert_eq!(bench.run(&["HELLO"]), three);
        assert_eq!(bench.run(&["CLIENT", "GETNAME"]), "$3\r\napp\r\n");
        assert_eq!(bench.run(&["HELLO", "2"]), format!("*14\r\n{}", rest.replace('V', "2")));
    }

    #[test]
    fn a_refused_hello_changes_nothing() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.run(&["HELLO", "x"]),
            "-ERR Protocol version is not an integer or out of range\r\n"
        );
        assert_eq!(bench.run(&["HELLO", "4"]), "-NOPROTO unsupported protocol version\r\n");
        assert_eq!(bench.run(&["HELLO", "3", "AUTH", "bob", "x"]), WRONG_PASS);
        assert_eq!(
            bench.run(&["HELLO", "3", "AUTH", "bob"]),
            "-ERR Syntax error in HELLO option 'AUTH'\r\n"
        );
        assert_eq!(
            bench.run(&["HELLO", "3", "SETNAME", "a b"]),
            "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
        );
        assert!(bench.world.identities.borrow().is_empty());
        assert_eq!(bench.run(&["CLIENT", "GETNAME"]), "$-1\r\n");
    }

    #[test]
    fn auth_knows_the_default_user_only() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.run(&["AUTH", "x"]),
            "-ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?\r\n"
        );
        assert_eq!(bench.run(&["AUTH", "default", "x"]), "+OK\r\n");
        assert_eq!(bench.run(&["AUTH", "bob", "x"]), WRONG_PASS);
        assert_eq!(bench.run(&["AUTH", "a", "b", "c"]), "-ERR syntax error\r\n");
    }

    #[test]
    fn ping_and_echo() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(&["ping"]), "+PONG\r\n");
        assert_eq!(bench.run(&["PING", "hi"]), "$2\r\nhi\r\n");
        assert_eq!(
            bench.run(&["PING", "a", "b"]),
            "-ERR wrong number of arguments for 'ping' command\r\n"
        );
        assert_eq!(bench.run(&["ECHO", ""]), "$0\r\n\r\n");
    }

    #[test]
    fn select_takes_numbers_and_names() {
        let mut bench = Bench::new();
        for (database, namespace) in
            [("3", "files"), ("1", "1"), ("billing", "billing"), ("0", ""), ("15", "15")]
        {
            assert_eq!(bench.run(&["SELECT", database]), "+OK\r\n");
            let ops = bench.ops(&["STRLEN", "k"]);
            assert_eq!(ops, [format!("get {namespace}/k 0+0")]);
            bench.fail(0, common::failure::FailureCode::Busy, "");
        }
        for wrong in ["16", "-1", "4294967296"] {
            let text = "-ERR DB index is out of range\r\n";
            assert_eq!(bench.run(&["SELECT", wrong]), text);
        }
        let text = "-ERR value is not an integer or out of range\r\n";
        assert_eq!(bench.run(&["SELECT", ""]), text);
        let text = "-ERR namespace has 65 bytes, max 64\r\n";
        assert_eq!(bench.run(&["SELECT", &"n".repeat(65)]), text);
        assert_eq!(bench.session.namespace, b"15");
    }

    #[test]
    fn quit_closes_and_reset_starts_over() {
        let mut bench = Bench::new();
        bench.run(&["HELLO", "3", "SETNAME", "app"]);
        bench.run(&["SELECT", "files"]);
        bench.run(&["CLIENT", "SETINFO", "LIB-NAME", "lib"]);
        assert_eq!(bench.run(&["RESET"]), "+RESET\r\n");
        assert_eq!(bench.run(&["CLIENT", "GETNAME"]), "$-1\r\n");
        assert_eq!(bench.session.namespace, b"");
        assert_eq!(bench.session.identity().library, "lib");
        assert!(!bench.closed);
        assert_eq!(bench.run(&["QUIT", "now"]), "+OK\r\n");
        assert!(bench.closed);
    }
}
