//! A disk that is full or cannot be written: said clearly, and no answered call is lost.
//!
//! Real small and read-only mounts need root; without it these tests say that they could not run, and what was left out.

use std::{fs, io::Write as _, path::Path, process::Command};

use reqwest::Method;
use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use super::{
    admin::{admin, put, token},
    client::question,
    config::{Config, one_openai},
    home::Home,
    ledger::Rows,
    vendor::{Say, Vendor},
};

/// A mount that ends with the test.
struct Mount(tempfile::TempDir);

impl Mount {
    /// A file system of `size`, e.g. `8m`; `None`, said aloud, where nobody may mount.
    fn small(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let option = format!("size={size},mode=0700");
        run("mount", &["-t", "tmpfs", "-o", &option, "tmpfs"], directory.path()).then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn make_read_only(&self) -> bool {
        run("mount", &["-o", "remount,ro"], self.path())
    }

    /// Takes all the room that is left, and gives the file that does.
    fn fill(&self) -> std::path::PathBuf {
        let ballast = self.path().join("ballast");
        let mut file = fs::File::create(&ballast).expect("an empty file needs no room");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        ballast
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.path());
    }
}

fn run(program: &str, args: &[&str], path: &Path) -> bool {
    let done = Command::new(program).args(args).arg(path).output();
    let fine = done.as_ref().is_ok_and(|output| output.status.success());
    if !fine {
        eprintln!("NOT TESTED: `{program} {}` needs root here: {done:?}", args.join(" "));
    }
    fine
}

#[test]
fn a_read_only_state_directory_is_told_by_its_name() {
    let Some(mount) = Mount::small("4m") else { return };
    if !mount.make_read_only() {
        return;
    }
    let home = Home::with_state(&one_openai("http://127.0.0.1:9"), mount.path());
    let path = mount.path().display().to_string();
    for verb in [&["serve"][..], &["keys", "issue", "--tenant", "acme"], &["vault", "set", "near"]] {
        let said = home.run_with(verb, "sk-x").expect_failure();
        assert!(said.contains(&path) && said.contains("--state-dir"), "{verb:?}: {said}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_is_told_by_its_name() {
    let home = Home::with_state(&one_openai("http://127.0.0.1:9"), Path::new("/proc/backstop"));
    let said = home.run(&["serve"]).expect_failure();
    assert!(said.contains("/proc/backstop") && said.contains("--state-dir"), "{said}");
}

#[test]
fn a_full_disk_at_the_start_is_told() {
    let Some(mount) = Mount::small("1m") else { return };
    mount.fill();
    let home = Home::with_state(&one_openai("http://127.0.0.1:9"), mount.path());
    let said = home.run(&["serve"]).expect_failure();
    assert!(said.contains(&mount.path().display().to_string()) || said.contains("space"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_that_fills_up_loses_no_answered_call() {
    let Some(mount) = Mount::small("24m") else { return };
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::with_state(&one_openai(&vendor.url()), mount.path());
    let gateway = home.serve();
    let client = gateway.client();
    client.chat(&question("chat", "hi")).await.expect(200);
    let ballast = mount.fill();
    let (mut answered, mut refused) = (1, 0);
    // More than any room that was set aside beforehand can take.
    for _ in 0..3000 {
        let answer = client.chat(&question("chat", "hi")).await;
        match answer.status {
            200 => answered += 1,
            503 => {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                answer.openai_error();
                refused += 1;
                if refused == 20 {
                    break;
                }
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    fs::remove_file(ballast).expect("the ballast is ours");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while client.chat(&question("chat", "hi")).await.status != 200 {
        assert!(std::time::Instant::now() < deadline, "with room again, calls should go on:\n{}", gateway.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    gateway.stop();
    home.serve().stop();
    let rows = Rows::of(&home);
    let kept = rows.answered();
    assert_eq!(kept, answered + 1, "{refused} were refused");
}

/// What fills the disk may be what the incident is about.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_route_is_taken_back_on_a_full_disk() {
    let Some(mount) = Mount::small("24m") else { return };
    let (old, new) = (Vendor::openai(Say::Text("old")).await, Vendor::openai(Say::Text("new")).await);
    let config = Config::warn().vendor("old", "openai", &old.url()).vendor("new", "openai", &new.url());
    let config = config.route("chat", &["old/m", "new/m"]).route("more", &["old/m", "new/m"]);
    let home = Home::with_state(&config.text(), mount.path());
    let gateway = home.serve();
    let served_by = async |route: &str, target: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while gateway.client().chat(&question(route, "hi")).await.header("x-backstop-served-by") != Some(target) {
            assert!(std::time::Instant::now() < deadline, "`{target}` does not serve {route}:\n{}", gateway.log());
        }
    };
    for route in ["chat", "more"] {
        home.ok(&["release", "propose", route, "--targets", "new/m,old/m", "--reason", "newer"]);
        home.ok(&["release", "promote", route, "2", "--reason", "evaluated"]);
        served_by(route, "new/m").await;
    }
    let spares = || {
        let files = fs::read_dir(mount.path().join("releases/spare")).into_iter().flatten().flatten();
        files.filter(|file| file.path().extension().is_some_and(|end| end == "spare")).count()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while spares() < 2 {
        assert!(std::time::Instant::now() < deadline, "no room is set aside");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let ballast = mount.fill();
    for route in ["chat", "more"] {
        home.ok(&["release", "rollback", route, "--reason", "the disk fills up"]);
        served_by(route, "old/m").await;
    }
    fs::remove_file(ballast).expect("the ballast is ours");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let entries = home.json(&["audit", "list", "--action", "release.rollback"]);
        if entries.as_array().is_some_and(|all| all.len() == 2) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "they are not carried over: {entries}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    gateway.stop();
    assert!(home.ok(&["audit", "verify"]).starts_with("whole: "));
}

/// As SQLite does itself where the disk is full: the transaction is over before we end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_write_that_the_database_took_back_stops_no_later_one() {
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let home = Home::new(&format!("{}admin: {{ listen: 127.0.0.1:0 }}\n", one_openai(&vendor.url())));
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    let options = SqliteConnectOptions::new().filename(home.state().join("backstop.db"));
    let mut other = options.connect().await.expect("opens");
    let full = "CREATE TRIGGER full BEFORE INSERT ON tenants BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END";
    other.execute(full).await.expect("is made");
    // More than there are connections.
    for name in 0..12 {
        put(&client, Method::POST, "/tenants", &json!({"name": format!("refused-{name}")})).await.expect(503);
    }
    other.execute("DROP TRIGGER full").await.expect("goes");
    other.close().await.expect("closes");
    for name in 0..12 {
        put(&client, Method::POST, "/tenants", &json!({"name": format!("made-{name}")})).await.expect(201);
    }
}
