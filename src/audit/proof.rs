//! The proof that one entry is in the log, as a file that anyone with the public key can verify: c2sp.org/tlog-proof.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{Audit, Checkpoint, CheckpointError};
use crate::store::{Store, StoreError, merkle};

#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error("there is no entry {seq}; `backstop audit list` shows those there are")]
    NoEntry { seq: u64 },
    #[error("entry {seq} came after the checkpoint; try again")]
    TooNew { seq: u64 },
    #[error("entry {seq} is not what was logged: no proof holds for it; `backstop audit verify` says more")]
    Changed { seq: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Audit {
    /// The path from the entry `seq` to the root that `checkpoint` signed, and the checkpoint itself.
    pub async fn prove(&self, store: &Store, checkpoint: &Checkpoint, seq: u64) -> Result<String, ProofError> {
        let row = store.audit_entries(seq, 1).await?.into_iter().find(|row| row.seq == seq);
        let row = row.ok_or(ProofError::NoEntry { seq })?;
        if seq >= checkpoint.size {
            return Err(ProofError::TooNew { seq });
        }
        let proof = self.inclusion(seq, checkpoint).await?;
        if !merkle::includes(&proof, (checkpoint.size, checkpoint.root), seq, merkle::leaf(&row.bytes)) {
            return Err(ProofError::Changed { seq });
        }
        Ok(format!("c2sp.org/tlog-proof@v1\nindex {seq}\n{}\n{}", in_base64(&proof), checkpoint.note))
    }
}

/// One hash a line.
pub fn in_base64(hashes: &[merkle::Digest]) -> String {
    hashes.iter().map(|hash| format!("{}\n", BASE64.encode(hash))).collect()
}
