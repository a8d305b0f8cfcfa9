//! The audit log: read, proven, exported, and what it knows of a person erased.

use crate::{
    admin::{
        refused::{Refused, chain},
        site::Site,
        view::EntryShown,
    },
    audit::{self, Audit, Checkpoint, KeyError, Personal, ProofError, PublicKey},
    domain::{Act, Action},
    store::AuditRow,
    vault::Vault,
};

/// One entry.
pub async fn show(site: &Site, seq: u64) -> Result<EntryShown, Refused> {
    let rows: Vec<AuditRow> = site.store()?.audit_entries(seq, 1).await?;
    let row = rows.iter().find(|row| row.seq == seq);
    let row = row.ok_or_else(|| {
        Refused::not_found(format!("there is no entry {seq}; `backstop audit list` shows those there are"))
    })?;
    Ok(EntryShown::from(row))
}

/// That the log extends one of `from` entries, and that entry `seq` is in it: one after the other, all up to one checkpoint that is signed now.
pub async fn prove(
    site: &Site,
    (audit, vault): (&Audit, &Vault),
    (seq, from): (Option<u64>, Option<u64>),
) -> Result<String, Refused> {
    let (_, checkpoint) = signed(audit, vault).await?;
    let mut proofs = Vec::new();
    if let Some(seq) = seq {
        let proof = audit.prove(site.store()?, &checkpoint, seq).await;
        proofs.push(proof.map_err(|error| match error {
            ProofError::NoEntry { .. } => Refused::not_found(error.to_string()),
            other => Refused::unavailable(chain(&other)),
        })?);
    }
    if let Some(from) = from {
        if from == 0 || from > checkpoint.size {
            let size = checkpoint.size;
            return Err(Refused::invalid(format!("the log has {size} entries; an older log has from 1 to that many")));
        }
        let hashes = audit.consistency(from, &checkpoint).await;
        let hashes = hashes.map_err(|error| Refused::unavailable(chain(&error)))?;
        proofs.push(format!("old {from}\n{}\n{}", audit::in_base64(&hashes), checkpoint.note));
    }
    Ok(proofs.join("\n"))
}

/// The public key that checkpoints are verified with; made when there is none yet, so that it can be handed out before the first start.
pub async fn key(audit: &Audit, vault: &Vault) -> Result<String, Refused> {
    match PublicKey::of(audit.dir()) {
        Err(KeyError::None { .. }) => Ok(signed(audit, vault).await?.0.to_string()),
        known => known.map(|key| key.to_string()).map_err(|error| Refused::internal(chain(&error))),
    }
}

/// The whole log, into `out`; with what it knows of persons that is itself an entry, which says where it goes `to`. How many entries.
pub async fn export(
    site: &Site,
    (audit, vault): (&Audit, &Vault),
    out: &mut (impl std::io::Write + Send),
    (personal, to): (Personal, &str),
) -> Result<u64, Refused> {
    if personal == Personal::Included {
        let act = Act::new(site.actor.clone(), Action::AuditExport, ("audit_log", "all"));
        audit.record(&act.after(serde_json::json!({ "personal_values": true, "to": to }))).await?;
    }
    let (key, checkpoint) = signed(audit, vault).await?;
    let written = audit::write_export(out, site.store()?, (&checkpoint, &key), personal).await;
    written.map_err(|error| Refused::unavailable(chain(&error)))?;
    Ok(checkpoint.size)
}

/// Erases all values that are exactly `value`, and what stands beside them; how many.
pub async fn forget(site: &Site, audit: &Audit, (value, reason): (String, Option<String>)) -> Result<u64, Refused> {
    if audit.waiting() > 0 {
        let why = "entries that may tell of the person wait for the database; try again when it takes them";
        return Err(Refused::unavailable(why));
    }
    // The act must not name whom it forgets.
    let mut act = Act::new(site.actor.clone(), Action::AuditForget, ("person", "forgotten"));
    if let Some(reason) = reason {
        if reason.contains(&value) {
            let why = "the reason names what is to be forgotten, and is kept for ever; leave it out of it";
            return Err(Refused::invalid(why));
        }
        act = act.reason(reason);
    }
    match site.store()?.audit_forget(value, act).await? {
        0 => Err(Refused::not_found("the log knows nothing of it: no value is exactly that")),
        erased => Ok(erased),
    }
}

async fn signed(audit: &Audit, vault: &Vault) -> Result<(PublicKey, Checkpoint), Refused> {
    let signed = audit::sign(audit, vault).await.map_err(|error| Refused::unavailable(chain(&error)))?;
    Ok((signed.0.public().clone(), signed.1))
}
