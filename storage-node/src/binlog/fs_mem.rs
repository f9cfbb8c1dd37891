//! A simulated disk for tests: what is live and what is durable are kept apart, the power can be cut
//! at any sync, syncs and writes can fail, and space can run out.
//!
//! The model: data of a file is durable after its `sync_data`, names after `sync_dir`. When the power
//! is cut, everything stops working; [`MemFs::after_power_cut`] is the disk that is found later. Name
//! changes that were not synced survive as a prefix, as on a journaling file system.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fs::{LogFile, LogFs};

const SECTOR_BYTES: usize = 512;

/// What happens to data that was written but not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// All of it is lost.
    LoseUnsynced,
    /// Each sector is lost or kept, by chance from this seed.
    TornSectors(u64),
    /// All of it is kept.
    KeepAll,
}

/// The simulated disk. Clones share it.
#[derive(Clone, Default)]
pub struct MemFs(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    dirs: BTreeSet<PathBuf>,
    live: BTreeMap<PathBuf, Content>,
    durable: BTreeMap<PathBuf, Content>,
    /// Name changes since the last `sync_dir`.
    changes: Vec<Change>,
    syncs: u64,
    power: Power,
    sync_error_at: Option<u64>,
    sync_delay: Duration,
    /// Bytes that may still be reserved.
    space: Option<u64>,
    /// The next writes put so many bytes, then the disk is full.
    full_after: Option<usize>,
}

#[derive(Default)]
enum Power {
    #[default]
    On,
    CutAt(u64),
    Off,
}

type Content = Arc<Mutex<FileContent>>;

#[derive(Clone, Default)]
struct FileContent {
    live: Vec<u8>,
    durable: Vec<u8>,
}

enum Change {
    Link(PathBuf, Content),
    Unlink(PathBuf),
}

impl MemFs {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power in place of the sync with this number, counted from 1.
    pub fn cut_power_at_sync(&self, number: u64) {
        self.disk().power = Power::CutAt(number);
    }

    /// Cuts the power now.
    pub fn cut_power(&self) {
        self.disk().power = Power::Off;
    }

    /// Whether the power is cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self.disk().power, Power::Off)
    }

    /// Number of syncs so far, of files and directories.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// The `after`th sync from now (1 is the next one) fails and makes nothing durable.
    pub fn fail_sync(&self, after: u64) {
        let mut disk = self.disk();
        disk.sync_error_at = Some(disk.syncs + after);
    }

    /// Every sync takes so long.
    pub fn delay_syncs(&self, delay: Duration) {
        self.disk().sync_delay = delay;
    }

    /// So many bytes can be reserved from now on; `None` is no limit.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.disk().space = bytes;
    }

    /// Every write puts only its first `bytes` bytes and then fails, because the disk is full.
    /// `None` ends it.
    pub fn fill_up_writes(&self, bytes: Option<usize>) {
        self.disk().full_after = bytes;
    }

    /// The disk that is found after the power was cut. This one is left as it is.
    #[must_use]
    pub fn after_power_cut(&self, mode: PowerCut) -> Self {
        let disk = self.disk();
        let mut chance = Chance(match mode {
            PowerCut::TornSectors(seed) => seed,
            _ => 0,
        });
        let mut names = disk.durable.clone();
        let kept = match mode {
            PowerCut::LoseUnsynced => 0,
            PowerCut::KeepAll => disk.changes.len(),
            PowerCut::TornSectors(_) => chance.below(disk.changes.len() + 1),
        };
        apply(&mut names, &disk.changes[..kept]);
        let files = names.into_iter().map(|(path, content)| {
            let data = lock(&content).after_cut(mode, &mut chance);
            let content = FileContent { live: data.clone(), durable: data };
            (path, Arc::new(Mutex::new(content)))
        });
        let durable: BTreeMap<_, _> = files.collect();
        let dirs = disk.dirs.clone();
        let found = Disk { dirs, live: durable.clone(), durable, ..Disk::default() };
        Self(Arc::new(Mutex::new(found)))
    }

    /// The live bytes of a file.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        lock(&self.disk().live[path]).live.clone()
    }

    /// Replaces the bytes of a file, durably; creates it if need be.
    pub fn put_bytes(&self, path: &Path, bytes: Vec<u8>) {
        let content = FileContent { live: bytes.clone(), durable: bytes };
        let content = Arc::new(Mutex::new(content));
        let mut disk = self.disk();
        disk.live.insert(path.to_owned(), Arc::clone(&content));
        disk.durable.insert(path.to_owned(), content);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.0)
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk();
        if matches!(disk.power, Power::Off) { Err(io::Error::other("power cut")) } else { Ok(disk) }
    }

    /// Counts a sync and lets it fail if it is to.
    fn begin_sync(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let delay = self.powered()?.sync_delay;
        if !delay.is_zero() {
            std::thread::park_timeout(delay);
        }
        let mut disk = self.powered()?;
        disk.syncs += 1;
        if matches!(disk.power, Power::CutAt(number) if number <= disk.syncs) {
            disk.power = Power::Off;
            return Err(io::Error::other("power cut"));
        }
        if disk.sync_error_at == Some(disk.syncs) {
            return Err(io::Error::other("injected sync error"));
        }
        Ok(disk)
    }

    fn open_file(&self, content: &Content) -> Arc<dyn LogFile> {
        Arc::new(MemFile { disk: self.clone(), content: Arc::clone(content) })
    }
}

impl Disk {
    /// Takes space for a file that grows from `from` to `to` bytes; gives it back if it shrinks.
    fn reserve(&mut self, from: usize, to: usize) -> io::Result<()> {
        let Some(space) = self.space else {
            return Ok(());
        };
        let space = (space + from as u64).checked_sub(to as u64);
        self.space = Some(space.ok_or(ErrorKind::StorageFull)?);
        Ok(())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.live, std::slice::from_ref(&change));
        self.changes.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<Content> {
        self.live.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Content>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Link(path, content) => drop(names.insert(path.clone(), Arc::clone(content))),
            Change::Unlink(path) => drop(names.remove(path)),
        }
    }
}

impl FileContent {
    fn after_cut(&self, mode: PowerCut, chance: &mut Chance) -> Vec<u8> {
        match mode {
            PowerCut::LoseUnsynced => self.durable.clone(),
            PowerCut::KeepAll => self.live.clone(),
            PowerCut::TornSectors(_) => {
                let longer = self.live.len().max(self.durable.len());
                let shorter = self.live.len().min(self.durable.len());
                let mut data = self.durable.clone();
                data.resize(longer, 0);
                for (sector, live) in
                    data.chunks_mut(SECTOR_BYTES).zip(self.live.chunks(SECTOR_BYTES))
                {
                    if chance.below(2) == 1 {
                        sector[..live.len()].copy_from_slice(live);
                    }
                }
                data.truncate(if chance.below(2) == 1 { longer } else { shorter });
                data
            }
        }
    }
}

impl LogFs for MemFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.powered()?.dirs.insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.powered()?;
        if !disk.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let inside = disk.live.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let mut disk = self.powered()?;
        if disk.live.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let content = Content::default();
        disk.change(Change::Link(path.to_owned(), Arc::clone(&content)));
        Ok(self.open_file(&content))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let content = self.powered()?.find(path)?;
        Ok(self.open_file(&content))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.powered()?;
        let content = disk.find(from)?;
        disk.change(Change::Link(to.to_owned(), content));
        disk.change(Change::Unlink(from.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.powered()?;
        let content = disk.find(path)?;
        let bytes = lock(&content).live.len();
        disk.change(Change::Unlink(path.to_owned()));
        disk.reserve(bytes, 0)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut disk = self.begin_sync()?;
        let changes = std::mem::take(&mut disk.changes);
        apply(&mut disk.durable, &changes);
        Ok(())
    }
}

struct MemFile {
    disk: MemFs,
    content: Content,
}

impl LogFile for MemFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.powered()?;
        let mut content = lock(&self.content);
        let put = disk.full_after.map_or(bytes.len(), |most| most.min(bytes.len()));
        let offset = usize::try_from(offset).expect("addresses have 64 bits");
        let end = offset + put;
        if end > content.live.len() {
            disk.reserve(content.live.len(), end)?;
            content.live.resize(end, 0);
        }
        content.live[offset..end].copy_from_slice(&bytes[..put]);
        if put < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let _disk = self.disk.powered()?;
        let content = lock(&self.content);
        let offset = usize::try_from(offset).expect("addresses have 64 bits");
        let from = content.live.get(offset..offset + bytes.len());
        bytes.copy_from_slice(from.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let _disk = self.disk.begin_sync()?;
        let mut content = lock(&self.content);
        content.durable = content.live.clone();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let _disk = self.disk.powered()?;
        let bytes = usize::try_from(bytes).expect("addresses have 64 bits");
        lock(&self.content).live.resize(bytes, 0);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let _disk = self.disk.powered()?;
        Ok(lock(&self.content).live.len() as u64)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk.powered()?;
        let mut content = lock(&self.content);
        let (from, to) = (content.live.len(), usize::try_from(bytes).unwrap_or(usize::MAX));
        if to > from {
            disk.reserve(from, to)?;
            content.live.resize(to, 0);
        }
        Ok(())
    }
}

/// A small random sequence (splitmix64): the same seed, the same disk.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).expect("below a usize")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
