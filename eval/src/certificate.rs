//! The proof that a model passed: what it says, who signed it, and whether it still holds.
//!
//! A certificate is a DSSE envelope (<https://github.com/secure-systems-lab/dsse>, protocol v1.0.2) around an in-toto
//! Statement v1 (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>), signed with Ed25519. Any DSSE tool that has the public key
//! can verify it without us:
//!
//! ```json
//! { "payloadType": "application/vnd.in-toto+json", "payload": "<base64 of the statement>",
//!   "signatures": [ { "keyid": "sha256:<of the raw public key>", "sig": "<base64>" } ] }
//! ```
//!
//! The statement's `subject` lists what was judged, by SHA-256: for a local model `weights`, `tokenizer`, `template` and
//! `generation-config` (how an answer is drawn and ends where a caller says nothing); for a vendor's model, which has no bytes to hash, one `vendor-target` over kind, base URL, region and model. Its `predicateType` is
//! [`PREDICATE_TYPE`], whose `predicate` has these fields:
//!
//! | field | what |
//! |---|---|
//! | `target` | `vendor/model` |
//! | `runs_on` | `{"local": {"engine"}}`, or `{"vendor": {"kind", "base_url_sha256", "region", "model", "answered_as", "fingerprints"}}` |
//! | `suite` | `name`, `version`, `digest` of the suite's exact bytes |
//! | `harness` | the version of this package that judged |
//! | `verdict` | always `PASS` |
//! | `scope` | `use_cases` and `tiers` (`batch`, `standard`, `critical`): the suite's, or a part of them; without `tiers`, all |
//! | `split` | always `gate` |
//! | `attempt` | which run of this target over exactly this suite it was |
//! | `errors`, `errors_allowed` | asks without an answer |
//! | `gates` | per gate `id`, `k`, `n`, `estimate`, `bound`, `threshold`, `items`, `items_passed`, `min_items`, `zero_tolerance`, `slices` (with floors), `paired` (beside the incumbent), `verdict` |
//! | `against` | the incumbent's `target` and `report_sha256`, when it was compared with one |
//! | `referees` | who had a say besides the target, when anyone had: `judge` (`identity` with target, digest, families and the digest of its prompt, the names it answered as, `standing` with its agreement with people and between orders), `embedder` (digests of its files), `scorers` (command, time, digest of its files) |
//! | `report_sha256` | of the raw report's file |
//! | `issued_at`, `expires_at` | RFC 3339, UTC |
//!
//! Nothing but a `PASS` is ever signed, and nothing is believed that is not signed: [`CertificateStore::check`] compares every
//! field with what is on disk now. Whoever holds the signing key can issue what they like; who may is a matter of the
//! key file's permissions (0600).

mod attempts;
mod awaited;
mod binding;
mod envelope;
mod issue;
mod revoke;
mod scope;
mod signer;
mod statement;
mod store;
mod suspend;
mod trust;
mod verify;

pub use attempts::Attempt;
pub use binding::{Binding, BoundSubject};
pub use envelope::{Envelope, EnvelopeError, PAYLOAD_TYPE};
pub use issue::IssueError;
pub use revoke::{REVOCATION_TYPE, Revocation};
pub use scope::{Purpose, Scope};
pub use signer::{PublicKey, Signer, SignerError};
pub use statement::{LOCAL_VALIDITY, Limits, PREDICATE_TYPE, Predicate, RunsOn, Statement, VENDOR_VALIDITY};
pub use store::{CertificateStore, Listed, RawReport, StoreError};
pub use suspend::Suspension;
pub use trust::{Holding, Trust, Warning};
pub use verify::{Certificate, Invalid, Reason};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

fn shown(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

#[cfg(test)]
mod tests;
