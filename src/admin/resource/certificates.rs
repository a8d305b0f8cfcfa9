//! Certificates: what was certified, whether it holds, and taking one back.

use std::sync::Arc;

use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::{
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::{Refused, chain},
    verb::certificates as verb,
    view::{self, CertificateView, RevokedView},
};
use crate::domain::Right;

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
    #[schemars(regex(pattern = r"\S"))]
    reason: String,
}

async fn list(asked: Asked, _: Nothing) -> Result<Vec<CertificateView>, Refused> {
    let (admin, settings) = (Arc::clone(&asked.admin), asked.admin.settings());
    let looked = tokio::task::spawn_blocking(move || view::certificates(&admin.gate, &settings, &admin.state)).await;
    looked.map_err(|error| Refused::internal(error.to_string()))?.map_err(|error| Refused::internal(chain(&error)))
}

async fn revoke_certificate(asked: Asked, revocation: Revocation) -> Result<RevokedView, Refused> {
    let site = asked.site();
    let certificate = verb::find(&site, asked.param("digest"))?;
    verb::revoke(&site, &asked.admin.audit, (&certificate, &revocation.reason)).await
}
