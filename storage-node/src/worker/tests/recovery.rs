//! What is there after a crash: of the process, of the machine, in the middle of anything.

use common::failure::FailureCode;
use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, Stream};
use common::log_record::{LogHead, LogRecordWriter};
use common::version::Hlc;

use super::answer::{Answer, DONE, value};
use super::client::Client;
use super::node::{Node, Setup};
use super::request::{count, get, get_start, set, set_all};
use crate::binlog::{Batch, PowerCut};

fn small_segments() -> Setup {
    Setup { segment_bytes: 8 << 10, ..Setup::default() }
}

#[test]
fn after_a_kill_every_acknowledged_write_is_there() {
    let mut node = Node::new(Setup { memtable_bytes: 0, ..small_segments() });
    for round in 0..4 {
        let mut client = node.connect();
        for index in 0..40 {
            let key = format!("{index}");
            let write = set(&key, format!("{round}.{index}"));
            let write = if index % 3 == 0 { write.always() } else { write };
            let [id] = node.turn(&mut client, [write]);
            if index % 3 == 0 {
                node.sync();
            }
            assert_eq!(client.answer(id), DONE);
            // Some rounds end before a flush, some in the middle of one, some behind it.
            if round > 0 && index == 20 {
                node.tick();
                node.sync();
            }
            if round > 1 && index == 30 {
                assert_eq!(node.run_flush_thread()[0], LogicGroup(0));
            }
        }
        let mut chain = node.chain(0);
        node = node.restart_after_kill();
        chain.push(node.position(0));
        assert_eq!(node.chain(0), chain, "a new stream behind everything that was there");
        assert_eq!(node.last(0), Lsn(1));
        let mut client = node.connect();
        for index in 0..40 {
            let [read] = node.turn(&mut client, [get(&index.to_string())]);
            assert_eq!(client.answer(read), value(format!("{round}.{index}")));
        }
    }
}

/// Writes for a power cut: returns what was acknowledged with `always`.
fn write_some(node: &mut Node, client: &mut Client) -> Vec<String> {
    let mut promised = Vec::new();
    for index in 0..10 {
        let (sure, hopeful) = (format!("sure{index}"), format!("hopeful{index}"));
        let [_, first] = node.turn(client, [set(&hopeful, "1"), set(&sure, "1").always()]);
        node.sync();
        assert_eq!(client.answer(first), DONE);
        promised.push(sure);
    }
    node.gate.close();
    let [everysec, always] = node.turn(client, [set("lost", "1"), set("lost too", "1").always()]);
    assert_eq!((client.answer(everysec), client.answer(always)), (DONE, Answer::Nothing));
    promised
}

#[test]
fn after_a_power_cut_all_that_was_promised_durable_is_there_and_nothing_else_is_promised() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let promised = write_some(&mut node, &mut client);
    let mut node = node.restart_after_power_cut(PowerCut::LoseUnsynced);
    let mut client = node.connect();
    for key in promised {
        let [read] = node.turn(&mut client, [get(&key)]);
        assert_eq!(client.answer(read), value("1"), "{key}");
    }
    // The simulated disk keeps nothing that was not synced; these two were not.
    let [lost, lost_too] = node.turn(&mut client, [get("lost"), get("lost too")]);
    assert_eq!((client.answer(lost), client.answer(lost_too)), (Answer::Missing, Answer::Missing));
    let [again] = node.turn(&mut client, [set("lost", "2").always()]);
    node.sync();
    assert_eq!(client.answer(again), DONE);
}

#[test]
fn after_a_power_cut_with_torn_sectors_all_that_was_promised_durable_is_there() {
    for seed in 0..12 {
        let mut node = Node::new(Setup::default());
        let mut client = node.connect();
        let promised = write_some(&mut node, &mut client);
        let mut node = node.restart_after_power_cut(PowerCut::TornSectors(seed));
        let mut client = node.connect();
        for key in promised {
            let [read] = node.turn(&mut client, [get(&key)]);
            assert_eq!(client.answer(read), value("1"), "{key}, seed {seed}");
        }
        let [again] = node.turn(&mut client, [set("more", "2")]);
        assert_eq!(client.answer(again), DONE, "seed {seed}");
    }
}

#[test]
fn a_power_cut_at_any_sync_loses_no_promised_write() {
    for cut_at in 1.. {
        let mut node = Node::new(Setup { memtable_bytes: 0, ..small_segments() });
        let mut client = node.connect();
        node.disk.cut_power_at_sync(node.disk.syncs() + cut_at);
        let mut promised = Vec::new();
        for index in 0..12 {
            let key = format!("{index}");
            let [write] = node.turn(&mut client, [set(&key, [7; 1 << 10]).always()]);
            node.try_sync();
            if client.answer(write) != DONE {
                assert!(node.disk.is_cut(), "without a reason");
                break;
            }
            promised.push(key);
            node.tick();
            node.try_sync();
            node.run_flush_thread();
        }
        let cut = node.disk.is_cut();
        let mut node = node.restart_after_power_cut(PowerCut::LoseUnsynced);
        let mut client = node.connect();
        for key in promised {
            let [read] = node.turn(&mut client, [get(&key)]);
            assert_eq!(client.answer(read), value([7; 1 << 10]), "{key}, cut at sync {cut_at}");
        }
        if !cut {
            assert!(cut_at > 20, "there were enough syncs to cut at");
            break;
        }
    }
}

/// A record that changes nothing.
fn record(stream: Stream, lsn: Lsn) -> Vec<u8> {
    let hlc = Hlc::from_ms(1);
    let head =
        LogHead { stream, lsn, hlc, node: NodeId::of_name("a1"), request: RequestId(1), open: 0 };
    let mut body = Vec::new();
    LogRecordWriter::new(&mut body, &head).finish(&[]);
    body
}

/// Starts a node on a log that ends with this record, which no worker wrote.
fn refusal(lane: Lane, lsn: Lsn) -> String {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    node.turn(&mut client, [set("a", "1"), set("b", "2")]);
    let mut batch = Batch::new();
    let body = record(Stream { lane, epoch: Epoch(1) }, lsn);
    batch.push(|out| out.extend_from_slice(&body)).unwrap();
    node.core.shared.log.append(&mut batch).unwrap();
    let disk = node.disk.after_power_cut(PowerCut::KeepAll);
    node.restart_on(disk).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_gap_in_a_stream_is_refused_at_replay() {
    let lane = |group| Lane { group: LogicGroup(group), server: ServerIndex(0) };
    assert_eq!(refusal(lane(0), Lsn(4)), "", "the next number is fine");
    let gap = refusal(lane(0), Lsn(5));
    assert!(gap.contains("lsn:5 of stream 0.0@1 follows lsn:3"), "{gap}");
    assert!(gap.contains("see `Errors at start` in docs/OPERATIONS.md"), "{gap}");
    let unknown = refusal(lane(5), Lsn(1));
    assert!(unknown.contains("group 5"), "{unknown}");
}

#[test]
fn a_large_batch_is_one_record_that_is_there_or_not_as_a_whole() {
    let keys: Vec<_> = (0..20_000).map(|index| format!("key {index}")).collect();
    let all = || keys.iter().map(|key| (key.as_str(), &b"12345678"[..]));
    let mut node = Node::new(small_segments());
    let mut client = node.connect();
    node.disk.limit_space(Some(0));
    let [full] = node.turn(&mut client, [set_all(all())]);
    assert_eq!(client.answer(full), Answer::Failed(FailureCode::DiskFull));
    let [none] = node.turn(&mut client, [count()]);
    assert_eq!(client.answer(none), Answer::Count(0));
    node.disk.limit_space(None);
    let [batch, read] = node.turn(&mut client, [set_all(all()).always(), get("key 19999")]);
    assert_eq!(client.answer(read), Answer::Nothing);
    node.sync();
    assert_eq!(client.answer(batch), Answer::Batch(20_000));
    assert_eq!(client.answer(read), value("12345678"));
    assert_eq!(node.last(0), Lsn(2));
    let mut node = node.restart_after_kill();
    let [counted] = node.turn(&mut client, [count()]);
    assert_eq!(client.answer(counted), Answer::Count(20_000));
}

#[test]
fn a_turn_longer_than_a_segment_is_taken() {
    let mut node = Node::new(small_segments());
    let mut client = node.connect();
    let long = vec![3; 3 << 20];
    let [one, two, three] =
        node.turn(&mut client, [set("1", &long), set("2", &long).always(), set("3", &long)]);
    node.sync();
    for id in [one, two, three] {
        assert_eq!(client.answer(id), DONE);
    }
    let mut node = node.restart_after_kill();
    let [read, counted] = node.turn(&mut client, [get_start("3", 4), count()]);
    assert_eq!((client.answer(read), client.answer(counted)), (value([3; 4]), Answer::Count(3)));
}
