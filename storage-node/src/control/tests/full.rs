//! A disk that is full for a while: the voter is silent, and goes on by itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use common::ids::Epoch;

use super::support::{GROUP, ME, admit, identity, lane, prepare, register, set, voter};
use crate::control::{
    Change, Control, ControlEvent, ControlStart, ControlStore, Kept, Request, start,
};
use crate::files::MemFs;

const SOON: Duration = Duration::from_secs(20);
/// Longer than until the next attempt.
const AWHILE: Duration = Duration::from_millis(300);
const FILE: &str = "/control.redb";

/// The thread of a voter of [`set`], on a disk that is full from now on.
fn on_a_full_disk() -> (MemFs, Control, Receiver<ControlEvent>, JoinHandle<()>) {
    let disk = MemFs::new();
    let (store, _) = ControlStore::create(&disk, Path::new(FILE), &identity()).unwrap();
    let (control, inbox) = Control::new();
    let (sender, events) = channel();
    let outlet = Box::new(move |_, event| sender.send(event).unwrap());
    let (fs, kept) = (Arc::new(disk.clone()), Kept::default());
    let thread = start(inbox, ControlStart { fs, store, kept, node: ME, workers: 1, outlet });
    let (request, answer) = admit(&set(1), vec![register(GROUP, 5, 1)]);
    assert!(control.request(request));
    assert_eq!(answer.blocking_recv(), Ok(Ok(())));
    assert_eq!(events.recv_timeout(SOON), Ok(ControlEvent::Voters(set(1))));
    disk.fill_up_writes(Some(0));
    (disk, control, events, thread.unwrap())
}

fn promise(server: u8) -> Request {
    let changes = vec![Change::Promise(lane(server), Epoch(6))];
    Request::Store { worker: 0, ticket: server.into(), changes }
}

#[test]
fn what_found_no_room_is_stored_and_told_when_there_is_some() {
    let (disk, control, events, thread) = on_a_full_disk();
    assert!(control.request(promise(0)));
    assert_eq!(events.recv_timeout(AWHILE), Err(RecvTimeoutError::Timeout));
    assert!(control.request(voter(1, prepare(GROUP, 9))));
    assert!(control.request(promise(1)));
    let (request, answer) = admit(&set(1), vec![register(GROUP, 5, 1)]);
    assert!(control.request(request));
    let reason = answer.blocking_recv().unwrap().expect_err("it cannot be stored");
    assert!(reason.contains("control.redb") && reason.contains("tried again"), "{reason}");
    assert_eq!(control.failed(), None);
    disk.fill_up_writes(None);
    let told = [(); 2].map(|()| events.recv_timeout(SOON).unwrap());
    assert_eq!(
        told,
        [ControlEvent::Stored(0), ControlEvent::Stored(1)],
        "and no answer of the voter"
    );
    assert!(control.request(voter(1, prepare(GROUP, 9))));
    let told = events.recv_timeout(SOON).unwrap();
    assert!(matches!(&told, ControlEvent::Answers(answers) if answers.len() == 1), "{told:?}");
    control.stop(true);
    thread.join().unwrap();
    let (_, kept) = ControlStore::open(&disk, Path::new(FILE), &identity()).unwrap();
    assert_eq!([0, 1].map(|server| kept.promises[&lane(server)]), [Epoch(6); 2]);
    assert_eq!(kept.slots.len(), 1);
}

#[test]
fn a_node_stops_while_its_disk_is_full() {
    let (disk, control, events, thread) = on_a_full_disk();
    assert!(control.request(promise(0)));
    assert_eq!(events.recv_timeout(AWHILE), Err(RecvTimeoutError::Timeout));
    control.stop(true);
    thread.join().unwrap();
    disk.fill_up_writes(None);
    let (_, kept) = ControlStore::open(&disk, Path::new(FILE), &identity()).unwrap();
    assert!(kept.promises.is_empty(), "nobody was told of it");
}

#[test]
fn what_fails_in_another_way_meanwhile_ends_the_waiting() {
    let (disk, control, events, thread) = on_a_full_disk();
    assert!(control.request(promise(0)));
    assert_eq!(events.recv_timeout(AWHILE), Err(RecvTimeoutError::Timeout));
    disk.fail_reads(Path::new(FILE), 0..u64::MAX);
    disk.fill_up_writes(None);
    while control.failed().is_none() {
        std::thread::yield_now();
    }
    assert!(control.failed().unwrap().contains("restarted"));
    control.stop(true);
    thread.join().unwrap();
    assert_eq!(events.try_iter().count(), 0);
}
