//! A log on a simulated disk, and groups with files to replay it into.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::address::{Address, Field, Object};
use common::ids::{
    ClusterId, Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, StoreId, Stream,
};
use common::key::put_key;
use common::log_record::{LogHead, LogRecord, LogRecordWriter, Mutation};
use common::stored::{Body, Stored};
use common::version::Hlc;
use tempfile::TempDir;

use super::model;
use crate::binlog::{
    Batch, Log, LogError, LogFs, LogIdentity, LogOptions, LogPosition, MemFs, PowerCut,
    SEGMENT_BYTES_MIN, WhenAbsent,
};
use crate::engine::{Store, StoreIdentity, StoreOptions, View};
use crate::files::{Fs, RealFs};
use crate::lane::DedupWindow;
use crate::replay::crew::CrewOptions;
use crate::replay::{Replay, covered, lanes_of_file};
use crate::replication::position::Position;
use crate::worker::OpenedGroup;

pub(super) const GROUPS: u16 = 3;
pub(super) const SERVERS: u8 = 2;
const KEYS: u8 = 40;
const IDENTITY: LogIdentity =
    LogIdentity { store: StoreId(7), cluster: ClusterId(8), node: NodeId(9) };
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: SEGMENT_BYTES_MIN,
    sync_interval: Duration::from_secs(24 * 3600),
    when_absent: WhenAbsent::Create,
};

fn dir() -> &'static Path {
    Path::new("/log")
}

/// A log that is written.
pub(super) struct Written {
    disk: MemFs,
    log: Log,
    batch: Batch,
    /// By lane: the last record of each stream.
    streams: Vec<BTreeMap<Epoch, Lsn>>,
    records: u64,
    /// Least length of a value.
    pub(super) value_bytes: usize,
    last: BTreeMap<Lane, (RequestId, Position)>,
}

fn lane(place: usize) -> Lane {
    let place = u16::try_from(place).unwrap();
    let server = u8::try_from(place / GROUPS).unwrap();
    Lane { group: LogicGroup(place % GROUPS), server: ServerIndex(server) }
}

impl Written {
    pub(super) fn new() -> Self {
        let disk = MemFs::new();
        disk.create_dir(Path::new("/")).unwrap();
        let fs = Arc::new(disk.clone());
        let (log, _) = Log::open(fs, dir(), IDENTITY, OPTIONS, &mut |_, _| Ok(())).unwrap();
        let streams = vec![BTreeMap::new(); usize::from(GROUPS) * usize::from(SERVERS)];
        let (batch, last) = (Batch::new(), BTreeMap::new());
        Self { disk, log, batch, streams, records: 0, value_bytes: 20, last }
    }

    /// Bytes as a record.
    pub(super) fn put(&mut self, body: &[u8]) {
        self.batch.push(|out| out.extend_from_slice(body)).unwrap();
    }

    fn head(&mut self, lane: Lane, at: Position, open: u32) -> LogHead {
        self.records += 1;
        let request = RequestId(u128::from(self.records));
        self.last.insert(lane, (request, at));
        LogHead {
            stream: Stream { lane, epoch: at.epoch },
            lsn: at.lsn,
            hlc: Hlc::from_ms(1_000 + self.records),
            node: NodeId(9),
            request,
            open,
        }
    }

    fn write(&mut self, lane: Lane, at: Position, open: u32, key: &[u8]) {
        let head = self.head(lane, at, open);
        let more = usize::from(key.last().copied().unwrap_or_default() % 64);
        let value = vec![7; self.value_bytes + more];
        let stored =
            Stored { version: head.version(), body: Body::Value { expire_at: 0, value: &value } };
        let mut body = Vec::new();
        let mut writer = LogRecordWriter::new(&mut body, &head);
        writer.mutation(&Mutation { key, stored });
        writer.finish(&self.records.to_le_bytes());
        self.put(&body);
    }

    /// The next number of a lane's last stream, or of the one before that.
    fn next(&mut self, place: usize, older: bool, skip: u64) -> Position {
        if self.streams[place].is_empty() {
            self.begin(place, 0);
        }
        let streams = self.streams[place].iter_mut().rev();
        let (&epoch, lsn) = streams.take(1 + usize::from(older)).last().unwrap();
        lsn.0 += 1 + skip;
        Position { epoch, lsn: *lsn }
    }

    pub(super) fn append(&mut self, place: usize, older: bool, open: u32, key: u8) {
        let at = self.next(place, older, 0);
        self.write(lane(place), at, open, &key_of(lane(place), key));
    }

    pub(super) fn begin(&mut self, place: usize, cut: u64) {
        let streams = &mut self.streams[place];
        let ends = streams.iter().map(|(epoch, lsn)| (*epoch, Lsn(lsn.0.saturating_sub(cut))));
        let ends: Vec<_> = ends.filter(|(_, lsn)| lsn.0 > 0).collect();
        let epoch = Epoch(streams.keys().next_back().map_or(1, |last| last.0 + 2));
        let at = Position { epoch, lsn: Lsn(1) };
        streams.insert(epoch, at.lsn);
        let head = self.head(lane(place), at, 0);
        let mut body = Vec::new();
        LogRecord::encode_start(&mut body, &LogHead { request: RequestId(0), ..head }, &ends);
        self.put(&body);
    }

    pub(super) fn gap(&mut self, place: usize) {
        let at = self.next(place, false, 1);
        self.write(lane(place), at, 0, &key_of(lane(place), 1));
    }

    pub(super) fn wrong_key(&mut self, place: usize) {
        let at = self.next(place, false, 0);
        self.write(lane(place), at, 0, b"no key");
    }

    pub(super) fn of_lane(&mut self, group: u16, server: u8) {
        let lane = Lane { group: LogicGroup(group), server: ServerIndex(server) };
        self.write(lane, Position { epoch: Epoch(1), lsn: Lsn(1) }, 0, &key_of(lane, 1));
    }

    /// What was put goes to the log.
    pub(super) fn turn(&mut self, sync: bool) {
        if !self.batch.is_empty() {
            self.log.append(&mut self.batch).unwrap();
            self.batch.clear();
        }
        if sync {
            let appended = self.log.appended();
            self.log.request_sync(appended);
            while self.log.durable() < appended {
                std::thread::yield_now();
            }
        }
    }

    /// The last request of a lane and the place of its record.
    pub(super) fn last_request(&self, lane: Lane) -> (RequestId, Position) {
        self.last[&lane]
    }

    /// Takes segments off the log; returns the time of its first record then.
    pub(super) fn release(&mut self) -> u64 {
        let upto = LogPosition::new(self.log.appended().segment - 1, 0);
        assert!(self.log.release(upto).unwrap() > 0);
        let mut first = None;
        self.read(self.disk.after_power_cut(PowerCut::KeepAll), |_, body| {
            first.get_or_insert_with(|| common::log_record::decode_head(body).unwrap().hlc.ms());
        });
        first.unwrap()
    }

    fn read(&self, disk: MemFs, mut visit: impl FnMut(LogPosition, &[u8])) {
        let mut visit = |at: LogPosition, body: &[u8]| {
            visit(at, body);
            Ok(())
        };
        Log::open(Arc::new(disk), dir(), IDENTITY, OPTIONS, &mut visit).unwrap();
    }

    fn all(&self) -> Vec<(LogPosition, Vec<u8>)> {
        let mut all = Vec::new();
        let disk = self.disk.after_power_cut(PowerCut::KeepAll);
        self.read(disk, |at, body| all.push((at, body.to_vec())));
        all
    }

    /// The disk after a kill: what was not synced is in the page cache only.
    pub(super) fn after_kill(&self) -> MemFs {
        let (full, disk) = (self.disk.after_power_cut(PowerCut::KeepAll), MemFs::new());
        let durable = self.log.durable();
        for parent in ["/", "/log"] {
            disk.create_dir(Path::new(parent)).unwrap();
        }
        disk.sync_dir(Path::new("/")).unwrap();
        let segments = full.list(dir()).unwrap().into_iter().filter(|n| n.ends_with(".binlog"));
        for name in segments {
            let index: u64 = name.trim_end_matches(".binlog").parse().unwrap();
            let file = full.open(&dir().join(&name)).unwrap();
            let mut data = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
            file.read_exact_at(&mut data, 0).unwrap();
            let synced = match index.cmp(&durable.segment) {
                std::cmp::Ordering::Less => data.len(),
                std::cmp::Ordering::Equal => usize::try_from(durable.offset).unwrap(),
                std::cmp::Ordering::Greater => 4096,
            };
            let file = disk.create(&dir().join(&name)).unwrap();
            file.preallocate(data.len() as u64).unwrap();
            file.write_all_at(&data[..synced], 0).unwrap();
            file.sync_data().unwrap();
            file.write_all_at(&data[synced..], synced as u64).unwrap();
        }
        disk.sync_dir(dir()).unwrap();
        disk
    }

    /// The last record on a disk that loses what was not synced.
    pub(super) fn last_after_power_cut(&self, disk: &MemFs) -> LogPosition {
        let mut last = LogPosition::default();
        self.read(disk.after_power_cut(PowerCut::LoseUnsynced), |at, _| last = at);
        last
    }
}

/// A key is of one lane only.
fn key_of(lane: Lane, number: u8) -> Vec<u8> {
    let name = [lane.server.0, number % KEYS];
    let mut key = Vec::new();
    let object = Object { namespace: b"ns", name: &name };
    put_key(&mut key, Address { object, field: Field::Unnamed });
    key
}

/// Groups with files to replay a log into.
pub(super) struct Bench {
    groups: BTreeMap<LogicGroup, OpenedGroup>,
    /// Below the files that lie in it.
    _dir: Option<TempDir>,
}

impl Bench {
    pub(super) fn new() -> Self {
        // Nothing here depends on a disk: not to wait for one.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let real: Arc<dyn Fs> = Arc::new(RealFs);
        let groups = Self::on(&real, dir.path()).groups;
        Self { groups, _dir: Some(dir) }
    }

    /// With files on a disk, each below a directory of its own that has the group's number.
    pub(super) fn on(fs: &Arc<dyn Fs>, dir: &Path) -> Self {
        let options =
            StoreOptions { cache_bytes: 1 << 20, servers: SERVERS, purge_tombstones: false };
        let group = |id| {
            let id = LogicGroup(id);
            let LogIdentity { store, cluster, node } = IDENTITY;
            let identity = StoreIdentity { store, cluster, node, group: id };
            let dir = dir.join(id.0.to_string());
            fs.create_dir(&dir).unwrap();
            let path = dir.join("group.redb");
            let store = Store::create(fs, &path, identity, options).unwrap();
            let lanes = lanes_of_file(&store, id, SERVERS);
            (id, OpenedGroup { id, store, lanes })
        };
        Self { groups: (0..GROUPS).map(group).collect(), _dir: None }
    }

    /// Replays the log as the node does; what is there then, or the refusal.
    pub(super) fn by_crew(
        &mut self,
        disk: &MemFs,
        options: CrewOptions,
    ) -> Result<Vec<String>, String> {
        let windows = vec![DedupWindow::new(1 << 20)];
        let mut windows = self.replay(disk, options, windows)?;
        Ok(self.describe(&mut windows[0]))
    }

    /// Replays a log; the workers' dedup windows.
    pub(super) fn replay(
        &mut self,
        disk: &MemFs,
        options: CrewOptions,
        windows: Vec<DedupWindow>,
    ) -> Result<Vec<DedupWindow>, String> {
        let groups = std::mem::take(&mut self.groups);
        let mut replay = Replay::new(groups, windows, options).unwrap();
        let fs = Arc::new(disk.clone());
        let opened = Log::open_into(fs, dir(), IDENTITY, OPTIONS, &mut replay);
        self.groups = replay.crew.finish();
        match opened {
            Ok(_) => Ok(replay.dedup),
            Err(LogError::Refused { path, offset, reason }) => {
                Err(format!("{}:{offset}: {reason}", path.display()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The same by the model.
    pub(super) fn by_model(&mut self, written: &Written) -> Result<Vec<String>, String> {
        let mut window = DedupWindow::new(1 << 20);
        for (at, body) in written.all() {
            let visited = model::visit(&mut self.groups, &mut window, at, &body);
            visited.map_err(|e| format!("/log/{:016}.binlog:{}: {e}", at.segment, at.offset))?;
        }
        Ok(self.describe(&mut window))
    }

    fn describe(&self, window: &mut DedupWindow) -> Vec<String> {
        let mut lines = Vec::new();
        for group in self.groups.values() {
            let (id, store) = (group.id, &group.store);
            lines.push(format!("{id}: {:?} {:?}", store.applied(), store.hlc()));
            for lane in &group.lanes {
                let (held, official) = (&lane.held, lane.official);
                lines.push(format!("{held:?} {official:?} {:?} {:?}", lane.backlog, lane.index));
            }
            for (server, key) in (0..SERVERS).flat_map(|s| (0..KEYS).map(move |key| (s, key))) {
                let lane = Lane { group: id, server: ServerIndex(server) };
                let record = store.record(&key_of(lane, key)).unwrap();
                lines.push(format!("{lane} {key}: {:?}", record.as_ref().map(|r| r.stored())));
            }
        }
        for request in 1..2_000 {
            lines.push(format!("{:?}", window.find(RequestId(request)).collect::<Vec<_>>()));
        }
        lines
    }

    /// Brings what was applied into the files, and forgets the rest.
    pub(super) fn flush(&mut self) {
        for group in self.groups.values_mut() {
            let done = group.store.begin_flush().unwrap().run();
            assert!(done.error().is_none());
            drop(group.store.finish_flush(done));
            group.lanes = lanes_of_file(&group.store, group.id, SERVERS);
        }
    }

    /// Memory of all memtables.
    pub(super) fn memory_bytes(&self) -> usize {
        self.groups.values().map(|group| group.store.memory_bytes()).sum()
    }

    /// The memtable of a group in bytes, and whether its flush failed.
    pub(super) fn group(&self, id: u16) -> (usize, bool) {
        let store = &self.groups[&LogicGroup(id)].store;
        (store.memory_bytes(), store.wants_retry())
    }

    /// How far the log is in the files.
    pub(super) fn covered(&self) -> LogPosition {
        self.groups.values().map(|group| covered(&group.store)).max().unwrap()
    }
}
