//! Certificates: what was certified, whether it holds, and taking one back.

use std::sync::Arc;

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::super::{
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::{Refused, chain},
    view::{self, CertificateView},
};
use crate::{audit::AuditError, domain::Right, release};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let revoke = "Take a certificate back, by its digest: its target leaves the routes within seconds";
    vec![
        Endpoint::read("/certificates", Right::Read, "All certificates, and whether each holds for what is here", list),
        Endpoint::write(
            (Method::POST, "/certificates/{digest}/revoke"),
            Right::CertificateRevoke,
            revoke,
            revoke_certificate,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Revocation {
    /// Why; kept for ever.
    reason: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Revoked {
    target: String,
    suite: String,
    digest: String,
}

async fn list(asked: Asked, _: Nothing) -> Result<Vec<CertificateView>, Refused> {
    let (admin, settings) = (Arc::clone(&asked.admin), asked.admin.settings());
    let looked = tokio::task::spawn_blocking(move || view::certificates(&admin.gate, &settings, &admin.state)).await;
    looked.map_err(|error| Refused::internal(error.to_string()))?.map_err(|error| Refused::internal(chain(&error)))
}

#[derive(Debug, thiserror::Error)]
enum RevokeError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Issue(#[from] backstop_eval::certificate::IssueError),
}

async fn revoke_certificate(asked: Asked, revocation: Revocation) -> Result<Revoked, Refused> {
    let reason = revocation.reason.trim().to_owned();
    if reason.is_empty() {
        return Err(Refused::invalid("`reason` is empty; say why"));
    }
    let certificates = asked.admin.gate.certificates();
    let listed =
        certificates.list(&asked.admin.settings().gate.trust).map_err(|error| Refused::internal(chain(&error)))?;
    let digest = asked.param("digest");
    let mut known = listed.into_iter().filter_map(|listed| listed.certificate.ok());
    let certificate = known.find(|certificate| certificate.digest() == digest);
    let certificate = certificate.ok_or_else(|| {
        Refused::not_found(format!("no certificate that is believed here has the digest {digest}; GET /certificates"))
    })?;
    let act = release::revoking(asked.actor(), &certificate, &reason);
    let revoke =
        async { certificates.revoke(&certificate, &reason, OffsetDateTime::now_utc()).map_err(RevokeError::from) };
    asked.admin.audit.around(act, revoke).await.map_err(|error| Refused::unavailable(chain(&error)))?;
    let certified = certificate.predicate();
    Ok(Revoked {
        target: certified.target.clone(),
        suite: certified.suite.name.clone(),
        digest: certificate.digest().to_owned(),
    })
}
