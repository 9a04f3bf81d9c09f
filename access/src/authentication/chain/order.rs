//! The elements of a chain in the order they are asked. It asks none of them itself.

use super::authenticator::{Authenticator, RemoteAuthenticator};
use std::fmt;

/// One element, by where it is asked.
pub enum Element {
    /// On the hashing pool.
    Local(Box<dyn Authenticator>),
    /// On the thread for other hosts.
    Remote(Box<dyn RemoteAuthenticator>),
}

impl Element {
    /// Its kind.
    pub fn id(&self) -> &str {
        match self {
            Element::Local(element) => element.id(),
            Element::Remote(element) => element.id(),
        }
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Elements in the order they are asked; the first that allows or denies decides.
#[derive(Debug, Default)]
pub struct Chain {
    elements: Vec<Element>,
}

impl Chain {
    /// A chain of these elements.
    pub fn new(elements: Vec<Element>) -> Chain {
        Chain { elements }
    }

    /// Whether nobody is asked.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The element at a place, none behind the last.
    pub fn element(&self, place: usize) -> Option<&Element> {
        self.elements.get(place)
    }

    /// The elements.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }
}
