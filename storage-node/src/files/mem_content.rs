//! A file of the simulated disk: what processes see, what the disk has, and which pages differ.
//!
//! Pages are shared between copies, so that a test may look at what hundreds of power cuts leave.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use super::mem::{Chance, PowerCut};

const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

type Page = [u8; PAGE_BYTES];

/// Bytes of a file; pages that are absent are zeros.
#[derive(Clone, Default)]
struct Pages {
    pages: BTreeMap<usize, Arc<Page>>,
    bytes: usize,
}

/// What processes see of a file, and what the disk has of it.
#[derive(Clone, Default)]
pub(super) struct FileContent {
    live: Pages,
    durable: Pages,
    /// Pages that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Pages that a failed sync has marked clean: no later sync writes them.
    lost: BTreeSet<usize>,
}

impl Pages {
    fn page(&self, number: usize) -> Page {
        self.pages.get(&number).map_or([0; PAGE_BYTES], |page| **page)
    }

    fn page_mut(&mut self, number: usize) -> &mut Page {
        let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE_BYTES]));
        Arc::make_mut(page)
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        for (number, within, part) in parts(offset, bytes.len()) {
            match self.pages.get(&number) {
                Some(page) => bytes[part].copy_from_slice(&page[within]),
                None => bytes[part].fill(0),
            }
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (number, within, part) in parts(offset, bytes.len()) {
            self.page_mut(number)[within].copy_from_slice(&bytes[part]);
        }
        self.bytes = self.bytes.max(offset + bytes.len());
    }

    /// Cuts or extends. What is behind the end of a cut file reads as zeros when it grows again.
    fn resize(&mut self, bytes: usize) {
        if bytes < self.bytes {
            let _ = self.pages.split_off(&bytes.div_ceil(PAGE_BYTES));
            if !bytes.is_multiple_of(PAGE_BYTES) && self.pages.contains_key(&(bytes / PAGE_BYTES)) {
                self.page_mut(bytes / PAGE_BYTES)[bytes % PAGE_BYTES..].fill(0);
            }
        }
        self.bytes = bytes;
    }
}

/// The pages that a range touches: number, range within it, range of the bytes.
fn parts(offset: usize, bytes: usize) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
    let pages = offset / PAGE_BYTES..(offset + bytes).div_ceil(PAGE_BYTES);
    pages.map(move |number| {
        let start = offset.max(number * PAGE_BYTES);
        let end = (offset + bytes).min((number + 1) * PAGE_BYTES);
        let within = start - number * PAGE_BYTES..end - number * PAGE_BYTES;
        (number, within, start - offset..end - offset)
    })
}

impl FileContent {
    /// A file that is wholly on the disk.
    pub(super) fn durable(bytes: &[u8]) -> Self {
        let mut pages = Pages::default();
        pages.write(0, bytes);
        Self { live: pages.clone(), durable: pages, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.live.bytes
    }

    /// All that processes see.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.live.bytes];
        self.live.read(0, &mut bytes);
        bytes
    }

    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(bytes.len()).is_none_or(|end| end > self.live.bytes) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.live.read(offset, bytes);
        Ok(())
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.live.write(offset, bytes);
        self.touch(offset..offset + bytes.len());
    }

    pub(super) fn resize(&mut self, bytes: usize) {
        let from = bytes.min(self.live.bytes);
        if bytes < self.live.bytes {
            self.touch(from..self.live.bytes);
        }
        self.live.resize(bytes);
    }

    fn touch(&mut self, range: Range<usize>) {
        for number in range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) {
            self.dirty.insert(number);
            self.lost.remove(&number);
        }
    }

    /// A sync: the disk gets what is dirty.
    pub(super) fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            take_page(&mut self.durable, &self.live, number);
        }
        self.durable.bytes = self.live.bytes;
    }

    /// A sync that fails: the kernel takes its pages for clean, and the disk does not have them.
    pub(super) fn fail_sync(&mut self) {
        self.lost.append(&mut self.dirty);
    }

    /// Changes a byte on the disk and in memory.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) {
        for pages in [&mut self.live, &mut self.durable] {
            if offset < pages.bytes {
                pages.page_mut(offset / PAGE_BYTES)[offset % PAGE_BYTES] ^= mask;
            }
        }
    }

    /// What a power cut leaves.
    pub(super) fn after_cut(&self, mode: PowerCut, chance: &mut Chance) -> Self {
        let mut found = self.durable.clone();
        match mode {
            PowerCut::LoseUnsynced => {}
            PowerCut::KeepAll => {
                for &number in &self.dirty {
                    take_page(&mut found, &self.live, number);
                }
                found.resize(self.live.bytes);
            }
            PowerCut::TornSectors(_) => self.tear(&mut found, chance),
        }
        Self { live: found.clone(), durable: found, ..Self::default() }
    }

    fn tear(&self, found: &mut Pages, chance: &mut Chance) {
        let (shorter, longer) =
            (self.live.bytes.min(self.durable.bytes), self.live.bytes.max(self.durable.bytes));
        found.resize(longer);
        for &number in &self.dirty {
            let live = self.live.page(number);
            for at in (0..PAGE_BYTES).step_by(SECTOR_BYTES) {
                if chance.below(2) == 1 {
                    let sector = at..at + SECTOR_BYTES;
                    found.page_mut(number)[sector.clone()].copy_from_slice(&live[sector]);
                }
            }
        }
        found.resize(if chance.below(2) == 1 { longer } else { shorter });
    }
}

fn take_page(to: &mut Pages, from: &Pages, number: usize) {
    match from.pages.get(&number) {
        Some(page) => drop(to.pages.insert(number, Arc::clone(page))),
        None => drop(to.pages.remove(&number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &FileContent) -> Vec<u8> {
        content.to_vec()
    }

    #[test]
    fn a_cut_file_that_grows_again_has_zeros() {
        let mut content = FileContent::default();
        content.write(0, &[7; 9000]);
        content.resize(5000);
        content.resize(9000);
        let bytes = read(&content);
        assert!(bytes[..5000].iter().all(|b| *b == 7) && bytes[5000..].iter().all(|b| *b == 0));
        content.sync();
        let found = content.after_cut(PowerCut::LoseUnsynced, &mut Chance::new(0));
        assert_eq!(read(&found), bytes);
    }

    #[test]
    fn a_second_sync_after_a_failed_one_succeeds_without_the_data() {
        let mut content = FileContent::default();
        content.write(0, b"old");
        content.sync();
        content.write(0, b"new");
        content.fail_sync();
        content.sync();
        assert_eq!(read(&content), b"new", "whoever reads sees it");
        for mode in [PowerCut::LoseUnsynced, PowerCut::KeepAll, PowerCut::TornSectors(1)] {
            let found = content.after_cut(mode, &mut Chance::new(1));
            assert_eq!(read(&found), b"old", "{mode:?}");
        }
        content.write(0, b"new");
        content.sync();
        let found = content.after_cut(PowerCut::LoseUnsynced, &mut Chance::new(0));
        assert_eq!(read(&found), b"new", "what is written again is written");
    }

    #[test]
    fn sectors_are_torn_and_not_mixed() {
        let mut content = FileContent::default();
        content.write(0, &[1; 40 * SECTOR_BYTES]);
        content.sync();
        content.write(0, &[2; 40 * SECTOR_BYTES]);
        let found = content.after_cut(PowerCut::TornSectors(5), &mut Chance::new(5));
        let bytes = read(&found);
        let sectors = bytes.chunks(SECTOR_BYTES);
        let new = sectors.clone().filter(|s| s.iter().all(|b| *b == 2)).count();
        let old = sectors.filter(|s| s.iter().all(|b| *b == 1)).count();
        assert!(new > 5 && old > 5 && new + old == 40, "{new} new, {old} old");
    }
}
