//! Whether a file is the one its manifest names: its size first, then the SHA-256 of every byte.
//!
//! Nothing is remembered between two calls: a file that was right a minute ago is read again.

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256, written as 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Why a file is not the one expected.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{path} is not there")]
    Missing { path: PathBuf },
    #[error("{path} has {found} bytes where its manifest says {expected}; it is truncated or another file")]
    SizeMismatch { path: PathBuf, expected: u64, found: u64 },
    #[error("{path} has SHA-256 {found} where its manifest says {expected}; it is damaged or another file")]
    DigestMismatch { path: PathBuf, expected: Digest, found: Digest },
    #[error("{path} is no regular file")]
    NotAFile { path: PathBuf },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
}

/// Reads all of `path` and compares. The size is compared first, so that a truncated file costs no hashing.
pub fn check(path: &Path, bytes: u64, sha256: &Digest) -> Result<(), VerifyError> {
    let read = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => VerifyError::Missing { path: path.to_owned() },
        _ => VerifyError::Read { path: path.to_owned(), source },
    };
    // Before it is opened: a pipe would wait for somebody to write.
    if !path.metadata().map_err(read)?.is_file() {
        return Err(VerifyError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(read)?;
    let found = file.metadata().map_err(read)?.len();
    if found != bytes {
        return Err(VerifyError::SizeMismatch { path: path.to_owned(), expected: bytes, found });
    }
    let found = Digest::of(file).map_err(read)?;
    if found != *sha256 {
        return Err(VerifyError::DigestMismatch { path: path.to_owned(), expected: *sha256, found });
    }
    Ok(())
}

/// Hex SHA-256 over a list of digests, a line each.
pub(crate) fn together<'a>(digests: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for digest in digests {
        hasher.update(digest);
        hasher.update("\n");
    }
    hex::encode(hasher.finalize())
}

impl Digest {
    /// Of everything that `reader` gives.
    pub fn of(mut reader: impl io::Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self(hasher.finalize().into())),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 32];
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) || hex::decode_to_slice(&text, &mut bytes).is_err() {
            return Err(format!("`{text}` is not a SHA-256; write its 64 lower-case hex digits"));
        }
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_byte_or_one_missing_byte_is_found_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.gguf");
        let good = vec![7_u8; 3_000_000];
        let digest = Digest::of(good.as_slice()).unwrap();

        std::fs::write(&path, &good).unwrap();
        check(&path, 3_000_000, &digest).unwrap();

        let mut changed = good.clone();
        changed[2_999_999] = 8;
        std::fs::write(&path, &changed).unwrap();
        let fault = check(&path, 3_000_000, &digest).unwrap_err();
        assert!(matches!(&fault, VerifyError::DigestMismatch { expected, .. } if *expected == digest), "{fault}");

        std::fs::write(&path, &good[1..]).unwrap();
        let fault = check(&path, 3_000_000, &digest).unwrap_err();
        assert!(matches!(fault, VerifyError::SizeMismatch { found: 2_999_999, .. }), "{fault}");

        std::fs::remove_file(&path).unwrap();
        assert!(matches!(check(&path, 1, &digest), Err(VerifyError::Missing { .. })));
    }

    #[test]
    fn a_digest_is_the_published_one_and_is_written_in_one_way_only() {
        let abc = Digest::of(b"abc".as_slice()).unwrap().to_string();
        assert_eq!(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(Digest::try_from(abc.to_uppercase()).is_err());
        assert!(Digest::try_from(abc[1..].to_owned()).is_err());
        assert_eq!(Digest::try_from(abc.clone()).unwrap().to_string(), abc);
    }
}
