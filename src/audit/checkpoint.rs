//! Signed tree heads, in C2SP's note format (<https://c2sp.org/tlog-checkpoint>): origin, size, root, and the log key's signature.
//!
//! The last one that was signed is kept beside the key, not in the database. A log that is not an extension of it is never signed:
//! a database that was put back, cut or rewritten is found at the next checkpoint.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use signed_note::{Note, NoteError, Signature, VerifierList};
use tlog_tiles::Hash;

use super::{
    Audit,
    key::{LogKey, PublicKey},
    lock,
    pending::write,
    witness::WitnessKey,
};
use crate::store::{
    Store, StoreError,
    merkle::{Digest, Incomplete, Question},
};

const LAST: &str = "checkpoint";

/// A tree head whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Digest,
    /// The whole note, with its signatures.
    pub note: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("it is not a checkpoint: {0}")]
    Malformed(String),
    #[error("its signature does not hold under this key: it was changed, or signed by another")]
    Signature(#[source] NoteError),
    #[error("it is of another log: {found}, not {expected}")]
    OtherLog { found: String, expected: String },
    #[error(
        "the log has {size} entries and a checkpoint for {signed} was signed: entries are gone, or an older database was put back"
    )]
    Shrunk { size: u64, signed: u64 },
    #[error("the first {signed} entries are not those that were signed: the log was rewritten")]
    Rewritten { signed: u64 },
    #[error(
        "the last checkpoint that was signed here, {path}, cannot be believed; verify with one that was published, then put that in its place",
        path = path.display()
    )]
    Last { path: PathBuf, source: Box<CheckpointError> },
    #[error("the checkpoint cannot be signed")]
    Sign(#[source] NoteError),
    #[error(
        "the last checkpoint cannot be read or written; mend the permissions of the state directory's audit/ or free disk space"
    )]
    Io(#[from] io::Error),
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database cannot be opened")]
    NoDatabase,
}

impl Checkpoint {
    pub(super) fn sign(key: &LogKey, size: u64, root: Digest) -> Result<Self, CheckpointError> {
        let origin = key.public().origin().to_owned();
        let malformed = |error: tlog_tiles::MalformedCheckpointError| CheckpointError::Malformed(error.to_string());
        let head = tlog_tiles::Checkpoint::new(&origin, size, Hash(root), "").map_err(malformed)?;
        let mut note = Note::new(&head.to_bytes(), &[]).map_err(CheckpointError::Sign)?;
        note.add_sigs(&[&key.signer]).map_err(CheckpointError::Sign)?;
        Ok(Self { origin, size, root, note: String::from_utf8_lossy(&note.to_bytes()).into_owned() })
    }

    /// Reads a note and verifies it. Signatures of others (witnesses) are allowed beside the log's own.
    pub fn read(note: &str, key: &PublicKey) -> Result<Self, CheckpointError> {
        let malformed = |error: NoteError| CheckpointError::Malformed(error.to_string());
        let parsed = Note::from_bytes(note.as_bytes()).map_err(malformed)?;
        let head = tlog_tiles::Checkpoint::from_bytes(parsed.text())
            .map_err(|error| CheckpointError::Malformed(error.to_string()))?;
        parsed.verify(&VerifierList::new(vec![Box::new(key.verifier.clone())])).map_err(CheckpointError::Signature)?;
        if head.origin() != key.origin() {
            let (found, expected) = (head.origin().to_owned(), key.origin().to_owned());
            return Err(CheckpointError::OtherLog { found, expected });
        }
        Ok(Self { origin: head.origin().to_owned(), size: head.size(), root: head.hash().0, note: note.to_owned() })
    }

    /// The last one that was signed here.
    pub fn last(dir: &Path, key: &PublicKey) -> Result<Option<Self>, CheckpointError> {
        match fs::read_to_string(dir.join(LAST)) {
            Ok(note) => match Self::read(&note, key) {
                Ok(last) => Ok(Some(last)),
                Err(error) => Err(CheckpointError::Last { path: dir.join(LAST), source: error.into() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether anything was signed here, by whatever key.
    pub fn is_there(dir: &Path) -> bool {
        dir.join(LAST).exists()
    }

    /// Whether this witness has cosigned it.
    pub fn is_cosigned_by(&self, witness: &WitnessKey) -> bool {
        let verifiers = VerifierList::new(vec![Box::new(witness.clone())]);
        Note::from_bytes(self.note.as_bytes()).is_ok_and(|note| note.verify(&verifiers).is_ok())
    }

    /// The root in base64, as the note has it.
    pub fn root_text(&self) -> String {
        BASE64.encode(self.root)
    }
}

impl Audit {
    /// Signs the log as it stands, if it extends what was signed last; the last one again when nothing was added.
    pub async fn checkpoint(&self, key: &LogKey) -> Result<Checkpoint, CheckpointError> {
        let store = self.store().ok_or(CheckpointError::NoDatabase)?;
        let dir = self.dir().to_owned();
        // Off the runtime's threads: whoever holds it may need one to let go.
        let _lock = tokio::task::spawn_blocking(move || lock(&dir)).await.map_err(io::Error::other)??;
        let last = Checkpoint::last(self.dir(), key.public())?;
        let size = store.audit_size().await?;
        let root = ask(store, Question::Root { size }).await?[0];
        if let Some(last) = last {
            if last.size > size {
                return Err(CheckpointError::Shrunk { size, signed: last.size });
            }
            if ask(store, Question::Root { size: last.size }).await?[0] != last.root {
                return Err(CheckpointError::Rewritten { signed: last.size });
            }
            if last.size == size {
                key.hand_out(self.dir())?;
                return Ok(last);
            }
        }
        let checkpoint = Checkpoint::sign(key, size, root)?;
        write(&self.dir().join(LAST), checkpoint.note.as_bytes())?;
        key.hand_out(self.dir())?;
        Ok(checkpoint)
    }

    /// Keeps cosignatures of `checkpoint` in its note, beside the log's own signature; it with them.
    pub(super) async fn cosigned(
        &self,
        checkpoint: &Checkpoint,
        by: &[Signature],
    ) -> Result<Checkpoint, CheckpointError> {
        let dir = self.dir().to_owned();
        let _lock = tokio::task::spawn_blocking(move || lock(&dir)).await.map_err(io::Error::other)??;
        let lines: Vec<u8> = by.iter().flat_map(Signature::to_bytes).collect();
        let note = format!("{}{}", checkpoint.note, String::from_utf8_lossy(&lines));
        let path = self.dir().join(LAST);
        // Another process may have signed a longer log meanwhile: that one stays.
        if fs::read_to_string(&path)? == checkpoint.note {
            write(&path, note.as_bytes())?;
        }
        Ok(Checkpoint { note, ..checkpoint.clone() })
    }

    /// That the entry `seq` is in the log as `checkpoint` signed it: the path from the leaf to the root.
    pub async fn inclusion(&self, seq: u64, checkpoint: &Checkpoint) -> Result<Vec<Digest>, CheckpointError> {
        let store = self.store().ok_or(CheckpointError::NoDatabase)?;
        ask(store, Question::Inclusion { seq, size: checkpoint.size }).await
    }

    /// That the first `old` entries of the log that `checkpoint` signed are those of the log when it had `old`.
    pub async fn consistency(&self, old: u64, checkpoint: &Checkpoint) -> Result<Vec<Digest>, CheckpointError> {
        let store = self.store().ok_or(CheckpointError::NoDatabase)?;
        ask(store, Question::Consistency { old, size: checkpoint.size }).await
    }
}

async fn ask(store: &Store, question: Question) -> Result<Vec<Digest>, CheckpointError> {
    let hashes = store.audit_hashes(question.needs()?).await?;
    Ok(question.answer(&hashes.into_iter().collect::<std::collections::HashMap<_, _>>())?)
}
