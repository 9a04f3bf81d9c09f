//! The size of things: files, functions, folders, and the header that says what a file is.

use std::collections::BTreeMap;

use super::source::Source;
use super::{Violation, exceptions};

const FILE_LINES_MAX: usize = 600;
const LIB_LINES_MAX: usize = 120;
const MAIN_LINES_MAX: usize = 80;
const FUNCTION_LINES_MAX: usize = 70;
const FOLDER_FILES_MAX: usize = 12;

/// Checks one file.
pub fn check(source: &Source, found: &mut Vec<Violation>) {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    // A sibling `tests.rs` is named by what it tests; everything else opens by saying what it is.
    if name != "tests.rs" && !source.text.starts_with("//!") {
        found.push(Violation::new(&source.path, 1, "begins with `//!`: what this is and what it never does"));
    }
    let lines_max = match name {
        "lib.rs" => LIB_LINES_MAX,
        // The root of a test binary only lists modules, of which there may be many.
        "main.rs" if !source.is_test => MAIN_LINES_MAX,
        _ => FILE_LINES_MAX,
    };
    let lines = source.lines_without_tests();
    if lines > lines_max {
        found.push(Violation::new(
            &source.path,
            lines_max,
            format!("{lines} lines without tests, at most {lines_max}"),
        ));
    }
    for function in source.functions() {
        let first = source.line_of(function.bytes.start);
        let lines = source.line_of(function.bytes.end - 1) + 1 - first;
        if lines > FUNCTION_LINES_MAX && !exceptions::is_long_function(&source.path, function.name) {
            let rule = format!("fn {} has {lines} lines, at most {FUNCTION_LINES_MAX}", function.name);
            found.push(Violation::new(&source.path, first, rule));
        }
    }
}

/// Checks how many files lie in each folder. Tests are exempt: their number is the number of things tested.
pub fn check_folders(files: &[String], found: &mut Vec<Violation>) {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let is_test = name == "tests.rs" || format!("{folder}/").contains("/tests/");
        // `mod.rs` is the folder itself.
        if !is_test && name != "mod.rs" {
            *folders.entry(folder).or_default() += 1;
        }
    }
    for (folder, files) in folders {
        let excepted = exceptions::has(exceptions::WIDE_FOLDERS, folder);
        if files > FOLDER_FILES_MAX && !excepted {
            let rule = format!("{files} source files in one folder, at most {FOLDER_FILES_MAX}");
            found.push(Violation::new(folder, 1, rule));
        } else if files <= FOLDER_FILES_MAX && excepted {
            found.push(Violation::new(folder, 1, "needs its exception as a wide folder no longer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(&Source::new(path, text.to_owned()), &mut found);
        found.into_iter().map(|violation| format!("{}: {}", violation.line, violation.rule)).collect()
    }

    #[test]
    fn sizes_are_checked_where_they_apply() {
        let function = |lines: usize| format!("//! A.\nfn a() {{{}}}\n", "\n".repeat(lines - 1));
        assert!(rules("core/src/a.rs", &function(70)).is_empty());
        assert_eq!(rules("core/src/a.rs", &function(71)), ["2: fn a has 71 lines, at most 70"]);
        let file = |lines: usize| format!("//! A.\n{}", "\n".repeat(lines - 1));
        assert!(rules("core/src/a.rs", &file(600)).is_empty());
        assert_eq!(rules("core/src/a.rs", &file(601)).len(), 1);
        assert_eq!(rules("core/src/lib.rs", &file(121)).len(), 1);
        assert_eq!(rules("server/src/main.rs", &file(81)).len(), 1);
        assert_eq!(rules("core/src/a.rs", "mod a;\n").len(), 1);
    }

    #[test]
    fn a_folder_counts_its_own_sources_only() {
        let mut files: Vec<String> = (0..12).map(|n| format!("shards/src/f{n}.rs")).collect();
        files.extend(["shards/src/mod.rs", "shards/src/tests.rs", "shards/src/a/b.rs"].map(str::to_owned));
        let mut found = Vec::new();
        check_folders(&files, &mut found);
        assert!(found.iter().all(|violation| violation.path != "shards/src"));
        files.push("shards/src/one_more.rs".to_owned());
        check_folders(&files, &mut found);
        assert!(found.iter().any(|violation| violation.path == "shards/src"));
    }
}
