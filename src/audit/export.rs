//! The log as one file that stands by itself: entries' exact bytes, the public key, and a signed checkpoint over all of it.
//!
//! JSON lines, described in docs/audit.md: a header, one line an entry in order, and last the checkpoint. Nothing in it is believed:
//! [`read_export`] recomputes the tree and asks the checkpoint's signature under the key that the reader brings.

use std::{
    io::{self, BufRead, Write},
    str,
};

use serde::{Deserialize, Serialize};

use super::{
    checkpoint::{Checkpoint, CheckpointError},
    key::PublicKey,
    verify::Verifier,
};
use crate::store::{self, Store, StoreError, merkle};

const FORMAT: &str = "backstop-audit-export";
const VERSION: u32 = 1;
/// Entries of one reading.
const PAGE: u32 = 1000;
/// A line longer than this is no entry.
const LONGEST_LINE: u64 = 16 << 20;

/// Whether the export tells what is known of persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    Included,
    LeftOut,
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the export cannot be written or read")]
    Io(#[from] io::Error),
    #[error("the database changed while it was read; try again")]
    Moved,
    #[error("entry {seq} is not text; `backstop audit verify` says what is wrong")]
    NotText { seq: u64 },
    #[error("it is not an export of an audit log")]
    NotAnExport,
    #[error("the export is of version {found}; this program reads version {VERSION}")]
    Version { found: u32 },
    #[error("a line cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    public_key: String,
    size: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seq: u64,
    /// The leaf's hash: it finds the entry that was changed; the tree is what proves it.
    leaf: String,
    /// The entry's exact bytes are this text's, in UTF-8.
    bytes: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    personal: Vec<store::Personal>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    checkpoint: String,
}

/// Writes the entries that `checkpoint` signed.
pub async fn write_export(
    out: &mut impl Write,
    store: &Store,
    (checkpoint, key): (&Checkpoint, &PublicKey),
    personal: Personal,
) -> Result<(), ExportError> {
    let header = Header { format: FORMAT.into(), version: VERSION, public_key: key.to_string(), size: checkpoint.size };
    line(out, &header)?;
    let mut next = 0;
    while next < checkpoint.size {
        let rows = store.audit_entries(next, PAGE).await?;
        if rows.is_empty() {
            return Err(ExportError::Moved);
        }
        for row in rows.into_iter().take_while(|row| row.seq < checkpoint.size) {
            next = row.seq + 1;
            let leaf = hex::encode(merkle::leaf(&row.bytes));
            let bytes = String::from_utf8(row.bytes).map_err(|_| ExportError::NotText { seq: row.seq })?;
            let known = if personal == Personal::Included { row.personal } else { Vec::new() };
            line(out, &Line { seq: row.seq, leaf, bytes, personal: known })?;
        }
    }
    line(out, &Last { checkpoint: checkpoint.note.clone() })?;
    Ok(out.flush()?)
}

/// Reads an export and verifies all of it under `key`; the caller adds older checkpoints and finishes.
pub fn read_export(input: impl BufRead, key: &PublicKey) -> Result<Verifier, ExportError> {
    let mut lines = Lines(input);
    let header: Header =
        lines.next()?.and_then(|line| serde_json::from_str(&line).ok()).ok_or(ExportError::NotAnExport)?;
    if header.format != FORMAT {
        return Err(ExportError::NotAnExport);
    }
    if header.version != VERSION {
        return Err(ExportError::Version { found: header.version });
    }
    let mut verifier = Verifier::default();
    if header.public_key != key.to_string() {
        verifier.fault(None, format!("the export names another key, {}", header.public_key));
    }
    let mut checkpoint = None;
    while let Some(text) = lines.next()? {
        let here = verifier.size();
        if checkpoint.is_some() {
            verifier.fault(Some(here), "there is more after the checkpoint");
            break;
        }
        if let Ok(line) = serde_json::from_str::<Line>(&text) {
            let leaf = hex::decode(&line.leaf).ok().and_then(|leaf| leaf.try_into().ok());
            if leaf.is_none() {
                verifier.fault(Some(line.seq), "its `leaf` is not a hash");
            }
            verifier.entry(line.seq, line.bytes.as_bytes(), leaf, &line.personal);
        } else if let Ok(last) = serde_json::from_str::<Last>(&text) {
            checkpoint = Some(last.checkpoint);
        } else {
            verifier.fault(Some(here), "its line in the export cannot be read");
        }
    }
    if header.size != verifier.size() {
        let words = format!("the export says that it has {} entries, and has {}", header.size, verifier.size());
        verifier.fault(None, words);
    }
    match checkpoint.map(|note| Checkpoint::read(&note, key)) {
        Some(Ok(checkpoint)) => {
            verifier.checkpoint(&checkpoint, "the export's checkpoint");
            if checkpoint.size < verifier.size() {
                verifier.fault(Some(checkpoint.size), "the export's checkpoint does not sign it, nor what follows");
            }
        }
        Some(Err(error)) => verifier.fault(None, format!("the export's checkpoint: {}", told(&error))),
        None => verifier.fault(None, "the export has no checkpoint: it was cut"),
    }
    Ok(verifier)
}

fn told(error: &CheckpointError) -> String {
    error.to_string()
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *out, value)?;
    Ok(out.write_all(b"\n")?)
}

/// Lines with a bound, and what is no text as an error of the export's.
struct Lines<R>(R);

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, ExportError> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        (&mut self.0).take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let text = str::from_utf8(&bytes).map_err(|_| ExportError::NotAnExport)?;
        Ok(Some(text.trim_end_matches('\n').to_owned()))
    }
}
