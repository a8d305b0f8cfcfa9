//! One operation that was asked for, by someone who is known and may ask for it.

use std::{collections::HashMap, sync::Arc};

use super::{Admin, refused::Refused, site::Site};
use crate::domain::{Actor, OperatorRole, RouteId};

/// Whoever came in.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    /// A token's public first characters, or what stands for a person of the identity provider.
    pub(super) id: String,
    pub(super) role: OperatorRole,
    pub(super) actor: Actor,
}

pub(super) struct Asked {
    pub(super) admin: Arc<Admin>,
    pub(super) operator: Operator,
    pub(super) params: HashMap<String, String>,
}

impl Asked {
    /// A part of the path, by its name in the table.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    pub(super) fn actor(&self) -> Actor {
        self.operator.actor.clone()
    }

    /// This gateway, and who asks.
    pub(super) fn site(&self) -> Site {
        let admin = &self.admin;
        Site {
            state: admin.state.clone(),
            settings: Arc::new(admin.settings().with_orders(&admin.filed.orders())),
            store: Some(admin.store.clone()),
            shelf: Arc::clone(&admin.shelf),
            gate: Arc::clone(&admin.gate),
            actor: self.actor(),
        }
    }

    /// A route that the config names.
    pub(super) fn route(&self, name: &str) -> Result<RouteId, Refused> {
        known_route(&self.admin, name)
    }
}

/// Why something is done, which every act says.
pub(super) fn said(reason: &str) -> Result<&str, Refused> {
    match reason.trim() {
        "" => Err(Refused::invalid("`reason` is empty; say why")),
        reason => Ok(reason),
    }
}

pub(super) fn known_route(admin: &Admin, name: &str) -> Result<RouteId, Refused> {
    let settings = admin.settings();
    let found = settings.routes.get(name).map(|route| route.id.clone());
    found.ok_or_else(|| {
        let known: Vec<&str> = settings.routes.keys().map(RouteId::as_str).collect();
        Refused::not_found(format!("there is no route `{name}`; those there are: {}", known.join(", ")))
    })
}
