//! `cargo x tidy`: the part of the style guide a machine can check, over every tracked `.rs` file. It reads and
//! reports; it never changes a file. What it lets through by name stands with its reason in `exceptions`.

mod exceptions;
mod names;
mod rooms;
mod shape;
mod source;
mod test_names;
mod unsafety;
mod words;

use std::fmt::{self, Display, Formatter};
use std::fs;

use anyhow::{Context, Result, bail};
use source::Source;

use crate::tree;

/// A broken rule and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    line: usize,
    rule: String,
}

impl Violation {
    fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule: rule.into() }
    }
}

impl Display for Violation {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// All that tidy looks at: the paths of the repository and its Rust files, read.
struct Tree {
    files: Vec<String>,
    sources: Vec<Source>,
}

impl Tree {
    fn read() -> Result<Self> {
        let root = tree::root();
        let files = tree::files()?;
        let mut sources = Vec::new();
        for path in files.iter().filter(|path| path.ends_with(".rs")) {
            let text = fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
            sources.push(Source::new(path, text));
        }
        source::mark_test_modules(&mut sources);
        Ok(Self { files, sources })
    }

    /// The text of a file that is not a Rust file, or nothing where it does not exist.
    fn text(&self, path: &str) -> Result<String> {
        if !self.files.iter().any(|file| file == path) {
            return Ok(String::new());
        }
        fs::read_to_string(tree::root().join(path)).with_context(|| format!("reading {path}"))
    }
}

/// Prints every violation.
///
/// # Errors
/// There is one, or a file cannot be read.
pub fn run() -> Result<()> {
    let tree = Tree::read()?;
    let violations = check(&tree)?;
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violations of the style guide", violations.len());
    }
    println!("tidy: {} files, no violation", tree.sources.len());
    Ok(())
}

fn check(tree: &Tree) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    for source in &tree.sources {
        shape::check(source, &mut found);
        names::check(source, &mut found);
        words::check(source, &mut found);
        unsafety::check(source, &mut found);
        rooms::check_source(source, &mut found);
    }
    shape::check_folders(&tree.files, &mut found);
    rooms::check_manifests(tree, &mut found)?;
    test_names::check(tree, &mut found)?;
    exceptions::check(tree, &mut found);
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy() {
        let violations = check(&Tree::read().unwrap()).unwrap();
        let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
        assert!(lines.is_empty(), "violations of the style guide:\n{}", lines.join("\n"));
    }
}
