//! `incidents:`.

use super::Resolver;
use crate::{
    config::{IncidentSettings, path::Path, raw, words},
    domain::RouteId,
};

impl Resolver<'_, '_> {
    pub(super) fn incidents(&mut self, file: &raw::File) -> IncidentSettings {
        let mut settings = IncidentSettings::default();
        let Some(raw) = &file.incidents else { return settings };
        let path = Path::root().key("incidents");
        if let Some(pagerduty) = &raw.pagerduty {
            let path = path.key("pagerduty");
            if let Some(name) = &pagerduty.signing_secret {
                self.secret_name(&path.key("signing_secret"), name);
            }
            settings.pagerduty_secret.clone_from(&pagerduty.signing_secret);
            for (service, routes) in pagerduty.services.iter().flatten() {
                let path = path.key("services").key(service.as_str());
                for (index, name) in routes.iter().enumerate() {
                    self.route_name(&path.index(index), name, file);
                }
                let routes = routes.iter().map(RouteId::new).collect();
                settings.pagerduty_services.insert(service.clone(), routes);
            }
            if let Some(severity) = pagerduty.without_priority {
                self.severity(&path.key("without_priority"), severity);
                settings.without_priority = severity;
            }
        }
        if let Some(alertmanager) = &raw.alertmanager {
            let path = path.key("alertmanager");
            if let Some(label) = &alertmanager.route_label {
                self.name(&path.key("route_label"), label);
                settings.route_label.clone_from(label);
            }
            for (name, severity) in alertmanager.severities.iter().flatten() {
                self.severity(&path.key("severities").key(name.as_str()), *severity);
                settings.severities.insert(name.clone(), *severity);
            }
        }
        settings
    }

    /// A route that the file has. A file without routes serves the built-in ones.
    pub(super) fn route_name(&mut self, path: &Path, name: &str, file: &raw::File) {
        let routes = || file.routes.iter().flatten().map(|(name, _)| name.as_str());
        if file.routes.is_some() && !routes().any(|route| route == name) {
            let message = format!("there is no route `{}`", words::cut(name));
            self.error(path, message, words::meant_or_known(name, routes().collect::<Vec<_>>()));
        }
    }

    fn severity(&mut self, path: &Path, severity: u8) {
        if !(1..=5).contains(&severity) {
            self.error(path, "a severity is from 1 (the worst) to 5", "");
        }
    }
}
