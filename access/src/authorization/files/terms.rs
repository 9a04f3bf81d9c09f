//! Erlang terms as they stand in an `acl.conf`: atoms, strings, whole numbers, tuples and lists, each term ended by a dot.
//!
//! Everything a term is made of keeps its place in the file, so that whoever finds it wrong can point at it. Nothing here
//! knows what a rule is.

use std::fmt;

/// Terms inside terms. Rules need six.
pub const DEPTH_MAX: usize = 32;

/// A place in a file: line and column, both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The character in it.
    pub column: u32,
}

/// A term and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What it is.
    pub value: TermValue,
    /// Where it begins.
    pub place: Place,
}

/// What a term is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermValue {
    /// `allow` or `'and'`.
    Atom(String),
    /// `"text"` or `<<"text">>`.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `{a, b}`
    Tuple(Vec<Term>),
    /// `[a, b]`
    List(Vec<Term>),
}

impl fmt::Display for TermValue {
    /// In a few words, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TermValue::Atom(name) => write!(f, "`{}`", Shortened(name)),
            TermValue::Text(text) => write!(f, "the string \"{}\"", Shortened(text)),
            TermValue::Number(number) => write!(f, "the number {number}"),
            TermValue::Tuple(elements) => write!(f, "a tuple of {}", elements.len()),
            TermValue::List(elements) => write!(f, "a list of {}", elements.len()),
        }
    }
}

/// A text from a file on one line of bounded length.
pub struct Shortened<'a>(pub &'a str);

const SHOWN_CHARS_MAX: usize = 60;

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, character) in self.0.chars().enumerate() {
            if at == SHOWN_CHARS_MAX {
                return f.write_str("…");
            }
            write!(f, "{}", character.escape_debug())?;
        }
        Ok(())
    }
}

/// What is wrong with the text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct TermError {
    /// Where.
    pub place: Place,
    /// What would be right.
    pub expected: &'static str,
    /// What stands there.
    pub found: String,
}

/// Reads one term after another.
#[derive(Debug)]
pub struct TermReader<'a> {
    rest: std::str::Chars<'a>,
    place: Place,
}

impl<'a> TermReader<'a> {
    /// A reader at the beginning of a text.
    pub fn new(text: &'a str) -> TermReader<'a> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        TermReader { rest: text.chars(), place: Place { line: 1, column: 1 } }
    }

    /// The next term with its dot; none at the end of the text.
    ///
    /// # Errors
    /// The first thing that does not belong there.
    pub fn try_next(&mut self) -> Result<Option<Term>, TermError> {
        self.skip_blank();
        if self.peek().is_none() {
            return Ok(None);
        }
        let term = self.term(0)?;
        self.skip_blank();
        if self.peek() != Some('.') {
            return Err(self.unexpected("`.` after the term"));
        }
        self.advance();
        match self.peek() {
            None | Some('%') => Ok(Some(term)),
            Some(character) if character.is_whitespace() => Ok(Some(term)),
            Some(_) => Err(self.unexpected("a space or a new line after `.`")),
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, TermError> {
        const EXPECTED: &str = "a tuple, a list, a string, an atom or a whole number";
        self.skip_blank();
        let place = self.place;
        if depth == DEPTH_MAX {
            let found = format!("terms nested {DEPTH_MAX} deep");
            return Err(TermError { place, expected: "fewer terms inside terms", found });
        }
        let value = match self.peek() {
            Some('{') => TermValue::Tuple(self.elements('}', "`,` or `}`", depth)?),
            Some('[') => TermValue::List(self.elements(']', "`,` or `]`", depth)?),
            Some('"') => TermValue::Text(self.strings()?),
            Some('<') => TermValue::Text(self.binary()?),
            Some('\'') => {
                self.advance();
                TermValue::Atom(self.quoted('\'', place)?)
            }
            Some(character) if character.is_lowercase() => TermValue::Atom(self.word()),
            Some(character) if character.is_ascii_digit() || character == '-' => {
                TermValue::Number(self.number()?)
            }
            _ => return Err(self.unexpected(EXPECTED)),
        };
        Ok(Term { value, place })
    }

    /// What stands between the brackets, the opening one being next.
    fn elements(
        &mut self,
        close: char,
        expected: &'static str,
        depth: usize,
    ) -> Result<Vec<Term>, TermError> {
        self.advance();
        let mut elements = Vec::new();
        self.skip_blank();
        if self.peek() == Some(close) {
            self.advance();
            return Ok(elements);
        }
        loop {
            elements.push(self.term(depth + 1)?);
            self.skip_blank();
            match self.peek() {
                Some(',') => self.advance(),
                Some(character) if character == close => {
                    self.advance();
                    return Ok(elements);
                }
                _ => return Err(self.unexpected(expected)),
            }
        }
    }

    /// A string; several beside each other are one.
    fn strings(&mut self) -> Result<String, TermError> {
        let mut text = String::new();
        loop {
            let place = self.place;
            self.advance();
            text.push_str(&self.quoted('"', place)?);
            self.skip_blank();
            if self.peek() != Some('"') {
                return Ok(text);
            }
        }
    }

    /// `<<"text">>` or `<<"text"/utf8>>`.
    fn binary(&mut self) -> Result<String, TermError> {
        const OPEN: &str = "`<<\"` of a binary";
        const CLOSE: &str = "`>>` at the end of the binary";
        self.expect('<', OPEN)?;
        self.expect('<', OPEN)?;
        self.skip_blank();
        if self.peek() != Some('"') {
            return Err(self.unexpected(OPEN));
        }
        let text = self.strings()?;
        if self.peek() == Some('/') {
            self.advance();
            let place = self.place;
            let kind = self.word();
            if kind != "utf8" {
                return Err(TermError {
                    place,
                    expected: "`utf8`",
                    found: format!("`{}`", Shortened(&kind)),
                });
            }
            self.skip_blank();
        }
        self.expect('>', CLOSE)?;
        self.expect('>', CLOSE)?;
        Ok(text)
    }

    /// The text up to the closing quote, the opening one having been read at `begin`.
    fn quoted(&mut self, quote: char, begin: Place) -> Result<String, TermError> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => {
                    let expected =
                        if quote == '"' { "`\"` that ends the string" } else { "`'` that ends the atom" };
                    return Err(TermError {
                        place: begin,
                        expected,
                        found: "the end of the file".to_owned(),
                    });
                }
                Some(character) if character == quote => {
                    self.advance();
                    return Ok(text);
                }
                Some('\\') => {
                    self.advance();
                    self.escape(&mut text)?;
                }
                Some(character) => {
                    text.push(character);
                    self.advance();
                }
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, text: &mut String) -> Result<(), TermError> {
        let Some(character) = self.peek() else { return Err(self.unexpected("a character after `\\`")) };
        if character.is_digit(8) {
            return self.code(8, 3, text);
        }
        if character == 'x' {
            self.advance();
            if self.peek() != Some('{') {
                return self.code(16, 2, text);
            }
            self.advance();
            self.code(16, 6, text)?;
            return self.expect('}', "`}` after the hexadecimal digits");
        }
        self.advance();
        let character = match character {
            '^' => {
                let Some(control) = self.peek().filter(char::is_ascii) else {
                    return Err(self.unexpected("a letter after `\\^`"));
                };
                self.advance();
                char::from(control as u8 & 31)
            }
            'b' => '\u{8}',
            'd' => '\u{7f}',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            's' => ' ',
            't' => '\t',
            'v' => '\u{b}',
            other => other,
        };
        text.push(character);
        Ok(())
    }

    /// A character by its number, of one to `digits_max` digits.
    fn code(&mut self, radix: u32, digits_max: usize, text: &mut String) -> Result<(), TermError> {
        let place = self.place;
        let mut code: u32 = 0;
        let mut digits = 0;
        while let Some(digit) = self.peek().and_then(|character| character.to_digit(radix)) {
            if digits == digits_max {
                break;
            }
            code = code * radix + digit;
            digits += 1;
            self.advance();
        }
        match char::from_u32(code).filter(|_| digits > 0) {
            Some(character) => text.push(character),
            None => {
                let found = if digits == 0 { self.found() } else { format!("the number {code:#x}") };
                return Err(TermError { place, expected: "the number of a character", found });
            }
        }
        Ok(())
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(character) = self.peek() {
            if !(character.is_alphanumeric() || matches!(character, '_' | '@')) {
                break;
            }
            word.push(character);
            self.advance();
        }
        word
    }

    fn number(&mut self) -> Result<i64, TermError> {
        let place = self.place;
        let mut digits = String::new();
        while let Some(character) = self.peek() {
            let belongs = character.is_ascii_digit() || character == '-' && digits.is_empty();
            if !belongs || digits.len() > 20 {
                break;
            }
            digits.push(character);
            self.advance();
        }
        let number = digits.parse().map_err(|_| TermError {
            place,
            expected: "a whole number of at most 18 digits",
            found: format!("`{digits}`"),
        })?;
        match self.peek() {
            Some(character) if character.is_alphanumeric() || matches!(character, '_' | '#') => {
                Err(self.unexpected("nothing after the number but `,`, `}` or `]`"))
            }
            _ => Ok(number),
        }
    }

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), TermError> {
        if self.peek() != Some(wanted) {
            return Err(self.unexpected(expected));
        }
        self.advance();
        Ok(())
    }

    /// White space and comments.
    fn skip_blank(&mut self) {
        while let Some(character) = self.peek() {
            if character == '%' {
                while self.peek().is_some_and(|character| character != '\n') {
                    self.advance();
                }
            } else if character.is_whitespace() {
                self.advance();
            } else {
                return;
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn advance(&mut self) {
        match self.rest.next() {
            Some('\n') => self.place = Place { line: self.place.line.saturating_add(1), column: 1 },
            Some(_) => self.place.column = self.place.column.saturating_add(1),
            None => {}
        }
    }

    fn found(&self) -> String {
        match self.peek() {
            None => "the end of the file".to_owned(),
            Some(character) if character.is_uppercase() || character == '_' => {
                format!(
                    "`{character}`, which begins a variable; write names in lower case or in single quotes"
                )
            }
            Some(character) => format!("`{}`", character.escape_debug()),
        }
    }

    fn unexpected(&self, expected: &'static str) -> TermError {
        TermError { place: self.place, expected, found: self.found() }
    }
}
