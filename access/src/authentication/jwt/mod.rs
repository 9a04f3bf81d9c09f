//! The element `jwt`: a signed token in the password or user name says who the client is and what it may do.

mod claims;
mod element;
#[cfg(test)]
mod fixtures;
mod keys;
mod ring_verifier;
#[cfg(test)]
mod tests;

pub use claims::{AclError, read_acl, read_attributes, read_flag, read_time};
pub use element::{ClaimError, Jwt, JwtRules, TokenPlace};
pub use keys::{KeyError, KeySet, KeySlot};
