//! Listening sockets: one per listener and shard, all on the same address.

use crate::config::TcpListenerConfig;
use crate::plane::StartError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// A listener bound once per shard; the kernel spreads connections over the sockets (SO_REUSEPORT).
#[derive(Debug)]
pub struct BoundListener {
    /// Name in the configuration.
    pub name: String,
    /// The address, with the port the kernel chose if the configured one was 0.
    pub address: SocketAddr,
    /// One listening socket for each shard.
    pub sockets: Vec<OwnedFd>,
}

/// Binds and listens, once for each shard.
///
/// # Errors
/// [`StartError::Bind`] naming the key; sockets bound before are closed.
pub fn bind(name: &str, config: &TcpListenerConfig, shards: usize) -> Result<BoundListener, StartError> {
    let fail = |source| StartError::Bind { name: name.to_owned(), address: config.bind, source };
    // SO_REUSEPORT would let a second broker of the same user bind beside us and take half of the clients: a first bind
    // without it notices that somebody is there.
    drop(socket(config, config.bind, false).map_err(fail)?);
    let first = socket(config, config.bind, true).map_err(fail)?;
    let address = first.local_addr().map_err(fail)?.as_socket().unwrap_or(config.bind);
    let mut sockets = vec![OwnedFd::from(first)];
    for _ in 1..shards {
        sockets.push(OwnedFd::from(socket(config, address, true).map_err(fail)?));
    }
    Ok(BoundListener { name: name.to_owned(), address, sockets })
}

fn socket(config: &TcpListenerConfig, address: SocketAddr, listen: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(listen)?;
    socket.set_nonblocking(true)?;
    if config.tcp_options.recbuf.0 > 0 {
        socket.set_recv_buffer_size(config.tcp_options.recbuf.0 as usize)?;
    }
    if config.tcp_options.sndbuf.0 > 0 {
        socket.set_send_buffer_size(config.tcp_options.sndbuf.0 as usize)?;
    }
    // Accepted sockets inherit the option, which saves a system call each.
    socket.set_tcp_nodelay(config.tcp_options.nodelay)?;
    socket.bind(&address.into())?;
    if listen {
        socket.listen(i32::from(config.tcp_options.backlog))?;
    }
    Ok(socket)
}
