//! A TCP relay that a test can cut, hold still, or make deliver byte by byte.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What a relay does with the bytes it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes them on.
    Pass,
    /// Passes them on one at a time, each in a segment of its own.
    OneByOne,
    /// Keeps connections open, and passes nothing on until the mode changes.
    Hold,
    /// Closes all connections, and new ones at once.
    Cut,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    streams: Vec<TcpStream>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A relay in front of one address. Its threads end with the connections.
#[derive(Debug)]
pub struct Relay {
    address: String,
    shared: Arc<Shared>,
}

impl Relay {
    /// Relays to `to`, over a free port.
    pub fn to(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let state = State { mode: Mode::Pass, streams: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (to, of_thread) = (to.to_owned(), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &to, &of_thread);
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Changes what it does.
    pub fn set(&self, mode: Mode) {
        let mut state = self.shared.state.lock().expect("relay threads do not panic");
        state.mode = mode;
        if mode == Mode::Cut {
            for stream in state.streams.drain(..) {
                drop(stream.shutdown(Shutdown::Both));
            }
        }
        self.shared.changed.notify_all();
    }
}

fn serve(client: TcpStream, to: &str, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect(to) else {
        return;
    };
    let clone = |stream: &TcpStream| stream.try_clone().expect("few files are open");
    let mut state = shared.state.lock().expect("relay threads do not panic");
    if state.mode == Mode::Cut {
        return;
    }
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a new socket");
        state.streams.push(clone(stream));
    }
    for (from, to) in [(clone(&client), clone(&server)), (server, client)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || pump(from, to, &shared));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let sent = match wait_while_held(shared) {
            Mode::OneByOne => buffer[..count].iter().try_for_each(|byte| to.write_all(&[*byte])),
            Mode::Pass | Mode::Hold => to.write_all(&buffer[..count]),
            Mode::Cut => break,
        };
        if sent.is_err() {
            break;
        }
    }
    // Each fails when the other side has closed already.
    drop(to.shutdown(Shutdown::Write));
    drop(from.shutdown(Shutdown::Read));
}

fn wait_while_held(shared: &Shared) -> Mode {
    let state = shared.state.lock().expect("no relay thread panics");
    let held = |state: &mut State| state.mode == Mode::Hold;
    shared.changed.wait_while(state, held).expect("no relay thread panics").mode
}
