//! LDAP: a directory of users and what they may do. It is only searched, and logged in to.

mod binding;
mod link;
mod search;
mod stored;
mod tables;

pub use binding::LdapBinding;
pub use tables::{LdapRules, LdapUsers, rules, users};
