//! A generated folder tree, with known names in a known order.

use std::fs;
use std::path::{Path, PathBuf};

/// A tree of `folders` folders with `files` empty files each.
#[derive(Debug)]
pub struct Tree {
    /// The root folder.
    pub root: PathBuf,
    folders: usize,
    files: usize,
}

impl Tree {
    /// Makes the tree below `root`.
    pub fn make(root: &Path, folders: usize, files: usize) -> Self {
        let tree = Self { root: root.to_owned(), folders, files };
        for folder in 0..folders {
            let path = tree.folder(folder);
            fs::create_dir_all(&path).expect("a temporary folder can be written");
            for file in 0..files {
                fs::write(path.join(file_name(file)), "").expect("a file can be written");
            }
        }
        tree
    }

    /// How many entries are below the root.
    pub fn entries(&self) -> usize {
        self.folders * (self.files + 1)
    }

    /// A folder's path.
    pub fn folder(&self, number: usize) -> PathBuf {
        self.root.join(format!("folder-{number:04}"))
    }

    /// The names in every folder, in order.
    pub fn names(&self) -> Vec<String> {
        (0..self.files).map(file_name).collect()
    }

    /// All entries as (folder, name), in the order of a walk sorted by name.
    pub fn walk(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().expect("plain names").to_owned();
        let mut all = Vec::with_capacity(self.entries());
        for folder in 0..self.folders {
            let path = self.folder(folder);
            all.push((
                text(&self.root),
                path.file_name().expect("a name").to_str().expect("plain").to_owned(),
            ));
            all.extend((0..self.files).map(|file| (text(&path), file_name(file))));
        }
        all
    }
}

fn file_name(number: usize) -> String {
    format!("file-{number:04}")
}
