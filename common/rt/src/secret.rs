//! The shared secret of a cluster: proof of it without sending it.

use std::fmt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

/// Shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;

/// The secret all processes of a cluster share. Does not print itself.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a secret file is of no use.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("cannot read the secret file {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is too short.
    #[error(
        "the secret in {0} has {1} bytes; write at least {SECRET_BYTES_MIN} random ones, for example with `openssl rand -hex 32`"
    )]
    TooShort(PathBuf, usize),
}

impl Secret {
    /// Reads a secret file; white space around the secret does not count.
    ///
    /// # Errors
    /// The file cannot be read, or the secret is too short.
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let bytes = std::fs::read(path).map_err(|e| SecretError::Read(path.to_owned(), e))?;
        let secret = bytes.trim_ascii();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SecretError::TooShort(path.to_owned(), secret.len()));
        }
        Ok(Self(secret.to_owned()))
    }

    /// Proof of the secret for a nonce that the other side chose.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn proof(&self, nonce: &[u8; 16]) -> [u8; 32] {
        self.mac(nonce).finalize().into_bytes().into()
    }

    /// Whether a proof is right; takes the same time for every wrong one.
    #[must_use]
    pub fn verify(&self, nonce: &[u8; 16], proof: &[u8; 32]) -> bool {
        self.mac(nonce).verify_slice(proof).is_ok()
    }

    fn mac(&self, nonce: &[u8; 16]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(nonce);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_nonce_and_secret_only() {
        let secret = Secret(b"0123456789abcdef".to_vec());
        let proof = secret.proof(&[1; 16]);
        assert!(secret.verify(&[1; 16], &proof));
        assert!(!secret.verify(&[2; 16], &proof));
        assert!(!Secret(b"0123456789abcdeX".to_vec()).verify(&[1; 16], &proof));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
