//! Whether a log is whole: every entry at its number, every hash what it should be, every checkpoint a beginning of it.
//!
//! [`Verifier`] is the pure core, for an export and for the database alike: it sees entries one by one and never a column of ours.
//! [`verify_live`] adds what only the database has: its copies of columns, the stored tree, personal values, its guards.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::checkpoint::Checkpoint;
use crate::store::{
    AuditRow, Personal, Store, StoreError,
    merkle::{self, Digest, Question},
};

/// Rows of one reading.
const PAGE: u32 = 1000;
/// How often the end of the tree is looked at before hashes without entries count: a log that grows at this moment has some.
const LOOKS: usize = 3;
/// More faults than this tell a human nothing more.
const MOST_FAULTS: usize = 100;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The entry where it was found; `None`: the log as a whole.
    pub seq: Option<u64>,
    pub what: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub size: u64,
    #[serde(serialize_with = "hex::serde::serialize")]
    pub root: Digest,
    /// In the order of the entries; none: the log is whole.
    pub faults: Vec<Fault>,
    /// Personal values that were forgotten: no fault.
    pub forgotten: u64,
}

/// Takes a log in, entry by entry.
#[derive(Debug, Default)]
pub struct Verifier {
    /// Every complete subtree's hash, at its stored position.
    hashes: Vec<Digest>,
    size: u64,
    ids: HashSet<String>,
    faults: Vec<Fault>,
    more_faults: u64,
    forgotten: u64,
}

/// What an entry's bytes say of themselves.
#[derive(Debug, Deserialize)]
struct Said {
    seq: u64,
    id: String,
    at: String,
    action: String,
    object: Object,
    personal: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Object {
    kind: String,
    name: String,
}

impl Verifier {
    /// The next entry: the number that it comes under, the hash that is claimed for it, what is known of its personal values.
    pub fn entry(&mut self, seq: u64, bytes: &[u8], leaf: Option<Digest>, personal: &[Personal]) {
        self.take(seq, bytes, personal);
        if leaf.is_some_and(|leaf| leaf != merkle::leaf(bytes)) {
            self.fault(Some(seq), "its bytes are not those that were logged");
        }
    }

    /// A checkpoint whose signature was verified: the log must begin with what it signed. `what` names it.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint, what: &str) {
        if checkpoint.size > self.size {
            let gone = checkpoint.size - self.size;
            let words = format!(
                "{what} was signed for {} entries and {} are here: the last {gone} are gone, or an older copy was put back",
                checkpoint.size, self.size
            );
            self.fault(Some(self.size), words);
        } else if self.root(checkpoint.size) != Some(checkpoint.root) {
            let words = format!(
                "{what} signs another tree: one of the first {} entries is not what was signed, or the log was forked",
                checkpoint.size
            );
            self.fault(None, words);
        }
    }

    pub fn fault(&mut self, seq: Option<u64>, what: impl Into<String>) {
        match self.faults.len() < MOST_FAULTS {
            true => self.faults.push(Fault { seq, what: what.into() }),
            false => self.more_faults += 1,
        }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn finish(mut self) -> Verdict {
        let root = self.root(self.size).unwrap_or_default();
        if self.more_faults > 0 {
            self.faults.push(Fault { seq: None, what: format!("and {} more faults", self.more_faults) });
        }
        Verdict { size: self.size, root, faults: self.faults, forgotten: self.forgotten }
    }

    fn take(&mut self, seq: u64, bytes: &[u8], personal: &[Personal]) -> Option<Said> {
        let expected = self.size;
        if seq != expected {
            self.fault(Some(expected), format!("it is not here: entry {seq} comes in its place"));
        }
        let said = self.read(seq, bytes, personal);
        // Counted on from what is here, so that what follows a gap is judged by itself.
        let question = Question::Append { seq: self.size, leaf: merkle::leaf(bytes) };
        // Cannot lack a hash: all that came before were put there.
        self.hashes.extend(question.answer(&self.hashes).unwrap_or_default());
        self.size += 1;
        said
    }

    fn read(&mut self, seq: u64, bytes: &[u8], personal: &[Personal]) -> Option<Said> {
        let Ok(said) = serde_json::from_slice::<Said>(bytes) else {
            self.fault(Some(seq), "its bytes are not an entry");
            return None;
        };
        if said.seq != seq {
            self.fault(Some(seq), format!("its bytes say that it is entry {}", said.seq));
        }
        if !self.ids.insert(said.id.clone()) {
            self.fault(Some(seq), format!("its id {} was there before", said.id));
        }
        for one in personal {
            let committed = said.personal.get(&one.field).and_then(Value::as_str);
            if committed != Some(one.commitment.as_str()) || !one.is_true() {
                self.fault(Some(seq), format!("the value kept for `{}` is not what the entry commits to", one.field));
            }
        }
        self.forgotten += (said.personal.len() as u64).saturating_sub(personal.len() as u64);
        Some(said)
    }

    fn root(&self, size: u64) -> Option<Digest> {
        Question::Root { size }.answer(&self.hashes).ok()?.first().copied()
    }
}

/// Reads the whole log in the database. Checkpoints are judged by the caller, who then finishes.
pub async fn verify_live(store: &Store) -> Result<Verifier, StoreError> {
    let mut verifier = Verifier::default();
    // What is appended meanwhile is left for the next time, so that entries and tree are of one moment.
    let size = store.audit_size().await?;
    let mut from = 0;
    while from < size {
        let rows = store.audit_entries(from, PAGE).await?;
        let Some(last) = rows.last() else { break };
        from = last.seq + 1;
        for row in rows.iter().filter(|row| row.seq < size) {
            if let Some(said) = verifier.take(row.seq, &row.bytes, &row.personal) {
                compare(&mut verifier, row, &said);
            }
        }
    }
    stored_tree(&mut verifier, store, size).await?;
    for guard in store.audit_guards_gone().await? {
        verifier.fault(None, format!("the database does not refuse changes any more: its trigger {guard} is gone"));
    }
    Ok(verifier)
}

/// The columns that are there for looking things up.
fn compare(verifier: &mut Verifier, row: &AuditRow, said: &Said) {
    let at = OffsetDateTime::parse(&said.at, &Rfc3339).map(|at| at.unix_timestamp_nanos() / 1_000_000);
    let object = format!("{}:{}", said.object.kind, said.object.name);
    let columns = [
        ("id", row.id == said.id),
        ("at_unix_ms", at == Ok(i128::from(row.at_unix_ms))),
        ("action", row.action == said.action),
        ("object", row.object == object),
    ];
    for (column, _) in columns.iter().filter(|(_, same)| !same) {
        verifier.fault(Some(row.seq), format!("its column `{column}` is not what its bytes say"));
    }
}

/// The stored hashes against those of the entries' bytes. Where a leaf differs its ancestors do too; only the leaf is told.
async fn stored_tree(verifier: &mut Verifier, store: &Store, size: u64) -> Result<(), StoreError> {
    let expected = merkle::stored_count(size);
    let (mut from, mut seen, mut above) = (0, 0, None);
    let mut leaves = false;
    while from < expected {
        let rows = store.audit_hashes_from(from, PAGE).await?;
        let Some((last, _)) = rows.last() else { break };
        from = last + 1;
        for (position, hash) in rows.into_iter().filter(|(position, _)| *position < expected) {
            seen += 1;
            let ours = usize::try_from(position).ok().and_then(|position| verifier.hashes.get(position));
            if ours.is_some_and(|ours| ours.as_slice() == hash) {
                continue;
            }
            match tlog_tiles::split_stored_hash_index(position) {
                (0, seq) => {
                    leaves = true;
                    verifier.fault(Some(seq), "its bytes are not those that were logged");
                }
                (level, n) => above = above.or(Some((n << level, (n + 1) << level))),
            }
        }
    }
    if let (Some((first, end)), false) = (above, leaves) {
        verifier.fault(Some(first), format!("the stored hash over the entries from here to {} was changed", end - 1));
    }
    if seen != expected {
        let words =
            format!("the stored tree has {seen} hashes where {expected} belong: some were removed from outside");
        verifier.fault(Some(size.saturating_sub(1)), words);
    }
    for _ in 0..LOOKS {
        let now = store.audit_size().await?;
        if store.audit_hashes_from(merkle::stored_count(now), 1).await?.is_empty() {
            return Ok(());
        }
    }
    verifier.fault(Some(size), "its hash is in the stored tree and it is not here: entries were removed from the end");
    Ok(())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "entry {seq}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}
