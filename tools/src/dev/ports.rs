//! Free addresses: chosen once for a new cluster, checked before every start.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::DevError;
use crate::clock;

/// Where ports are taken from: below those that the system gives to outgoing connections, or one of
/// them would be in use some day.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// How long a cluster waits for others that are being made, and between two looks.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
const TURN_STEP: Duration = Duration::from_millis(10);

/// `count` different free ports on 127.0.0.1. Starts anywhere, so that clusters that are made at
/// the same time rarely meet.
pub(super) fn choose(count: usize) -> Result<Vec<u16>, DevError> {
    let mut seed = [0; 2];
    random(&mut seed)?;
    let start = u16::from_ne_bytes(seed) % COUNT;
    // Held until all are found, so that none is found twice.
    let mut held = Vec::with_capacity(count);
    for offset in 0..COUNT {
        if held.len() == count {
            break;
        }
        let port = FIRST + (start + offset) % COUNT;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        return Err(DevError::NoPorts(count));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

/// Holds the turn of one new cluster to choose its ports and to take them.
pub(super) struct Turn(Option<File>);

impl Turn {
    /// Waits for the turn: two clusters that are made at the same moment would choose ports that
    /// both find free. Where the machine does not let us take turns, or somebody takes too long, we
    /// go on without.
    pub(super) fn wait() -> Self {
        let path = std::env::temp_dir().join("fdht-dev-ports.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let Ok(file) = file else { return Self(None) };
        let late = clock::now() + TURN_WAIT_MAX;
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            if clock::now() > late {
                return Self(None);
            }
            clock::pause(TURN_STEP);
        }
        Self(Some(file))
    }

    /// The ports are taken: the next one may choose.
    pub(super) fn end(self) {
        drop(self.0);
    }
}

/// Fills `bytes` with random ones.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), DevError> {
    getrandom::fill(bytes).map_err(|e| DevError::System {
        what: "get random bytes",
        source: io::Error::other(e.to_string()),
    })
}

/// Whether somebody could listen on `address` right now.
pub(super) fn check(address: &str) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ports_are_different_and_free() {
        let ports = choose(20).unwrap();
        let different: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(different.len(), 20);
    }

    #[test]
    fn a_turn_ends_before_the_next_begins() {
        let first = Turn::wait();
        let next = std::thread::spawn(|| {
            Turn::wait().end();
            clock::now()
        });
        clock::pause(Duration::from_millis(50));
        let ended = clock::now();
        first.end();
        assert!(next.join().unwrap() >= ended);
    }

    #[test]
    fn a_taken_port_is_noticed() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = check(&holder.local_addr().unwrap().to_string()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
