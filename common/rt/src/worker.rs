//! Worker threads: one current-thread runtime each, its state in `Rc`, reached through a bounded
//! inbox. No lock and no hop on the way of a request.

use std::future::Future;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// Starts a thread that runs `main` to its end on a current-thread runtime of its own. Tasks that
/// `main` spawns with `spawn_local` end with it.
///
/// # Errors
/// The system gives no thread or no event queue.
pub fn spawn<T, F, M>(name: &str, main: M) -> std::io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: Future<Output = T>,
    M: FnOnce() -> F + Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, main())
    })
}

/// The way into a worker: a queue of at most `capacity` messages.
#[must_use]
pub fn inbox<T>(capacity: usize) -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
    mpsc::channel(capacity)
}

/// The number of workers for a machine with this many processors: one up to four, then half of
/// them. fsync, flush and the kernel's share need the rest.
#[must_use]
pub fn count_for(processors: usize) -> usize {
    if processors <= 4 { 1 } else { processors / 2 }
}

/// Processors of this machine that the process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
