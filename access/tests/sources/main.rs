//! Sources against real servers: those that Debian has are started here, each in a folder of its own on a port of its own of
//! 127.0.0.1. Where one is not installed, its cases say so and pass. MongoDB, which Debian does not have, is played.

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
#[cfg(feature = "mongodb")]
#[cfg(test)]
mod mongod;
#[cfg(feature = "mongodb")]
#[cfg(test)]
mod mongodb;
#[cfg(test)]
mod mysql;
#[cfg(test)]
mod postgresql;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod server;
