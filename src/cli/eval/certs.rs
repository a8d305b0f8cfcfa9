//! `backstop eval certs` and `verify`: what was certified, and whether it holds.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use backstop_eval::certificate::{Certificate, CertificateStore, PublicKey, RawReport, Reason, Trust};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::{
    Context,
    installation::Installation,
    place::Place,
    print::{self, Align},
};
use crate::admin::{
    Site,
    view::{self, CertificateView},
};

pub(super) async fn list(context: &Context, json: bool) -> anyhow::Result<ExitCode> {
    let rows: Vec<CertificateView> = match Place::find(context).await? {
        Place::Server(remote) => remote.get("/certificates", &[]).await?,
        Place::Here(here) => rows(here.site).await?,
    };
    if json {
        print::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [("target", Align::Left), ("suite", Align::Left), ("until", Align::Left), ("state", Align::Left)];
    let cells = |row: &CertificateView| {
        let target = if row.target.is_empty() { &row.file } else { &row.target };
        let state = row.fault.clone().or_else(|| row.warning.clone()).unwrap_or_else(|| "valid".to_owned());
        vec![target.clone(), format!("{} {}", row.suite, row.version), row.expires_at.clone(), state]
    };
    print::text(&print::table(&columns, &rows.iter().map(cells).collect::<Vec<_>>()))?;
    if rows.is_empty() {
        print::note("nothing is certified; `backstop eval run --suite S --target T --certify` certifies a pass");
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 where signature, numbers or time do not hold. Whether the model on disk is still the same is not asked: the file may be
/// from another machine.
pub(super) fn verify(installation: &Installation, file: &Path) -> anyhow::Result<ExitCode> {
    let store = CertificateStore::open(&installation.state.eval())?;
    let trust = installation.settings().gate.trust;
    let keys = store.keys(&trust).context("name the signers' public keys with --key FILE")?;
    let (certificate, mut said) = verified(file, &keys, &trust)?;
    store.stands(&certificate, &keys).with_context(|| format!("{} does not verify", file.display()))?;
    said.push_str(match store.raw_report(&certificate) {
        RawReport::Intact => "report: here and unchanged\n",
        RawReport::Changed => "report: CHANGED since it was certified\n",
        RawReport::Missing => "report: not on this machine\n",
    });
    print::text(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// With nothing but the file and public keys: no config and no state directory is looked for. What was revoked or suspended since
/// cannot be told.
pub(super) fn verify_offline(file: &Path, keys: &[PathBuf], signatures: usize) -> anyhow::Result<ExitCode> {
    let keys: Vec<PublicKey> = keys.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?;
    let (_, mut said) = verified(file, &keys, &Trust { signatures, ..Trust::default() })?;
    said.push_str("not looked at: the report, and whether it was revoked or suspended since\n");
    print::text(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// The certificate, and what it says.
fn verified(file: &Path, keys: &[PublicKey], trust: &Trust) -> anyhow::Result<(Certificate, String)> {
    let read = || {
        let certificate = Certificate::read_file(file, keys)?;
        certificate.is_a_pass()?;
        trust.is_signed(&certificate)?;
        let warning = trust.in_time(&certificate, OffsetDateTime::now_utc())?;
        Ok::<_, Reason>((certificate, warning))
    };
    let (certificate, warning) = read().with_context(|| format!("{} does not verify", file.display()))?;
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
    said.push_str(&format!("tiers: {}\n", certified.scope.tiers_listed()));
    said.push_str(&format!("attempt: {}\n", certified.attempt));
    certified.gates.iter().for_each(|gate| said.push_str(&format!("{}\n", gate.describe())));
    said.push_str(&format!("issued: {}\nuntil: {}\n", shown(certified.issued_at), shown(certified.expires_at)));
    Ok((certificate, said))
}

/// Hashing a model takes seconds, so off the runtime's threads.
async fn rows(site: Site) -> anyhow::Result<Vec<CertificateView>> {
    let looked = tokio::task::spawn_blocking(move || view::certificates(&site.gate, &site.settings, &site.state));
    Ok(looked.await.context("the task ended early")??)
}

fn shown(time: OffsetDateTime) -> String {
    let to_seconds = time.replace_nanosecond(0).unwrap_or(time);
    to_seconds.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
