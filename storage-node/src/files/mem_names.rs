//! The names of the simulated disk: directories, the files in them, and which names are durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::mem::{Chance, PowerCut, lock};
use super::mem_content::FileContent;
use super::seam::parent;

pub(super) type Content = Arc<Mutex<FileContent>>;

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Entry {
    Dir,
    File(Content),
}

/// Names of one moment.
pub(super) type Names = BTreeMap<PathBuf, Entry>;

/// A change of names in one directory, which is on the disk as a whole or not at all.
#[derive(Clone)]
struct Change {
    dir: PathBuf,
    /// What the names stand for afterwards.
    edits: Vec<(PathBuf, Option<Entry>)>,
}

/// The names that processes see, and those that the disk has.
#[derive(Clone, Default)]
pub(super) struct Tree {
    live: Names,
    durable: Names,
    /// Since the last sync of their directory, in their order.
    changes: Vec<Change>,
}

impl Tree {
    /// A disk that has nothing but these names.
    fn of(names: Names) -> Self {
        Self { live: names.clone(), durable: names, changes: Vec::new() }
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Entry> {
        self.live.get(path)
    }

    /// The top of the disk and of a relative path are there without having been made.
    pub(super) fn is_dir(&self, path: &Path) -> bool {
        is_top(path) || matches!(self.live.get(path), Some(Entry::Dir))
    }

    pub(super) fn file(&self, path: &Path) -> Option<Content> {
        match self.live.get(path) {
            Some(Entry::File(content)) => Some(Arc::clone(content)),
            _ => None,
        }
    }

    pub(super) fn inside<'t>(&'t self, dir: &'t Path) -> impl Iterator<Item = &'t Path> {
        self.live.keys().map(PathBuf::as_path).filter(move |path| parent(path) == dir)
    }

    /// Changes names of one directory together.
    pub(super) fn change(&mut self, edits: Vec<(PathBuf, Option<Entry>)>) {
        let dir = edits.first().map(|(path, _)| parent(path).to_owned()).unwrap_or_default();
        let change = Change { dir, edits };
        apply(&mut self.live, &change);
        self.changes.push(change);
    }

    /// Puts a name there, durably, and the directories above it.
    pub(super) fn put(&mut self, path: &Path, entry: &Entry) {
        for names in [&mut self.live, &mut self.durable] {
            for dir in path.ancestors().skip(1).filter(|dir| !is_top(dir)) {
                names.insert(dir.to_owned(), Entry::Dir);
            }
            names.insert(path.to_owned(), entry.clone());
        }
    }

    /// Makes the names of a directory durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        let (synced, rest) =
            std::mem::take(&mut self.changes).into_iter().partition(|change| change.dir == dir);
        let synced: Vec<Change> = synced;
        self.changes = rest;
        synced.iter().for_each(|change| apply(&mut self.durable, change));
    }

    /// What a power cut leaves. Of each directory's changes a beginning is kept, as a file system with
    /// a journal does.
    pub(super) fn after_cut(&self, mode: PowerCut, chance: &mut Chance) -> Self {
        let mut names = self.durable.clone();
        let mut ended = Vec::new();
        for change in &self.changes {
            let keep = match mode {
                PowerCut::LoseUnsynced => false,
                PowerCut::KeepAll => true,
                PowerCut::TornSectors(_) => {
                    !ended.contains(&&change.dir)
                        && (chance.below(4) > 0 || {
                            ended.push(&change.dir);
                            false
                        })
                }
            };
            if keep {
                apply(&mut names, change);
            }
        }
        let reachable: Names = names
            .iter()
            .filter(|(path, _)| {
                let mut above = path.ancestors().skip(1).filter(|dir| !is_top(dir));
                above.all(|dir| matches!(names.get(dir), Some(Entry::Dir)))
            })
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect();
        let mut copies = Copies::new(|content: &FileContent| content.after_cut(mode, chance));
        Self::of(copies.of(&reachable))
    }

    /// The same disk, on its own.
    pub(super) fn copy(&self) -> Self {
        let mut copies = Copies::new(FileContent::clone);
        let changes = self.changes.iter().map(|change| {
            let edits = change.edits.iter().map(|(path, entry)| {
                (path.clone(), entry.as_ref().map(|entry| copies.entry(entry)))
            });
            Change { dir: change.dir.clone(), edits: edits.collect() }
        });
        let changes = changes.collect();
        Self { live: copies.of(&self.live), durable: copies.of(&self.durable), changes }
    }

    /// Replaces what is in a directory by what another disk has there.
    pub(super) fn take_dir(&mut self, other: &Self, dir: &Path) {
        let inside = |path: &PathBuf| path.starts_with(dir) && path != dir;
        self.changes.retain(|change| !change.dir.starts_with(dir));
        let other = other.copy();
        for (names, theirs) in [(&mut self.live, other.live), (&mut self.durable, other.durable)] {
            names.retain(|path, _| !inside(path));
            names.extend(theirs.into_iter().filter(|(path, _)| inside(path)));
        }
        self.changes.extend(other.changes.into_iter().filter(|c| c.dir.starts_with(dir)));
    }
}

/// Copies of files, one for each, however many names they have.
struct Copies<F> {
    done: Vec<(Content, Content)>,
    copy: F,
}

impl<F: FnMut(&FileContent) -> FileContent> Copies<F> {
    fn new(copy: F) -> Self {
        Self { done: Vec::new(), copy }
    }

    fn entry(&mut self, entry: &Entry) -> Entry {
        let Entry::File(content) = entry else {
            return Entry::Dir;
        };
        let known = self.done.iter().find(|(from, _)| Arc::ptr_eq(from, content));
        if let Some((_, copy)) = known {
            return Entry::File(Arc::clone(copy));
        }
        let copy = Arc::new(Mutex::new((self.copy)(&lock(content))));
        self.done.push((Arc::clone(content), Arc::clone(&copy)));
        Entry::File(copy)
    }

    fn of(&mut self, names: &Names) -> Names {
        names.iter().map(|(path, entry)| (path.clone(), self.entry(entry))).collect()
    }
}

fn is_top(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new(".") || path.parent().is_none()
}

fn apply(names: &mut Names, change: &Change) {
    for (path, entry) in &change.edits {
        match entry {
            Some(entry) => drop(names.insert(path.clone(), entry.clone())),
            None => drop(names.remove(path)),
        }
    }
}
