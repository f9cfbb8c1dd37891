//! What nodes say to each other, and what a voter keeps of it.

use common::codec::Reader;
use storage_node::replication::wire::{
    Incoming, RecordsWriter, check_peer_frame, put_message, put_needs_reseed, put_slot, put_voters,
    take, take_generation, take_slot,
};

use super::wire::written;

/// The body of a peer frame.
pub(super) fn peer_frame(bytes: &[u8]) {
    check_peer_frame(bytes);
    let mut reader = Reader::new(bytes);
    if take_generation(&mut reader).is_err() {
        return;
    }
    while !reader.rest().is_empty() {
        let Ok(incoming) = take(&mut reader) else { return };
        let again = written(|out| put(out, &incoming));
        let mut again = Reader::new(&again);
        assert_eq!(take(&mut again), Ok(incoming));
        assert_eq!(again.end(), Ok(()));
    }
}

fn put(out: &mut Vec<u8>, incoming: &Incoming<'_>) {
    match incoming {
        Incoming::Message(message) => put_message(out, message),
        Incoming::Records { records, safe_ms, sync, bodies } => {
            let mut writer = RecordsWriter::new(out, records, *safe_ms, *sync);
            bodies.iter().for_each(|body| assert!(writer.body(body)));
            writer.finish();
        }
        Incoming::Voters(voters) => put_voters(out, voters),
        Incoming::NeedsReseed(term) => put_needs_reseed(out, *term),
    }
}

/// A voter's state of one group.
pub(super) fn voter_slot(bytes: &[u8]) {
    let Ok(slot) = take_slot(&mut Reader::new(bytes)) else { return };
    let again = written(|out| put_slot(out, &slot));
    assert_eq!(take_slot(&mut Reader::new(&again)), Ok(slot));
}
