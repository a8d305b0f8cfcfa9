//! What operators do, one function a verb: the API's operations and the command line on the state directory both call it, so that neither
//! has a way of its own. Each takes a [`Site`](super::Site) and gives what is shown.

pub mod alerts;
pub mod audit;
pub mod certificates;
pub mod doubts;
pub mod drills;
pub mod evacuations;
pub mod releases;
pub mod rerated;
pub mod routes;
pub mod rules;
pub mod shares;
pub mod spending;
pub mod tenants;

use super::refused::Refused;
use crate::{config::Settings, domain::VendorId};

fn no_vendor(settings: &Settings, name: &str) -> Refused {
    let names: Vec<&str> = settings.vendors.keys().map(VendorId::as_str).collect();
    Refused::not_found(format!("there is no vendor `{name}`; those there are: {}", names.join(", ")))
}
