//! Random numbers from the operating system.

/// Fills an array.
///
/// # Panics
/// The operating system has no random source.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

/// A random 64-bit number.
#[must_use]
pub fn u64() -> u64 {
    u64::from_le_bytes(bytes())
}

/// A random 128-bit number.
#[must_use]
pub fn u128() -> u128 {
    u128::from_le_bytes(bytes())
}
