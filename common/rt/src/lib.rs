//! Everything that knows tokio and the operating system, and nothing of topologies or storage:
//! sockets, clocks, random numbers, worker threads, shutdown, the admin HTTP kit, metrics, logging.

pub mod admin;
pub mod clock;
pub mod handshake;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod out_buffer;
pub mod panics;
pub mod process;
pub mod random;
pub mod secret;
pub mod stop;
pub mod worker;
