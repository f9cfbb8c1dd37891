//! The control thread: it waits for the disk, so that workers never do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use common::ids::NodeId;

use super::electorate::Electorate;
use super::error::ControlError;
use super::kept::Kept;
use super::store::ControlStore;
use super::turn::{Keeper, Outlet, Request};
use crate::files::Fs;

/// Requests that may wait.
const QUEUE: usize = 4_096;
/// Above this no more messages of other nodes wait, which are repeated anyway: there is always room
/// for what this node itself wants stored.
const QUEUE_PEERS: usize = QUEUE / 2;
/// Requests of one turn at most, so that the first of them does not wait for all.
const TURN: usize = 1_024;

/// How often a commit that found no room on the disk is made again.
const ROOM_STEP: Duration = Duration::from_millis(100);

const _: () = assert!(TURN < QUEUE_PEERS && QUEUE_PEERS < QUEUE);

/// The way to the control thread.
#[derive(Clone, Debug)]
pub struct Control {
    requests: SyncSender<Request>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: AtomicUsize,
    failure: OnceLock<String>,
}

/// The thread's end of [`Control`].
#[derive(Debug)]
pub struct ControlInbox {
    requests: Receiver<Request>,
    state: Arc<State>,
}

/// What the thread begins with.
pub struct ControlStart {
    /// What it lies on.
    pub fs: Arc<dyn Fs>,
    /// The open file.
    pub store: ControlStore,
    /// What it held when it was opened.
    pub kept: Kept,
    /// This server.
    pub node: NodeId,
    /// Number of workers: each is told of a new voter set.
    pub workers: usize,
    /// How events reach them.
    pub outlet: Outlet,
}

impl Control {
    /// The way, and its end for [`start`].
    #[must_use]
    pub fn new() -> (Self, ControlInbox) {
        let (sender, requests) = sync_channel(QUEUE);
        let state = Arc::new(State::default());
        (Self { requests: sender, state: Arc::clone(&state) }, ControlInbox { requests, state })
    }

    /// Hands a request over without waiting. `false`: it was dropped, since too many wait or the
    /// thread stopped. Messages of peers are repeated by them; anything else is asked for again
    /// later.
    #[must_use]
    pub fn request(&self, request: Request) -> bool {
        let from_peers = matches!(request, Request::Voter { .. } | Request::Learn { .. });
        // Counted before it can be taken, so the count never falls below zero.
        let before = self.state.waiting.fetch_add(1, Ordering::Relaxed);
        let sent =
            !(from_peers && before >= QUEUE_PEERS) && self.requests.try_send(request).is_ok();
        if !sent {
            self.state.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Lets the thread do what waits and end, and waits for room in its queue. Clean: nothing is
    /// appended to the log any more, and all of it is durable.
    pub fn stop(&self, clean: bool) {
        self.state.waiting.fetch_add(1, Ordering::Relaxed);
        // An error says that the thread ended already.
        if self.requests.send(Request::Stop { clean }).is_err() {
            self.state.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Why nothing is stored and voted on any more, for `/readyz`; `None` while all is well.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.state.failure.get().map(String::as_str)
    }
}

/// Starts the thread; it ends with [`Control::stop`], or when no [`Control`] is left.
///
/// # Errors
/// The system refuses a thread.
pub fn start(inbox: ControlInbox, start: ControlStart) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("control".into()).spawn(move || {
        let ControlStart { fs, store, kept, node, workers, outlet } = start;
        let electorate = Electorate::start(rt::clock::boot_ms(), node, &kept);
        inbox.serve(&*fs, Keeper::new(store, electorate, workers, outlet));
    })
}

impl ControlInbox {
    fn serve(self, fs: &dyn Fs, mut keeper: Keeper) {
        let mut kept = Vec::new();
        while let Some(turn) = self.next_turn(&mut kept) {
            let done = match keeper.run(rt::clock::boot_ms(), turn) {
                Err(error) if keeper.store.is_full() => {
                    self.wait_for_room(fs, &mut keeper, error, &mut kept)
                }
                done => done,
            };
            match done {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => return self.refuse_all(&error),
            }
        }
    }

    /// The disk had no room for a commit: makes it again until there is some. Until then the voter is
    /// silent, like one that stopped, and `kept` collects what workers wait for. Returns whether the
    /// thread shall stop.
    fn wait_for_room(
        &self,
        fs: &dyn Fs,
        keeper: &mut Keeper,
        error: ControlError,
        kept: &mut Vec<Request>,
    ) -> Result<bool, ControlError> {
        let reason = format!("{error}; it is tried again until there is room");
        tracing::error!("{reason}");
        let mut retry_at = rt::clock::now() + ROOM_STEP;
        loop {
            let left = retry_at.saturating_duration_since(rt::clock::now());
            // However many ask meanwhile.
            let request = match left {
                Duration::ZERO => Err(RecvTimeoutError::Timeout),
                left => self.requests.recv_timeout(left),
            };
            match request {
                Ok(request) => {
                    self.state.waiting.fetch_sub(1, Ordering::Relaxed);
                    match request {
                        Request::Stop { .. } => return Ok(true),
                        // At most one for each group.
                        Request::Store { .. } => kept.push(request),
                        request => refuse(request, &reason),
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
                Err(RecvTimeoutError::Timeout) => match keeper.retry(fs) {
                    Err(error) if error.is_no_space() => {
                        retry_at = rt::clock::now() + ROOM_STEP;
                    }
                    Ok(stop) => {
                        tracing::info!("the control file is written again");
                        return Ok(stop);
                    }
                    error => return error,
                },
            }
        }
    }

    /// What was kept, or else what the next request is and what else is there; `None` when nobody can
    /// ask any more.
    fn next_turn(&self, kept: &mut Vec<Request>) -> Option<Vec<Request>> {
        if !kept.is_empty() {
            return Some(std::mem::take(kept));
        }
        let mut turn = vec![self.requests.recv().ok()?];
        turn.extend(self.requests.try_iter().take(TURN - 1));
        self.state.waiting.fetch_sub(turn.len(), Ordering::Relaxed);
        Some(turn)
    }

    /// A commit failed. Whether it is in the file is open, so the voter's answers could contradict
    /// each other: it is silent from now on, like one that stopped.
    fn refuse_all(&self, error: &ControlError) {
        let reason =
            format!("{error}; until the node is restarted it promises nothing and does not vote");
        tracing::error!("{reason}");
        let reason = self.state.failure.get_or_init(|| reason);
        while let Some(turn) = self.next_turn(&mut Vec::new()) {
            for request in turn {
                if matches!(request, Request::Stop { .. }) {
                    return;
                }
                refuse(request, reason);
            }
        }
    }
}

/// Whoever asks for an answer gets the reason; what others sent is repeated by them.
fn refuse(request: Request, reason: &str) {
    if let Request::Admit(_, _, asker) | Request::Install(_, asker) = request {
        // The asker may be gone; then nobody wants to know.
        drop(asker.send(Err(reason.to_owned())));
    }
}
