//! How much of the log stays for servers in step that have not made everything durable.

use common::ids::Lsn;

use super::answer::DONE;
use super::node::{Node, Setup};
use super::request::set;

/// More than is kept in any case.
const WRITES: usize = 24;
const BYTES: usize = 4 << 20;

/// I2: a power cut may take from a server in step what it has only handed to its kernel.
#[test]
fn the_log_stays_from_what_a_server_in_step_has_not_made_durable() {
    let two = Setup { servers: 2, memtable_bytes: 0, segment_bytes: 16 << 10, ..Setup::default() };
    let mut node = Node::new(two);
    let mut client = node.connect();
    node.hear_other();
    let durable = node.last(0);
    let begins = node.core.shared.log.appended();
    let large = vec![7; BYTES];
    for round in 0..WRITES {
        let [write] = node.turn(&mut client, [set(&format!("k{}", round % 7), &large)]);
        let last = node.last(0);
        node.hear_pull(last, durable);
        assert_eq!(client.answer(write), DONE, "written is enough");
        node.tick();
        node.sync();
        node.run_flush_thread();
    }
    node.tick();
    node.run_flush_thread();
    assert_eq!(node.group(0).store.oldest_unflushed(), None, "this server needs none of it");
    let first = node.core.shared.log.first();
    // The next record had a segment of its own.
    let needed = begins.segment + 1;
    assert!(first.segment <= needed, "{first} is behind {begins}: the other server may need that");
    // All but the last of them.
    let last = node.last(0);
    node.hear_pull(last, Lsn(last.0 - 1));
    node.tick();
    node.run_flush_thread();
    let later = node.core.shared.log.first();
    assert!(later.segment > first.segment, "{later}: released behind {first}");
}
