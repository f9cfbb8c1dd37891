//! A new client connection: which protocol, then the matching loop.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::front::sniff::{Sniff, sniff};
use crate::http;
use crate::session::Session;
use crate::session::connection::Event;
use crate::session::front::Front;
use crate::shared::ConnectionGuard;
use crate::worker::{Owner, Worker};

/// How long the first line may take once its first byte has come.
const FIRST_LINE_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_READ_BYTES: usize = 4 << 10;

/// Takes over an accepted connection; its task ends with it.
pub(crate) fn accept(
    worker: &Rc<Worker>,
    stream: std::net::TcpStream,
    peer: SocketAddr,
    guard: ConnectionGuard,
) {
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        match TcpStream::from_std(stream) {
            Ok(stream) => serve(&worker, stream, peer).await,
            Err(error) => tracing::debug!(%error, %peer, "client lost"),
        }
        drop(guard);
    });
}

async fn serve(worker: &Rc<Worker>, mut stream: TcpStream, peer: SocketAddr) {
    rt::net::prepare_client(&stream);
    let mut input = Vec::new();
    // A client that connects and waits is no nuisance; one that begins and stops is.
    if !matches!(read_more(&mut stream, &mut input).await, Ok(true)) {
        return;
    }
    let decided = tokio::time::timeout(FIRST_LINE_TIMEOUT, async {
        loop {
            match sniff(&input) {
                Sniff::Undecided => {}
                decided => return Some(decided),
            }
            if !matches!(read_more(&mut stream, &mut input).await, Ok(true)) {
                return None;
            }
        }
    });
    let decided = decided.await;
    let refusal: &[u8] = match decided {
        Ok(Some(Sniff::Resp)) => return run(worker, stream, peer, input, true).await,
        Ok(Some(Sniff::FastDht)) => return run(worker, stream, peer, input, false).await,
        Ok(Some(Sniff::Http)) => return http::serve(worker, stream, peer, input).await,
        Ok(Some(Sniff::Http2)) => {
            b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\n\
              content-length: 35\r\n\r\nHTTP/2 is not served; use HTTP/1.1\n"
        }
        Ok(Some(Sniff::TooLong)) => b"-ERR Protocol error: too big inline request\r\n",
        Ok(Some(Sniff::Tls | Sniff::Undecided) | None) | Err(_) => b"",
    };
    // The client may be gone; it is left in any case.
    drop(stream.write_all(refusal).await);
}

/// Reads once; `false` at the end of the stream.
async fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> std::io::Result<bool> {
    input.reserve(FIRST_READ_BYTES);
    Ok(stream.read_buf(input).await? > 0)
}

async fn run(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, input: Vec<u8>, resp: bool) {
    let entry = worker.shared.clients.add(peer, stream.local_addr().ok());
    let front = if resp {
        Front::resp(entry)
    } else {
        Front::fastdht(entry, worker.shared.options.fastdht_package_max)
    };
    let (mut reader, writer) = stream.into_split();
    let session = Rc::new(Session::new(front, writer, input, Arc::clone(&worker.counters)));
    let owner = worker.add_owner(Owner::Session(Rc::clone(&session)));
    session.set_owner(owner);
    loop {
        let event = poll_fn(|context| session.poll(context, worker, &mut reader));
        if let Event::Closed = event.await {
            break;
        }
        // One busy client must not keep the others, nor the worker's own duties, from their turn.
        tokio::task::coop::consume_budget().await;
    }
    worker.remove_owner(owner.0);
    session.close(worker);
}
