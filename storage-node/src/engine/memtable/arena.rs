//! Memory for the records of a memtable: slots in a few large blocks, so that a record costs neither an
//! allocation nor a free of its own.
//!
//! A slot has one of a few sizes and is named by its place, in units of 16 bytes. What is freed goes to
//! a list of its size and is used again first, so a table whose records are overwritten with others
//! of the same range of sizes does not grow. Blocks begin small, because most groups are, and never
//! move. Who holds a slot knows its class; the arena does not.

/// What sizes and places are multiples of.
const UNIT: usize = 16;
/// Units of the largest block that several slots share.
const BLOCK_UNITS: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 16;
/// Units of the first block.
const FIRST_UNITS: usize = 256;
/// Each size up to here has a class of its own, in units; above, eight classes double the size.
const FINE_UNITS: usize = 16;
const STEPS: usize = 8;
const CLASSES: usize = FINE_UNITS + STEPS * (BLOCK_BITS as usize - FINE_UNITS.ilog2() as usize);
/// The class of a slot that has a block to itself.
const CLASS_OWN: u8 = u8::MAX;
/// The end of a list of free slots.
const NONE: u32 = u32::MAX;

const _: () = assert!(CLASSES < CLASS_OWN as usize);

/// The place of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    fn block(self) -> usize {
        (self.0 >> BLOCK_BITS) as usize
    }

    fn begin(self) -> usize {
        self.0 as usize % BLOCK_UNITS * UNIT
    }
}

/// The size of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(pub(super) u8);

impl Class {
    /// The smallest class for so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).max(1);
        if units > BLOCK_UNITS {
            return Self(CLASS_OWN);
        }
        let class = if units <= FINE_UNITS {
            units - 1
        } else {
            let doubling = ((units - 1) / FINE_UNITS).ilog2() as usize;
            let base = FINE_UNITS << doubling;
            let step = (units - base).div_ceil(base / STEPS) - 1;
            FINE_UNITS + doubling * STEPS + step
        };
        Self(u8::try_from(class).expect("fewer classes than 255"))
    }

    fn units(self) -> usize {
        let class = usize::from(self.0);
        match class.checked_sub(FINE_UNITS) {
            None => class + 1,
            Some(coarse) => {
                let base = FINE_UNITS << (coarse / STEPS);
                base + (coarse % STEPS + 1) * (base / STEPS)
            }
        }
    }

    /// Whether a slot of this class is right for so many bytes: they fit, and do not waste most of it.
    pub(super) fn suits(self, bytes: usize) -> bool {
        if self.0 == CLASS_OWN {
            return false;
        }
        let size = self.units() * UNIT;
        bytes <= size && (size <= 4 * bytes || size <= 8 * UNIT)
    }
}

/// No slot was cut from a block yet. The first block may be a large record's own.
const NO_BLOCK: usize = usize::MAX;

/// The blocks.
#[derive(Debug)]
pub(super) struct Arena {
    blocks: Vec<Box<[u8]>>,
    /// The block that slots are cut from, and how much of it is cut, in units.
    open: usize,
    cut: usize,
    /// Of each class, the first free slot; the next one's place stands in it.
    free: [u32; CLASSES],
    /// Blocks that are none any more, each of them was one slot.
    gone: Vec<usize>,
    /// Bytes of the blocks.
    bytes: usize,
}

impl Default for Arena {
    fn default() -> Self {
        let free = [NONE; CLASSES];
        Self { blocks: Vec::new(), open: NO_BLOCK, cut: 0, free, gone: Vec::new(), bytes: 0 }
    }
}

impl Arena {
    /// Memory that it takes, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.blocks.capacity() * size_of::<Box<[u8]>>()
    }

    /// The bytes from a place in a slot on, to the end of the block.
    pub(super) fn from(&self, slot: Slot, at: usize) -> &[u8] {
        self.blocks[slot.block()].split_at(slot.begin() + at).1
    }

    /// Writes bytes into a slot, one part behind the other.
    pub(super) fn write(&mut self, slot: Slot, mut at: usize, parts: &[&[u8]]) {
        let (_, bytes) = self.blocks[slot.block()].split_at_mut(slot.begin());
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }

    /// A slot for so many bytes, and its class.
    pub(super) fn alloc(&mut self, bytes: usize) -> (Slot, Class) {
        let class = Class::of(bytes);
        if class.0 == CLASS_OWN {
            let block = self.push(bytes.next_multiple_of(UNIT));
            self.bytes += self.blocks[block].len();
            return (place(block, 0), class);
        }
        let first = self.free[usize::from(class.0)];
        if first != NONE {
            let slot = Slot(first);
            let next = self.from(slot, 0).first_chunk::<4>().expect("a slot has 16 bytes");
            self.free[usize::from(class.0)] = u32::from_le_bytes(*next);
            return (slot, class);
        }
        let units = class.units();
        let left = self.blocks.get(self.open).map_or(0, |open| open.len() / UNIT - self.cut);
        if left < units {
            let size = (self.bytes / UNIT).clamp(FIRST_UNITS, BLOCK_UNITS).max(units);
            self.open = self.push(size * UNIT);
            self.bytes += size * UNIT;
            self.cut = 0;
        }
        let slot = place(self.open, self.cut);
        self.cut += units;
        (slot, class)
    }

    /// Takes a slot back.
    pub(super) fn free(&mut self, slot: Slot, class: Class) {
        if class.0 == CLASS_OWN {
            let block = std::mem::take(&mut self.blocks[slot.block()]);
            self.bytes -= block.len();
            self.gone.push(slot.block());
            return;
        }
        let first = std::mem::replace(&mut self.free[usize::from(class.0)], slot.0);
        self.write(slot, 0, &[&first.to_le_bytes()]);
    }

    fn push(&mut self, bytes: usize) -> usize {
        let block = vec![0; bytes].into_boxed_slice();
        if let Some(gone) = self.gone.pop() {
            self.blocks[gone] = block;
            return gone;
        }
        self.blocks.push(block);
        self.blocks.len() - 1
    }
}

fn place(block: usize, unit: usize) -> Slot {
    let place = u32::try_from(block << BLOCK_BITS | unit).ok().filter(|place| *place != NONE);
    Slot(place.expect("a memtable of 65535 blocks does not fit in memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record of a table may be a large one, whose block is its own.
    #[test]
    fn small_slots_are_not_cut_from_a_large_record() {
        let mut arena = Arena::default();
        let large = vec![7; (1 << 20) + 1];
        let (slot, _) = arena.alloc(large.len());
        arena.write(slot, 0, &[&large]);
        let (small, _) = arena.alloc(100);
        arena.write(small, 0, &[&[9; 100]]);
        assert_ne!(small.block(), slot.block());
        assert!(arena.from(slot, 0).starts_with(&large));
    }

    #[test]
    fn a_class_holds_what_it_is_for_and_wastes_an_eighth_at_most() {
        for bytes in (1..5_000).chain([65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20]) {
            let class = Class::of(bytes);
            let size = class.units() * UNIT;
            assert!(
                size >= bytes && size - bytes < UNIT.max(bytes / 8 + UNIT),
                "{bytes} in {size}"
            );
            assert!(class.suits(bytes));
            if class.0 > 0 {
                assert!(Class(class.0 - 1).units() * UNIT < bytes, "the one below is too small");
            }
        }
        assert_eq!(Class::of((1 << 20) + 1), Class(CLASS_OWN));
        assert_eq!(usize::from(Class::of(1 << 20).0), CLASSES - 1);
        assert!(!Class::of(5_000).suits(1_000), "it would waste most of it");
    }

    #[test]
    fn slots_keep_their_bytes_apart_and_freed_ones_are_used_again() {
        let mut arena = Arena::default();
        assert_eq!(arena.memory_bytes(), 0);
        let sizes = [1, 16, 17, 100, 255, 300, 4_000, 70_000, 900_000, 1_048_576, 3_000_000];
        let mut slots = Vec::new();
        for round in 0..300_usize {
            let size = sizes[round * 7 % (if round < 40 { sizes.len() } else { 7 })];
            let (slot, class) = arena.alloc(size);
            arena.write(slot, 0, &[&vec![u8::try_from(round % 251).unwrap(); size]]);
            slots.push((slot, class, size, u8::try_from(round % 251).unwrap()));
        }
        for &(slot, _, size, byte) in &slots {
            assert!(arena.from(slot, 0)[..size].iter().all(|b| *b == byte));
        }
        let full = arena.memory_bytes();
        for &(slot, class, _, _) in slots.iter().rev() {
            arena.free(slot, class);
        }
        assert!(arena.memory_bytes() < full, "large ones are given back at once");
        for &(_, _, size, _) in &slots {
            arena.alloc(size);
        }
        assert_eq!(arena.memory_bytes(), full);
    }
}
