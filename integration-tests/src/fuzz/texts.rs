//! Texts that people write: topology files, words of flags and headers.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use common::durability::{Acks, Sync};
use common::version::Version;
use config::{Size, Topology};

/// A topology file. One that is good is so again, and no change from itself.
pub(super) fn topology(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Topology::parse(&text) {
        Ok(topology) => {
            assert_eq!(topology.text(), text);
            let again = Topology::parse(topology.text()).expect("it was good before");
            assert_eq!(again.version(), topology.version());
            assert_eq!(topology.warnings(), again.warnings());
        }
        Err(problems) => assert!(!problems.to_string().is_empty(), "refused without a reason"),
    }
}

/// What stands in one word.
pub(super) fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    word::<Acks>(&text);
    word::<Sync>(&text);
    word::<Size>(&text);
    if let Some(version) = Version::from_hex(&text) {
        assert_eq!(Version::from_hex(&version.to_string()), Some(version));
    }
}

fn word<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    // No bytes at all have no unit; nobody needs to write that again.
    let again = value.to_string();
    assert!(again == "0B" || again.parse::<T>().ok() == Some(value), "{text} is written {again}");
}
