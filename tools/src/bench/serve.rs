//! What relay and echo share: listening, handing connections to workers, and ending.

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::LocalSet;

use super::BenchError;
use super::args::ListenArgs;
use crate::console;

/// New connections that wait for a worker.
const WAITING_MAX: usize = 1024;

/// Connections that the acceptor hands to a worker.
pub(super) type Incoming = Receiver<TcpStream>;

/// Listens, gives connections to `workers` threads in turn, and returns when it is to end. `work`
/// makes a worker; it runs on the worker's own event loop.
pub(super) fn serve<W, F>(args: &ListenArgs, workers: u16, work: W) -> Result<(), BenchError>
where
    W: Fn(Incoming) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), BenchError>> + 'static,
{
    let listen = |source| BenchError::Listen { address: args.listen.clone(), source };
    let listener = TcpListener::bind(&args.listen).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let mut queues = Vec::new();
    for _ in 0..workers {
        let (queue, incoming) = channel(WAITING_MAX);
        queues.push(queue);
        let (runtime, work) = (Builder::new_current_thread().enable_all().build()?, work.clone());
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            let done = LocalSet::new().block_on(&runtime, work(incoming));
            if let Err(e) = done {
                console::warn(format!("fdht bench: {e}"));
            }
        })?;
    }
    let accept = move || {
        let mut turn = queues.iter().cycle();
        for stream in listener.incoming() {
            let ready = stream.and_then(|stream| {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            let (Ok(stream), Some(queue)) = (ready, turn.next()) else {
                continue;
            };
            if queue.blocking_send(stream).is_err() {
                return;
            }
        }
    };
    let acceptor = thread::Builder::new().name("acceptor".to_owned()).spawn(accept)?;
    console::line(format!("listening on {address}"));
    if args.exit_on_stdin_eof {
        io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    } else {
        drop(acceptor.join());
    }
    Ok(())
}
