//! What one client may do: the subject, and the rules that are left once it is known who asks.

mod subject;

pub use subject::Subject;
