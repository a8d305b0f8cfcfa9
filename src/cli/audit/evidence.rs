//! `backstop audit export`, `verify`, `prove` and `key`: what stands in for the log before someone who trusts nobody.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

use super::super::{installation::Installation, place::Place, print};
use crate::{
    admin::verb::audit as verb,
    audit::{self, Checkpoint, Fault, LogKey, Personal, PublicKey, Verifier, WitnessKey},
};

pub(super) async fn export(place: &Place, out: Option<&Path>, personal: bool) -> anyhow::Result<ExitCode> {
    let personal = if personal { Personal::Included } else { Personal::LeftOut };
    match out {
        None => {
            write(place, &mut BufWriter::new(io::stdout()), (personal, "standard output")).await?;
        }
        Some(path) => {
            // Whole or not at all: half an export must not be taken for one.
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let new = dir.join(format!(".{}.new", path.file_name().and_then(|name| name.to_str()).unwrap_or("export")));
            let file = File::create(&new).with_context(|| format!("cannot write {}", new.display()))?;
            let mut file = BufWriter::new(file);
            let size = write(place, &mut file, (personal, &path.display().to_string())).await?;
            file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
            fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))?;
            print::note(&format!("exported {size} entries to {}", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many entries.
async fn write(
    place: &Place,
    out: &mut (impl io::Write + Send),
    (personal, to): (Personal, &str),
) -> anyhow::Result<u64> {
    match place {
        Place::Server(remote) => {
            let path = if personal == Personal::Included { "/audit/export/personal" } else { "/audit/export" };
            let said = text(remote.get(path, &[]).await?)?;
            out.write_all(said.as_bytes())?;
            out.flush()?;
            // A header and a checkpoint stand around them.
            Ok((said.lines().count() as u64).saturating_sub(2))
        }
        Place::Here(here) => {
            let (audit, vault) = (here.audit().await?, here.installation.vault().await?);
            Ok(verb::export(&here.site, (&audit, &vault), out, (personal, to)).await?)
        }
    }
}

fn text(said: serde_json::Value) -> anyhow::Result<String> {
    let text = said["text"].as_str().context("the server's answer cannot be read; is it a newer backstop?")?;
    Ok(text.to_owned())
}

/// Checkpoints that were published, and witnesses who must have cosigned them.
type Published<'a> = (&'a [PathBuf], &'a [String]);

/// Offline: the file, the key and the checkpoints alone.
pub(super) fn verify_export(export: &Path, key: &str, by: Published<'_>, json: bool) -> anyhow::Result<ExitCode> {
    let key = PublicKey::parse_or_read(key)?;
    let file = File::open(export).with_context(|| format!("cannot read {}", export.display()))?;
    let mut verifier = audit::read_export(BufReader::new(file), &key)
        .with_context(|| format!("{} cannot be verified", export.display()))?;
    judge(&mut verifier, &key, by)?;
    tell(verifier, json, None)
}

pub(super) async fn verify(
    installation: &Installation,
    key: Option<&str>,
    by: Published<'_>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let store = installation.store().await?;
    let audit = installation.audit_on(store.clone()).await?;
    let mut verifier = audit::verify_live(&store).await?;
    let key = match key {
        Some(key) => Some(PublicKey::parse_or_read(key)?),
        // A log that was never signed can still be whole.
        None => match PublicKey::of(audit.dir()) {
            Ok(key) => Some(key),
            // Whoever signed died before it handed its key out, or somebody took that away.
            Err(audit::KeyError::None { .. }) if Checkpoint::is_there(audit.dir()) => {
                if LogKey::is_there(audit.dir()) {
                    Some(LogKey::open(&installation.vault().await?, audit.dir())?.public().clone())
                } else {
                    verifier.fault(None, "there is a checkpoint, and the key that it was signed with is gone");
                    None
                }
            }
            Err(audit::KeyError::None { .. }) if by.0.is_empty() => None,
            Err(error) => return Err(error.into()),
        },
    };
    if let Some(key) = &key {
        match Checkpoint::last(audit.dir(), key) {
            Ok(Some(last)) => verifier.checkpoint(&last, "the last checkpoint that was signed here"),
            Ok(None) if verifier.size() > 0 => {
                verifier.fault(None, "there is a key and no checkpoint that was signed with it")
            }
            Ok(None) => {}
            Err(error) => verifier.fault(None, format!("{:#}", anyhow::Error::from(error))),
        }
        judge(&mut verifier, key, by)?;
    }
    tell(verifier, json, Some(audit.waiting()))
}

/// What is asked for, one proof after the other, all up to one checkpoint.
pub(super) async fn prove(place: &Place, seq: Option<u64>, from: Option<u64>) -> anyhow::Result<ExitCode> {
    let proofs = match place {
        Place::Server(remote) => text(match (seq, from) {
            (Some(seq), None) => remote.get(&format!("/audit/{seq}/proof"), &[]).await?,
            _ => {
                let query = [("seq", seq.map(|seq| seq.to_string())), ("from", from.map(|from| from.to_string()))];
                remote.get("/audit/consistency", &query).await?
            }
        })?,
        Place::Here(here) => {
            let (audit, vault) = (here.audit().await?, here.installation.vault().await?);
            verb::prove(&here.site, (&audit, &vault), (seq, from)).await?
        }
    };
    print::text(&proofs)?;
    Ok(ExitCode::SUCCESS)
}

/// Made when there is none yet, so that it can be handed out before the first start.
pub(super) async fn key(place: &Place) -> anyhow::Result<ExitCode> {
    let key = match place {
        Place::Server(remote) => text(remote.get("/audit/key", &[]).await?)?,
        Place::Here(here) => verb::key(&here.installation.audit().await?, &here.installation.vault().await?).await?,
    };
    print::text(&format!("{key}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn own_key(installation: &Installation) -> anyhow::Result<PublicKey> {
    let key = PublicKey::of(&installation.state.audit())
        .context("this installation has no key to verify with; name the log's with --public-key")?;
    eprintln!(
        "note: verified with the key of this installation; against whoever holds it, bring the key with --public-key"
    );
    Ok(key)
}

/// Older checkpoints: one that is not what it says is a fault of its own, and so is one that a witness has not cosigned.
fn judge(verifier: &mut Verifier, key: &PublicKey, (checkpoints, witnesses): Published<'_>) -> anyhow::Result<()> {
    let keys: Option<Vec<WitnessKey>> = witnesses.iter().map(|text| WitnessKey::parse(text)).collect();
    let keys =
        keys.context("--witness takes a witness's public key, NAME+HASH+KEY, of the type Ed25519 cosignature")?;
    for path in checkpoints {
        let note = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = format!("the checkpoint {}", path.display());
        match Checkpoint::read(&note, key) {
            Ok(checkpoint) => {
                verifier.checkpoint(&checkpoint, &name);
                for witness in keys.iter().filter(|key| !checkpoint.is_cosigned_by(key)) {
                    let witness = witness.name();
                    verifier.fault(None, format!("{name} has no cosignature of the witness {witness} that holds"));
                }
            }
            Err(error) => verifier.fault(None, format!("{name}: {error}")),
        }
    }
    Ok(())
}

/// Exit code 1 where there is any fault.
fn tell(verifier: Verifier, json: bool, waiting: Option<usize>) -> anyhow::Result<ExitCode> {
    let verdict = verifier.finish();
    if json {
        let whole = verdict.faults.is_empty();
        let mut said = serde_json::to_value(&verdict)?;
        said["ok"] = json!(whole);
        said["waiting"] = json!(waiting);
        print::json(&said)?;
    } else {
        let faults: String = verdict.faults.iter().map(|fault: &Fault| format!("WRONG {fault}\n")).collect();
        let (size, root) = (verdict.size, BASE64.encode(verdict.root));
        let forgotten = match verdict.forgotten {
            0 => String::new(),
            forgotten => format!("; {forgotten} personal values are not here (forgotten, or left out of an export)"),
        };
        let summary = match verdict.faults.len() {
            0 => format!("whole: {size} entries, root {root}{forgotten}\n"),
            count => format!("NOT whole: {count} faults in {size} entries\n"),
        };
        print::text(&format!("{faults}{summary}"))?;
        if let Some(waiting) = waiting.filter(|waiting| *waiting > 0) {
            eprintln!("note: {waiting} entries wait in the local journal until the database takes them");
        }
    }
    Ok(if verdict.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
