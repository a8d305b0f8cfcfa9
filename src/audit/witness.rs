//! Witnesses: others who look at every checkpoint, see by a proof that it extends the one that they saw before, and cosign it. With
//! their cosignatures in the note nobody can be shown another history than they were.
//!
//! <https://c2sp.org/tlog-witness>, <https://c2sp.org/tlog-cosignature>: Ed25519, version 1. What a witness answers is believed only as far
//! as its signature over this very checkpoint holds.

use std::time::Duration;

use ed25519_dalek::{Signature as Ed25519, VerifyingKey};
use reqwest::{Client, Response};
use signed_note::{Note, Signature, Verifier};

use super::{Audit, Checkpoint, CheckpointError, in_base64};
use crate::{config::Witness, store::merkle::Digest};

const TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of an answer, in bytes.
const MOST: usize = 16 << 10;
/// Of a proof, as the protocol has it.
const MOST_HASHES: usize = 63;

/// A witness's public half.
#[derive(Debug, Clone)]
pub struct WitnessKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NoCosignature {
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it did not answer within 10 s")]
    Timeout,
    #[error("it does not know this log; give it the log's public key (`backstop audit key`)")]
    UnknownLog,
    #[error("it does not trust this log's key; give it the one that `backstop audit key` prints")]
    UnknownKey,
    #[error(
        "it has seen this log with {seen} entries, and there are {size}: entries are gone, or an older database was put back"
    )]
    SeenMore { seen: u64, size: u64 },
    #[error("it does not find that the log extends what it has seen: the log was forked or rewritten")]
    Inconsistent,
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer has no cosignature of the key that the config names")]
    NotCosigned,
    #[error(transparent)]
    Proof(#[from] CheckpointError),
}

impl WitnessKey {
    /// `NAME+HASH+KEY` with a key of the type Ed25519 cosignature.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, id, key) = crate::config::witness_key(text)?;
        Some(Self { name, id, key: VerifyingKey::from_bytes(&key).ok()? })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Verifier for WitnessKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    /// `text`: the note's.
    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
        let (time, Ok(signature)) = (u64::from_be_bytes(*time), Ed25519::from_slice(signature)) else { return false };
        let signed = [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat();
        self.key.verify_strict(&signed, &signature).is_ok()
    }
}

/// Asks `witness` to cosign. `known`: the size that it cosigned last, as far as is known. What it gives is a line of the note.
pub(super) async fn ask(
    audit: &Audit,
    client: &Client,
    witness: &Witness,
    (checkpoint, known): (&Checkpoint, u64),
) -> Result<Signature, NoCosignature> {
    let mut old = known.min(checkpoint.size);
    // It says itself what it has seen, where that is something else; once.
    for _ in 0..2 {
        let proof = match old {
            0 => Vec::new(),
            old => audit.consistency(old, checkpoint).await?,
        };
        let (status, body) = post(client, witness, (old, &proof), checkpoint).await?;
        match status {
            200 => return cosignature(&body, witness, checkpoint).ok_or(NoCosignature::NotCosigned),
            409 => {
                let seen: u64 = body.trim().parse().map_err(|_| NoCosignature::Inconsistent)?;
                if seen > checkpoint.size {
                    return Err(NoCosignature::SeenMore { seen, size: checkpoint.size });
                }
                if seen == old {
                    return Err(NoCosignature::Inconsistent);
                }
                old = seen;
            }
            403 => return Err(NoCosignature::UnknownKey),
            404 => return Err(NoCosignature::UnknownLog),
            422 => return Err(NoCosignature::Inconsistent),
            status => return Err(NoCosignature::Status(status)),
        }
    }
    Err(NoCosignature::Inconsistent)
}

async fn post(
    client: &Client,
    witness: &Witness,
    (old, proof): (u64, &[Digest]),
    checkpoint: &Checkpoint,
) -> Result<(u16, String), NoCosignature> {
    let proof = &proof[..proof.len().min(MOST_HASHES)];
    let body = format!("old {old}\n{}\n{}", in_base64(proof), checkpoint.note);
    let sent = client.post(format!("{}/add-checkpoint", witness.url)).timeout(TIMEOUT).body(body).send().await;
    let mut response = sent.map_err(lost)?;
    let status = response.status().as_u16();
    Ok((status, text(&mut response).await?))
}

async fn text(response: &mut Response) -> Result<String, NoCosignature> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > MOST {
            return Err(NoCosignature::NotCosigned);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The line of `body` that this witness signed the checkpoint with; others are passed over.
fn cosignature(body: &str, witness: &Witness, checkpoint: &Checkpoint) -> Option<Signature> {
    let key = WitnessKey::parse(&witness.key)?;
    let note = Note::from_bytes(checkpoint.note.as_bytes()).ok()?;
    let lines = body.lines().filter_map(|line| Signature::from_bytes(line.as_bytes()).ok());
    let mut ours = lines.filter(|line| line.name() == key.name && line.id() == key.id);
    ours.find(|line| key.verify(note.text(), line.signature()))
}

fn lost(error: reqwest::Error) -> NoCosignature {
    if error.is_timeout() { NoCosignature::Timeout } else { NoCosignature::Unreachable }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn key(signing: &SigningKey, kind: u8) -> String {
        let public = [&[kind], signing.verifying_key().as_bytes().as_slice()].concat();
        format!(
            "witness.example/w1+{:08x}+{}",
            signed_note::key_id("witness.example/w1", &public),
            BASE64.encode(public)
        )
    }

    #[test]
    fn a_cosignature_is_of_this_text_this_time_and_this_key() {
        let signing = SigningKey::from_bytes(&[7; 32]);
        let witness = WitnessKey::parse(&key(&signing, 4)).expect("is one");
        let text = b"log\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let signed = [&b"cosignature/v1\ntime 1679315147\n"[..], text].concat();
        let cosigned = |time: u64| [&time.to_be_bytes()[..], &signing.sign(&signed).to_bytes()].concat();
        assert!(witness.verify(text, &cosigned(1_679_315_147)));
        assert!(!witness.verify(text, &cosigned(1_679_315_148)));
        assert!(!witness.verify(&text[1..], &cosigned(1_679_315_147)));
        assert!(!witness.verify(text, &signing.sign(text).to_bytes()), "a log's own signature is none");
        let other = SigningKey::from_bytes(&[8; 32]);
        let other = WitnessKey::parse(&key(&other, 4)).expect("is one");
        assert!(!other.verify(text, &cosigned(1_679_315_147)));
        assert!(WitnessKey::parse(&key(&signing, 1)).is_none(), "a log's key is no witness's");
    }
}
