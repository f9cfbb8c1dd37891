//! Shutdown: what asks a process to stop, and a flag every task can wait for.

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Asks to stop. Kept by whoever assembles the process.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Waits for the request to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A connected pair.
#[must_use]
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks everybody to stop. May be repeated.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether a stop was asked for, or its asker is gone.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns once a stop was asked for, or its asker is gone.
    pub async fn stopped(&mut self) {
        // An error means that the asker is gone, which is a reason to stop as well.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

/// Waits until somebody wants this process to end; says who. Signals are caught from the call on, which
/// has to be in a runtime: whoever is told that the process has started may send one at once.
///
/// With `stdin_eof` the end of standard input is such a reason: a child whose parent was killed
/// sees it.
///
/// # Errors
/// Signal handlers cannot be installed.
pub fn requested(stdin_eof: bool) -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let parent_gone = async move {
        if !stdin_eof {
            std::future::pending::<()>().await;
        }
        let mut buffer = [0; 64];
        let mut stdin = stdin_pipe();
        while matches!(stdin.read(&mut buffer).await, Ok(n) if n > 0) {}
    };
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = parent_gone => "end of standard input",
        }
    })
}

/// Standard input read by a thread of its own: tokio's reads on a blocking thread that would keep
/// the process from ending.
fn stdin_pipe() -> tokio::io::DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64);
    std::thread::spawn(move || {
        let mut sink = std::io::sink();
        // Ends at the end of standard input; dropping `theirs` is the signal.
        drop(std::io::copy(&mut std::io::stdin().lock(), &mut sink));
        drop(theirs);
    });
    ours
}
