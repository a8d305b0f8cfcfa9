//! What is done with certificates, as the audit log tells it.

use backstop_eval::certificate::{Binding, BoundSubject, Certificate, Scope, Warning};
use serde_json::json;

use crate::domain::{Act, Action, Actor, TargetId};

/// That `binding` is certified for `scope` on the strength of the report with that digest.
pub fn certifying(actor: Actor, (binding, scope): (&Binding, &Scope), report_sha256: &str) -> Act {
    let subject = match &binding.subject {
        BoundSubject::Local { weights, tokenizer, template, generation_config, engine, .. } => {
            json!({
                "weights_sha256": weights, "tokenizer_sha256": tokenizer, "template_sha256": template,
                "generation_config_sha256": generation_config, "engine": engine,
            })
        }
        BoundSubject::Vendor { kind, base_url_sha256, .. } => {
            json!({ "kind": kind, "base_url_sha256": base_url_sha256 })
        }
    };
    let suite = json!({ "name": binding.suite.name, "version": binding.suite.version, "digest": binding.suite.digest });
    let name = format!("{} for {}", binding.target, binding.suite.name);
    Act::new(actor, Action::CertificateIssue, ("certificate", name)).after(json!({
        "target": binding.target, "subject": subject, "suite": suite, "scope": scope, "report_sha256": report_sha256,
    }))
}

/// One more signature on a certificate.
pub fn signing(actor: Actor, certificate: &Certificate, key: &str) -> Act {
    about(actor, Action::CertificateSign, certificate)
        .after(json!({ "certificate_sha256": certificate.digest(), "key": key }))
}

/// A certificate that is taken back.
pub fn revoking(actor: Actor, certificate: &Certificate, reason: &str) -> Act {
    about(actor, Action::CertificateRevoke, certificate)
        .before(json!({ "certificate_sha256": certificate.digest() }))
        .reason(reason)
}

/// A certificate that the sentinel puts aside.
pub(super) fn suspending(certificate: &Certificate, reason: &str) -> Act {
    about(Actor::gateway(), Action::CertificateSuspend, certificate)
        .before(json!({ "certificate_sha256": certificate.digest() }))
        .reason(reason)
}

/// A certificate that has ended and goes on in its grace.
pub(super) fn gracing(target: &TargetId, suite: &str, warning: &Warning) -> Act {
    Act::new(Actor::gateway(), Action::CertificateGrace, ("certificate", format!("{target} for {suite}")))
        .reason(warning.to_string())
}

fn about(actor: Actor, action: Action, certificate: &Certificate) -> Act {
    let certified = certificate.predicate();
    Act::new(actor, action, ("certificate", format!("{} for {}", certified.target, certified.suite.name)))
}
