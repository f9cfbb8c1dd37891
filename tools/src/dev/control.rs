//! `fdht dev start|stop ID`: a small conversation with the `dev` that runs, over a loopback port.
//!
//! The port and a random token are in `dev.json`, which only the owner may read; whoever knows the
//! token may start and stop the members. One JSON line each way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DevError;
use super::args::Action;
use super::paths::{Paths, replace};
use super::ports::random;
use super::supervisor::Event;

/// Longest line of the conversation.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// How long a client may take to say what it wants.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a member may take to start or stop, seen from the client.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);

#[derive(Debug, Serialize, Deserialize)]
struct Door {
    pid: u32,
    control: String,
    token: String,
}

/// What is asked of a running `dev`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "action", content = "id")]
pub(super) enum Wish {
    /// Start a member.
    Start(String),
    /// Stop a member.
    Stop(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    token: String,
    wish: Wish,
}

/// What became of a [`Wish`]: a line for the console, good or bad.
pub(super) type Outcome = Result<String, String>;

/// Opens the control port, writes `dev.json` and turns requests into events from now on.
pub(super) fn listen(paths: &Paths, events: SyncSender<Event>) -> Result<(), DevError> {
    let failed = |source: io::Error| DevError::System { what: "open the control port", source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let mut secret = [0; 16];
    random(&mut secret)?;
    let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let control = listener.local_addr().map_err(failed)?.to_string();
    let door = Door { pid: std::process::id(), control, token: token.clone() };
    let text = serde_json::to_vec(&door).expect("a number and texts always serialise");
    replace(&paths.control(), &text, 0o600)?;
    let serve = move || {
        // One at a time: a person asks.
        for stream in listener.incoming().flatten() {
            // A client that goes away in the middle is no trouble of this process.
            drop(answer(&stream, &token, &events));
        }
    };
    thread::Builder::new().name("control".to_owned()).spawn(serve).map_err(failed)?;
    Ok(())
}

fn answer(stream: &TcpStream, token: &str, events: &SyncSender<Event>) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIME_MAX))?;
    stream.set_write_timeout(Some(REQUEST_TIME_MAX))?;
    let request: Request = serde_json::from_str(&read_line(stream)?)?;
    if request.token != token {
        return Ok(());
    }
    let (reply, outcome) = sync_channel(1);
    let sent = events.send(Event::Wish(request.wish, reply));
    let stopping = || Err("this `fdht dev` is stopping".to_owned());
    let outcome: Outcome =
        if sent.is_ok() { outcome.recv().unwrap_or_else(|_| stopping()) } else { stopping() };
    write_line(stream, &outcome)
}

fn read_line(stream: &TcpStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line)?;
    Ok(line)
}

fn write_line(mut stream: &TcpStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Asks the `dev` that runs on this folder.
pub(super) fn ask(paths: &Paths, action: &Action) -> Result<String, DevError> {
    let not_running = || DevError::NotRunning(paths.root().to_owned());
    // Whoever can take the lock knows that nobody runs there, whatever an old file says.
    if !paths.root().is_dir() || paths.lock()?.is_some() {
        return Err(not_running());
    }
    let text = std::fs::read_to_string(paths.control()).map_err(|_| not_running())?;
    let door: Door = serde_json::from_str(&text)
        .map_err(|e| DevError::Settings { path: paths.control(), reason: e.to_string() })?;
    let wish = match action {
        Action::Start { id } => Wish::Start(id.clone()),
        Action::Stop { id } => Wish::Stop(id.clone()),
    };
    let request = Request { token: door.token, wish };
    let talk = || -> io::Result<Outcome> {
        let stream = TcpStream::connect(&door.control)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        write_line(&stream, &request)?;
        Ok(serde_json::from_str(&read_line(&stream)?)?)
    };
    let failed = |source| DevError::System { what: "talk to the running `fdht dev`", source };
    talk().map_err(failed)?.map_err(DevError::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_reaches_the_running_one_and_its_outcome_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let start = Action::Start { id: "a1".to_owned() };
        assert_eq!(ask(&paths, &start).unwrap_err().status(), 3, "nobody runs there");

        let lock = paths.lock().unwrap().unwrap();
        let (events, inbox) = sync_channel(4);
        listen(&paths, events).unwrap();
        let server = thread::spawn(move || {
            while let Ok(Event::Wish(wish, reply)) = inbox.recv() {
                let outcome = match wish {
                    Wish::Start(id) => Ok(format!("{id} is ready")),
                    Wish::Stop(id) => Err(format!("{id} does not run")),
                };
                reply.send(outcome).unwrap();
            }
        });
        assert_eq!(ask(&paths, &start).unwrap(), "a1 is ready");
        let refused = ask(&paths, &Action::Stop { id: "b9".to_owned() }).unwrap_err();
        assert_eq!(refused.to_string(), "b9 does not run");
        assert_eq!(refused.status(), 1);

        drop(lock);
        assert_eq!(ask(&paths, &start).unwrap_err().status(), 3, "it ended without cleaning up");
        drop(server);
    }
}
