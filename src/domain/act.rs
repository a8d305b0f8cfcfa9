//! A governance act as the audit log keeps it: who did what to which thing, and how they were known. Plain data.
//!
//! What tells of a person (names, hosts, mail addresses, IPs) goes into the `personal` parts and nowhere else: the log keeps a
//! commitment to it, which can be forgotten. `before`, `after` and `reason` stay readable for ever, and never hold a secret.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OperatorRole;

/// What was done. The log's word is `noun.verb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Someone was let in by the company's identity provider, or logged in at the console.
    AdminLogin,
    /// Tokens that did not let in there.
    AdminLoginRefuse,
    /// Someone ended their session of the console.
    AdminLogout,
    AdminTokenIssue,
    AdminTokenRevoke,
    /// The log's own key was made; the first entry of a log, as a rule.
    AuditKey,
    /// What the log knows of a person was erased.
    AuditForget,
    /// The log was exported with what it knows of persons.
    AuditExport,
    /// An entry that waited for the database was damaged on disk.
    AuditDamaged,
    CertificateIssue,
    /// One more signature was added to it.
    CertificateSign,
    CertificateRevoke,
    /// It has ended, and its target serves on for as long as the config's grace says.
    CertificateGrace,
    /// The sentinel found that the model is not what passed.
    CertificateSuspend,
    ConfigLoad,
    ConfigReload,
    /// For some calls vendors are seen as down.
    DrillStart,
    /// Somebody ended a drill before its time.
    DrillStop,
    /// What a drill showed.
    DrillEnd,
    /// An incident was reported on a route.
    IncidentReport,
    IncidentResolve,
    KeyIssue,
    KeyRotate,
    KeyRevoke,
    ModelPull,
    ModelRemove,
    /// A rule, or an incident, asked for a route's earlier version.
    TriggerFire,
    /// The share cap refuses no call for a while.
    ShareOverride,
    /// Somebody wants that; it takes a second person.
    ShareOverrideAsk,
    /// It holds again before that is over.
    ShareOverrideEnd,
    /// A route's order of targets was put down as a release, from the config file.
    ReleaseRecord,
    ReleaseImport,
    ReleasePropose,
    ReleaseApprove,
    ReleasePromote,
    ReleaseRollback,
    /// A retained release whose time is over is let go.
    ReleaseRetire,
    /// A release is tried on a part of a route's calls, or on another part.
    ReleaseCanary,
    ReleaseCanaryEnd,
    /// The gate closed a target: without a valid certificate it does not serve as a fallback.
    TargetClose,
    /// A target that was closed is certified again.
    TargetOpen,
    TenantAdd,
    TenantLimit,
    VaultSet,
    VaultRotate,
    VaultRemove,
    /// Traffic is moved off a vendor.
    VendorEvacuate,
    /// It goes no further by itself.
    VendorHalt,
    /// It comes back.
    VendorReturn,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminLogin => "admin.login",
            Self::AdminLoginRefuse => "admin.login_refuse",
            Self::AdminLogout => "admin.logout",
            Self::AdminTokenIssue => "admin_token.issue",
            Self::AdminTokenRevoke => "admin_token.revoke",
            Self::AuditKey => "audit.key",
            Self::AuditForget => "audit.forget",
            Self::AuditExport => "audit.export",
            Self::AuditDamaged => "audit.damaged",
            Self::CertificateIssue => "certificate.issue",
            Self::CertificateSign => "certificate.sign",
            Self::CertificateRevoke => "certificate.revoke",
            Self::CertificateGrace => "certificate.grace",
            Self::CertificateSuspend => "certificate.suspend",
            Self::ConfigLoad => "config.load",
            Self::ConfigReload => "config.reload",
            Self::DrillStart => "drill.start",
            Self::DrillStop => "drill.stop",
            Self::DrillEnd => "drill.end",
            Self::IncidentReport => "incident.report",
            Self::IncidentResolve => "incident.resolve",
            Self::KeyIssue => "key.issue",
            Self::KeyRotate => "key.rotate",
            Self::KeyRevoke => "key.revoke",
            Self::ModelPull => "model.pull",
            Self::ModelRemove => "model.remove",
            Self::TriggerFire => "trigger.fire",
            Self::ShareOverride => "share.override",
            Self::ShareOverrideAsk => "share.override_ask",
            Self::ShareOverrideEnd => "share.override_end",
            Self::ReleaseRecord => "release.record",
            Self::ReleaseImport => "release.import",
            Self::ReleasePropose => "release.propose",
            Self::ReleaseApprove => "release.approve",
            Self::ReleasePromote => "release.promote",
            Self::ReleaseRollback => "release.rollback",
            Self::ReleaseRetire => "release.retire",
            Self::ReleaseCanary => "release.canary",
            Self::ReleaseCanaryEnd => "release.canary_end",
            Self::TargetClose => "target.close",
            Self::TargetOpen => "target.open",
            Self::TenantAdd => "tenant.add",
            Self::TenantLimit => "tenant.limit",
            Self::VaultSet => "vault.set",
            Self::VaultRotate => "vault.rotate",
            Self::VaultRemove => "vault.remove",
            Self::VendorEvacuate => "vendor.evacuate",
            Self::VendorHalt => "vendor.halt",
            Self::VendorReturn => "vendor.return",
        }
    }
}

/// How far an act had come when its entry was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is done: the entry and its effect are one transaction, or the entry tells of what happened.
    #[default]
    Done,
    /// It is about to take effect outside the database; an entry `failed` follows when it did not.
    Begun,
    /// What the entry `of` began did not take effect.
    Failed,
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `os_user`, `gateway`, `admin_token`, `oidc_user`, `webhook`, `unknown`.
    pub kind: &'static str,
    /// Kept for ever: names no person.
    pub authenticated_by: Cow<'static, str>,
    /// By field: `name`, `subject`, `host`, `ip`.
    pub personal: Vec<(&'static str, String)>,
}

/// Who else agreed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub by: Actor,
    pub at_unix_ms: i64,
}

/// One act.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    pub actor: Actor,
    pub action: Action,
    /// What was acted on: its kind, in the singular, and its name.
    pub object: (&'static str, String),
    pub stage: Stage,
    /// The id of the entry that began what failed.
    pub of: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
    pub approvals: Vec<Approval>,
    /// Of persons other than the actor, by a name such as `after.name`.
    pub personal: Vec<(&'static str, String)>,
}

impl Actor {
    /// The gateway itself, by its own rules.
    pub fn gateway() -> Self {
        Self { kind: "gateway", authenticated_by: "the running process".into(), personal: Vec::new() }
    }

    /// Who runs the command line: known to the operating system, and let in by the state directory's mode.
    pub fn os_user(name: Option<String>, host: Option<String>) -> Self {
        let named = name.map(|name| ("name", name));
        let personal = named.into_iter().chain(host.map(|host| ("host", host))).collect();
        Self { kind: "os_user", authenticated_by: "access to the state directory".into(), personal }
    }

    /// Whoever holds an operator's token: `id` is its public first characters, `from` the address that it came from.
    pub fn admin_token(id: &str, role: OperatorRole, name: Option<&str>, from: String) -> Self {
        let named = name.map(|name| ("name", name.to_owned()));
        Self {
            kind: "admin_token",
            authenticated_by: format!("admin token {id}, role {role}").into(),
            personal: named.into_iter().chain([("ip", from)]).collect(),
        }
    }

    /// Someone whom the company's identity provider knows: by a name, where it says one, and by a subject that stays the same.
    pub fn oidc_user(issuer: &str, role: OperatorRole, (name, subject): (Option<&str>, &str), from: String) -> Self {
        let named = ("name", name.unwrap_or(subject).to_owned());
        Self {
            kind: "oidc_user",
            authenticated_by: format!("a token of {issuer}, role {role}").into(),
            personal: vec![named, ("subject", subject.to_owned()), ("ip", from)],
        }
    }

    /// Someone who was not let in. `subject`: where a token that gives nothing here is truly theirs.
    pub fn refused(subject: Option<&str>, from: String) -> Self {
        let named = subject.map(|subject| ("subject", subject.to_owned()));
        Self {
            kind: "unknown",
            authenticated_by: "nobody: a token that was refused".into(),
            personal: named.into_iter().chain([("ip", from)]).collect(),
        }
    }

    /// Another system, known by its signature.
    pub fn webhook(of: &'static str) -> Self {
        Self { kind: "webhook", authenticated_by: format!("{of}'s signature").into(), personal: Vec::new() }
    }
}

/// By what a person counts, where several are asked for: the name in small letters, its blanks made alike, without what nobody sees.
pub fn person(name: &str) -> String {
    let is_seen = |char: &char| {
        !char.is_control()
            && !matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    let words = name.split_whitespace().map(|word| word.chars().filter(is_seen).collect::<String>());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").to_lowercase()
}

impl Approval {
    /// A person whom the actor names.
    pub fn named(name: &str, at_unix_ms: i64) -> Self {
        let personal = vec![("name", name.to_owned())];
        Self { by: Actor { kind: "person", authenticated_by: "named by the actor".into(), personal }, at_unix_ms }
    }
}

impl Act {
    pub fn new(actor: Actor, action: Action, object: (&'static str, impl Into<String>)) -> Self {
        Self {
            actor,
            action,
            object: (object.0, object.1.into()),
            stage: Stage::Done,
            of: None,
            before: None,
            after: None,
            reason: None,
            approvals: Vec::new(),
            personal: Vec::new(),
        }
    }

    #[must_use]
    pub fn before(mut self, before: Value) -> Self {
        self.before = Some(before);
        self
    }

    #[must_use]
    pub fn after(mut self, after: Value) -> Self {
        self.after = Some(after);
        self
    }

    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    #[must_use]
    pub fn approved(mut self, approvals: Vec<Approval>) -> Self {
        self.approvals = approvals;
        self
    }

    /// Something of a person, under a name such as `after.name`.
    #[must_use]
    pub fn of_person(mut self, field: &'static str, value: Option<&str>) -> Self {
        self.personal.extend(value.map(|value| (field, value.to_owned())));
        self
    }

    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }
}
