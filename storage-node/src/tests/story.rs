//! One run of the script on one disk, over several lives of the store, and what must be left of it.

use super::lying::Lie;
use super::rig::Rig;
use super::script::{EARLY, LATE, RECLAIM_FROM, expected, record, shown};
use crate::engine::Slice;
use crate::files::{MemFs, PowerCut};

/// So many records the first life writes.
pub(super) const LENGTH: u64 = 110;
/// And the next one more.
const MORE: u64 = 31;

/// What was done, and what was promised.
#[derive(Clone, Default)]
pub(super) struct Story {
    pub(super) rules: Rules,
    /// In which life each record was appended.
    lives: Vec<u32>,
    /// So many records were confirmed to be durable.
    confirmed: usize,
    life: u32,
}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) lie: Lie,
    /// Flushes do not wait for the log.
    pub(super) flush_early: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { lie: Lie::Honest, flush_early: false }
    }
}

impl Story {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Opens the disk and writes on until there are so many records, or the disk refuses.
    pub(super) fn live(&mut self, disk: &MemFs, upto: u64) -> Result<(), String> {
        let (mut rig, _) = Rig::open(disk, self.rules.lie)?;
        self.write(&mut rig, upto);
        Ok(())
    }

    fn write(&mut self, rig: &mut Rig, upto: u64) {
        while (self.lives.len() as u64) < upto {
            // Before the append: it may fail and still leave some of it.
            self.lives.push(self.life);
            let number = self.lives.len() as u64;
            if !rig.append(&record(number, self.life)) {
                return;
            }
            if number > RECLAIM_FROM
                && number.is_multiple_of(3)
                && rig.store.reclaim(|_| LATE, &mut Slice::steps(5)).is_err()
            {
                return;
            }
            if number % 7 == 4 {
                if !rig.sync() {
                    return;
                }
                self.confirmed = self.lives.len();
            }
            if number % 29 == 28 && !rig.flush(self.rules.flush_early) {
                return;
            }
            if number % 23 == 12 && !rig.compact(number.is_multiple_of(2)) {
                return;
            }
        }
    }

    /// Looks at what is left on a disk, goes on writing on it, and looks again at what a kill and what
    /// a power cut leave of that.
    pub(super) fn check(mut self, disk: &MemFs) -> Result<(), String> {
        let mut rig = self.open(disk)?;
        self.life += 1;
        // What is found is durable when the log is open.
        self.confirmed = self.lives.len();
        // One more: what recovery cut off must not continue behind it.
        self.write(&mut rig, self.lives.len() as u64 + 1);
        let killed = disk.after_kill();
        self.clone().open(&killed).map_err(|e| format!("killed after one more: {e}"))?;
        let upto = self.lives.len() as u64 + MORE;
        self.write(&mut rig, upto);
        let (killed, cut) = (disk.after_kill(), disk.after_power_cut(PowerCut::LoseUnsynced));
        drop(rig);
        if (self.lives.len() as u64) < upto {
            return Err("it cannot be written on".to_owned());
        }
        self.clone().open(&killed).map_err(|e| format!("killed after that: {e}"))?;
        self.open(&cut).map(drop).map_err(|e| format!("power cut after that: {e}"))
    }

    /// Opens what is left and compares. The story is what is left, then.
    fn open(&mut self, disk: &MemFs) -> Result<Rig, String> {
        let (rig, found) = Rig::open(disk, self.rules.lie)?;
        let applied = rig.store.applied().values().map(|lsn| lsn.0).max().unwrap_or(0);
        let left = usize::try_from(applied).unwrap();
        if left < self.confirmed {
            return Err(format!("{left} of {} confirmed records (I1)", self.confirmed));
        }
        if left > self.lives.len() {
            return Err(format!("{left} records, {} were written", self.lives.len()));
        }
        self.lives.truncate(left);
        for (number, body) in found {
            let life = self.lives[usize::try_from(number - 1).unwrap()];
            if body != record(number, life) {
                return Err(format!("record {number} is not the one that was written"));
            }
        }
        // Reclaim takes what has expired when it comes along.
        let reclaimed = self.lives.len() as u64 > RECLAIM_FROM || self.life > 0;
        for now in if reclaimed { &[LATE][..] } else { &[EARLY, LATE] } {
            let (seen, must) = (shown(&rig.store, *now)?, expected(&self.lives, *now));
            if seen != must {
                let names = |map: &std::collections::BTreeMap<String, _>| -> Vec<String> {
                    map.keys().cloned().collect()
                };
                let (seen, must) = (names(&seen), names(&must));
                return Err(format!("{left} records show {seen:?} instead of {must:?}, or values"));
            }
        }
        Ok(rig)
    }
}

/// What happens to a run of the script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The power is cut in place of the nth sync.
    PowerCut,
    /// The nth sync fails; then the process is killed, or the power is cut.
    SyncError,
}

/// Runs the script with the fault at each sync, and checks what is left in each way. Returns how many
/// endings were checked.
pub(super) fn sweep(rules: Rules, fault: Fault) -> Result<u64, String> {
    let mut endings = 0;
    for sync in 1.. {
        let disk = MemFs::new();
        match fault {
            Fault::PowerCut => disk.cut_power_at_sync(sync),
            Fault::SyncError => disk.fail_sync(sync),
        }
        let mut story = Story::new(rules);
        let begun = story.live(&disk, LENGTH);
        if disk.syncs() < sync {
            return begun.map(|()| endings);
        }
        let found = match fault {
            Fault::PowerCut => vec![
                ("lost", disk.after_power_cut(PowerCut::LoseUnsynced)),
                ("kept", disk.after_power_cut(PowerCut::KeepAll)),
                ("torn", disk.after_power_cut(PowerCut::TornSectors(sync))),
                ("torn too", disk.after_power_cut(PowerCut::TornSectors(sync + 10_000))),
            ],
            Fault::SyncError => vec![
                ("killed", disk.after_kill()),
                ("lost", disk.after_power_cut(PowerCut::LoseUnsynced)),
            ],
        };
        for (how, found) in found {
            let checked = story.clone().check(&found);
            checked.map_err(|error| format!("{fault:?} at sync {sync}, {how}: {error}"))?;
            endings += 1;
        }
    }
    unreachable!("the script ends")
}
