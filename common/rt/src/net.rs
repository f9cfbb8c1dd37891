//! Listening and connecting: options that every socket of the system gets, and errors that say
//! which address and flag are concerned.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};

const BACKLOG: i32 = 4096;
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Unacknowledged data this old breaks a connection between our own processes: half-open
/// connections must not hold requests for minutes.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody has the port.
    #[error(
        "{flag} {address}: the port is in use by another process; stop it or choose another port"
    )]
    InUse {
        /// The flag the address came from.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("{flag} {address}: cannot listen: {error}")]
    Other {
        /// The flag the address came from.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
}

/// Listens on an address that the flag `flag` gave. The socket is non-blocking.
///
/// # Errors
/// The port is taken, or the address is not this machine's.
pub fn listen(
    address: SocketAddr,
    flag: &'static str,
) -> Result<std::net::TcpListener, ListenError> {
    let open = || -> std::io::Result<std::net::TcpListener> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for old connections in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => ListenError::InUse { flag, address },
        _ => ListenError::Other { flag, address, error },
    })
}

/// Sets the options of a client's connection.
pub fn prepare_client(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // A connection that refuses an option still works; it is only slower to notice a dead peer.
    drop(socket.set_tcp_nodelay(true));
    drop(socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE)));
}

/// Sets the options of a connection between our own processes.
pub fn prepare_peer(stream: &TcpStream) {
    prepare_client(stream);
    drop(SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT)));
}

/// Connects to `host:port`, trying every address the name resolves to for up to `timeout` each.
///
/// # Errors
/// The name does not resolve, or nothing accepts in time.
pub async fn connect(address: &str, timeout: Duration) -> std::io::Result<TcpStream> {
    let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
    let mut last = std::io::Error::other("the name has no address");
    for candidate in tokio::time::timeout(timeout, lookup_host(address)).await.map_err(late)?? {
        let attempt = tokio::time::timeout(timeout, TcpStream::connect(candidate));
        match attempt.await.map_err(late).flatten() {
            Ok(stream) => {
                prepare_peer(&stream);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether an address can be reached from this machine only.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
