//! One RESP connection's state, and how a command is started on it.

use common::address::{NameTooLong, Object};

use crate::front::call::{Started, Submit};

use super::args::Args;
use super::call::{Kind, RespCall};
use super::command::{self, Command, Outcome, find_in, is_word};
use super::encode::{self, Proto};
use super::environment::{Database, Environment, Identity};
use super::error::CommandError;

/// As much of an unknown command and its arguments as Redis repeats.
const ECHO_BYTES_MAX: usize = 128;

/// What a connection remembers between commands.
#[derive(Debug)]
pub struct RespSession {
    id: u64,
    pub(super) namespace: Vec<u8>,
    pub(super) identity: Identity,
    last_command: Option<&'static Command>,
}

impl RespSession {
    /// A new connection, the `id`-th of the process, on database 0 and RESP2.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id, namespace: Vec::new(), identity: Identity::default(), last_command: None }
    }

    /// The connection's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the client told about itself.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The last command that was found in the table.
    #[must_use]
    pub fn last_command(&self) -> Option<&'static Command> {
        self.last_command
    }

    /// Starts a command. Whatever is answered at once is appended to `out`; an empty command is
    /// answered by nothing.
    pub fn start(
        &mut self,
        args: &Args<'_>,
        env: &dyn Environment,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Started<RespCall> {
        if args.is_empty() {
            return Started::Answered;
        }
        let Some(command) = command::find(args.get(0)) else {
            return unknown(args, out);
        };
        let (container, command) = match subcommand(command, args) {
            Ok(found) => found,
            Err(text) => {
                encode::error(out, &text);
                return Started::Answered;
            }
        };
        self.last_command = Some(container.unwrap_or(command));
        let outcome = if command.takes(args.len()) {
            let mut context = Context { session: self, env, submit, out, command, container };
            (command.run)(&mut context, args)
        } else {
            Err(CommandError::Arity(full_name(container, command)))
        };
        outcome.unwrap_or_else(|refused| {
            encode::error(out, refused.to_string().as_bytes());
            Started::Answered
        })
    }
}

/// Everything a handler works with.
pub(super) struct Context<'a> {
    pub(super) session: &'a mut RespSession,
    pub(super) env: &'a dyn Environment,
    pub(super) submit: &'a mut dyn Submit,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) command: &'static Command,
    container: Option<&'static Command>,
}

impl Context<'_> {
    /// The protocol version of this command's answer.
    pub(super) fn proto(&self) -> Proto {
        self.session.identity.proto
    }

    /// The container of the running subcommand, or the command itself.
    pub(super) fn container(&self) -> &'static Command {
        self.container.unwrap_or(self.command)
    }

    /// The command's name as error texts have it.
    pub(super) fn name(&self) -> String {
        full_name(self.container, self.command)
    }

    /// Answers `OK`.
    pub(super) fn ok(&mut self) -> Outcome {
        encode::ok(self.out);
        Ok(Started::Answered)
    }

    /// Tells the environment what the client changed about itself.
    pub(super) fn identity_changed(&self) {
        self.env.on_identity(self.session.id, &self.session.identity);
    }

    /// Waits for the answers of what was submitted; later commands may be started meanwhile.
    pub(super) fn wait(&self, kind: Kind) -> Outcome {
        Ok(Started::Waiting(RespCall::new(self.proto(), kind)))
    }

    /// The same, while later commands wait.
    pub(super) fn wait_alone(&self, kind: Kind) -> Outcome {
        Ok(Started::WaitingAlone(RespCall::new(self.proto(), kind)))
    }

    /// Selects a database.
    pub(super) fn select(&mut self, database: Database) {
        self.session.namespace = match &database {
            Database::Name(name) => name.clone(),
            Database::Number(number) => {
                let named = self.env.namespace_of_database(*number);
                named.unwrap_or_else(|| match number {
                    0 => Vec::new(),
                    number => number.to_string().into_bytes(),
                })
            }
        };
        self.session.identity.database = database;
    }
}

/// The object with this name in the connection's database.
pub(super) fn object<'a>(
    session: &'a RespSession,
    name: &'a [u8],
) -> Result<Object<'a>, NameTooLong> {
    let object = Object { namespace: &session.namespace, name };
    object.check()?;
    Ok(object)
}

type Found = (Option<&'static Command>, &'static Command);

/// Follows a container to its subcommand; the error is the text for an unknown one.
fn subcommand(command: &'static Command, args: &Args<'_>) -> Result<Found, Vec<u8>> {
    if command.subcommands.is_empty() || args.len() < 2 {
        return Ok((None, command));
    }
    match find_in(command.subcommands, args.get(1)) {
        Some(found) => Ok((Some(command), found)),
        None => {
            let wrong = c_string(args.get(1), ECHO_BYTES_MAX);
            let parts: [&[u8]; 5] = [
                b"ERR unknown subcommand '",
                wrong,
                b"'. Try ",
                command.name.as_bytes(),
                b" HELP.",
            ];
            Err(parts.concat())
        }
    }
}

fn full_name(container: Option<&Command>, command: &Command) -> String {
    let name = command.name.to_ascii_lowercase();
    match container {
        None => name,
        Some(container) => format!("{}|{name}", container.name.to_ascii_lowercase()),
    }
}

/// Answers a command that is not in the table. A browser that was tricked into talking to this port
/// sends an HTTP header; such a connection is closed before its body could be taken for commands.
fn unknown(args: &Args<'_>, out: &mut Vec<u8>) -> Started<RespCall> {
    let name = args.get(0);
    if is_word(name, "post") || is_word(name, "host:") {
        return Started::AnsweredAndClose;
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(c_string(name, ECHO_BYTES_MAX));
    text.extend_from_slice(b"', with args beginning with: ");
    let start = text.len();
    for argument in args.iter().skip(1) {
        let used = text.len() - start;
        if used >= ECHO_BYTES_MAX {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(c_string(argument, ECHO_BYTES_MAX - used));
        text.extend_from_slice(b"' ");
    }
    encode::error(out, &text);
    Started::Answered
}

/// What C prints of a string that may hold zero bytes.
fn c_string(bytes: &[u8], max: usize) -> &[u8] {
    let bytes = bytes.get(..max.min(bytes.len())).unwrap_or_default();
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::harness::Bench;

    #[test]
    fn unknown_commands_are_answered_as_by_redis_and_keep_the_connection() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.run(&["foo", "a", "b\r\nc"]),
            "-ERR unknown command 'foo', with args beginning with: 'a' 'b  c' \r\n"
        );
        assert_eq!(
            bench.run(&["FOO"]),
            "-ERR unknown command 'FOO', with args beginning with: \r\n"
        );
        let long = "x".repeat(200);
        let (name, first, second) = ("x".repeat(128), "x".repeat(100), "x".repeat(25));
        assert_eq!(
            bench.run(&[&long, &first, &long, &long]),
            format!(
                "-ERR unknown command '{name}', with args beginning with: '{first}' '{second}' \r\n"
            )
        );
        assert_eq!(
            bench.run(&["CLIENT", "MAINT_NOTIFICATIONS", "ON"]),
            "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"
        );
        assert_eq!(
            bench.run(&["a\0b"]),
            "-ERR unknown command 'a', with args beginning with: \r\n"
        );
        assert_eq!(bench.run(&["PING"]), "+PONG\r\n");
        assert_eq!(bench.run(&[]), "");
    }

    #[test]
    fn http_headers_close_the_connection() {
        for name in ["POST", "Host:"] {
            let mut bench = Bench::new();
            assert_eq!(bench.run(&[name, "/"]), "");
            assert!(bench.closed);
        }
    }

    #[test]
    fn the_last_command_is_known_by_its_table_name() {
        let mut bench = Bench::new();
        assert!(bench.session.last_command().is_none());
        bench.run(&["client", "id"]);
        assert_eq!(bench.session.last_command().map(|command| command.name()), Some("CLIENT"));
    }
}
