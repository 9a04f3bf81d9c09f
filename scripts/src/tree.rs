//! Where things lie: the repository, cargo's target folder, the files under version control. It only names
//! and lists paths; it never writes outside the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The repository's root, also when the tree was moved after this program was built.
pub fn root() -> PathBuf {
    let package =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&package).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Cargo's target folder: `CARGO_TARGET_DIR` where it is set, `target/` otherwise.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // A relative value counts from where cargo was called, which is where this program runs.
        Some(folder) => std::path::absolute(PathBuf::from(folder)).unwrap_or_else(|_| root().join("target")),
        None => root().join("target"),
    }
}

/// A folder of its own under the target folder, made when it is missing.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let folder = target().join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// A binary of the release profile.
pub fn release_binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// A cargo command in the repository's root.
pub fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    command
}

/// Every file of the repository, as paths relative to the root with `/` between names, sorted.
///
/// Git says which (tracked, and new ones it does not ignore). A tree without git, such as an unpacked
/// archive, is walked instead, leaving out dot-folders and target folders.
pub fn files() -> Result<Vec<String>> {
    let root = root();
    let mut found = git_files(&root).unwrap_or_default();
    if found.is_empty() {
        walk(&root, &root, &mut found)?;
    }
    // A file removed from the tree but not yet from git's index is no file.
    found.retain(|path| root.join(path).is_file());
    found.sort();
    found.dedup();
    Ok(found)
}

fn git_files(root: &Path) -> Option<Vec<String>> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(words).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.split('\0').filter(|p| !p.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let skipped = name.starts_with('.') || matches!(name, "target" | "node_modules" | "data");
        if path.is_dir() && !skipped {
            walk(root, &path, found)?;
        } else if path.is_file() {
            found.extend(path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_without_git_finds_the_same_sources() {
        let sources = |mut paths: Vec<String>| {
            paths.retain(|path| path.starts_with("scripts/src/") && path.ends_with(".rs"));
            paths.sort();
            paths
        };
        let mut walked = Vec::new();
        walk(&root(), &root(), &mut walked).unwrap();
        let listed = sources(files().unwrap());
        assert!(listed.contains(&"scripts/src/tree.rs".to_owned()));
        assert_eq!(listed, sources(walked));
    }
}
