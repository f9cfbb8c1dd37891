//! The entries of a folder tree as records, in a stable order, links not followed.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;
use walkdir::WalkDir;

use super::error::ImportError;
use crate::record::Record;

/// What a walk meets.
pub(super) enum Entry {
    /// An entry below the root.
    Record(Record),
    /// Something that cannot be looked at, in words.
    Unreadable(String),
}

#[derive(Serialize)]
struct About {
    size: u64,
    mtime: i64,
    mode: u32,
    r#type: &'static str,
}

/// Walks `root`. The order is that of the names, so an interrupted import finds its place again.
pub(super) fn walk(root: &Path) -> Result<impl Iterator<Item = Entry> + use<>, ImportError> {
    if !root.is_dir() {
        return Err(ImportError::NotAFolder(root.to_owned()));
    }
    Ok(WalkDir::new(root).follow_links(false).min_depth(1).sort_by_file_name().into_iter().map(
        |entry| match entry.and_then(|entry| entry.metadata().map(|about| (entry, about))) {
            Ok((entry, about)) => Entry::Record(record(entry.path(), &about)),
            Err(e) => Entry::Unreadable(e.to_string()),
        },
    ))
}

fn record(path: &Path, about: &Metadata) -> Record {
    let kind = about.file_type();
    let about = About {
        size: about.size(),
        mtime: about.mtime(),
        mode: about.mode() & 0o7777,
        r#type: match kind {
            kind if kind.is_file() => "file",
            kind if kind.is_dir() => "dir",
            kind if kind.is_symlink() => "link",
            _ => "other",
        },
    };
    let bytes = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().as_bytes().to_vec();
    Record {
        namespace: None,
        object: bytes(path.parent().map(Path::as_os_str)),
        field: Some(bytes(path.file_name())),
        value: serde_json::to_vec(&about).expect("numbers and a word always serialise"),
        expire_at_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn every_entry_below_the_root_is_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/b"), "12345").unwrap();
        fs::write(root.join("sub").join(std::ffi::OsString::from_vec(vec![b'x', 0xff])), "")
            .unwrap();
        std::os::unix::fs::symlink("/", root.join("link")).unwrap();

        let records: Vec<Record> = walk(root)
            .unwrap()
            .map(|entry| match entry {
                Entry::Record(record) => record,
                Entry::Unreadable(what) => panic!("{what}"),
            })
            .collect();
        let names: Vec<_> = records.iter().map(|r| r.field.clone().unwrap()).collect();
        assert_eq!(names, [&b"link"[..], b"sub", b"b", b"x\xff"]);
        assert_eq!(records[0].object, root.as_os_str().as_bytes());
        assert_eq!(records[2].object, root.join("sub").as_os_str().as_bytes());
        let value: serde_json::Value = serde_json::from_slice(&records[2].value).unwrap();
        assert_eq!((&value["size"], &value["type"]), (&5.into(), &"file".into()));
        assert!(value["mtime"].as_i64().unwrap() > 0);
        let link: serde_json::Value = serde_json::from_slice(&records[0].value).unwrap();
        assert_eq!(link["type"], "link", "a link is an entry and is not followed");
    }

    #[test]
    fn a_file_is_no_tree() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(walk(file.path()), Err(ImportError::NotAFolder(_))));
    }
}
