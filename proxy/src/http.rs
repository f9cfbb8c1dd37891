//! HTTP clients: hyper reads and writes, the HTTP front decides.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use common::limits::VALUE_BYTES_MAX;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::front::call::Answer;
use crate::front::http::{self as front, HttpAnswer, HttpCall, HttpRequest, HttpStarted};
use crate::pool::{LARGE_BYTES, Ticket};
use crate::worker::{Dispatcher, Owner, Worker};

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A body that holds more than this is refused when the proxy as a whole holds too much.
const OFFENDER_BYTES: usize = 1 << 20;
/// Longest request head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// One HTTP request that waits for answers of nodes.
pub(crate) struct Exchange {
    state: RefCell<Option<(HttpCall, oneshot::Sender<HttpAnswer>)>>,
    owner: RefCell<(usize, u64)>,
    large: bool,
}

impl Exchange {
    /// An answer to one of its operations.
    pub(crate) fn on_answer(&self, worker: &Worker, ticket: Ticket, answer: Answer<'_>) {
        let mut state = self.state.borrow_mut();
        let Some((call, _)) = state.as_mut() else { return };
        let owner = *self.owner.borrow();
        let mut submit = Dispatcher::new(worker, owner, ticket.sequence, self.large);
        if let Some(done) = call.on_answer(ticket.part, answer, &mut submit)
            && let Some((_, sender)) = state.take()
        {
            // The client may have left.
            drop(sender.send(done));
        }
    }
}

/// Serves a connection whose first bytes were read already.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    first: Vec<u8>,
) {
    let io = TokioIo::new(Prefixed { first: Bytes::from(first), stream });
    let service = service_fn(|request| {
        let worker = Rc::clone(worker);
        async move { Ok::<_, Infallible>(respond(&worker, request).await) }
    });
    let served = http1::Builder::new()
        // A client may end its side and still wait for answers.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "HTTP connection ended");
    }
}

async fn respond(worker: &Rc<Worker>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    worker.counters.commands.add(1);
    let (head, body) = request.into_parts();
    if worker.is_stopping() {
        return into_response(HttpAnswer::stopping());
    }
    let answer = match collect(worker, body).await {
        Ok(body) => execute(worker, &head, &body.bytes).await,
        Err(refusal) => refusal,
    };
    into_response(answer)
}

/// A request's body, counted as long as it is held.
struct Body<'w> {
    worker: &'w Worker,
    bytes: Vec<u8>,
    counted: usize,
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.worker.shared.budget.change(&mut self.counted, 0);
    }
}

/// Collects a body as it comes, within the limits of one value, of the proxy's buffers and of time.
async fn collect(worker: &Worker, mut incoming: Incoming) -> Result<Body<'_>, HttpAnswer> {
    let too_long =
        || HttpAnswer::over_limit(&format!("the body has more than {VALUE_BYTES_MAX} bytes"));
    if incoming.size_hint().lower() > VALUE_BYTES_MAX as u64 {
        return Err(too_long());
    }
    let mut body = Body { worker, bytes: Vec::new(), counted: 0 };
    let deadline = tokio::time::Instant::now() + BODY_TIMEOUT;
    loop {
        let frame = tokio::time::timeout_at(deadline, incoming.frame()).await.map_err(|_| {
            HttpAnswer::bad_request(&format!("no whole body within {} s", BODY_TIMEOUT.as_secs()))
        })?;
        let Some(frame) = frame else { return Ok(body) };
        let frame = frame.map_err(|error| {
            HttpAnswer::bad_request(&format!("the body cannot be read: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if body.bytes.len() + data.len() > VALUE_BYTES_MAX {
            return Err(too_long());
        }
        body.bytes.extend_from_slice(&data);
        let within = worker.shared.budget.change(&mut body.counted, body.bytes.capacity());
        if !within && body.counted > OFFENDER_BYTES {
            return Err(HttpAnswer::busy());
        }
    }
}

async fn execute(
    worker: &Rc<Worker>,
    head: &hyper::http::request::Parts,
    body: &[u8],
) -> HttpAnswer {
    let headers: Vec<(&str, &[u8])> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = HttpRequest {
        method: head.method.as_str(),
        path_and_query: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        headers: &headers,
        body,
    };
    worker.begin_turn();
    let large = body.len() > LARGE_BYTES;
    let (sender, receiver) = oneshot::channel();
    let exchange =
        Rc::new(Exchange { state: RefCell::new(None), owner: RefCell::default(), large });
    let owner = worker.add_owner(Owner::Http(Rc::clone(&exchange)));
    exchange.owner.replace(owner);
    let place = OwnerPlace { worker, place: owner.0 };
    let mut submit = Dispatcher::new(worker, owner, 0, large);
    let answer = match front::start(&request, &mut submit) {
        HttpStarted::Answered(answer) => Some(answer),
        HttpStarted::Waiting(call) => {
            exchange.state.replace(Some((call, sender)));
            worker.settle();
            receiver.await.ok()
        }
    };
    drop(place);
    // The other end of the channel is in the exchange above.
    answer.unwrap_or_else(HttpAnswer::unexpected)
}

/// Gives the place among the owners back, also when the client leaves in the middle.
struct OwnerPlace<'w> {
    worker: &'w Worker,
    place: usize,
}

impl Drop for OwnerPlace<'_> {
    fn drop(&mut self) {
        self.worker.remove_owner(self.place);
    }
}

fn into_response(answer: HttpAnswer) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(*name, value);
    }
    builder.body(Full::new(Bytes::from(answer.body))).unwrap_or_else(|error| {
        tracing::error!(%error, "an HTTP answer could not be built");
        let mut response = Response::new(Full::default());
        *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// A stream with the bytes that were read from it to find out its protocol.
struct Prefixed {
    first: Bytes,
    stream: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
