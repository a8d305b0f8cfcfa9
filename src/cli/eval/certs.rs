//! `backstop eval certs` and `verify`: what was certified, and whether it holds.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use backstop_eval::certificate::{CertificateStore, PublicKey, RawReport};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::{
    installation::Installation,
    print::{self, Align},
};
use crate::{
    admin::view::{self, CertificateView},
    release::Gate,
};

pub(super) async fn list_json(installation: Installation) -> anyhow::Result<ExitCode> {
    print::json(&rows(installation).await?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list(installation: Installation) -> anyhow::Result<ExitCode> {
    let columns = [("target", Align::Left), ("suite", Align::Left), ("until", Align::Left), ("state", Align::Left)];
    let cells = |row: &CertificateView| {
        let target = if row.target.is_empty() { &row.file } else { &row.target };
        let state = row.fault.clone().or_else(|| row.warning.clone()).unwrap_or_else(|| "valid".to_owned());
        vec![target.clone(), format!("{} {}", row.suite, row.version), row.expires_at.clone(), state]
    };
    let rows = rows(installation).await?;
    print::text(&print::table(&columns, &rows.iter().map(cells).collect::<Vec<_>>()))?;
    if rows.is_empty() {
        print::note("nothing is certified; `backstop eval run --suite S --target T --certify` certifies a pass");
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 where signature, numbers or time do not hold. Whether the model on disk is still the same is not asked: the file may be
/// from another machine.
pub(super) fn verify(installation: &Installation, file: &Path, keys: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let store = CertificateStore::open(&installation.state.eval())?;
    let trust = installation.settings().gate.trust;
    let keys: Vec<PublicKey> = match keys {
        [] => store.keys(&trust).context("name the signers' public keys with --key FILE")?,
        named => named.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?,
    };
    let certificate = store.read_file(file, &keys).with_context(|| format!("{} does not verify", file.display()))?;
    certificate.is_a_pass()?;
    trust.is_signed(&certificate)?;
    let warning = trust.in_time(&certificate, OffsetDateTime::now_utc())?;
    let certified = certificate.predicate();
    let mut said = format!("verified: signed by {}\n", certificate.signers().join(" and "));
    said.push_str(&format!("certificate: sha256 {}\n", certificate.digest()));
    if let Some(warning) = warning {
        said.push_str(&format!("warning: {warning}\n"));
    }
    said.push_str(&format!("target: {}\n", certified.target));
    for subject in &certificate.statement().subject {
        for (algorithm, digest) in &subject.digest {
            said.push_str(&format!("{}: {algorithm} {digest}\n", subject.name));
        }
    }
    said.push_str(&format!("suite: {} {} {}\n", certified.suite.name, certified.suite.version, certified.suite.digest));
    if !certified.scope.use_cases.is_empty() {
        said.push_str(&format!("use cases: {}\n", certified.scope.use_cases.join(", ")));
    }
    said.push_str(&format!("attempt: {}\n", certified.attempt));
    certified.gates.iter().for_each(|gate| said.push_str(&format!("{}\n", gate.describe())));
    said.push_str(&format!("issued: {}\nuntil: {}\n", shown(certified.issued_at), shown(certified.expires_at)));
    said.push_str(match store.raw_report(&certificate) {
        RawReport::Intact => "report: here and unchanged\n",
        RawReport::Changed => "report: CHANGED since it was certified\n",
        RawReport::Missing => "report: not on this machine\n",
    });
    print::text(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// Hashing a model takes seconds, so off the runtime's threads.
async fn rows(installation: Installation) -> anyhow::Result<Vec<CertificateView>> {
    let looked = tokio::task::spawn_blocking(move || {
        let gate = Gate::open(&installation.state)?;
        anyhow::Ok(view::certificates(&gate, &installation.settings(), &installation.state)?)
    });
    looked.await.context("the task ended early")?
}

fn shown(time: OffsetDateTime) -> String {
    let to_seconds = time.replace_nanosecond(0).unwrap_or(time);
    to_seconds.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
