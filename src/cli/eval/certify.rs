//! `backstop eval certify` and `revoke`: a certificate from a stored run, one more signature, and taking one back.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use backstop_eval::{certificate::Signer, suite::Suite};
use clap::Args;
use reqwest::Method;
use serde_json::json;
use time::OffsetDateTime;

use super::{
    super::{Context, installation::Installation, operator::operator, place::Place, print, remote::Remote},
    scope::ScopeArgs,
};
use crate::{
    admin::{
        verb::certificates as verb,
        view::{CertificateView, RevokedView},
    },
    domain::TargetId,
    release::{self, Gate},
};

#[derive(Debug, Args)]
pub(super) struct CertifyArgs {
    /// The digest of a stored run that passed: the name of its file under `eval/runs`, or the first digits of it
    #[arg(long, value_name = "DIGEST", required_unless_present = "file", conflicts_with_all = ["file", "key_dir"])]
    run: Option<String>,
    /// A certificate to add a signature to, once it was read and its numbers were verified
    #[arg(long, value_name = "FILE", requires = "key_dir")]
    file: Option<PathBuf>,
    /// The directory of the second signer's own key, which is made there when it has none
    #[arg(long, value_name = "DIR", requires = "file")]
    key_dir: Option<PathBuf>,
    #[command(flatten)]
    scope: ScopeArgs,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The certificate's file, or its digest as `eval certs --json` shows it
    certificate: PathBuf,
    /// Why, for the revocation and everyone who meets it
    #[arg(long)]
    reason: String,
}

pub(super) async fn certify(installation: Installation, args: CertifyArgs) -> anyhow::Result<ExitCode> {
    match (args.run, args.file, args.key_dir) {
        (Some(run), _, _) => from_run(installation, run, args.scope).await,
        (None, Some(_), Some(_)) if args.scope.is_given() => {
            bail!("a second signature is on what was signed first: --tier and --use-case go with --run")
        }
        (None, Some(file), Some(key_dir)) => countersign(&installation, &file, &key_dir).await,
        _ => bail!("name a stored run with --run, or a certificate with --file and --key-dir"),
    }
}

/// What is certified is what is here now: the bytes, the engine and the suite must still be those of the run.
async fn from_run(installation: Installation, run: String, scope: ScopeArgs) -> anyhow::Result<ExitCode> {
    let (state, settings) = (installation.state.clone(), installation.settings());
    let found = tokio::task::spawn_blocking(move || {
        let gate = Gate::open(&state)?;
        let certificates = gate.certificates();
        let digest = certificates.run_named(&run)?;
        let report = certificates.read_report(&digest)?;
        let suite = Suite::find(&report.suite.name, &state.suites())?;
        let target = TargetId::try_from(report.target.clone())
            .map_err(|what| anyhow::anyhow!("{what}: a run against a URL cannot be certified"))?;
        let binding = gate.binding(&settings, &target, suite.id()).map_err(anyhow::Error::msg)?;
        let scope = scope.of(&suite)?;
        anyhow::Ok((gate, suite, report, (binding, scope), digest))
    });
    let (gate, suite, report, (binding, scope), digest) = found.await.context("the task ended early")??;
    let certificates = gate.certificates();
    let audit = installation.audit().await?;
    let act = release::certifying(operator(), (&binding, &scope), &digest);
    let (bound, now) = ((&binding, scope), OffsetDateTime::now_utc());
    let issue = async { anyhow::Ok(certificates.issue(&suite, &report, bound, now)?) };
    audit.around(act, issue).await.context("it cannot be certified")?;
    installation.sign(&audit).await;
    let path = certificates.certificate_path(&binding.target, &binding.suite.name);
    print::text(&format!("certificate: {}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

async fn countersign(
    installation: &Installation,
    file: &std::path::Path,
    key_dir: &std::path::Path,
) -> anyhow::Result<ExitCode> {
    let gate = Gate::open(&installation.state)?;
    let (certificates, trust) = (gate.certificates(), installation.settings().gate.trust);
    std::fs::create_dir_all(key_dir).with_context(|| format!("cannot make {}", key_dir.display()))?;
    let signer = Signer::open(key_dir)?;
    let own = signer.public_key();
    let keys = certificates.keys(&trust)?;
    let read = certificates.read_file(file, &keys).with_context(|| format!("{} cannot be signed", file.display()))?;
    let audit = installation.audit().await?;
    let sign = async {
        let certificate = certificates.countersign(file, &keys, &signer)?;
        anyhow::Ok((certificate, certificates.take_over(file, &trust)?))
    };
    let (certificate, is_in_force) = audit.around(release::signing(operator(), &read, &own.id()), sign).await?;
    installation.sign(&audit).await;
    let mut said = format!("signed by {}\n", certificate.signers().join(" and "));
    if is_in_force {
        let certified = certificate.predicate();
        let path = certificates.certificate_path(&certified.target, &certified.suite.name);
        said.push_str(&format!("it is in force now: {}\n", path.display()));
    }
    if !certificates.keys(&trust)?.contains(&own) {
        said.push_str(&format!(
            "this key does not count here yet; add it to the config: gate: {{ signers: [\"{}\"] }}\n",
            own.to_hex()
        ));
    }
    print::text(&said)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn revoke(context: &Context, args: &RevokeArgs) -> anyhow::Result<ExitCode> {
    let reason = args.reason.trim();
    if reason.is_empty() {
        bail!("--reason is empty; say why");
    }
    let named = args.certificate.display().to_string();
    let is_digest = named.len() == 64 && named.bytes().all(|byte| byte.is_ascii_hexdigit());
    let revoked: RevokedView = match Place::find(context).await? {
        Place::Server(remote) => {
            let digest = if is_digest { named } else { digest_of(&remote, &named).await? };
            let path = format!("/certificates/{digest}/revoke");
            remote.write(Method::POST, &path, &json!({ "reason": reason })).await?
        }
        Place::Here(here) => {
            let (certificates, trust) = (here.site.gate.certificates(), &here.site.settings.gate.trust);
            let certificate = match is_digest {
                true => verb::find(&here.site, &named)?,
                false => certificates
                    .read_file(&args.certificate, &certificates.keys(trust)?)
                    .with_context(|| format!("{named} is no certificate that this installation believes"))?,
            };
            let audit = here.installation.audit().await?;
            let revoked = verb::revoke(&here.site, &audit, (&certificate, reason)).await?;
            here.installation.sign(&audit).await;
            revoked
        }
    };
    let RevokedView { target, suite, revocation, .. } = revoked;
    print::text(&format!("revoked: {target} by {suite}\nrevocation: {revocation}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Of the certificate that the server has under that file's name.
async fn digest_of(remote: &Remote, file: &str) -> anyhow::Result<String> {
    let certificates: Vec<CertificateView> = remote.get("/certificates", &[]).await?;
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let found = certificates.into_iter().find(|one| name(&one.file) == name(file) && !one.digest.is_empty());
    found.map(|one| one.digest).with_context(|| {
        format!("the server has no certificate {file} that it believes; `backstop eval certs --json` lists files and digests")
    })
}
