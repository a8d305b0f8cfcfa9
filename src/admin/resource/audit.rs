//! The audit log, for auditors who have a token and no shell: entries, an export, and proofs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        asked::Asked,
        endpoint::{Endpoint, Nothing},
        refused::{Refused, chain},
        view::{self, EntryView},
    },
    ledger::limit,
};
use crate::{
    audit::{self, Personal},
    domain::{Act, Action, Right},
    store::AuditFilter,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let export = "The whole log as one text that anyone with the public key can verify offline";
    let personal = "The same with what the log knows of persons; asking for it is itself an entry";
    let prove = "A proof that one entry is in the log (c2sp.org/tlog-proof)";
    vec![
        Endpoint::read("/audit", Right::Read, "The latest entries, the newest first", list),
        Endpoint::read("/audit/export", Right::Read, export, export_log),
        Endpoint::read("/audit/export/personal", Right::AuditPersonal, personal, export_personal),
        Endpoint::read("/audit/{seq}/proof", Right::Read, prove, proof),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct EntryQuery {
    /// An action, or all of a kind: `key.issue`, `key`.
    action: Option<String>,
    /// By its name or as `kind:name`.
    object: Option<String>,
    /// A kind; a name for those who may read of persons.
    actor: Option<String>,
    since_unix_ms: Option<i64>,
    /// Only entries before this one: the last of a list gives the next list.
    before_seq: Option<u64>,
    /// At most so many, up to 1000 [default: 100].
    limit: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Text {
    /// As the command line prints it.
    text: String,
}

async fn list(asked: Asked, query: EntryQuery) -> Result<Vec<EntryView>, Refused> {
    let sees_persons = asked.operator.role.may(Right::AuditPersonal);
    let filter = AuditFilter {
        action: query.action,
        object: query.object,
        actor: query.actor,
        since_unix_ms: query.since_unix_ms,
        before_seq: query.before_seq,
        limit: limit(query.limit, 100, 1000)?,
    };
    let names_a_person = filter.actor.as_ref().is_some_and(|actor| !KINDS.contains(&actor.as_str()));
    if names_a_person && !sees_persons {
        return Err(Refused::forbidden(format!(
            "only the role security asks by persons; kinds of actors are {}",
            KINDS.join(", ")
        )));
    }
    // What waits for the database is told by `/status`.
    let _ = asked.admin.audit.reconcile().await;
    let rows = asked.admin.store.audit_find(filter).await?;
    let mut shown = view::entries(&rows);
    if !sees_persons {
        shown.iter_mut().for_each(|entry| entry.known.clear());
    }
    Ok(shown)
}

const KINDS: [&str; 6] = ["os_user", "gateway", "admin_token", "oidc_user", "webhook", "unknown"];

async fn export_log(asked: Asked, _: Nothing) -> Result<Text, Refused> {
    export(&asked, Personal::LeftOut).await
}

async fn export_personal(asked: Asked, _: Nothing) -> Result<Text, Refused> {
    let act = Act::new(asked.actor(), Action::AuditExport, ("audit_log", "all"));
    asked.admin.audit.record(&act.after(serde_json::json!({ "personal_values": true, "to": "admin API" }))).await?;
    export(&asked, Personal::Included).await
}

async fn export(asked: &Asked, personal: Personal) -> Result<Text, Refused> {
    let (admin, mut out) = (&asked.admin, Vec::new());
    let signed = audit::sign(&admin.audit, &admin.api.relay.vault).await;
    let (key, checkpoint) = signed.map_err(|error| Refused::unavailable(chain(&error)))?;
    let written = audit::write_export(&mut out, &admin.store, (&checkpoint, key.public()), personal).await;
    written.map_err(|error| Refused::unavailable(chain(&error)))?;
    Ok(Text { text: String::from_utf8_lossy(&out).into_owned() })
}

async fn proof(asked: Asked, _: Nothing) -> Result<Text, Refused> {
    let seq = asked.param("seq").parse().map_err(|_| Refused::invalid("an entry's number is a whole number"))?;
    let admin = &asked.admin;
    let signed = audit::sign(&admin.audit, &admin.api.relay.vault).await;
    let (_, checkpoint) = signed.map_err(|error| Refused::unavailable(chain(&error)))?;
    let proof = admin.audit.prove(&admin.store, &checkpoint, seq).await;
    let text = proof.map_err(|error| match error {
        audit::ProofError::NoEntry { .. } => Refused::not_found(error.to_string()),
        other => Refused::unavailable(chain(&other)),
    })?;
    Ok(Text { text })
}
