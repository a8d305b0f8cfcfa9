//! A witness of the audit log: where it is asked, and by which key its word is known.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest as _, Sha256};

/// The type of an Ed25519 cosignature's key (<https://c2sp.org/tlog-cosignature>).
const ED25519_COSIGNATURE: u8 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Without a slash at its end; `/add-checkpoint` is below it.
    pub url: String,
    /// `NAME+HASH+KEY`.
    pub key: String,
}

/// The name, the id and the 32 bytes of a witness's key as the C2SP writes it, `NAME+HASH+KEY`; `None`: it is none.
pub fn witness_key(text: &str) -> Option<(String, u32, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let bytes = BASE64.decode(key).ok()?;
    let (kind, key) = bytes.split_first()?;
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    let expected = Sha256::new().chain_update(name).chain_update(b"\n").chain_update(&bytes).finalize();
    let found = u32::from_str_radix(id, 16).ok().filter(|_| id.len() == 8)?;
    let is_its = expected.first_chunk::<4>().is_some_and(|first| u32::from_be_bytes(*first) == found);
    let key: [u8; 32] = key.try_into().ok()?;
    (is_name && is_its && *kind == ED25519_COSIGNATURE).then(|| (name.to_owned(), found, key))
}
