//! Tests that other things point at: what the conformance table names must exist, and end-to-end cases carry
//! the number of their area.

use std::collections::BTreeSet;

use anyhow::Result;

use super::source::Source;
use super::{Tree, Violation};

const CONFORMANCE: &str = "core/CONFORMANCE.md";
const END_TO_END: &str = "server/tests/e2e/";

/// Checks the table and the numbers.
pub fn check(tree: &Tree, found: &mut Vec<Violation>) -> Result<()> {
    for source in tree.sources.iter().filter(|source| source.path.starts_with(END_TO_END)) {
        check_number(source, found);
    }
    let tests: BTreeSet<(&str, &str)> = tree
        .sources
        .iter()
        .flat_map(|source| {
            source.functions().into_iter().map(|function| (function.name, source.path.as_str()))
        })
        .collect();
    // `area::name` of an end-to-end test, `path::to::name` of a unit test: the file must be the one named.
    let is_known = |module: &str, name: &str| {
        tests
            .range((name, "")..)
            .take_while(|test| test.0 == name)
            .any(|(_, path)| is_in_module(path, module))
    };
    check_table(&tree.text(CONFORMANCE)?, is_known, found);
    Ok(())
}

fn check_number(source: &Source, found: &mut Vec<Violation>) {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    let is_numbered = matches!(name.as_bytes(), [b'0'..=b'9', b'0'..=b'9', b'_', ..]);
    let has_tests = source.code.contains("#[test]");
    if has_tests && !is_numbered && !source.path.contains("/harness/") {
        found.push(Violation::new(
            &source.path,
            1,
            "an end-to-end case begins with the number of its area, NN_",
        ));
    }
}

fn check_table(text: &str, is_known: impl Fn(&str, &str) -> bool, found: &mut Vec<Violation>) {
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let last = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let quoted = last.split('`').skip(1).step_by(2);
        for (path, name) in quoted.filter_map(|quoted| quoted.rsplit_once("::")) {
            let module = path.rsplit("::").next().unwrap_or_default();
            if !is_known(module, name) {
                found.push(Violation::new(
                    CONFORMANCE,
                    number + 1,
                    format!("no test is called {path}::{name}"),
                ));
            }
        }
    }
}

/// Whether a file is, or lies in, the module of this name; an end-to-end file's number is not part of its name.
fn is_in_module(path: &str, module: &str) -> bool {
    let mut parts = path.trim_end_matches(".rs").rsplit('/');
    let file = parts.next().unwrap_or_default();
    let unnumbered =
        file.trim_start_matches(|character: char| character.is_ascii_digit()).trim_start_matches('_');
    // `mod tests` inside the file itself has no path of its own.
    module == "tests" || file == module || unnumbered == module || parts.next() == Some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_the_table_names_must_exist() {
        let text = "| id | what | test |\n| --- | --- | --- |\n\
                    | [MQTT-1.5.3-1] | closes `x` | `codec::tests::here`, `will::gone` |\n\
                    | [MQTT-1.5.3-2] | n/a | |\n";
        let mut found = Vec::new();
        check_table(text, |module, name| (module, name) == ("tests", "here"), &mut found);
        assert_eq!(found, [Violation::new(CONFORMANCE, 3, "no test is called will::gone")]);
    }

    #[test]
    fn a_module_is_its_file_or_folder() {
        assert!(is_in_module("server/tests/e2e/08_will.rs", "will"));
        assert!(is_in_module("core/src/codec/frame.rs", "tests"));
        assert!(is_in_module("core/src/will/mod.rs", "will"));
        assert!(!is_in_module("server/tests/e2e/08_will.rs", "bad_input"));
    }

    #[test]
    fn an_end_to_end_case_is_numbered() {
        let count = |path: &str, text: &str| {
            let mut found = Vec::new();
            check_number(&Source::new(path, text.to_owned()), &mut found);
            found.len()
        };
        assert_eq!(count("server/tests/e2e/will.rs", "#[test] fn a() {}"), 1);
        assert_eq!(count("server/tests/e2e/08_will.rs", "#[test] fn a() {}"), 0);
        assert_eq!(count("server/tests/e2e/harness/mod.rs", "#[test] fn a() {}"), 0);
        assert_eq!(count("server/tests/e2e/main.rs", "mod a;"), 0);
    }
}
