//! The built-in user database: a file of users, and the element that asks it. `docs/authentication.md` describes the file.

mod element;
mod file;
mod import;
mod row;
mod table;
#[cfg(test)]
mod tests;

pub use element::{BuiltInDatabase, UserIdType};
pub use file::{UserFile, UserFileError, load};
pub use import::{ImportError, ImportFormat, ImportKind, ImportRules, Imported, import};
pub use row::{Row, RowError, USER_ID_BYTES_MAX};
pub use table::{TableError, UserTable};
