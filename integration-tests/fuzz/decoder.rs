//! Hands what libFuzzer makes up to the target that `FUZZ_TARGET` names. `docs/TESTING.md` has the
//! command line.

#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static NAME: OnceLock<String> = OnceLock::new();
    let name = NAME.get_or_init(|| {
        std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target of harness::fuzz")
    });
    harness::fuzz::run(name, bytes);
});
