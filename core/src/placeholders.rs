//! Texts with placeholders: `${name}`, and `${$}` for a dollar sign. Which names there are is for whoever reads the text.

/// A piece of such a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<P> {
    /// Text as it stands.
    Text(Box<str>),
    /// `${…}`
    Placeholder(P),
}

impl<P> Part<P> {
    /// Its text; none if it is a placeholder.
    pub fn text(&self) -> Option<&str> {
        match self {
            Part::Text(text) => Some(text),
            Part::Placeholder(_) => None,
        }
    }
}

/// Why a text cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitError<'a> {
    /// No placeholder has this name.
    Unknown(&'a str),
    /// `${` without `}`.
    Open,
}

/// Takes a text apart; no piece of it is an empty text. `named` knows the placeholders.
///
/// # Errors
/// [`SplitError`], with the first that is wrong.
pub fn split<'a, P>(
    text: &'a str,
    named: impl Fn(&str) -> Option<P>,
) -> Result<Vec<Part<P>>, SplitError<'a>> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        literal.push_str(before);
        let (name, after) = behind.split_once('}').ok_or(SplitError::Open)?;
        rest = after;
        if name == "$" {
            literal.push('$');
            continue;
        }
        let placeholder = named(name).ok_or(SplitError::Unknown(name))?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(Part::Placeholder(placeholder));
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_apart_where_its_placeholders_are() {
        let named = |name: &str| (name.len() == 1).then(|| name.to_owned());
        let text = |text: &str| Part::Text(text.into());
        let placeholder = |name: &str| Part::Placeholder(name.to_owned());
        assert_eq!(split("", named), Ok(vec![]));
        assert_eq!(split("a$b}{c", named), Ok(vec![text("a$b}{c")]));
        assert_eq!(split("${a}${b}", named), Ok(vec![placeholder("a"), placeholder("b")]));
        assert_eq!(split("x${$}{y}${a}z", named), Ok(vec![text("x${y}"), placeholder("a"), text("z")]));
        assert_eq!(split("${a}${long}${", named), Err(SplitError::Unknown("long")));
        assert_eq!(split("${a", named), Err(SplitError::Open));
    }
}
