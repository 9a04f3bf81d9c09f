//! The elements of a chain in the order they are asked. It asks none of them itself.

use super::authenticator::{Authenticator, RemoteAuthenticator};
use crate::authentication::scram::{ScramMethod, ScramUsers};
use ringmq_core::authorization::Subject;
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
    /// Enhanced methods, which are asked by name.
    scram: Vec<ScramUsers>,
}

impl Chain {
    /// A chain of these elements.
    pub fn new(elements: Vec<Element>) -> Chain {
        Chain { elements, scram: Vec::new() }
    }

    /// Puts an element behind the others.
    pub fn add(&mut self, element: Element) {
        self.elements.push(element);
    }

    /// Offers a mechanism of SCRAM.
    pub fn add_scram(&mut self, users: ScramUsers) {
        self.scram.push(users);
    }

    /// Begins an exchange of the method with this name, if it is offered.
    pub(super) fn begin_method(&self, name: &str, subject: &Subject) -> Option<ScramMethod> {
        let users = self.scram.iter().find(|users| users.mechanism.name() == name)?;
        Some(ScramMethod::new(users.clone(), subject.user_name.as_deref()))
    }

    /// Whether a user that an enhanced method accepted is a superuser.
    pub(super) fn is_superuser(&self, user_name: &str) -> bool {
        let rows = self.scram.iter().filter_map(|users| users.table.find(user_name));
        rows.filter(|row| !row.scram.is_empty()).any(|row| row.is_superuser)
    }

    /// Whether nobody is asked.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty() && self.scram.is_empty()
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
