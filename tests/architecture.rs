//! Keeps the map true: reads the repository's own sources and fails on what ARCHITECTURE.md and the style forbid.
//!
//! It reads tokens, not types: it never compiles or runs anything, and it needs no network. Each rule has a test that
//! plants a violation and sees it caught, so that a rule which no longer bites is noticed.

#[path = "architecture/planted.rs"]
mod planted;
#[path = "architecture/rules.rs"]
pub mod rules;
#[path = "architecture/source.rs"]
pub mod source;

use std::path::Path;

use rules::{Rule, Violation};
use source::Tree;

fn tree() -> Tree {
    Tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the repository can be read")
}

fn assert_kept(rule: Rule) {
    let violations: Vec<Violation> = rule(&tree());
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
}

#[test]
fn rooms_use_only_rooms_above_them() {
    assert_kept(rules::upward_edges);
}

#[test]
fn packages_use_only_packages_below_them() {
    assert_kept(rules::upward_packages);
}

#[test]
fn files_hold_one_idea() {
    assert_kept(rules::long_files);
}

#[test]
fn functions_do_one_thing() {
    assert_kept(rules::long_functions);
}

#[test]
fn files_say_what_they_are() {
    assert_kept(rules::missing_headers);
}

#[test]
fn files_are_named_after_their_idea() {
    assert_kept(rules::vague_names);
}

#[test]
fn lints_are_expected_never_allowed() {
    assert_kept(rules::allowed_lints);
}

#[test]
fn unsafe_stays_in_the_kernels() {
    assert_kept(rules::stray_unsafe);
}

#[test]
fn no_file_names_a_registry_host() {
    assert_kept(rules::registry_hosts);
}
