//! A relay in front of a node that knows who connects: it reads the introduction of each connection,
//! and can cut or hold those of one peer while all others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

/// Length of a frame's header.
const HEADER_BYTES: usize = 16;
/// Something that is no frame.
const GARBAGE: [u8; 64] = [0xee; 64];

/// What happens to the connections of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They are closed, and new ones too.
    Cut,
    /// They stay open, and nothing passes.
    Hold,
}

/// A relay in front of one node. Its threads end with the connections.
#[derive(Debug)]
pub struct PeerRelay {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<String, Fault>,
    garble: BTreeSet<String>,
    connections: Vec<(String, TcpStream)>,
}

impl PeerRelay {
    /// Relays to `to`, over a free port.
    pub fn to(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Arc::new(Shared::default());
        let (to, of_thread) = (to.to_owned(), Arc::clone(&shared));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (to, shared) = (to.clone(), Arc::clone(&of_thread));
                thread::spawn(move || serve(client, &to, &shared));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What happens to the connections that `peer` makes from now on.
    pub fn set(&self, peer: &str, fault: Option<Fault>) {
        let mut state = self.shared.lock();
        match fault {
            Some(fault) => drop(state.faults.insert(peer.to_owned(), fault)),
            None => drop(state.faults.remove(peer)),
        }
        if fault == Some(Fault::Cut) {
            for (_, stream) in state.connections.extract_if(.., |(name, _)| name == peer) {
                drop(stream.shutdown(Shutdown::Both));
            }
        }
        self.shared.changed.notify_all();
    }

    /// Puts garbage in front of the next frame that `peer` sends on a connection that it made.
    pub fn garble(&self, peer: &str) {
        self.shared.lock().garble.insert(peer.to_owned());
    }

    /// Whether the garbage was sent.
    pub fn is_garbled(&self, peer: &str) -> bool {
        !self.shared.lock().garble.contains(peer)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("relay threads do not panic")
    }

    /// Whether bytes of `peer` may pass; waits while they are held.
    fn passes(&self, peer: &str) -> bool {
        let held = |state: &mut State| state.faults.get(peer) == Some(&Fault::Hold);
        let state = self.changed.wait_while(self.lock(), held).expect("no relay thread panics");
        !state.faults.contains_key(peer)
    }
}

fn serve(mut client: TcpStream, to: &str, shared: &Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(to) else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a new socket");
    }
    // The node speaks first.
    let greeted = frame(&mut server).and_then(|greeting| client.write_all(&greeting));
    if let Ok(hello) = greeted.and_then(|()| frame(&mut client)) {
        let name = name_of(&hello).unwrap_or_default();
        register(&name, [&client, &server], shared);
        let (from, to) = (clone(&server), clone(&client));
        let (of_thread, peer) = (Arc::clone(shared), name.clone());
        thread::spawn(move || answers(from, to, &peer, &of_thread));
        drop(requests(hello, &mut client, &mut server, &name, shared));
    }
    close(&client, &server);
}

fn register(name: &str, streams: [&TcpStream; 2], shared: &Shared) {
    let mut state = shared.lock();
    for stream in streams {
        state.connections.push((name.to_owned(), clone(stream)));
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("few files are open")
}

fn close(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        // Fails when the other side has closed already.
        drop(stream.shutdown(Shutdown::Both));
    }
}

/// From the peer to the node, frame by frame.
fn requests(
    hello: Vec<u8>,
    client: &mut TcpStream,
    server: &mut TcpStream,
    peer: &str,
    shared: &Shared,
) -> io::Result<()> {
    let mut next = hello;
    while shared.passes(peer) {
        server.write_all(&next)?;
        next = frame(client)?;
        if shared.lock().garble.remove(peer) {
            server.write_all(&GARBAGE)?;
        }
    }
    Ok(())
}

/// From the node to the peer.
fn answers(mut from: TcpStream, mut to: TcpStream, peer: &str, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !shared.passes(peer) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    close(&from, &to);
}

/// One whole frame.
fn frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER_BYTES];
    from.read_exact(&mut frame)?;
    let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
    let length = usize::try_from(length).expect("32 bits fit");
    frame.resize(HEADER_BYTES + length, 0);
    from.read_exact(&mut frame[HEADER_BYTES..])?;
    Ok(frame)
}

/// The name in an introduction: version u16, role u8, cluster u8+text, name u8+text.
fn name_of(hello: &[u8]) -> Option<String> {
    let rest = hello.get(HEADER_BYTES + 3..)?;
    let rest = rest.get(1 + usize::from(*rest.first()?)..)?;
    let name = rest.get(1..1 + usize::from(*rest.first()?))?;
    String::from_utf8(name.to_vec()).ok()
}
