//! Words that must not stand in code: shortcuts that panic, silenced lints and tests, errors without a type.

use super::Violation;
use super::source::Source;

/// What must not stand anywhere, and what to do instead.
const NOWHERE: [(&str, &str); 6] = [
    ("todo!", "finish it or leave it out"),
    ("unimplemented!", "finish it or leave it out"),
    ("dbg!", "remove it"),
    ("#[ignore", "a test that does not run proves nothing"),
    ("#[allow(", "use `#[expect(…, reason = \"…\")]`"),
    ("#![allow(", "use `#![expect(…, reason = \"…\")]`"),
];

/// Rooms where anyhow replaces error enums.
const ANYHOW_ROOMS: [&str; 2] = ["benches/", "scripts/"];

/// Checks one file.
pub fn check(source: &Source, found: &mut Vec<Violation>) {
    for (word, remedy) in NOWHERE {
        for at in source.find_all(word) {
            let inside_name = at > 0 && super::source::is_name(source.code.as_bytes()[at - 1]);
            if !inside_name {
                found.push(Violation::new(&source.path, source.line_of(at), format!("`{word}`: {remedy}")));
            }
        }
    }
    for at in source.find_all(".unwrap()").filter(|&at| !source.is_test_at(at)) {
        let rule = "`.unwrap()` outside tests: return an error, or `expect(\"why it holds\")`";
        found.push(Violation::new(&source.path, source.line_of(at), rule));
    }
    if !ANYHOW_ROOMS.iter().any(|room| source.path.starts_with(room)) {
        check_errors(source, found);
    }
}

fn check_errors(source: &Source, found: &mut Vec<Violation>) {
    let outside = |at: &usize| !source.is_test_at(*at);
    for error in ["Box<dyn Error", "Box<dyn std::error::Error", "Box<dyn core::error::Error"] {
        for at in source.find_all(error).filter(outside) {
            found.push(Violation::new(
                &source.path,
                source.line_of(at),
                "`Box<dyn Error>`: give the error a type",
            ));
        }
    }
    for at in source.find_words("anyhow").filter(outside) {
        found.push(Violation::new(&source.path, source.line_of(at), "anyhow belongs to scripts and benches"));
    }
    for at in source.find_all("Result<").filter(outside) {
        let error = last_parameter(&source.code[at + "Result<".len()..]);
        if matches!(error, Some("String" | "&str" | "&'static str")) {
            let rule = "an error that is only text: give it a type";
            found.push(Violation::new(&source.path, source.line_of(at), rule));
        }
    }
}

/// The last of two or more type parameters, up to the `>` that closes them.
fn last_parameter(parameters: &str) -> Option<&str> {
    let mut depth = 0;
    let mut begin = None;
    for (at, character) in parameters.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            // The arrow of a function's type closes nothing.
            '>' if parameters[..at].ends_with('-') => {}
            '>' if depth == 0 => return begin.map(|begin| parameters[begin..at].trim()),
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => begin = Some(at + 1),
            ';' | '{' => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let mut found = Vec::new();
        check(&Source::new(path, text.to_owned()), &mut found);
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn forbidden_words_are_found_in_code_only() {
        let text = "// todo!()\nlet a = \"dbg!\";\ntodo!();\n#[ignore]\nx.unwrap();\nx.unwrap_or(1);\nnot_todo!();\n";
        assert_eq!(lines("core/src/a.rs", text), [3, 4, 5]);
        assert!(lines("core/src/a/tests.rs", "x.unwrap();").is_empty());
        assert!(lines("core/src/a.rs", "#[cfg(test)]\nmod tests { fn a() { x.unwrap(); } }").is_empty());
    }

    #[test]
    fn errors_have_types_except_where_anyhow_serves() {
        let text = "fn a() -> Result<u8, String>;\nfn b() -> Result<Vec<(u8, String)>, E>;\n\
                    fn c() -> Result<fn(u8) -> u8, &'static str>;\nfn d() -> io::Result<String>;\n\
                    fn e() -> Result<(), Box<dyn Error>>;\n";
        let mut found = lines("core/src/a.rs", text);
        found.sort_unstable();
        assert_eq!(found, [1, 3, 5]);
        assert!(lines("benches/src/a.rs", text).is_empty());
    }
}
