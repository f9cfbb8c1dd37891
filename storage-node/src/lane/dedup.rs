//! The dedup window of one worker: the answers of recent writes by their request ids, so that a
//! repetition is answered and not applied again (I7, guarantees 2.9).
//!
//! Bounded by bytes. Two generations: when the younger one takes half of the budget, the older one
//! is dropped as a whole. What was dropped is remembered as a time only: a repetition of a request
//! that may be older is answered UNKNOWN. Room is counted as it is allocated; beyond the budget
//! goes at most the last answer and one step of growth.
//!
//! A push appends to a run and a chunk and moves next to nothing: about 30 ns in an optimized build,
//! for answers of 16 or 64 bytes and ids that are out of order by up to 64. Sorting is left to
//! [`find`](DedupWindow::find), which only repetitions need, and done for at most [`RUN_ENTRIES`]
//! entries at a time; a find takes a few microseconds.

use common::ids::{Epoch, Lane, LogicGroup, Lsn, RequestId, ServerIndex};
use hashbrown::HashMap;

use crate::replication::position::Position;

/// Usual budget of a node, in bytes; its workers share it.
pub const DEDUP_BYTES_DEFAULT: usize = 64 << 20;
/// Entries of a run: what is sorted at once.
const RUN_ENTRIES: usize = 1024;
/// Answers are laid one behind the other in chunks of this size, or less under a small budget.
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// What a request-id prefix costs besides its entries: its place in the map and its list of runs.
const PREFIX_BYTES: usize = 128;

/// What a request was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// The lane of its record.
    pub lane: Lane,
    /// Its record. The answer counts only as long as that is not void (guarantees 2.5).
    pub at: Position,
    /// The answer as the record has it.
    pub answer: &'a [u8],
}

/// See the module.
#[derive(Debug)]
pub struct DedupWindow {
    /// A generation is full at this size.
    half_bytes: usize,
    chunk_bytes: usize,
    current: Generation,
    previous: Generation,
    /// Emptied chunks, at most half of the budget.
    spare: Vec<Vec<u8>>,
    highs: Highs,
    begins_ms: u64,
}

/// The highest lower half of each prefix: nearly every request asked for is above it, and so new.
#[derive(Debug, Default)]
struct Highs {
    /// Few, and the same one many times in a row.
    by_prefix: Vec<(u64, u64)>,
    last: usize,
}

impl Highs {
    fn place(&self, prefix: u64) -> Option<usize> {
        let hit = self.by_prefix.get(self.last).is_some_and(|(known, _)| *known == prefix);
        if hit {
            return Some(self.last);
        }
        self.by_prefix.iter().position(|(known, _)| *known == prefix)
    }

    /// Whether nothing of this prefix as high as `number` was kept.
    fn is_above(&self, prefix: u64, number: u64) -> bool {
        let high = self.place(prefix).and_then(|place| self.by_prefix.get(place));
        high.is_none_or(|(_, high)| number > *high)
    }

    fn raise(&mut self, prefix: u64, number: u64) {
        match self.place(prefix) {
            Some(place) => {
                self.last = place;
                if let Some((_, high)) = self.by_prefix.get_mut(place) {
                    *high = number.max(*high);
                }
            }
            None => self.by_prefix.push((prefix, number)),
        }
    }
}

#[derive(Debug, Default)]
struct Generation {
    /// By the upper half of the request id: one for each worker of a proxy, whose lower halves rise.
    prefixes: HashMap<u64, Vec<Run>>,
    chunks: Vec<Vec<u8>>,
    entries: usize,
    bytes: usize,
    newest_ms: u64,
}

/// Entries of one prefix that came one after the other, at most [`RUN_ENTRIES`].
#[derive(Debug)]
struct Run {
    /// Lowest and highest lower half in it.
    low: u64,
    high: u64,
    sorted: bool,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Lower half of the request id.
    number: u64,
    epoch: Epoch,
    lsn: Lsn,
    chunk: u32,
    from: u32,
    bytes: u32,
    group: LogicGroup,
    server: ServerIndex,
}

impl DedupWindow {
    /// An empty window that takes up to `bytes` of memory.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            half_bytes: bytes / 2,
            chunk_bytes: (bytes / 32).clamp(1 << 10, CHUNK_BYTES_MAX),
            current: Generation::default(),
            previous: Generation::default(),
            spare: Vec::new(),
            highs: Highs::default(),
            begins_ms: 0,
        }
    }

    /// Keeps the answer of the request that caused the record at `at` at `time_ms` (the time part of
    /// its version). A record without a request id (0) is not kept.
    pub fn push(
        &mut self,
        request: RequestId,
        lane: Lane,
        at: Position,
        time_ms: u64,
        answer: &[u8],
    ) {
        if request == RequestId(0) {
            return;
        }
        let (prefix, number) = halves(request);
        self.highs.raise(prefix, number);
        let current = &mut self.current;
        let (chunk, from) = current.put_answer(answer, self.chunk_bytes, &mut self.spare);
        current.put(
            prefix,
            Entry {
                number,
                epoch: at.epoch,
                lsn: at.lsn,
                chunk,
                from,
                bytes: small(answer.len()),
                group: lane.group,
                server: lane.server,
            },
        );
        current.newest_ms = current.newest_ms.max(time_ms);
        if current.bytes >= self.half_bytes {
            self.turn();
        }
    }

    /// What is kept under a request id, the last push first. There is more than one if a record was
    /// void and its request is in a later record as well: the caller takes the one that counts.
    pub fn find(&mut self, request: RequestId) -> impl Iterator<Item = Kept<'_>> {
        let (prefix, number) = halves(request);
        let is_new = self.highs.is_above(prefix, number);
        if !is_new {
            self.current.sort(prefix, number);
            self.previous.sort(prefix, number);
        }
        let generations = [&self.current, &self.previous];
        generations
            .into_iter()
            .filter(move |_| !is_new)
            .flat_map(move |generation| generation.find(prefix, number))
    }

    /// What happened later than this, in milliseconds of the pushed times, is here. A repetition of
    /// a request that was sent first at or before this time, and that is not found, is answered
    /// UNKNOWN (I7).
    #[must_use]
    pub fn begins_ms(&self) -> u64 {
        self.begins_ms
    }

    /// What happened up to this time may be missing for another reason: the log from which the
    /// window was rebuilt begins later, or the data came as a copy.
    pub fn begin_after(&mut self, time_ms: u64) {
        self.begins_ms = self.begins_ms.max(time_ms);
    }

    /// Number of answers that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.entries + self.previous.entries
    }

    /// Whether none are kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that is taken, in bytes; emptied chunks included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let spare: usize = self.spare.iter().map(Vec::capacity).sum();
        self.current.bytes + self.previous.bytes + spare
    }

    /// The current generation becomes the previous one, and that is forgotten.
    fn turn(&mut self) {
        let full = std::mem::take(&mut self.current);
        let mut gone = std::mem::replace(&mut self.previous, full);
        if gone.entries > 0 {
            self.begins_ms = self.begins_ms.max(gone.newest_ms);
        }
        self.spare.clear();
        self.spare
            .extend(gone.chunks.drain(..).filter(|chunk| chunk.capacity() == self.chunk_bytes));
        self.spare.iter_mut().for_each(Vec::clear);
        // A proxy that is gone for so long is not remembered.
        let (current, previous) = (&self.current.prefixes, &self.previous.prefixes);
        let kept = |prefix: &u64| current.contains_key(prefix) || previous.contains_key(prefix);
        self.highs.by_prefix.retain(|(prefix, _)| kept(prefix));
        self.highs.last = 0;
    }
}

impl Generation {
    /// Lays an answer down; returns its chunk and its place there.
    fn put_answer(
        &mut self,
        answer: &[u8],
        chunk_bytes: usize,
        spare: &mut Vec<Vec<u8>>,
    ) -> (u32, u32) {
        let fits = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= answer.len();
        if !self.chunks.last().is_some_and(fits) {
            let usual = if answer.len() > chunk_bytes { None } else { spare.pop() };
            let chunk = usual.unwrap_or_else(|| Vec::with_capacity(answer.len().max(chunk_bytes)));
            self.bytes += chunk.capacity();
            self.chunks.push(chunk);
        }
        let index = self.chunks.len() - 1;
        let Some(chunk) = self.chunks.last_mut() else { return (0, 0) };
        let from = chunk.len();
        chunk.extend_from_slice(answer);
        (small(index), small(from))
    }

    fn put(&mut self, prefix: u64, entry: Entry) {
        let runs = self.prefixes.entry(prefix).or_insert_with(|| {
            self.bytes += PREFIX_BYTES;
            Vec::new()
        });
        if runs.last().is_none_or(|run| run.entries.len() == RUN_ENTRIES) {
            self.bytes += size_of::<Run>();
            runs.push(Run {
                low: entry.number,
                high: entry.number,
                sorted: true,
                entries: Vec::new(),
            });
        }
        let Some(run) = runs.last_mut() else { return };
        let before = run.entries.capacity();
        run.entries.push(entry);
        self.bytes += (run.entries.capacity() - before) * size_of::<Entry>();
        self.entries += 1;
        run.sorted &= entry.number >= run.high;
        run.high = run.high.max(entry.number);
        run.low = run.low.min(entry.number);
    }

    /// Sorts the runs that may hold a number, if they are not. Stable: equal numbers stay as pushed.
    fn sort(&mut self, prefix: u64, number: u64) {
        for run in self.prefixes.get_mut(&prefix).into_iter().flatten() {
            if !run.sorted && run.may_hold(number) {
                run.entries.sort_by_key(|entry| entry.number);
                run.sorted = true;
            }
        }
    }

    /// The entries of a number, the last one first.
    fn find(&self, prefix: u64, number: u64) -> impl Iterator<Item = Kept<'_>> {
        let runs = self.prefixes.get(&prefix).into_iter().flatten().rev();
        let entries = runs.filter(move |run| run.may_hold(number)).flat_map(move |run| {
            let from = run.entries.partition_point(|entry| entry.number < number);
            let behind = run.entries.partition_point(|entry| entry.number <= number);
            run.entries.get(from..behind).unwrap_or_default().iter().rev()
        });
        entries.map(|entry| self.kept(entry))
    }

    fn kept(&self, entry: &Entry) -> Kept<'_> {
        let (from, bytes) = (wide(entry.from), wide(entry.bytes));
        let chunk = self.chunks.get(wide(entry.chunk));
        let answer = chunk.and_then(|chunk| chunk.get(from..from + bytes));
        Kept {
            lane: Lane { group: entry.group, server: entry.server },
            at: Position { epoch: entry.epoch, lsn: entry.lsn },
            answer: answer.expect("laid down before the entry was made"),
        }
    }
}

impl Run {
    fn may_hold(&self, number: u64) -> bool {
        (self.low..=self.high).contains(&number)
    }
}

/// Prefix and number of a request id.
fn halves(request: RequestId) -> (u64, u64) {
    let half = |bits: u128| u64::try_from(bits).expect("half of 128 bits");
    (half(request.0 >> 64), half(request.0 & u128::from(u64::MAX)))
}

fn small(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("an answer is shorter than a record, and a chunk than 4 GiB")
}

fn wide(bytes: u32) -> usize {
    usize::try_from(bytes).expect("addresses have at least 32 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LANE: Lane = Lane { group: LogicGroup(5), server: ServerIndex(1) };

    fn request(prefix: u64, number: u64) -> RequestId {
        RequestId(u128::from(prefix) << 64 | u128::from(number))
    }

    fn at(epoch: u64, lsn: u64) -> Position {
        Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
    }

    #[test]
    fn an_answer_is_found_under_its_request_id_only() {
        let mut window = DedupWindow::new(1 << 20);
        window.push(request(7, 2), LANE, at(3, 1), 10, b"two");
        window.push(request(7, 1), LANE, at(3, 2), 11, b"");
        let found: Vec<_> = window.find(request(7, 2)).collect();
        assert_eq!(found, [Kept { lane: LANE, at: at(3, 1), answer: b"two" }]);
        assert_eq!(window.find(request(7, 1)).next().unwrap().answer, b"");
        for other in [request(7, 3), request(8, 2), request(0, 2)] {
            assert_eq!(window.find(other).next(), None);
        }
    }

    /// What is allocated for answers and entries, in truth.
    fn allocated(window: &DedupWindow) -> usize {
        let of = |generation: &Generation| {
            let runs = generation.prefixes.values().flatten();
            let entries: usize = runs.map(|run| run.entries.capacity()).sum();
            let chunks: usize = generation.chunks.iter().map(Vec::capacity).sum();
            entries * size_of::<Entry>() + chunks
        };
        let spare: usize = window.spare.iter().map(Vec::capacity).sum();
        of(&window.current) + of(&window.previous) + spare
    }

    #[test]
    fn request_id_0_is_never_kept() {
        let mut window = DedupWindow::new(1 << 20);
        window.push(RequestId(0), LANE, at(3, 1), 10, b"answer");
        assert!(window.is_empty());
        assert_eq!(window.find(RequestId(0)).next(), None);
    }

    /// A void record and the one by which its request was offered again (guarantees 2.5).
    #[test]
    fn the_last_one_of_a_request_comes_first_also_across_generations() {
        let mut window = DedupWindow::new(64 << 10);
        window.push(request(7, 5), LANE, at(3, 1), 10, b"void");
        window.push(request(7, 4), LANE, at(3, 2), 10, b"other");
        window.push(request(7, 5), LANE, at(5, 1), 10, b"second");
        let first = window.current.bytes;
        while window.current.bytes >= first {
            window.push(request(9, 9), LANE, at(3, 1), 10, &[0; 500]);
        }
        window.push(request(7, 5), LANE, at(7, 1), 20, b"third");
        let found: Vec<_> = window.find(request(7, 5)).map(|kept| kept.answer).collect();
        assert_eq!(found, [&b"third"[..], b"second", b"void"]);
    }

    #[test]
    fn the_window_begins_behind_what_was_dropped_and_stays_in_its_budget() {
        let budget = 256 << 10;
        let mut window = DedupWindow::new(budget);
        for number in 1..=20_000u64 {
            let answer = number.to_le_bytes();
            window.push(request(number % 3, number), LANE, at(1, number), 1_000 + number, &answer);
            assert!(window.bytes() <= budget + RUN_ENTRIES * size_of::<Entry>());
            assert!(allocated(&window) <= window.bytes());
        }
        let first = 20_001 - u64::try_from(window.len()).unwrap();
        assert!(first > 10_000 && window.len() > 1_000, "{}", window.len());
        assert_eq!(window.begins_ms(), 1_000 + first - 1);
        assert_eq!(window.find(request((first - 1) % 3, first - 1)).next(), None);
        let kept = window.find(request(first % 3, first)).next().unwrap();
        assert_eq!((kept.at, kept.answer), (at(1, first), &first.to_le_bytes()[..]));
    }

    #[test]
    fn an_answer_that_is_longer_than_half_of_the_budget_is_kept_for_a_while() {
        let mut window = DedupWindow::new(8 << 10);
        window.push(request(1, 1), LANE, at(1, 1), 10, &[7; 100_000]);
        assert_eq!(window.find(request(1, 1)).next().unwrap().answer, [7; 100_000]);
        assert_eq!(window.begins_ms(), 0);
        window.push(request(1, 2), LANE, at(1, 2), 11, &[8; 100_000]);
        assert_eq!(window.find(request(1, 1)).next(), None);
        assert_eq!(window.begins_ms(), 10);
        window.begin_after(99);
        window.begin_after(50);
        assert_eq!(window.begins_ms(), 99);
    }

    proptest! {
        /// The window holds exactly the last pushes, of each request id the last first.
        #[test]
        fn it_holds_what_a_map_of_the_last_pushes_holds(
            budget in 3_000..60_000usize,
            pushes in prop::collection::vec((0..4u64, 0..300u64, 0..200usize, any::<bool>()), 1..600),
        ) {
            let (mut window, mut all) = (DedupWindow::new(budget), Vec::new());
            let mut begins_ms = 0;
            for (index, (prefix, near, bytes, look)) in (0..).zip(pushes) {
                let id = request(prefix, index + near);
                let answer = vec![u8::try_from(index % 251).unwrap(); bytes];
                // Times are nearly in order as well.
                let time_ms = 1_000 + index - near % 5;
                window.push(id, LANE, at(1, index), time_ms, &answer);
                if id != RequestId(0) {
                    all.push((id, at(1, index), time_ms, answer));
                }
                if look {
                    prop_assert!(id == RequestId(0) || window.find(id).next().is_some());
                }
                prop_assert!(window.begins_ms() >= begins_ms);
                begins_ms = window.begins_ms();
            }
            let (gone, left) = all.split_at(all.len() - window.len());
            let newest_gone = gone.iter().map(|(.., time_ms, _)| *time_ms).max();
            prop_assert_eq!(begins_ms, newest_gone.unwrap_or(0));
            let mut model: std::collections::HashMap<RequestId, Vec<Kept<'_>>> = gone
                .iter()
                .map(|(id, ..)| (*id, Vec::new()))
                .collect();
            for (id, at, _, answer) in left {
                model.entry(*id).or_default().insert(0, Kept { lane: LANE, at: *at, answer });
            }
            for (id, kept) in model {
                prop_assert_eq!(window.find(id).collect::<Vec<_>>(), kept);
            }
        }
    }
}
