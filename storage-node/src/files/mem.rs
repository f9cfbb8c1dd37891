//! A simulated disk for tests: what is live and what is durable are kept apart, the power can be cut
//! at any sync, syncs, reads and writes can fail, bytes can change, and space can run out.
//!
//! The model: data of a file is durable after its `sync_data`, a name after `sync_dir` of the
//! directory it is in. When the power is cut, everything stops working; [`MemFs::after_power_cut`] is
//! the disk that is found later. After a sync that failed, what it was to write is lost, although it
//! can still be read and later syncs succeed: so does Linux. When only the process dies
//! ([`MemFs::after_kill`]), everything stays as the kernel has it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::mem_content::FileContent;
use super::mem_names::{Content, Entry, Tree};
use super::seam::{Fs, FsFile, FsLock, parent};

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
    tree: Tree,
    locks: BTreeSet<PathBuf>,
    /// Syncs of what faults are for.
    syncs: u64,
    power: Power,
    faults: Faults,
}

#[derive(Default)]
enum Power {
    #[default]
    On,
    CutAt(u64),
    Off,
}

/// What goes wrong, all of it only below one directory, and counted there.
#[derive(Default)]
struct Faults {
    below: PathBuf,
    sync_error_at: Option<u64>,
    sync_delay: Duration,
    /// Bytes that may still be reserved.
    space: Option<u64>,
    /// The next writes put so many bytes, then the disk is full.
    full_after: Option<usize>,
    /// Parts of files that cannot be read, or not be written.
    bad: Vec<Bad>,
    /// So many reads fail.
    bad_reads: u32,
}

struct Bad {
    content: Content,
    range: Range<u64>,
    reads: bool,
}

impl MemFs {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on only what is below `dir` fails, is short of space, and is counted as a sync.
    pub fn faults_below(&self, dir: &Path) {
        self.disk().faults.below = dir.to_owned();
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

    /// The `after`th sync from now (1 is the next one) fails, and what it was to write is lost.
    pub fn fail_sync(&self, after: u64) {
        let mut disk = self.disk();
        disk.faults.sync_error_at = Some(disk.syncs + after);
    }

    /// Counts a sync of something that changes nothing: for a disk that lies.
    ///
    /// # Errors
    /// It is the one at which the power is cut, or that fails.
    pub fn pretend_sync(&self, path: &Path) -> io::Result<()> {
        let (_disk, fails) = self.begin_sync(path)?;
        if fails { Err(sync_error()) } else { Ok(()) }
    }

    /// Every sync takes so long.
    pub fn delay_syncs(&self, delay: Duration) {
        self.disk().faults.sync_delay = delay;
    }

    /// So many bytes can be reserved from now on; `None` is no limit.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.disk().faults.space = bytes;
    }

    /// Every write puts only its first `bytes` bytes and then fails, because the disk is full.
    /// `None` ends it.
    pub fn fill_up_writes(&self, bytes: Option<usize>) {
        self.disk().faults.full_after = bytes;
    }

    /// Reads of a part of a file fail from now on.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn fail_reads(&self, path: &Path, range: Range<u64>) {
        self.fail(path, range, true);
    }

    /// The next reads of file contents fail, so many of them.
    pub fn fail_next_reads(&self, count: u32) {
        self.disk().faults.bad_reads = count;
    }

    /// Writes to a part of a file fail from now on.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn fail_writes(&self, path: &Path, range: Range<u64>) {
        self.fail(path, range, false);
    }

    fn fail(&self, path: &Path, range: Range<u64>, reads: bool) {
        let mut disk = self.disk();
        let content = disk.tree.file(path).expect("a file");
        disk.faults.bad.push(Bad { content, range, reads });
    }

    /// Everything can be read and written again.
    pub fn repair(&self) {
        self.disk().faults.bad.clear();
    }

    /// Changes the bits of `mask` in a byte of a file, for good and unnoticed.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        let content = self.disk().tree.file(path).expect("a file");
        lock(&content).flip(to_usize(offset), mask);
    }

    /// The disk that is found after the power was cut. This one is left as it is.
    #[must_use]
    pub fn after_power_cut(&self, mode: PowerCut) -> Self {
        let mut chance = Chance::new(match mode {
            PowerCut::TornSectors(seed) => seed,
            _ => 0,
        });
        let tree = self.disk().tree.after_cut(mode, &mut chance);
        self.found(tree)
    }

    /// The disk that is found after the process was killed: the kernel still has what was not synced,
    /// and knows it. This one is left as it is.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let tree = self.disk().tree.copy();
        self.found(tree)
    }

    fn found(&self, tree: Tree) -> Self {
        let below = self.disk().faults.below.clone();
        let faults = Faults { below, ..Faults::default() };
        Self(Arc::new(Mutex::new(Disk { tree, faults, ..Disk::default() })))
    }

    /// Replaces what is in a directory by what another disk has there.
    pub fn take_dir(&self, other: &Self, dir: &Path) {
        let theirs = other.disk().tree.copy();
        self.disk().tree.take_dir(&theirs, dir);
    }

    /// The live bytes of a file.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let content = self.disk().tree.file(path).expect("a file");
        lock(&content).to_vec()
    }

    /// Replaces the bytes of a file, durably; creates it, and the directories above it, if need be.
    pub fn put_bytes(&self, path: &Path, bytes: impl AsRef<[u8]>) {
        let content = Arc::new(Mutex::new(FileContent::durable(bytes.as_ref())));
        self.disk().tree.put(path, &Entry::File(content));
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.0)
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk();
        if matches!(disk.power, Power::Off) { Err(power_cut()) } else { Ok(disk) }
    }

    /// Counts a sync. Says whether it is to fail.
    fn begin_sync(&self, path: &Path) -> io::Result<(MutexGuard<'_, Disk>, bool)> {
        let mut disk = self.powered()?;
        if !path.starts_with(&disk.faults.below) {
            return Ok((disk, false));
        }
        let delay = disk.faults.sync_delay;
        if !delay.is_zero() {
            drop(disk);
            std::thread::park_timeout(delay);
            disk = self.powered()?;
        }
        disk.syncs += 1;
        if matches!(disk.power, Power::CutAt(number) if number <= disk.syncs) {
            disk.power = Power::Off;
            return Err(power_cut());
        }
        let fails = disk.faults.sync_error_at == Some(disk.syncs);
        Ok((disk, fails))
    }

    fn open_file(&self, path: &Path, content: Content) -> Arc<dyn FsFile> {
        Arc::new(MemFile { disk: self.clone(), path: path.to_owned(), content })
    }
}

impl Disk {
    /// Takes space for a file that grows from `from` to `to` bytes; gives it back if it shrinks.
    fn reserve(&mut self, path: &Path, from: usize, to: usize) -> io::Result<()> {
        let Some(space) = self.faults.space.filter(|_| path.starts_with(&self.faults.below)) else {
            return Ok(());
        };
        let space = (space + from as u64).checked_sub(to as u64);
        self.faults.space = Some(space.ok_or(ErrorKind::StorageFull)?);
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<Content> {
        self.tree.file(path).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn check_bad(
        &self,
        content: &Content,
        offset: u64,
        bytes: usize,
        reads: bool,
    ) -> io::Result<()> {
        let bad = self.faults.bad.iter().any(|bad| {
            let meets = bad.range.start < offset + bytes as u64 && offset < bad.range.end;
            bad.reads == reads && meets && Arc::ptr_eq(&bad.content, content)
        });
        if bad { Err(io::Error::other("injected input/output error")) } else { Ok(()) }
    }
}

impl Fs for MemFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.powered()?;
        if disk.tree.is_dir(dir) {
            return Ok(());
        }
        if !disk.tree.is_dir(parent(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        disk.tree.change(vec![(dir.to_owned(), Some(Entry::Dir))]);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.powered()?;
        if !disk.tree.is_dir(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let names = disk.tree.inside(dir);
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let disk = self.powered()?;
        Ok(disk.tree.is_dir(path) || disk.tree.get(path).is_some())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let mut disk = self.powered()?;
        if disk.tree.get(path).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !disk.tree.is_dir(parent(path)) {
            return Err(ErrorKind::NotFound.into());
        }
        let content = Content::default();
        disk.tree.change(vec![(path.to_owned(), Some(Entry::File(Arc::clone(&content))))]);
        Ok(self.open_file(path, content))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let content = self.powered()?.find(path)?;
        Ok(self.open_file(path, content))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.powered()?;
        let content = disk.find(from)?;
        let edits = vec![(to.to_owned(), Some(Entry::File(content))), (from.to_owned(), None)];
        disk.tree.change(edits);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.powered()?;
        let content = disk.find(path)?;
        let bytes = lock(&content).bytes();
        disk.tree.change(vec![(path.to_owned(), None)]);
        disk.reserve(path, bytes, 0)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut disk, fails) = self.begin_sync(dir)?;
        if fails {
            return Err(sync_error());
        }
        disk.tree.sync(dir);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<FsLock> {
        let mut disk = self.powered()?;
        if !disk.locks.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        if disk.tree.get(path).is_none() {
            disk.tree.change(vec![(path.to_owned(), Some(Entry::File(Content::default())))]);
        }
        Ok(Box::new(MemLock { disk: self.clone(), path: path.to_owned() }))
    }
}

struct MemLock {
    disk: MemFs,
    path: PathBuf,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.disk.disk().locks.remove(&self.path);
    }
}

struct MemFile {
    disk: MemFs,
    /// When it was opened; only its directory matters, which does not change.
    path: PathBuf,
    content: Content,
}

impl FsFile for MemFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.powered()?;
        disk.check_bad(&self.content, offset, bytes.len(), false)?;
        let mut content = lock(&self.content);
        let full_after =
            disk.faults.full_after.filter(|_| self.path.starts_with(&disk.faults.below));
        let put = full_after.map_or(bytes.len(), |most| most.min(bytes.len()));
        let offset = to_usize(offset);
        if offset + put > content.bytes() {
            disk.reserve(&self.path, content.bytes(), offset + put)?;
        }
        content.write(offset, &bytes[..put]);
        if put < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.powered()?;
        disk.check_bad(&self.content, offset, bytes.len(), true)?;
        if disk.faults.bad_reads > 0 {
            disk.faults.bad_reads -= 1;
            return Err(io::Error::other("injected input/output error"));
        }
        lock(&self.content).read(to_usize(offset), bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let (_disk, fails) = self.disk.begin_sync(&self.path)?;
        let mut content = lock(&self.content);
        if fails {
            content.fail_sync();
            return Err(sync_error());
        }
        content.sync();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk.powered()?;
        let mut content = lock(&self.content);
        let bytes = to_usize(bytes);
        disk.reserve(&self.path, content.bytes(), bytes)?;
        content.resize(bytes);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let _disk = self.disk.powered()?;
        Ok(lock(&self.content).bytes() as u64)
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.size()? { self.set_len(bytes) } else { Ok(()) }
    }
}

/// A small random sequence (splitmix64): the same seed, the same disk.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        to_usize((mixed ^ (mixed >> 31)) % limit as u64)
    }
}

fn power_cut() -> io::Error {
    io::Error::other("power cut")
}

fn sync_error() -> io::Error {
    io::Error::other("injected sync error")
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("addresses have 64 bits")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
