//! The audit log, for auditors who have a token and no shell: entries, an export, proofs; and what it knows of a person erased.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        asked::Asked,
        endpoint::{Endpoint, Nothing},
        refused::Refused,
        verb::audit as verb,
        view::{self, EntryShown, EntryView},
    },
    ledger::limit,
};
use crate::{audit::Personal, domain::Right, store::AuditFilter};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let export = "The whole log as one text that anyone with the public key can verify offline";
    let personal = "The same with what the log knows of persons; asking for it is itself an entry";
    let prove = "A proof that one entry is in the log (c2sp.org/tlog-proof)";
    let older = "A proof that the log extends an older one (c2sp.org/tlog-witness), and that an entry is in it";
    let erase = "Erase what the log knows of a person; it still verifies, and says that something was erased";
    vec![
        Endpoint::read("/audit", Right::Read, "The latest entries, the newest first", list),
        Endpoint::read("/audit/key", Right::Read, "The public key that the log's checkpoints are verified with", key),
        Endpoint::read("/audit/export", Right::Read, export, export_log),
        Endpoint::read("/audit/export/personal", Right::AuditPersonal, personal, export_personal),
        Endpoint::read("/audit/consistency", Right::Read, older, consistency),
        Endpoint::read("/audit/{seq}", Right::Read, "One entry, with its exact bytes", show),
        Endpoint::read("/audit/{seq}/proof", Right::Read, prove, proof),
        Endpoint::write((Method::POST, "/audit/forget"), Right::AuditForget, erase, forget),
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
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ConsistencyQuery {
    /// How many entries the older log had [default: 1].
    from: Option<u64>,
    /// The proof of this entry too, up to the same checkpoint.
    seq: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Forgotten {
    /// A name, a mail address, an address: all values that are exactly this.
    value: String,
    /// Why; kept for ever, so it must not name the person.
    reason: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Text {
    /// As the command line prints it.
    text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Erased {
    /// So many values.
    erased: u64,
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
        shown.iter_mut().for_each(EntryView::hide);
    }
    Ok(shown)
}

const KINDS: [&str; 6] = ["os_user", "gateway", "admin_token", "oidc_user", "webhook", "unknown"];

async fn show(asked: Asked, _: Nothing) -> Result<EntryShown, Refused> {
    let _ = asked.admin.audit.reconcile().await;
    let mut shown = verb::show(&asked.site(), seq(&asked)?).await?;
    if !asked.operator.role.may(Right::AuditPersonal) {
        shown.entry.hide();
    }
    Ok(shown)
}

async fn key(asked: Asked, _: Nothing) -> Result<Text, Refused> {
    let (audit, vault) = (&asked.admin.audit, &asked.admin.api.relay.vault);
    Ok(Text { text: verb::key(audit, vault).await? })
}

async fn export_log(asked: Asked, _: Nothing) -> Result<Text, Refused> {
    export(&asked, Personal::LeftOut).await
}

async fn export_personal(asked: Asked, _: Nothing) -> Result<Text, Refused> {
    export(&asked, Personal::Included).await
}

async fn export(asked: &Asked, personal: Personal) -> Result<Text, Refused> {
    let (audit, vault) = (&asked.admin.audit, &asked.admin.api.relay.vault);
    let mut out = Bounded::default();
    let done = verb::export(&asked.site(), (audit, vault), &mut out, (personal, "admin API")).await;
    if out.is_full {
        let why = "the log is larger than the 128 MiB that are given here; run `backstop audit export` on the gateway's machine";
        return Err(Refused::too_large(why));
    }
    done?;
    let text = String::from_utf8(out.written);
    Ok(Text { text: text.map_err(|_| Refused::internal("the export is not text"))? })
}

/// An answer is made in memory, and several times.
#[derive(Debug, Default)]
struct Bounded {
    written: Vec<u8>,
    is_full: bool,
}

const MOST_EXPORTED: usize = 128 << 20;

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.is_full |= self.written.len() + bytes.len() > MOST_EXPORTED;
        if self.is_full {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn consistency(asked: Asked, query: ConsistencyQuery) -> Result<Text, Refused> {
    proven(&asked, (query.seq, Some(query.from.unwrap_or(1)))).await
}

async fn proof(asked: Asked, _: Nothing) -> Result<Text, Refused> {
    proven(&asked, (Some(seq(&asked)?), None)).await
}

async fn proven(asked: &Asked, what: (Option<u64>, Option<u64>)) -> Result<Text, Refused> {
    let (audit, vault) = (&asked.admin.audit, &asked.admin.api.relay.vault);
    Ok(Text { text: verb::prove(&asked.site(), (audit, vault), what).await? })
}

async fn forget(asked: Asked, what: Forgotten) -> Result<Erased, Refused> {
    let erased = verb::forget(&asked.site(), &asked.admin.audit, (what.value, what.reason)).await?;
    Ok(Erased { erased })
}

fn seq(asked: &Asked) -> Result<u64, Refused> {
    asked.param("seq").parse().map_err(|_| Refused::invalid("an entry's number is a whole number"))
}
