//! Plants each violation and sees it caught, and plants what only looks like one and sees it pass.

use super::{
    rules::{self, Rule},
    source::Tree,
};

fn caught(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&Tree::of(&[(path, text)])).into_iter().map(|violation| violation.line).collect()
}

#[test]
fn an_upward_edge_is_caught_however_it_is_written() {
    let edge = |text: &str| caught(rules::upward_edges, "src/config/load.rs", text);
    assert_eq!(edge("//! x\nuse crate::relay::Plan;\n"), [2]);
    assert_eq!(edge("use crate::{domain::Money,\n    vendor::{Http, local},\n    clock};\n"), [2]);
    assert_eq!(edge("fn f() { let x = crate::api::serve(); }"), [1]);
    assert_eq!(edge("use super::super::app::App;"), [1]);
    assert_eq!(edge("mod tests { use super::super::super::app::App; }"), [1]);
    assert_eq!(edge("macro_rules! m { () => { $crate::ledger::x() } }"), [1]);
    assert_eq!(edge("use crate::*;"), [1]);
    assert_eq!(edge("pub(in crate::cli) fn f() {}"), [1]);
}

#[test]
fn a_file_outside_the_rooms_is_caught() {
    assert_eq!(caught(rules::upward_edges, "src/plumbing/pipe.rs", "//! x"), [1]);
}

#[test]
fn edges_that_point_down_pass() {
    let edge = |text: &str| caught(rules::upward_edges, "src/relay/attempt.rs", text);
    assert!(
        edge("use crate::{domain::{Fault, Money as M}, config::Settings, vendor};\nuse super::plan::Plan;").is_empty()
    );
    assert!(edge("use super::super::vendor::Http;\nmod tests { use super::super::plan; }").is_empty());
    assert!(
        edge("// crate::cli is below\n/* crate::app /* nested */ crate::app */ const A: &str = \"crate::cli\";")
            .is_empty()
    );
    assert!(edge("const R: &str = r#\"crate::cli \"quoted\" \"#; const C: char = '\"'; fn f<'a>() {}").is_empty());
    assert!(edge("pub(crate) fn f() {}").is_empty());
}

#[test]
fn an_upward_package_is_caught() {
    let stray = |path: &str, text: &str| caught(rules::upward_packages, path, text);
    assert_eq!(stray("models/src/engine.rs", "use backstop_eval::Suite;"), [1]);
    assert_eq!(stray("eval/src/run.rs", "use backstop::config;"), [1]);
    assert_eq!(stray("models/Cargo.toml", "[dependencies]\nbackstop-eval.workspace = true\n"), [2]);
    assert!(stray("eval/src/run.rs", "use backstop_models::chat::Chat;").is_empty());
    assert!(stray("eval/Cargo.toml", "backstop-models.workspace = true\nname = \"backstop-eval\"\n").is_empty());
}

#[test]
fn a_long_file_is_caught() {
    assert!(caught(rules::long_files, "src/domain.rs", &"//! x\n".repeat(400)).is_empty());
    assert_eq!(caught(rules::long_files, "src/domain.rs", &"//! x\n".repeat(401)), [401]);
}

#[test]
fn a_long_function_is_caught() {
    let function = |lines: usize| {
        format!("impl X {{\n    fn f(x: [u8; 2]) -> fn() {{\n{}    }}\n}}\n", "        g();\n".repeat(lines - 2))
    };
    assert!(caught(rules::long_functions, "src/domain.rs", &function(80)).is_empty());
    assert_eq!(caught(rules::long_functions, "src/domain.rs", &function(81)), [2]);
    let two = format!("trait T {{ fn f(); }}\n{}{}", function(50), function(50));
    assert!(caught(rules::long_functions, "src/domain.rs", &two).is_empty());
}

#[test]
fn a_silent_file_is_caught() {
    assert_eq!(caught(rules::missing_headers, "src/domain.rs", "use std::fmt;\n//! late"), [1]);
    assert!(caught(rules::missing_headers, "src/domain.rs", "//! Plain data.").is_empty());
}

#[test]
fn a_vague_name_is_caught() {
    assert_eq!(caught(rules::vague_names, "src/relay/mod.rs", ""), [1]);
    assert_eq!(caught(rules::vague_names, "src/relay/utils.rs", ""), [1]);
    assert_eq!(caught(rules::vague_names, "tests/common/gateway.rs", ""), [1]);
    assert!(caught(rules::vague_names, "src/relay/admit.rs", "").is_empty());
}

#[test]
fn an_allowed_lint_is_caught() {
    assert_eq!(caught(rules::allowed_lints, "src/domain.rs", "//! x\n#[allow(dead_code)]\nfn f() {}"), [2]);
    assert_eq!(caught(rules::allowed_lints, "src/domain.rs", "#![allow(dead_code)]"), [1]);
    assert!(
        caught(rules::allowed_lints, "src/domain.rs", "#[expect(dead_code, reason = \"x\")]\nfn allow() {}").is_empty()
    );
}

#[test]
fn unsafe_is_caught_outside_the_kernels() {
    let text = "fn f() { unsafe { g() } }";
    assert_eq!(caught(rules::stray_unsafe, "src/store.rs", text), [1]);
    assert!(caught(rules::stray_unsafe, "models/src/kernel/dot.rs", text).is_empty());
    assert!(caught(rules::stray_unsafe, "src/store.rs", "#![deny(unsafe_code)] // unsafe\n").is_empty());
}

#[test]
fn a_registry_host_is_caught_in_any_file() {
    let host = ["registry.npm", "js.org"].concat();
    assert_eq!(
        caught(rules::registry_hosts, "tests/sdk/node/package-lock.json", &format!("{{\n\"x\": \"{host}\"}}")),
        [2]
    );
    assert!(
        caught(rules::registry_hosts, "Cargo.lock", "registry+https://github.com/rust-lang/crates.io-index").is_empty()
    );
}
