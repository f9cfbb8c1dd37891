//! Reads `tests/golden/*.hex`: named cases of annotated bytes, and compares values with them.
//!
//! A case is `[name]` and lines of hex; `#` starts a comment. The files were written from
//! `docs/PROTOCOL.md` and never from the code's output: when they differ, one of the two is wrong.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use common::codec::DecodeError;

/// Every value encodes to the bytes of its case and back, and every case of the file is used.
pub(crate) fn check<T: Debug + PartialEq>(
    file: &str,
    cases: &[(&str, T)],
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&'static [u8]) -> Result<T, DecodeError>,
) {
    let mut golden = read(file);
    for (name, value) in cases {
        let bytes =
            golden.remove(*name).unwrap_or_else(|| panic!("{file} has no unused case [{name}]"));
        assert_eq!(hex(&encode(value)), hex(bytes), "encoding of [{name}] in {file}");
        assert_eq!(decode(bytes).as_ref(), Ok(value), "decoding of [{name}] in {file}");
    }
    assert!(golden.is_empty(), "cases of {file} that no value stands for: {:?}", golden.keys());
}

/// The cases of a file. Leaked, so that decoded values need no lifetime of their own.
fn read(file: &str) -> BTreeMap<String, &'static [u8]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            cases.push((name.to_owned(), Vec::new()));
            continue;
        }
        for byte in line.split_whitespace() {
            let byte = u8::from_str_radix(byte, 16)
                .unwrap_or_else(|e| panic!("`{byte}` in {file} is no byte: {e}"));
            cases
                .last_mut()
                .unwrap_or_else(|| panic!("{file} has bytes before a case"))
                .1
                .push(byte);
        }
    }
    let count = cases.len();
    let cases: BTreeMap<_, &'static [u8]> =
        cases.into_iter().map(|(name, bytes)| (name, &*bytes.leak())).collect();
    assert_eq!(cases.len(), count, "two cases of {file} have the same name");
    cases
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}
