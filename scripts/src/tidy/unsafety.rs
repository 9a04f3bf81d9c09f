//! `unsafe` stands in named files only, and each block says who guarantees what.

use super::source::Source;
use super::{Violation, exceptions};

/// Checks one file.
pub fn check(source: &Source, found: &mut Vec<Violation>) {
    let is_named = exceptions::has(exceptions::UNSAFE_FILES, &source.path);
    let mut count = 0;
    for at in source.find_words("unsafe") {
        count += 1;
        let line = source.line_of(at);
        if !is_named {
            let rule = "`unsafe` in a file that tidy/exceptions.rs does not name";
            found.push(Violation::new(&source.path, line, rule));
        }
        // What an `unsafe fn` asks of its callers stands in its `# Safety` section, which clippy checks.
        if source.name_after(at + "unsafe".len()) != "fn" && !has_safety_comment(&source.text, line) {
            found.push(Violation::new(&source.path, line, "`unsafe` without `// SAFETY:` before it"));
        }
    }
    if is_named && count == 0 {
        found.push(Violation::new(&source.path, 1, "is named in tidy/exceptions.rs but has no `unsafe`"));
    }
}

/// Whether the comment above the statement in this line (counted from 1) says `SAFETY:`.
fn has_safety_comment(text: &str, line: usize) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    if lines[line - 1].contains("// SAFETY:") {
        return true;
    }
    let mut above = lines[..line - 1].iter().rev().peekable();
    // The statement may have begun on an earlier line, and attributes may stand between.
    while let Some(line) = above.peek() {
        let is_comment = line.starts_with("//");
        if is_comment || line.ends_with([';', '{', '}']) || line.is_empty() {
            break;
        }
        above.next();
    }
    above.take_while(|line| line.starts_with("//")).any(|line| line.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_may_stand_above_the_whole_statement() {
        let cases = [
            ("// SAFETY: a.\nunsafe { x() }", 2, true),
            ("// SAFETY: a,\n// and b.\nlet y =\n    unsafe { x() };", 4, true),
            ("// SAFETY: a.\n#[inline]\nunsafe impl Send for A {}", 3, true),
            ("// SAFETY: a.\ny();\nunsafe { x() }", 3, false),
            ("// why\nunsafe { x() }", 2, false),
        ];
        for (text, line, expected) in cases {
            assert_eq!(has_safety_comment(text, line), expected, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_named_may_not_be_unsafe() {
        let mut found = Vec::new();
        let text = "#![forbid(unsafe_code)]\n// unsafe\n// SAFETY: none.\nunsafe { x() }\n";
        check(&Source::new("core/src/a.rs", text.to_owned()), &mut found);
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [4]);
    }
}
