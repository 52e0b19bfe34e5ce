//! The in-memory store keeps the contract that every store has to keep.

use std::fs;

use snapshot_domain::{repository_contract, testing::InMemoryStore};

repository_contract!(in_memory, || Some(InMemoryStore::default()));

/// The macro has to name each rule: one that it forgets would hold for nobody.
#[test]
fn every_rule_that_is_written_is_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/contract");
    let listed = fs::read_to_string(format!("{folder}/mod.rs")).unwrap();

    let mut rules = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in source.lines() {
            let rule = line
                .strip_prefix("pub fn ")
                .and_then(|it| it.strip_suffix("(ports: &dyn Ports) {"));
            if let Some(rule) = rule {
                assert!(listed.contains(&format!(" {rule},\n")), "{rule} is not listed");
                rules += 1;
            }
        }
    }
    assert!(rules > 100, "only {rules} rules were found");
}
