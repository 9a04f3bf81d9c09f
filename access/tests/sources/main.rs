//! Sources against real servers: those that Debian has are started here, each in a folder of its own on a port of its own of
//! 127.0.0.1. Where one is not installed, its cases say so and pass.

#[cfg(test)]
mod asking;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod http;
#[cfg(test)]
mod ldap;
#[cfg(test)]
mod mysql;
#[cfg(test)]
mod postgresql;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod server;
