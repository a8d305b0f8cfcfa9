//! Whom a call concerns, and the limits of each: those of the config and those that were stored, the smaller of both.

use std::{collections::BTreeSet, sync::Arc};

use ipnet::IpNet;

use super::{
    refusal::{Refusal, Why},
    subject::Subject,
};
use crate::{
    config::{Limits, Route, Settings, Tenant},
    domain::{FeatureId, KeyId, Money, RouteId, TenantId},
    vault::Client,
};

/// One subject and its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Limited {
    pub subject: Subject,
    pub limits: Limits,
}

/// Everybody whom a call concerns. Those who pay are always there, the others where they have limits.
pub fn subjects(
    settings: &Settings,
    client: &Client,
    feature: Option<&FeatureId>,
    route: &Route,
    from: IpNet,
) -> Vec<Limited> {
    let configured = settings.tenants.get(&client.tenant);
    let both = |of: &dyn Fn(&Tenant) -> Limits| configured.map_or(Limits::NONE, of).and(&of(&client.policy));
    let tenant = &client.tenant;
    let mut limited = vec![
        Limited { subject: Subject::Tenant(tenant.clone()), limits: both(&|tenant| tenant.limits) },
        Limited { subject: Subject::Key(client.key_id.clone()), limits: client.may.limits },
    ];
    if let Some(feature) = feature {
        let subject = Subject::Feature(tenant.clone(), feature.clone());
        limited.push(Limited { subject, limits: both(&|tenant| tenant.feature(feature)) });
    }
    let models = [
        (Subject::TenantModel(tenant.clone(), route.id.clone()), both(&|tenant| tenant.model(&route.id))),
        (Subject::Model(route.id.clone()), route.limits),
    ];
    limited.extend(
        models.into_iter().filter(|(_, limits)| !limits.is_none()).map(|(subject, limits)| Limited { subject, limits }),
    );
    let per_ip = settings.doors.per_ip;
    if per_ip.tokens_per_minute.is_some() || per_ip.tokens_per_day.is_some() || has_ceiling(&per_ip) {
        // Requests and concurrency of an address were counted at the door.
        let limits = Limits { requests_per_minute: None, requests_per_day: None, concurrency: None, ..per_ip };
        limited.push(Limited { subject: Subject::Address(from), limits });
    }
    limited
}

/// Everybody of one tenant who has limits, for people to look at.
pub fn subjects_of_tenant(
    settings: &Settings,
    tenant: &TenantId,
    stored: Option<&Tenant>,
    keys: &[(KeyId, Limits)],
) -> Vec<Limited> {
    let sides: Vec<&Tenant> = settings.tenants.get(tenant).into_iter().chain(stored).collect();
    let all = |of: &dyn Fn(&Tenant) -> Limits| sides.iter().fold(Limits::NONE, |sum, side| sum.and(&of(side)));
    let mut limited = vec![Limited { subject: Subject::Tenant(tenant.clone()), limits: all(&|side| side.limits) }];
    let names: BTreeSet<&FeatureId> = sides.iter().flat_map(|side| side.features.keys()).collect();
    for feature in names {
        let subject = Subject::Feature(tenant.clone(), feature.clone());
        limited.push(Limited { subject, limits: all(&|side| side.feature(feature)) });
    }
    let names: BTreeSet<&RouteId> = sides.iter().flat_map(|side| side.models.keys()).collect();
    for route in names {
        let subject = Subject::TenantModel(tenant.clone(), route.clone());
        limited.push(Limited { subject, limits: all(&|side| side.model(route)) });
    }
    limited.extend(keys.iter().map(|(key, limits)| Limited { subject: Subject::Key(key.clone()), limits: *limits }));
    for route in settings.routes.values().filter(|route| !route.limits.is_none()) {
        limited.push(Limited { subject: Subject::Model(route.id.clone()), limits: route.limits });
    }
    limited.retain(|limited| !limited.limits.is_none());
    limited
}

fn has_ceiling(limits: &Limits) -> bool {
    limits.body_bytes.is_some() || limits.answer_tokens.is_some() || limits.cost_per_call.is_some()
}

impl Limited {
    /// The smallest ceiling of all, and whose it is.
    fn least<T: Ord + Copy>(all: &[Self], of: impl Fn(&Limits) -> Option<T>) -> Option<(T, &Subject)> {
        let with = all.iter().filter_map(|limited| Some((of(&limited.limits)?, &limited.subject)));
        with.min_by_key(|(limit, _)| *limit)
    }

    /// Whether nobody's ceiling is passed by a body of so many bytes.
    pub fn check_body(all: &[Self], bytes: usize) -> Result<(), Refusal> {
        match Self::least(all, |limits| limits.body_bytes) {
            Some((limit, subject)) if bytes as u64 > limit => {
                Err(Refusal::new(subject.clone(), Why::Body { limit, bytes: bytes as u64 }, 0))
            }
            _ => Ok(()),
        }
    }

    /// The longest answer that may be asked for; an error when `asked` is longer.
    pub fn check_answer(all: &[Self], asked: Option<u32>) -> Result<Option<u32>, Refusal> {
        let Some((limit, subject)) = Self::least(all, |limits| limits.answer_tokens) else { return Ok(None) };
        match asked {
            Some(asked) if u64::from(asked) > limit => {
                Err(Refusal::new(subject.clone(), Why::AnswerTokens { limit, asked: asked.into() }, 0))
            }
            _ => Ok(Some(u32::try_from(limit).unwrap_or(u32::MAX))),
        }
    }

    /// The most that one call may cost, and who says so.
    pub fn cost_per_call(all: &[Self]) -> Option<(Money, Subject)> {
        Self::least(all, |limits| limits.cost_per_call).map(|(limit, subject)| (limit, subject.clone()))
    }
}

/// The bound on a body that is known before it is read: of the tenant and the key.
pub fn body_bound(settings: &Settings, client: &Client) -> Option<u64> {
    let policy: &Arc<Tenant> = &client.policy;
    let configured = settings.tenants.get(&client.tenant).and_then(|tenant| tenant.limits.body_bytes);
    [configured, policy.limits.body_bytes, client.may.limits.body_bytes].into_iter().flatten().min()
}

/// How many calls of the caller's tenant may be answered at once.
pub fn at_once(settings: &Settings, client: &Client) -> Option<u64> {
    let configured = settings.tenants.get(&client.tenant).and_then(|tenant| tenant.limits.concurrency);
    [configured, client.policy.limits.concurrency].into_iter().flatten().min()
}
