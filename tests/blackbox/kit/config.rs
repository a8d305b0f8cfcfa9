//! Config files of the tests, written as an operator would, with deadlines that a test can wait for.

/// A config in the making.
pub struct Config {
    enforcement: &'static str,
    vendors: String,
    routes: String,
    more: String,
}

/// Long enough for a busy machine, short enough to be waited for.
pub const QUICK: &str = "{ connect: 1s, first_token: 2s, idle: 2s, attempt: 3s, total: 30s }";

/// For ladders that end in the local model.
pub const PATIENT: &str = "{ connect: 1s, first_token: 20s, idle: 20s, attempt: 40s, total: 80s }";

impl Config {
    /// For ladders of fakes, which have no certificates.
    pub fn warn() -> Self {
        Self { enforcement: "warn", vendors: String::new(), routes: String::new(), more: String::new() }
    }

    pub fn strict() -> Self {
        Self { enforcement: "strict", ..Self::warn() }
    }

    /// `url` without the `/v1`.
    pub fn vendor(self, name: &str, kind: &str, url: &str) -> Self {
        self.entry(name, &format!("{{ kind: {kind}, base_url: \"{url}/v1\" }}"))
    }

    /// A vendor in flow-style YAML.
    pub fn entry(mut self, name: &str, yaml: &str) -> Self {
        self.vendors.push_str(&format!("  {name}: {yaml}\n"));
        self
    }

    /// A vendor of these flow-style fields.
    pub fn vendor_with(mut self, name: &str, fields: &str) -> Self {
        self.vendors.push_str(&format!("  {name}: {{ {fields} }}\n"));
        self
    }

    /// A standard route.
    pub fn route(self, name: &str, targets: &[&str]) -> Self {
        self.route_with(name, targets, &format!("deadlines: {QUICK}"))
    }

    /// A route with further lines of flow-style YAML, say `criticality: critical`.
    pub fn route_with(mut self, name: &str, targets: &[&str], fields: &str) -> Self {
        self.routes.push_str(&format!("  {name}: {{ targets: [{}], {fields} }}\n", targets.join(", ")));
        self
    }

    /// Further top-level sections.
    pub fn more(mut self, yaml: &str) -> Self {
        self.more.push_str(yaml);
        self.more.push('\n');
        self
    }

    /// Where no share cap is asked for, none bites: on a fast machine a test that calls for some seconds would reach the
    /// default's volume, and be sent to another vendor than the one that it watches.
    pub fn text(&self) -> String {
        let section = |name: &str, body: &str| if body.is_empty() { String::new() } else { format!("{name}:\n{body}") };
        let cap = if self.more.contains("share_cap:") { "" } else { "share_cap: { min_volume: 1000000000000 }\n" };
        format!(
            "listen: 127.0.0.1:0\nenforcement: {}\n{}{}tenants: {{ acme: {{}} }}\n{cap}{}",
            self.enforcement,
            section("vendors", &self.vendors),
            section("routes", &self.routes),
            self.more
        )
    }
}

/// A route `chat` to one fake OpenAI.
pub fn one_openai(url: &str) -> String {
    Config::warn().vendor("near", "openai", url).route("chat", &["near/fake-1"]).text()
}

/// A route `chat` to one fake Anthropic.
pub fn one_anthropic(url: &str) -> String {
    Config::warn().vendor("near", "anthropic", url).route("chat", &["near/fake-2"]).text()
}
