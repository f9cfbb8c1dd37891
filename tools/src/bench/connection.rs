//! One client connection of the loader: a batch of requests, their replies, the next batch.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::BenchError;
use super::workload::Workload;
use crate::clock;
use crate::resp::{Outcome, skip};

/// Longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;

/// When a connection stops.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// At this moment.
    Deadline(Instant),
    /// After this many requests.
    Count(u64),
}

/// What connections measured.
#[derive(Debug)]
pub(super) struct Tally {
    /// Replies.
    pub(super) requests: u64,
    /// Those that were errors.
    pub(super) errors: u64,
    /// The first error's text.
    pub(super) first_error: Option<String>,
    /// From before the batch was written to the reply, in microseconds.
    pub(super) latency_us: Histogram<u64>,
}

impl Tally {
    /// Nothing measured yet.
    pub(super) fn new() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
            .expect("the bounds are constant and valid");
        Self { requests: 0, errors: 0, first_error: None, latency_us }
    }

    /// Takes in what another measured.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
        self.latency_us.add(&other.latency_us).expect("all have the same bounds");
    }
}

/// Sends batches of `pipeline` requests until the end.
pub(super) async fn drive(
    mut stream: TcpStream,
    address: &str,
    mut workload: Workload,
    pipeline: u64,
    until: Until,
) -> Result<Tally, BenchError> {
    let lost = |source| BenchError::Lost { address: address.to_owned(), source };
    let mut tally = Tally::new();
    let (mut out, mut input) = (Vec::new(), BytesMut::new());
    loop {
        let began = clock::now();
        let batch = match until {
            Until::Deadline(deadline) if began >= deadline => 0,
            Until::Deadline(_) => pipeline,
            Until::Count(count) => pipeline.min(count - tally.requests),
        };
        out.clear();
        let batch = (0..batch).take_while(|_| workload.put_next(&mut out)).count();
        if batch == 0 {
            return Ok(tally);
        }
        stream.write_all(&out).await.map_err(lost)?;
        let mut left = batch;
        while left > 0 {
            if stream.read_buf(&mut input).await.map_err(lost)? == 0 {
                return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let latency = clock::now().duration_since(began).as_micros();
            let latency = u64::try_from(latency).unwrap_or(u64::MAX).clamp(1, LATENCY_US_MAX);
            left -= take_replies(&mut input, &mut tally, latency)
                .map_err(|source| BenchError::Garbage { address: address.to_owned(), source })?;
        }
    }
}

/// Steps over all whole replies and returns how many there were.
fn take_replies(
    input: &mut BytesMut,
    tally: &mut Tally,
    latency_us: u64,
) -> Result<usize, crate::resp::CodecError> {
    let mut count = 0;
    while let Some((outcome, len)) = skip(input)? {
        if outcome == Outcome::Error {
            tally.errors += 1;
            let text = || String::from_utf8_lossy(&input[..len]).trim().to_owned();
            tally.first_error.get_or_insert_with(text);
        }
        input.advance(len);
        tally.requests += 1;
        tally.latency_us.saturating_record(latency_us);
        count += 1;
    }
    Ok(count)
}
