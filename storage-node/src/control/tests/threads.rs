//! The thread and the way to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::ids::{Epoch, LogicGroup};
use tokio::sync::oneshot;

use super::support::{Bench, GROUP, ME, admit, identity, lane, prepare, register, set, voter};
use super::turns::FailingDisk;
use crate::control::{
    Change, Control, ControlEvent, ControlInbox, ControlStart, ControlStore, Kept, Outlet, Request,
    start,
};
use crate::files::RealFs;

const SOON: Duration = Duration::from_secs(20);

fn begin(inbox: ControlInbox, store: ControlStore, outlet: Outlet) -> std::thread::JoinHandle<()> {
    let kept = Kept::default();
    start(inbox, ControlStart { fs: Arc::new(RealFs), store, kept, node: ME, workers: 1, outlet })
        .unwrap()
}

fn promise(ticket: u64) -> Request {
    Request::Store { worker: 0, ticket, changes: vec![Change::Promise(lane(0), Epoch(ticket))] }
}

#[test]
fn requests_are_answered_and_a_stop_ends_the_thread() {
    let bench = Bench::new();
    let (control, inbox) = Control::new();
    let (sender, events) = channel();
    let outlet = Box::new(move |worker, event| sender.send((worker, event)).unwrap());
    let thread = begin(inbox, bench.create().0, outlet);
    let (request, answer) = admit(&set(1), vec![register(GROUP, 5, 1)]);
    assert!(control.request(request));
    assert_eq!(answer.blocking_recv(), Ok(Ok(())));
    assert!(control.request(promise(6)));
    assert!(control.request(voter(1, prepare(GROUP, 9))));
    let (sender, views) = oneshot::channel();
    assert!(control.request(Request::Views(false, sender)));
    assert_eq!(
        views.blocking_recv().unwrap().groups,
        [common::agreed::KnownRegister::chosen(register(GROUP, 5, 1))]
    );
    let told: Vec<_> = (0..3).map(|_| events.recv_timeout(SOON).unwrap().1).collect();
    assert!(told.contains(&ControlEvent::Stored(6)), "{told:?}");
    control.stop(true);
    thread.join().unwrap();
    assert!(!control.request(promise(7)), "nobody is there");
    assert_eq!(control.failed(), None);
    assert_eq!(bench.open().1.promises[&lane(0)], Epoch(6));
}

#[test]
fn messages_of_peers_leave_room_for_what_the_node_itself_wants() {
    let (control, inbox) = Control::new();
    let sent = (0..10_000).filter(|_| control.request(voter(1, prepare(GROUP, 9)))).count();
    assert_eq!(sent, 2_048);
    assert!(control.request(promise(1)));
    let stored = (0..10_000).filter(|ticket| control.request(promise(*ticket))).count();
    assert_eq!(stored, 2_047, "every queue has an end");

    let bench = Bench::new();
    let thread = begin(inbox, bench.create().0, Box::new(|_, _| {}));
    control.stop(false);
    thread.join().unwrap();
    assert_eq!(bench.open().1.promises[&lane(0)], Epoch(2_046));
}

#[test]
fn after_a_failed_commit_the_reason_is_shown_and_everything_is_refused() {
    let bench = Bench::new();
    let (disk, fails) = FailingDisk::new();
    let store = ControlStore::on_backend(&bench.path(), &identity(), disk).unwrap();
    let (control, inbox) = Control::new();
    let (sender, events) = channel();
    let outlet = Box::new(move |_, event| sender.send(event).unwrap());
    let thread = begin(inbox, store, outlet);
    let (request, answer) = admit(&set(1), vec![register(GROUP, 5, 1)]);
    assert!(control.request(request));
    assert_eq!(answer.blocking_recv(), Ok(Ok(())));
    assert_eq!(events.recv_timeout(SOON), Ok(ControlEvent::Voters(set(1))));
    assert_eq!(control.failed(), None);

    fails.store(true, Ordering::Relaxed);
    assert!(control.request(promise(6)));
    assert!(control.request(voter(1, prepare(LogicGroup(8), 9))));
    let (request, answer) = admit(&set(2), vec![register(GROUP, 5, 1)]);
    assert!(control.request(request));
    // Either its own turn failed, or one before.
    assert_ne!(answer.blocking_recv(), Ok(Ok(())));
    fails.store(false, Ordering::Relaxed);
    let (request, answer) = admit(&set(2), vec![register(GROUP, 5, 1)]);
    assert!(control.request(request));
    let reason = answer.blocking_recv().unwrap().expect_err("until the node is restarted");
    assert_eq!(control.failed(), Some(reason.as_str()));
    assert!(reason.contains("control.redb") && reason.contains("restart"), "{reason}");
    control.stop(true);
    thread.join().unwrap();
    assert_eq!(events.try_iter().count(), 0, "nobody was told anything");
}
