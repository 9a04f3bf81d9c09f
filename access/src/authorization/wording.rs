//! A name, or a regular expression that names must contain a match of. Matching takes time linear in the name whatever the
//! expression is, because there is no backtracking.

use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of one regular expression.
pub const REGEX_BYTES_MAX: usize = 4096;
/// Different regular expressions of one set of rules; each is compared at every CONNECT.
pub const REGEXES_MAX: usize = 10_000;
/// Bytes that one compiled regular expression may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// How a name is compared.
#[derive(Debug, Clone)]
pub enum Wording {
    /// Only this name.
    Exact(Box<str>),
    /// Names in which this finds a match.
    Pattern(Arc<Regex>),
}

impl Wording {
    /// Whether a name is meant.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Wording::Exact(wanted) => **wanted == *name,
            Wording::Pattern(regex) => regex.is_match(name),
        }
    }
}

/// Why a regular expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// It is too long.
    #[error("a regular expression may have {REGEX_BYTES_MAX} bytes and has {0}; split the rule")]
    TooLong(usize),
    /// There are too many.
    #[error(
        "there are more than {REGEXES_MAX} different regular expressions; compare names without `re`, or one attribute that authentication gives, `{{client_attr, NAME, VALUE}}`"
    )]
    TooMany,
    /// Compiled, it is too large.
    #[error("the regular expression needs more than 1 MiB when it is compiled; use smaller repetitions")]
    TooLarge,
    /// It needs backtracking.
    #[error(
        "look-around and back references are not supported, because they can take time without bound; say it with several rules, or with `and` and `or`"
    )]
    Backtracking,
    /// It is not a regular expression.
    #[error("not a regular expression: {0}")]
    Syntax(String),
}

/// Compiles regular expressions, each text once.
#[derive(Debug, Default)]
pub struct Wordings {
    compiled: HashMap<Box<str>, Arc<Regex>>,
}

impl Wordings {
    /// The comparison with this regular expression.
    ///
    /// # Errors
    /// It is no regular expression, or one that needs backtracking, or larger than the bounds.
    pub fn pattern(&mut self, text: &str) -> Result<Wording, RegexError> {
        if let Some(name) = whole_name(text) {
            return Ok(Wording::Exact(name.into()));
        }
        if let Some(regex) = self.compiled.get(text) {
            return Ok(Wording::Pattern(Arc::clone(regex)));
        }
        if text.len() > REGEX_BYTES_MAX {
            return Err(RegexError::TooLong(text.len()));
        }
        if self.compiled.len() == REGEXES_MAX {
            return Err(RegexError::TooMany);
        }
        let regex = Arc::new(compile(text)?);
        self.compiled.insert(text.into(), Arc::clone(&regex));
        Ok(Wording::Pattern(regex))
    }
}

fn compile(text: &str) -> Result<Regex, RegexError> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => RegexError::TooLarge,
        regex::Error::Syntax(report) => syntax_error(&report),
        other => RegexError::Syntax(other.to_string()),
    })
}

/// The library draws the expression with a mark below it; only the last line says what is wrong.
fn syntax_error(report: &str) -> RegexError {
    let reason = report.lines().last().unwrap_or_default().trim_start_matches("error: ");
    if reason.contains("look-around") || reason.contains("backreference") {
        return RegexError::Backtracking;
    }
    RegexError::Syntax(reason.to_owned())
}

/// The only name that `^name$` matches, if nothing in it means anything else.
fn whole_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('^')?.strip_suffix('$')?;
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'@' | b'/' | b'=' | b',')
    };
    name.bytes().all(is_plain).then_some(name)
}
