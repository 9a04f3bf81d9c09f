//! A Rust file as tidy sees it: its text, the same text with comments and literals blanked, and which lines
//! are tests. A lexer of what matters here, not a parser: it never needs to understand more than braces.

use std::ops::Range;

/// One Rust file.
pub struct Source {
    /// Relative to the repository's root.
    pub path: String,
    /// As it was read.
    pub text: String,
    /// The text with every comment, string and character literal turned into spaces, line for line.
    pub code: String,
    /// Whether the whole file is test code.
    pub is_test: bool,
    /// The bytes of `code` that only tests compile.
    tests: Vec<Range<usize>>,
}

/// A function: its name and the bytes from `fn` to its closing brace.
pub struct Function<'a> {
    /// As declared.
    pub name: &'a str,
    /// Where it stands in the file.
    pub bytes: Range<usize>,
}

impl Source {
    /// Reads a file's text.
    pub fn new(path: &str, text: String) -> Self {
        let code = blank(&text);
        let tests = test_items(&code);
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/benches/");
        Self { path: path.to_owned(), text, code, is_test, tests }
    }

    /// The line, counted from 1, that a byte stands in.
    pub fn line_of(&self, byte: usize) -> usize {
        1 + self.code.as_bytes()[..byte].iter().filter(|&&character| character == b'\n').count()
    }

    /// Whether this byte is test code.
    pub fn is_test_at(&self, byte: usize) -> bool {
        self.is_test || self.tests.iter().any(|range| range.contains(&byte))
    }

    /// Lines that are not test code.
    pub fn lines_without_tests(&self) -> usize {
        let in_tests: usize =
            self.tests.iter().map(|range| self.code[range.clone()].matches('\n').count() + 1).sum();
        self.text.lines().count().saturating_sub(in_tests)
    }

    /// Every place where `needle` stands in the code, as a byte.
    pub fn find_all<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(needle).map(|(at, _)| at)
    }

    /// Every place where `word` stands in the code as a whole word.
    pub fn find_words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bytes = self.code.as_bytes();
        self.find_all(word).filter(move |&at| {
            let before = at.checked_sub(1).map(|before| bytes[before]);
            !before.is_some_and(is_name) && !bytes.get(at + word.len()).copied().is_some_and(is_name)
        })
    }

    /// The name that begins at or after this byte, blanks skipped.
    pub fn name_after(&self, byte: usize) -> &str {
        let rest = self.code[byte..].trim_start();
        let end = rest.bytes().position(|character| !is_name(character)).unwrap_or(rest.len());
        &rest[..end]
    }

    /// Every function with a body.
    pub fn functions(&self) -> Vec<Function<'_>> {
        let mut found = Vec::new();
        for at in self.find_words("fn") {
            let name = self.name_after(at + 2);
            // Without a name it is a function pointer's type.
            if let (false, Some(end)) = (name.is_empty(), end_of_item(&self.code, at))
                && self.code.as_bytes()[end - 1] == b'}'
            {
                found.push(Function { name, bytes: at..end });
            }
        }
        found
    }
}

/// Marks the files that are modules under `#[cfg(test)] mod name;`.
pub fn mark_test_modules(sources: &mut [Source]) {
    let mut modules = Vec::new();
    for source in sources.iter() {
        for range in &source.tests {
            let item = &source.code[range.clone()];
            if let Some(name) = item.trim_end().strip_suffix(';').and_then(|item| item.rsplit_once("mod ")) {
                modules.push(format!("{}/{}", module_folder(&source.path), name.1.trim()));
            }
        }
    }
    for source in sources {
        let stem = source.path.trim_end_matches(".rs");
        let inside = |module: &String| stem == module || source.path.starts_with(&format!("{module}/"));
        source.is_test |= modules.iter().any(inside);
    }
}

/// The folder in which a file's child modules lie.
fn module_folder(path: &str) -> &str {
    let stem = path.trim_end_matches(".rs");
    ["/mod", "/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem)
}

/// Whether a byte can be part of a name.
pub fn is_name(character: u8) -> bool {
    character.is_ascii_alphanumeric() || character == b'_'
}

/// The items that only tests compile, loom's among them, attribute included.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, attribute) in code.match_indices("#[cfg(") {
        let condition = &code[at + attribute.len()..];
        let end = condition.find(")]").unwrap_or(condition.len());
        if is_test_condition(&condition[..end]) && found.iter().all(|range| !range.contains(&at)) {
            found.extend(end_of_item(code, at + attribute.len() + end + 2).map(|end| at..end));
        }
    }
    found
}

fn is_test_condition(condition: &str) -> bool {
    let mut names = condition.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    names.any(|name| matches!(name, "test" | "loom")) && !condition.contains("not(")
}

/// The byte behind the item that begins at `from`: behind its `;`, or behind the brace that closes its body.
fn end_of_item(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    let mut in_body = false;
    for (at, character) in code.bytes().enumerate().skip(from) {
        match character {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' => {
                in_body |= depth <= 0;
                depth += 1;
            }
            b'}' => {
                depth -= 1;
                if in_body && depth <= 0 {
                    return Some(at + 1);
                }
            }
            b';' if depth <= 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Turns comments and literals into spaces and keeps every line break, so that bytes and lines stay in place.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = end_of_blank(bytes, at) else {
            at += 1;
            continue;
        };
        for character in &mut code[at..end] {
            if *character != b'\n' {
                *character = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Where the comment or literal that begins at `at` ends, if one begins there.
fn end_of_blank(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let inside_name = at > 0 && is_name(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => Some(at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + block_comment(rest)),
        [b'"', ..] => Some(at + string(rest, 1)),
        [b'b' | b'c', b'"', ..] if !inside_name => Some(at + string(rest, 2)),
        [b'r', b'"' | b'#', ..] if !inside_name => raw_string(rest, 1).map(|length| at + length),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !inside_name => raw_string(rest, 2).map(|length| at + length),
        [b'\'', ..] => character(rest).map(|length| at + length),
        _ => None,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &[u8], prefix: usize) -> usize {
    let mut at = prefix;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None` for a raw name such as `r#type`.
fn raw_string(rest: &[u8], prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let body = prefix + hashes + 1;
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let length = rest[body..].windows(end.len()).position(|window| window == end.as_slice());
    Some(length.map_or(rest.len(), |length| body + length + end.len()))
}

/// `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let end = rest.iter().skip(3).position(|&b| b == b'\'')?;
        return Some(end + 4);
    }
    // One character of up to four bytes, then the quote that a lifetime has not.
    let text = std::str::from_utf8(&rest[1..rest.len().min(5)])
        .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]));
    let length = text.ok()?.chars().next()?.len_utf8();
    (rest.get(1 + length) == Some(&b'\'')).then_some(length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_else() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* /* b */ \n */ c", "a            \n    c"),
            (r#"f("a\"b{", 'x', '{', '\'', '\u{1F}', b"q")"#, "f(       ,    ,    ,     ,         ,     )"),
            (r##"r#"a"b"# + br"c" + r"d\" + e"##, "         +       +       + e"),
            ("fn a<'a>(b: &'a str, r#type: c) {}", "fn a<'a>(b: &'a str, r#type: c) {}"),
            ("'ä' + 'b'", "     +    "),
            ("var\"x\"", "var   "),
        ];
        for (text, code) in cases {
            assert_eq!(blank(text), code, "{text}");
        }
    }

    #[test]
    fn a_function_reaches_to_its_own_closing_brace() {
        let text = "fn a(x: [u8; 2]) -> u8 {\n if x { 1 } else { \"}\" }\n}\ntrait T { fn b(); }\nlet f: fn(u8) = g;";
        let source = Source::new("core/src/a.rs", text.to_owned());
        let functions = source.functions();
        assert_eq!(functions.iter().map(|function| function.name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(source.line_of(functions[0].bytes.end - 1), 3);
    }

    #[test]
    fn conditions_that_only_tests_meet_are_recognised() {
        let cases =
            [("test", true), ("all(loom, test)", true), ("not(test)", false), ("target_os = ", false)];
        for (condition, expected) in cases {
            assert_eq!(is_test_condition(condition), expected, "{condition}");
        }
    }

    #[test]
    fn test_modules_are_told_from_the_rest() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod model;\n";
        let mut sources = vec![
            Source::new("core/src/a.rs", text.to_owned()),
            Source::new("core/src/a/model.rs", String::new()),
            Source::new("core/src/b.rs", String::new()),
        ];
        mark_test_modules(&mut sources);
        let at = |needle| sources[0].code.find(needle).unwrap();
        assert!(!sources[0].is_test_at(at("fn a")));
        assert!(sources[0].is_test_at(at("fn b")));
        assert!(!sources[0].is_test_at(at("fn c")));
        assert_eq!(sources[0].lines_without_tests(), 2);
        assert!(sources[1].is_test);
        assert!(!sources[2].is_test);
    }
}
