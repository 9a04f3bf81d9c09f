//! Names that say nothing: no file, folder, module or type may be called one of them.

use super::Violation;
use super::source::Source;

const EMPTY_NAMES: [&str; 11] = [
    "util", "utils", "common", "helper", "helpers", "misc", "types", "manager", "managers", "context",
    "service",
];

/// Checks a file's path and the types and modules it declares.
pub fn check(source: &Source, found: &mut Vec<Violation>) {
    for part in source.path.trim_end_matches(".rs").split('/') {
        if let Some(word) = empty_word(part) {
            found.push(Violation::new(
                &source.path,
                1,
                format!("is called `{word}`; name the noun it holds"),
            ));
        }
    }
    for keyword in ["struct", "enum", "trait", "union", "type", "mod"] {
        for at in source.find_words(keyword) {
            let name = source.name_after(at + keyword.len());
            if let Some(word) = empty_word(name) {
                let rule = format!("`{keyword} {name}` is called `{word}`; name the noun it holds");
                found.push(Violation::new(&source.path, source.line_of(at), rule));
            }
        }
    }
}

/// The empty name among the words of `snake_case` or `CamelCase`.
fn empty_word(name: &str) -> Option<&'static str> {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    EMPTY_NAMES.into_iter().find(|empty| snake.split(['_', '-']).any(|word| word == *empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found_as_whole_words() {
        let cases = [
            ("SessionManager", Some("manager")),
            ("net_util", Some("util")),
            ("types", Some("types")),
            ("TypeSet", None),
            ("PacketType", None),
            ("utility_poles", None),
        ];
        for (name, expected) in cases {
            assert_eq!(empty_word(name), expected, "{name}");
        }
    }

    #[test]
    fn declarations_and_paths_are_checked_but_uses_are_not() {
        let text = "use std::task::Context;\nstruct RoutingContext;\nmod helpers;\n";
        let mut found = Vec::new();
        check(&Source::new("core/src/common/a.rs", text.to_owned()), &mut found);
        let lines: Vec<usize> = found.iter().map(|violation| violation.line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }
}
