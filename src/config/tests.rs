//! Whole configs through the loader: what people write, and what they are told.

use std::path::Path;

use proptest::prelude::*;

use super::{Finding, Loaded, Severity, load, schema};

const CONTRACT: &str = include_str!("tests/contract.yaml");

fn read(text: &str) -> Result<Loaded, Vec<Finding>> {
    load(text, Path::new("backstop.yaml"))
}

fn told(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{} {finding}\n", finding.severity.as_str())).collect()
}

#[test]
fn the_contracts_example_loads_and_says_what_is_not_enforced() {
    let loaded = read(CONTRACT).expect("loads");
    insta::assert_snapshot!("contract_findings", told(&loaded.findings));
    insta::assert_debug_snapshot!("contract_settings", loaded.settings);
}

#[test]
fn every_fault_is_told_at_once_with_its_line_and_no_secret() {
    let text = include_str!("tests/faults.yaml");
    let findings = read(text).expect_err("faults");
    let told = told(&findings);
    for secret in ["abcdefghij", "hunter2"] {
        assert!(text.contains(secret) && !told.contains(secret), "{secret} is shown");
    }
    insta::assert_snapshot!("faults", told);
}

#[test]
fn probe() {
    println!("{}", serde_json::to_string_pretty(&schema()).unwrap());
}
