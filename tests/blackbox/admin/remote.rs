//! The command line on a gateway's admin API, beside the same verbs on its state directory.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use super::{admin, home, token};
use crate::{
    gateway::Gateway,
    home::{Home, Ran, finish},
};

/// Another machine of the operator's: the binary, a home of its own, and no state.
pub struct Desk {
    pub home: Home,
    url: String,
}

impl Desk {
    /// Without a context file.
    pub fn bare() -> Self {
        Self { home: Home::without_config(), url: String::new() }
    }

    /// With a context file that names `gateway`.
    pub async fn at(gateway: &Gateway, token: &str) -> Self {
        let url = admin(gateway, token).await.base().trim_end_matches("/admin/v1").to_owned();
        Self::new(&url, token)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn new(url: &str, token: &str) -> Self {
        let desk = Self { url: url.to_owned(), ..Self::bare() };
        let dir = desk.home.path().join(".config/backstop");
        fs::create_dir_all(&dir).expect("can be made");
        fs::write(dir.join("context.toml"), format!("server = \"{url}\"\ntoken_file = \"token\"\n")).expect("writes");
        fs::write(dir.join("token"), format!("{token}\n")).expect("writes");
        desk.chmod("token", 0o600);
        desk
    }

    fn chmod(&self, file: &str, mode: u32) {
        let path = self.home.path().join(".config/backstop").join(file);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("is there");
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
        command.args(args).current_dir(self.home.path()).env("HOME", self.home.path());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").env_remove("RUST_LOG");
        finish(command, "", std::time::Duration::from_secs(60))
    }

    pub fn ok(&self, args: &[&str]) -> String {
        self.run(args).expect_success(args)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn both_forms_say_the_same() {
    let (home, _vendor) = home("models: { near/fake-1: { input_per_mtok: 1, output_per_mtok: 1 } }").await;
    let gateway = home.serve();
    let operator = token(&home, "operator");
    let url = admin(&gateway, &operator).await.base().trim_end_matches("/admin/v1").to_owned();
    let desk = Desk::new(&url, &operator);
    desk.ok(&["tenants", "add", "initech", "--rpm", "60", "--budget-usd-per-month", "12.5"]);
    let key = desk.ok(&["keys", "issue", "--tenant", "initech", "--route", "chat"]).trim().to_owned();
    assert!(key.starts_with("sk-bs-") && key.lines().count() == 1, "only the key: {key}");
    let answer = gateway.client().with_key(&key).chat(&crate::client::question("chat", "hi")).await.expect(200);
    let call = answer.expect_header("x-request-id").to_owned();
    for args in [
        &["tenants", "list"][..],
        &["tenants", "list", "--json"],
        &["keys", "list"],
        &["keys", "list", "--json"],
        &["calls", "list"],
        &["calls", "show", &call],
        &["calls", "show", &call, "--json"],
        &["usage"],
        &["usage", "--by", "tenant,route", "--json"],
        &["usage", "--csv"],
    ] {
        assert_eq!(desk.ok(args), home.ok(args), "{args:?}");
    }
    let limits = desk.ok(&["limits", "show", "initech"]);
    assert!(limits.contains("rpm") && limits.contains("12.500000"), "{limits}");
    let listed = desk.ok(&["audit", "list", "--action", "key"]);
    assert!(listed.contains("key.issue") && listed.contains("admin_token"), "{listed}");
    let rotated = desk.ok(&["keys", "rotate", &key]).trim().to_owned();
    desk.ok(&["keys", "revoke", &rotated]);
    assert!(!desk.home.state().exists(), "the desk has a state directory of its own");

    // The server's word is the verb's, and its exit code.
    let refused = desk.run(&["tenants", "add", "initech"]);
    assert_eq!((refused.code, refused.stderr.contains("already")), (Some(1), true), "{refused:?}");
    let no_form = desk.run(&["--server", &url, "eval", "list"]);
    assert_eq!((no_form.code, no_form.stderr.contains("state directory")), (Some(2), true), "{no_form:?}");
    let far = desk.run(&["--server", "http://192.0.2.7:8081", "keys", "list"]);
    assert!(far.code == Some(1) && far.stderr.contains("unencrypted"), "{far:?}");
    desk.chmod("token", 0o644);
    let open = desk.run(&["keys", "list"]);
    assert!(open.code == Some(1) && open.stderr.contains("chmod 600") && !open.stderr.contains(&operator), "{open:?}");
    desk.chmod("token", 0o600);

    // With the server gone, the verb works on the state directory; a server that was named is missed.
    gateway.stop();
    let local = desk.run(&["tenants", "list"]);
    assert!(local.code == Some(0) && local.stderr.contains("working on the state directory"), "{local:?}");
    let named = desk.run(&["--server", &url, "tenants", "list"]);
    assert!(named.code == Some(1) && named.stderr.contains("does not answer"), "{named:?}");
}
