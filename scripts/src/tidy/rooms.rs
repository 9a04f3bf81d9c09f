//! Which room may know which: the arrows between packages, the two places that name glommio, and the rooms
//! where unsafe code is forbidden by lint.

use anyhow::Result;

use super::source::Source;
use super::{Tree, Violation, exceptions};

/// A package's folder, and the packages of this workspace it may depend on.
const ARROWS: [(&str, &[&str]); 9] = [
    // Itself, with the feature that lets its own tests run the fuzz targets' functions.
    ("core", &["ringmq-core"]),
    ("persistence", &[]),
    ("shards/mesh", &["ringmq-core"]),
    ("shards", &["ringmq-core", "ringmq-mesh", "ringmq-persistence"]),
    ("access", &["ringmq-shards", "ringmq-core"]),
    ("control", &["ringmq-shards", "ringmq-core"]),
    ("server", &["ringmq-core", "ringmq-shards", "ringmq-persistence", "ringmq-access", "ringmq-control"]),
    // The load generator speaks MQTT to any broker; micro-benches measure the rooms themselves.
    ("benches", &["ringmq-core", "ringmq-shards", "ringmq-persistence", "ringmq-access"]),
    ("scripts", &[]),
];

/// Where glommio may be named.
const GLOMMIO: [&str; 2] = ["shards/src/reactor/", "persistence/"];

/// Roots of crates that forbid unsafe code.
const SAFE_ROOTS: [&str; 5] =
    ["core/src/lib.rs", "access/src/lib.rs", "control/src/lib.rs", "server/src/main.rs", "server/src/lib.rs"];

/// Checks one file.
pub fn check_source(source: &Source, found: &mut Vec<Violation>) {
    let is_excepted = exceptions::has(exceptions::GLOMMIO_FILES, &source.path);
    if !is_excepted && !GLOMMIO.iter().any(|place| source.path.starts_with(place)) {
        for at in source.find_words("glommio") {
            let rule = format!("glommio is named only in {}", GLOMMIO.join(" and "));
            found.push(Violation::new(&source.path, source.line_of(at), rule));
        }
    }
    if SAFE_ROOTS.contains(&source.path.as_str()) && !source.code.contains("#![forbid(unsafe_code)]") {
        found.push(Violation::new(&source.path, 1, "lacks `#![forbid(unsafe_code)]`"));
    }
}

/// Checks what each package's manifest depends on.
pub fn check_manifests(tree: &Tree, found: &mut Vec<Violation>) -> Result<()> {
    for (room, allowed) in ARROWS {
        let path = format!("{room}/Cargo.toml");
        check_manifest(&path, &tree.text(&path)?, allowed, found);
    }
    Ok(())
}

fn check_manifest(path: &str, text: &str, allowed: &[&str], found: &mut Vec<Violation>) {
    let mut section = "";
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let end = line.bytes().position(|character| !super::source::is_name(character) && character != b'-');
        let name = &line[..end.unwrap_or(line.len())];
        let is_ours = name.starts_with("ringmq-") && !section.starts_with("[package");
        if is_ours && !allowed.contains(&name) {
            let rule = format!("{name} is not for this room to know");
            found.push(Violation::new(path, number + 1, rule));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_the_wrong_way_is_found() {
        let text = "[package]\nname = \"ringmq-core\"\n[dependencies]\nringmq-shards.workspace = true\nbytes = \"1\"\n";
        let mut found = Vec::new();
        check_manifest("core/Cargo.toml", text, &[], &mut found);
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [4]);
        found.clear();
        check_manifest("control/Cargo.toml", text, &["ringmq-shards"], &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn glommio_is_named_in_its_two_places_only() {
        let lines = |path: &str| {
            let mut found = Vec::new();
            check_source(&Source::new(path, "// glommio\nuse glommio::net;\n".to_owned()), &mut found);
            found.iter().map(|violation| violation.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("shards/src/plane.rs"), [2]);
        assert!(lines("shards/src/reactor/poll.rs").is_empty());
        assert!(lines("persistence/src/backend.rs").is_empty());
    }
}
