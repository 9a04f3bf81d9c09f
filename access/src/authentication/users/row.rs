//! One line of a user file: what is stored of one user. Fields are parted by tabs: the user id, `superuser` or `-`, the
//! password or `-`, and keys for SCRAM, one field each. Bytes of the id that could be mistaken are written `%XX`.

use crate::authentication::password::{HashError, PasswordHash};
use crate::authentication::scram::ScramKeys;

/// The longest user id in bytes, that of an MQTT string.
pub const USER_ID_BYTES_MAX: usize = 65_535;
/// What stands in a field that has nothing.
const NOTHING: &str = "-";
const SUPERUSER: &str = "superuser";

/// What is stored of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// User name or client id.
    pub user_id: Box<str>,
    /// Whether no access rule applies to the user.
    pub is_superuser: bool,
    /// The password; none for a user of SCRAM alone.
    pub password: Option<PasswordHash>,
    /// Keys for SCRAM, at most one for each mechanism.
    pub scram: Vec<ScramKeys>,
}

/// What is wrong with a line. It never shows what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Fewer fields than there must be.
    #[error("expected a user id, `superuser` or `-`, and a password hash or `-`, parted by tabs")]
    Fields,
    /// An id that is empty, too long, or not written as RingMQ writes it.
    #[error(
        "the user id must be 1 to {USER_ID_BYTES_MAX} bytes, with control characters, blanks, # and % written as %XX"
    )]
    UserId,
    /// The second field.
    #[error("expected `superuser` or `-` after the user id")]
    Superuser,
    /// The third field.
    #[error(transparent)]
    Password(#[from] HashError),
    /// A further field.
    #[error("expected SCRAM-SHA-256$iterations:salt$stored key:server key, or the same with SHA-512")]
    Scram,
    /// The user was there already.
    #[error("the user stands in an earlier line too; remove one of them")]
    Twice,
}

impl Row {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`RowError`].
    pub fn parse(line: &str) -> Result<Row, RowError> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().ok_or(RowError::Fields);
        let (encoded, superuser, password) = (next()?, next()?, next()?);
        let user_id = decode_id(encoded).ok_or(RowError::UserId)?;
        let is_superuser = match superuser {
            SUPERUSER => true,
            NOTHING => false,
            _ => return Err(RowError::Superuser),
        };
        let password = if password == NOTHING { None } else { Some(password.parse()?) };
        let scram =
            fields.map(|field| field.parse().map_err(|_| RowError::Scram)).collect::<Result<_, _>>()?;
        Ok(Row { user_id: user_id.into(), is_superuser, password, scram })
    }

    /// Appends the line, with its end.
    pub fn write(&self, text: &mut String) {
        encode_id(&self.user_id, text);
        text.push('\t');
        text.push_str(if self.is_superuser { SUPERUSER } else { NOTHING });
        text.push('\t');
        match &self.password {
            Some(password) => text.push_str(&password.to_string()),
            None => text.push_str(NOTHING),
        }
        for keys in &self.scram {
            text.push('\t');
            text.push_str(&keys.to_string());
        }
        text.push('\n');
    }
}

/// Appends an id as it stands in a file. There is one way to write each.
pub fn encode_id(user_id: &str, text: &mut String) {
    for character in user_id.chars() {
        match character {
            '\0'..=' ' | '%' | '#' | '\u{7f}' => {
                text.push_str(&format!("%{:02X}", u32::from(character)));
            }
            _ => text.push(character),
        }
    }
}

/// The id of a line, if it is written as [`encode_id`] writes it.
fn decode_id(encoded: &str) -> Option<String> {
    let mut user_id = String::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some(at) = rest.find('%') {
        user_id.push_str(&rest[..at]);
        let code = u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok().filter(u8::is_ascii)?;
        user_id.push(char::from(code));
        rest = &rest[at + 3..];
    }
    user_id.push_str(rest);
    let mut again = String::with_capacity(encoded.len());
    encode_id(&user_id, &mut again);
    let is_whole = again == encoded && (1..=USER_ID_BYTES_MAX).contains(&user_id.len());
    is_whole.then_some(user_id)
}
