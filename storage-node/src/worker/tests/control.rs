//! The node's control thread: the real one on a real file, whose events the test hands over.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use common::ids::{Lane, VoterGeneration};
use common::register::VoterSet;
use tokio::sync::oneshot;

use crate::control::{
    self, Control, ControlError, ControlEvent, ControlInbox, ControlStart, ControlStore, Kept,
    NodeIdentity, Request,
};
use crate::files::Fs;
use crate::shared::Shared;
use crate::worker::Life;

/// The control file of a process start, before its thread runs.
pub(super) struct ControlFile {
    store: ControlStore,
    kept: Kept,
}

impl ControlFile {
    /// Opens or makes it.
    pub(super) fn open(
        fs: &dyn Fs,
        path: &Path,
        identity: &NodeIdentity,
        create: bool,
    ) -> Result<Self, ControlError> {
        let open = if create { ControlStore::create } else { ControlStore::open };
        let (store, kept) = open(fs, path, identity)?;
        Ok(Self { store, kept })
    }

    /// Writes a process start of the machine's boot `boot` down.
    pub(super) fn start_life(&mut self, boot: u32, held: impl IntoIterator<Item = Lane>) -> Life {
        let started = self.store.start_life(&format!("boot {boot}"), held, 0).unwrap();
        let promises = self.kept.promises.clone();
        Life { life: started.life, promises, forgot: started.forgot }
    }

    /// The voter set that was learned.
    pub(super) fn voters(&self) -> VoterSet {
        self.kept.voters.clone()
    }

    /// Starts the thread.
    pub(super) fn start(self, inbox: ControlInbox, shared: &Arc<Shared>) -> ControlThread {
        let (sender, events) = channel();
        let told = Arc::clone(shared);
        let outlet = Box::new(move |_, event: ControlEvent| {
            if let ControlEvent::Voters(set) = &event {
                told.voters.store(Arc::new(set.clone()));
            }
            // The test may be over.
            drop(sender.send(event));
        });
        let Self { store, kept } = self;
        let fs = Arc::clone(shared.dir.fs());
        let start = ControlStart { fs, store, kept, node: shared.node, workers: 1, outlet };
        let thread = Some(control::start(inbox, start).unwrap());
        ControlThread { control: shared.control.clone(), events, thread }
    }
}

/// The thread; it ends with this, as killed as it can be.
pub(super) struct ControlThread {
    control: Control,
    events: Receiver<ControlEvent>,
    thread: Option<JoinHandle<()>>,
}

impl ControlThread {
    /// Makes the node the only voter.
    pub(super) fn admit(&self, shared: &Shared) {
        let set = VoterSet { generation: VoterGeneration(1), voters: vec![shared.node] };
        let (sender, answer) = oneshot::channel();
        assert!(self.control.request(Request::Admit(set, Vec::new(), sender)));
        assert_eq!(answer.blocking_recv(), Ok(Ok(())));
    }

    /// The next event, if there is one within that time.
    pub(super) fn event(&self, wait: Duration) -> Option<ControlEvent> {
        self.events.recv_timeout(wait).ok()
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        self.control.stop(false);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the control thread panicked");
        }
    }
}
