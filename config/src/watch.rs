//! Follows the topology file on its own thread; the only file that names the notification library.
//!
//! The *directory* is watched, because editors replace the file and `ConfigMap`s swap a symlink
//! beside it. Besides, the file is read every few seconds: notifications do not cross network file
//! systems and do not see what lies behind a symlink to another directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tracing::warn;

use crate::file::read_text;
use crate::handle::TopologyHandle;
use crate::reload::{Reload, Step};

/// How a file is followed.
pub struct WatchOptions {
    /// How long a change is left alone before it is read, and between the two readings that have
    /// to find the same.
    pub settle: Duration,
    /// How often the file is read without any notification, and how long what may be half a file
    /// has to stay the same.
    pub poll: Duration,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: Box<dyn Fn() -> u64 + Send>,
}

impl WatchOptions {
    /// The usual times with this wall clock.
    #[must_use]
    pub fn new(now_ms: impl Fn() -> u64 + Send + 'static) -> Self {
        Self {
            settle: Duration::from_millis(100),
            poll: Duration::from_secs(3),
            now_ms: Box::new(now_ms),
        }
    }
}

/// Follows the file until it is dropped; dropping waits for the thread.
#[derive(Debug)]
pub struct WatchGuard {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
    /// Notifies as long as it lives. Absent where the system has no room for another.
    _watcher: Option<RecommendedWatcher>,
}

/// What the thread is to do; there is room for one of each.
#[derive(Debug, Default)]
struct Inbox {
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wishes {
    read: bool,
    stop: bool,
}

/// Follows the file at `path` and offers what it finds to `handle`.
///
/// # Errors
/// If the thread cannot be started.
pub fn watch(path: &Path, handle: TopologyHandle, options: WatchOptions) -> io::Result<WatchGuard> {
    let inbox = Arc::new(Inbox::default());
    let watcher = watch_directory(path, &inbox);
    if let Err(error) = &watcher {
        warn!(path = %path.display(), %error, "no change notifications, the file is only polled");
    }
    let path = path.to_owned();
    let thread = Builder::new().name("topology-watch".to_owned()).spawn({
        let inbox = Arc::clone(&inbox);
        move || follow(path, &handle, &options, &inbox)
    })?;
    Ok(WatchGuard { inbox, thread: Some(thread), _watcher: watcher.ok() })
}

fn watch_directory(path: &Path, inbox: &Arc<Inbox>) -> notify::Result<RecommendedWatcher> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let inbox = Arc::clone(inbox);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an access, too. An error may mean lost events: read then.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            inbox.wish(|wishes| wishes.read = true);
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn follow(path: PathBuf, handle: &TopologyHandle, options: &WatchOptions, inbox: &Inbox) {
    let doubt_ms = u64::try_from(options.poll.as_millis()).unwrap_or(u64::MAX);
    let mut reload = Reload::new(path.clone(), doubt_ms);
    // The file may have changed since it was loaded.
    let mut step = Step::ReadAgain;
    loop {
        let notified = match step {
            // Writers that keep the file busy are waited for; the poll bounds nothing here.
            Step::ReadAgain => true,
            Step::Wait => inbox.wait(options.poll, |wishes| wishes.read),
        };
        if notified {
            inbox.wait(options.settle, |_| false);
        }
        if inbox.take_read_or_stop() {
            return;
        }
        step = reload.on_read(read_text(&path), handle, (options.now_ms)());
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wish(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.lock());
        self.changed.notify_one();
    }

    /// Waits until the end is wished for or `enough` is met, at most for `timeout`. Says whether
    /// `enough` was met.
    fn wait(&self, timeout: Duration, enough: impl Fn(&Wishes) -> bool) -> bool {
        let (wishes, _) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |wishes| !wishes.stop && !enough(wishes))
            .unwrap_or_else(PoisonError::into_inner);
        enough(&wishes)
    }

    /// Takes the wish for a reading, which comes now. Says whether the end is wished for.
    fn take_read_or_stop(&self) -> bool {
        let mut wishes = self.lock();
        wishes.read = false;
        wishes.stop
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.inbox.wish(|wishes| wishes.stop = true);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            warn!("the thread that follows the topology file panicked");
        }
    }
}
