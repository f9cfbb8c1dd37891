//! Checksums of all pages of a group's file, between redb and the disk: redb compares its own only when
//! it repairs a file, so a bit that flips in a page of the tree would lead a search astray, and a record
//! that was acknowledged would not be found.
//!
//! ```text
//! file   block | 1024 pages | block | 1024 pages | ..
//! block  crc32c u32, little-endian, of each of the pages behind it
//! ```
//! Page 0 is redb's header, which is written in place. Its checksum stands in the same sector, and in its
//! place the file begins with [`MAGIC`].
//!
//! A block is written in place by the sync that makes its pages durable. A power cut may leave a part of
//! its sectors old: redb never writes to a page that its last commit uses, so the checksums of those are
//! the same in the old block and the new one. The header that names a commit is written behind that
//! sync: this is for two-phase commits only.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use redb::{Builder, Database, DatabaseError, StorageBackend};

use crate::engine::backend::{BackendState, FileBackend, storage_error};
use crate::files::Fs;

/// What a file begins with: a group file of format 3.
pub(super) const MAGIC: [u8; 4] = *b"FDG3";

/// redb's default, and the unit of what is checked.
const PAGE_BYTES: usize = 4096;
/// Pages behind each block. Few in tests, where files are small and shall have many blocks.
const BLOCK_PAGES: usize = if cfg!(test) { 8 } else { PAGE_BYTES / SUM_BYTES };
const SUM_BYTES: usize = 4;
/// A disk writes a sector wholly or not at all.
const SECTOR_BYTES: usize = 512;
/// What redb may use of page 0. Its header has 320 bytes, and it always writes all of them.
const HEAD_BYTES: usize = SECTOR_BYTES - SUM_BYTES;

const PAGE: u64 = PAGE_BYTES as u64;
/// A block and its pages.
const SPAN: u64 = PAGE * (BLOCK_PAGES as u64 + 1);

/// A file whose pages are checked when they are read.
#[derive(Debug)]
struct CheckedPages {
    file: FileBackend,
    state: BackendState,
    /// Of all pages; each is read when one of its pages is wanted.
    blocks: RwLock<Vec<Arc<OnceLock<Block>>>>,
}

/// The checksums of the pages behind it.
struct Block {
    sums: Box<[AtomicU32]>,
    /// The file has older ones.
    is_dirty: AtomicBool,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("is_dirty", &self.is_dirty).finish_non_exhaustive()
    }
}

/// Makes a database in a file that must not exist yet. Its name is not durable.
pub(super) fn create(
    fs: &dyn Fs,
    path: &Path,
    builder: &Builder,
) -> Result<(Database, BackendState), DatabaseError> {
    let (file, state) = FileBackend::create(fs, path)?;
    let pages = CheckedPages::new(file, state.clone()).map_err(storage_error)?;
    Ok((builder.create_with_backend(pages)?, state))
}

/// Opens the database in a file.
pub(super) fn open(
    fs: &dyn Fs,
    path: &Path,
    builder: &Builder,
) -> Result<(Database, BackendState), DatabaseError> {
    let (file, state) = FileBackend::open(fs, path)?;
    let pages = CheckedPages::new(file, state.clone()).map_err(storage_error)?;
    // redb would make a new database in a file that ends before its header.
    if pages.len().map_err(storage_error)? == 0 {
        let text = "it is cut off: no page is left";
        return Err(storage_error(io::Error::new(ErrorKind::InvalidData, text)));
    }
    Ok((builder.create_with_backend(pages)?, state))
}

impl Block {
    fn decode(bytes: &[u8; PAGE_BYTES]) -> Self {
        let (sums, _) = bytes.as_chunks();
        let sums = sums[..BLOCK_PAGES]
            .iter()
            .map(|sum| AtomicU32::new(u32::from_le_bytes(*sum)))
            .collect();
        Self { sums, is_dirty: AtomicBool::new(false) }
    }

    fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut bytes = [0; PAGE_BYTES];
        for (out, sum) in bytes.as_chunks_mut().0.iter_mut().zip(&self.sums) {
            *out = sum.load(Ordering::Acquire).to_le_bytes();
        }
        bytes
    }
}

/// A run of pages that lie side by side behind one block.
struct Run {
    block: usize,
    /// Of the first page, in the block.
    first: usize,
    pages: usize,
}

impl Run {
    /// Where it begins in the file.
    fn offset(&self) -> u64 {
        self.block as u64 * SPAN + PAGE * (self.first as u64 + 1)
    }
}

/// What lies at `offset` and the `bytes` behind it, as redb counts, in runs. `None` if these are no
/// pages.
fn runs(offset: u64, bytes: usize) -> Option<impl Iterator<Item = Run>> {
    if !offset.is_multiple_of(PAGE) || !bytes.is_multiple_of(PAGE_BYTES) || offset == 0 {
        return None;
    }
    let first = usize::try_from(offset / PAGE).ok()?;
    let (mut next, end) = (first, first + bytes / PAGE_BYTES);
    Some(std::iter::from_fn(move || {
        let first = next;
        next = end.min((first / BLOCK_PAGES + 1) * BLOCK_PAGES);
        let run =
            Run { block: first / BLOCK_PAGES, first: first % BLOCK_PAGES, pages: next - first };
        (run.pages > 0).then_some(run)
    }))
}

/// What redb sees of a file of `bytes`.
fn seen_bytes(bytes: u64) -> u64 {
    bytes / SPAN * (SPAN - PAGE) + (bytes % SPAN).saturating_sub(PAGE)
}

/// How long a file is of which redb sees `bytes`.
fn file_bytes(bytes: u64) -> u64 {
    bytes + bytes.div_ceil(SPAN - PAGE) * PAGE
}

impl CheckedPages {
    fn new(file: FileBackend, state: BackendState) -> io::Result<Self> {
        let blocks = file.len()?.div_ceil(SPAN);
        let blocks = (0..blocks).map(|_| Arc::default()).collect();
        Ok(Self { file, state, blocks: RwLock::new(blocks) })
    }

    /// Gives a block to `look`; it is read before if that was not done yet.
    fn with_block<T>(&self, index: usize, look: impl FnOnce(&Block) -> T) -> io::Result<T> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let block = blocks.get(index).map(Arc::clone);
        drop(blocks);
        let at = index as u64 * SPAN;
        let block = block.ok_or_else(|| self.damaged(at))?;
        if let Some(block) = block.get() {
            return Ok(look(block));
        }
        let mut bytes = [0; PAGE_BYTES];
        self.read_file(at, &mut bytes)?;
        // Whoever read it first may have changed it since.
        Ok(look(block.get_or_init(|| Block::decode(&bytes))))
    }

    fn damaged(&self, at: u64) -> io::Error {
        self.state.note_damage();
        let text = format!("the page at byte {at}, or its checksum, is not what was written");
        io::Error::new(ErrorKind::InvalidData, text)
    }

    fn no_pages(&self, offset: u64, bytes: usize) -> io::Error {
        self.state.note_damage();
        let text = format!("redb asked for {bytes} bytes at {offset}, which are no pages");
        io::Error::new(ErrorKind::Unsupported, text)
    }

    /// Reads at an offset of the file, which has to be that long.
    fn read_file(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(at, out).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged(at),
            _ => error,
        })
    }

    fn read_head(&self, out: &mut [u8]) -> io::Result<()> {
        let mut sector = [0; SECTOR_BYTES];
        self.read_file(PAGE, &mut sector)?;
        let (head, sum) = sector.split_at(HEAD_BYTES);
        if crc32c::crc32c(head).to_le_bytes() != *sum {
            return Err(self.damaged(PAGE));
        }
        out.copy_from_slice(&head[..out.len()]);
        Ok(())
    }

    fn write_head(&self, data: &[u8]) -> io::Result<()> {
        let mut sector = [0; SECTOR_BYTES];
        sector[..data.len()].copy_from_slice(data);
        let sum = crc32c::crc32c(&sector[..HEAD_BYTES]);
        sector[HEAD_BYTES..].copy_from_slice(&sum.to_le_bytes());
        self.file.write(PAGE, &sector)
    }
}

impl StorageBackend for CheckedPages {
    fn len(&self) -> io::Result<u64> {
        Ok(seen_bytes(self.file.len()?))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() <= HEAD_BYTES {
            return self.read_head(out);
        }
        let runs = runs(offset, out.len()).ok_or_else(|| self.no_pages(offset, out.len()))?;
        let mut rest = out;
        for run in runs {
            let (out, behind) = rest.split_at_mut(run.pages * PAGE_BYTES);
            rest = behind;
            self.read_file(run.offset(), out)?;
            let wrong = self.with_block(run.block, |block| {
                let sums = &block.sums[run.first..];
                let mut pages = out.chunks_exact(PAGE_BYTES).zip(sums);
                pages.position(|(page, sum)| sum.load(Ordering::Acquire) != crc32c::crc32c(page))
            })?;
            if let Some(page) = wrong {
                return Err(self.damaged(run.offset() + PAGE * page as u64));
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let bytes = file_bytes(len);
        let count = usize::try_from(bytes.div_ceil(SPAN)).map_err(io::Error::other)?;
        let is_new = self.blocks.read().unwrap_or_else(PoisonError::into_inner).is_empty();
        // Without the lock, which readers want.
        self.file.set_len(bytes)?;
        if is_new && count > 0 {
            self.file.write(0, &MAGIC)?;
        }
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        blocks.resize_with(count, Arc::default);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (index, block) in blocks.iter().enumerate() {
            // Before it is encoded: what changes meanwhile makes it dirty again. That an error leaves it
            // clean does no harm: redb writes nothing more then.
            let dirty = block.get().filter(|block| block.is_dirty.swap(false, Ordering::AcqRel));
            if let Some(block) = dirty {
                self.file.write(index as u64 * SPAN, &block.encode())?;
            }
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 && data.len() <= HEAD_BYTES {
            return self.write_head(data);
        }
        let runs = runs(offset, data.len()).ok_or_else(|| self.no_pages(offset, data.len()))?;
        let mut rest = data;
        for run in runs {
            let (data, behind) = rest.split_at(run.pages * PAGE_BYTES);
            rest = behind;
            self.file.write(run.offset(), data)?;
            self.with_block(run.block, |block| {
                for (page, sum) in data.chunks_exact(PAGE_BYTES).zip(&block.sums[run.first..]) {
                    sum.store(crc32c::crc32c(page), Ordering::Release);
                }
                block.is_dirty.store(true, Ordering::Release);
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemFs;

    const FILE: &str = "/3.redb";
    /// What redb sees in front of the second block.
    const FIRST_SPAN: u64 = SPAN - PAGE;

    fn created(fs: &MemFs, bytes: u64) -> CheckedPages {
        let (file, state) = FileBackend::create(fs, Path::new(FILE)).unwrap();
        let pages = CheckedPages::new(file, state).unwrap();
        pages.set_len(bytes).unwrap();
        pages
    }

    fn opened(fs: &MemFs) -> CheckedPages {
        let (file, state) = FileBackend::open(fs, Path::new(FILE)).unwrap();
        CheckedPages::new(file, state).unwrap()
    }

    fn page(fill: u8) -> Vec<u8> {
        vec![fill; PAGE_BYTES]
    }

    #[test]
    fn the_bytes_of_a_file_are_as_documented() {
        let fs = MemFs::new();
        let pages = created(&fs, 3 * PAGE);
        pages.write(0, &[7; 320]).unwrap();
        pages.write(2 * PAGE, &page(0xab)).unwrap();
        pages.sync_data().unwrap();
        let mut expected = vec![0; 4 * PAGE_BYTES];
        expected[..4].copy_from_slice(b"FDG3");
        expected[8..12].copy_from_slice(&[0x93, 0x41, 0x37, 0x94]);
        expected[PAGE_BYTES..][..320].fill(7);
        expected[PAGE_BYTES..][508..512].copy_from_slice(&[0xbf, 0x58, 0xf5, 0x11]);
        expected[3 * PAGE_BYTES..].fill(0xab);
        assert!(fs.bytes(Path::new(FILE)) == expected);
    }

    #[test]
    fn what_redb_sees_has_no_blocks() {
        let block = BLOCK_PAGES as u64;
        for pages in [0, 1, 2, block - 1, block, block + 1, 2 * block, 2 * block + 1, 10_000] {
            let bytes = pages * PAGE;
            assert_eq!(seen_bytes(file_bytes(bytes)), bytes, "{pages} pages");
        }
        // Of a file that was cut off inside a block.
        assert_eq!(seen_bytes(SPAN + 100), FIRST_SPAN);
    }

    #[test]
    fn pages_on_both_sides_of_a_block_come_back_and_so_does_a_part_of_them() {
        let fs = MemFs::new();
        let pages = created(&fs, 2 * FIRST_SPAN);
        let four = [page(1), page(2), page(3), page(4)].concat();
        let at = FIRST_SPAN - 2 * PAGE;
        pages.write(at, &four).unwrap();
        pages.sync_data().unwrap();
        for pages in [pages, opened(&fs)] {
            let mut read = vec![0; 4 * PAGE_BYTES];
            pages.read(at, &mut read).unwrap();
            assert!(read == four);
            pages.read(FIRST_SPAN, &mut read[..PAGE_BYTES]).unwrap();
            assert!(read[..PAGE_BYTES] == page(3));
        }
    }

    #[test]
    fn a_page_that_changed_and_one_that_was_never_written_are_not_read() {
        let fs = MemFs::new();
        let pages = created(&fs, 4 * PAGE);
        pages.write(PAGE, &page(1)).unwrap();
        pages.write(2 * PAGE, &page(2)).unwrap();
        pages.sync_data().unwrap();
        fs.flip(Path::new(FILE), 2 * PAGE + 17, 1);
        let error = pages.read(PAGE, &mut page(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let says = "the page at byte 8192, or its checksum, is not what was written";
        assert_eq!(error.to_string(), says);
        assert!(pages.state.has_failed() && !pages.state.may_try_again());
        assert!(pages.read(PAGE, &mut [page(0), page(0)].concat()).is_err());
        assert!(pages.read(3 * PAGE, &mut page(0)).is_err());
        pages.read(2 * PAGE, &mut page(0)).unwrap();
    }

    #[test]
    fn a_header_that_changed_is_not_read() {
        let fs = MemFs::new();
        let pages = created(&fs, PAGE);
        pages.write(0, &[7; 320]).unwrap();
        let mut head = [0; 320];
        pages.read(0, &mut head).unwrap();
        assert_eq!(head, [7; 320]);
        fs.flip(Path::new(FILE), PAGE + 9, 1);
        assert!(pages.read(0, &mut head[..9]).is_err());
    }

    #[test]
    fn checksums_are_as_durable_as_their_pages() {
        let fs = MemFs::new();
        let pages = created(&fs, 3 * PAGE);
        pages.write(PAGE, &page(1)).unwrap();
        let unsynced = opened(&fs).read(PAGE, &mut page(0));
        assert!(unsynced.is_err(), "a sync writes the checksums");
        pages.sync_data().unwrap();
        pages.write(2 * PAGE, &page(2)).unwrap();
        opened(&fs).read(PAGE, &mut page(0)).unwrap();
        pages.sync_data().unwrap();
        opened(&fs).read(2 * PAGE, &mut page(0)).unwrap();
    }

    #[test]
    fn a_block_is_written_only_if_its_pages_were() {
        let fs = MemFs::new();
        let pages = created(&fs, 2 * FIRST_SPAN);
        pages.write(PAGE, &page(1)).unwrap();
        pages.sync_data().unwrap();
        fs.fail_writes(Path::new(FILE), 0..u64::MAX);
        pages.sync_data().unwrap();
    }

    #[test]
    fn a_file_that_is_cut_and_grows_again_has_room_for_all_checksums() {
        let fs = MemFs::new();
        let pages = created(&fs, 2 * FIRST_SPAN);
        pages.set_len(2 * PAGE).unwrap();
        assert_eq!((pages.len().unwrap(), opened(&fs).len().unwrap()), (2 * PAGE, 2 * PAGE));
        pages.set_len(2 * FIRST_SPAN).unwrap();
        pages.write(FIRST_SPAN, &page(9)).unwrap();
        pages.sync_data().unwrap();
        opened(&fs).read(FIRST_SPAN, &mut page(0)).unwrap();
        assert_eq!(fs.open(Path::new(FILE)).unwrap().size().unwrap(), 2 * SPAN);
    }
}
