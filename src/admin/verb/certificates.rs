//! Taking a certificate back.

use backstop_eval::certificate::{Certificate, IssueError};
use time::OffsetDateTime;

use crate::{
    admin::{
        refused::{Refused, chain},
        site::Site,
        view::RevokedView,
    },
    audit::{Audit, AuditError},
    release,
};

#[derive(Debug, thiserror::Error)]
enum RevokeError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// The certificate of that digest.
pub fn find(site: &Site, digest: &str) -> Result<Certificate, Refused> {
    let listed = site.gate.certificates().list(&site.settings.gate.trust);
    let listed = listed.map_err(|error| Refused::internal(chain(&error)))?;
    let mut known = listed.into_iter().filter_map(|listed| listed.certificate.ok());
    known.find(|certificate| certificate.digest() == digest).ok_or_else(|| {
        Refused::not_found(format!(
            "no certificate that is believed here has the digest {digest}; `backstop eval certs --json` lists them"
        ))
    })
}

/// Its target leaves the routes within seconds.
pub async fn revoke(
    site: &Site,
    audit: &Audit,
    (certificate, reason): (&Certificate, &str),
) -> Result<RevokedView, Refused> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Refused::invalid("`reason` is empty; say why"));
    }
    let certificates = site.gate.certificates();
    let act = release::revoking(site.actor.clone(), certificate, reason);
    let revoke =
        async { certificates.revoke(certificate, reason, OffsetDateTime::now_utc()).map_err(RevokeError::from) };
    let path = audit.around(act, revoke).await.map_err(|error| Refused::unavailable(chain(&error)))?;
    let certified = certificate.predicate();
    Ok(RevokedView {
        target: certified.target.clone(),
        suite: certified.suite.name.clone(),
        digest: certificate.digest().to_owned(),
        revocation: path.display().to_string(),
    })
}
