//! One thread accepts and hands each connection to the worker with the fewest: SO_REUSEPORT would
//! put a few connections all on one.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rt::stop::Stop;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::shared::Shared;
use crate::worker::Message;

/// Pause after an error that will not go away at once, such as too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop`.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    workers: Vec<mpsc::Sender<Message>>,
    mut stop: Stop,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the client port cannot be served"),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => hand_over(&shared, &workers, stream, peer).await,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

async fn hand_over(
    shared: &Shared,
    workers: &[mpsc::Sender<Message>],
    mut stream: TcpStream,
    peer: std::net::SocketAddr,
) {
    if shared.connections() >= shared.options.connections_max {
        shared.connections_rejected.fetch_add(1, Ordering::Relaxed);
        // As Redis says it; a client of another protocol sees the connection close.
        drop(stream.write_all(b"-ERR max number of clients reached\r\n").await);
        return;
    }
    shared.connections_total.fetch_add(1, Ordering::Relaxed);
    let Ok(stream) = stream.into_std() else { return };
    // Counted here, so that a burst is spread and bounded before any worker looks at it.
    let worker = shared.least_loaded();
    let Some(inbox) = workers.get(worker) else { return };
    let message = Message::Client(stream, peer, shared.accepted(worker));
    if inbox.try_send(message).is_err() {
        shared.connections_rejected.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%peer, "client refused: its worker has too many to take over");
    }
}
