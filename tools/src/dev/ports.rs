//! Free addresses: chosen once for a new cluster, checked before every start.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::DevError;

/// Where ports are taken from: below those that the system gives to outgoing connections, or one of
/// them would be in use some day.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

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
    fn a_taken_port_is_noticed() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = check(&holder.local_addr().unwrap().to_string()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
