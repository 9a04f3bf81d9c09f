//! Listening sockets: one for each listener and shard, all on the same address.

use crate::config::{Bind, ListenerConfig, ListenerKind};
use crate::plane::StartError;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

/// How often, and how long after each other, a unix-domain socket that somebody listens on is tried again.
const IN_USE_RETRIES: u32 = 40;
const IN_USE_PAUSE: Duration = Duration::from_millis(25);

/// A listener bound for every shard; the kernel spreads connections over the sockets.
#[derive(Debug)]
pub struct BoundListener {
    /// Kind and name, for example `tcp:default`.
    pub id: String,
    /// The address, with the port the kernel chose if the configured one was 0.
    pub bind: Bind,
    /// One listening socket for each shard.
    pub sockets: Vec<OwnedFd>,
}

/// Binds and listens, once for each shard.
///
/// # Errors
/// [`StartError::Bind`] naming the key; sockets bound before are closed.
pub fn bind(
    kind: ListenerKind,
    name: &str,
    config: &ListenerConfig,
    shards: usize,
) -> Result<BoundListener, StartError> {
    let fail = |source| StartError::Bind {
        key: format!("listeners.{kind}.{name}.bind"),
        bind: config.bind.clone(),
        source,
    };
    let (bind, sockets) = match &config.bind {
        Bind::Address(address) => bind_address(config, *address, shards),
        Bind::Path(path) => bind_path(config, path, shards),
    }
    .map_err(fail)?;
    Ok(BoundListener { id: format!("{kind}:{name}"), bind, sockets })
}

/// A socket for each shard (SO_REUSEPORT).
fn bind_address(
    config: &ListenerConfig,
    wanted: SocketAddr,
    shards: usize,
) -> io::Result<(Bind, Vec<OwnedFd>)> {
    // SO_REUSEPORT would let a second broker of the same user bind beside us and take half of the clients: a first bind
    // without it notices that somebody is there.
    drop(socket(config, wanted, false)?);
    let first = socket(config, wanted, true)?;
    let address = first.local_addr()?.as_socket().unwrap_or(wanted);
    let mut sockets = vec![OwnedFd::from(first)];
    for _ in 1..shards {
        sockets.push(OwnedFd::from(socket(config, address, true)?));
    }
    Ok((Bind::Address(address), sockets))
}

/// One socket that all shards accept from: unix-domain sockets know no SO_REUSEPORT.
fn bind_path(config: &ListenerConfig, path: &Path, shards: usize) -> io::Result<(Bind, Vec<OwnedFd>)> {
    let address = SockAddr::unix(path)?;
    remove_abandoned(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    set_options(&socket, config)?;
    socket.bind(&address)?;
    socket.listen(i32::from(config.tcp_options.backlog))?;
    let mut sockets = Vec::with_capacity(shards);
    for _ in 1..shards {
        sockets.push(OwnedFd::from(socket.try_clone()?));
    }
    sockets.push(OwnedFd::from(socket));
    Ok((Bind::Path(path.to_owned()), sockets))
}

/// Removes the socket of a broker that was killed. One that somebody listens on stays, and so does any other file.
fn remove_abandoned(path: &Path, address: &SockAddr) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket {
        // A killed broker's rings hold its socket for a moment longer than the process lives.
        for _ in 0..IN_USE_RETRIES {
            let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            if probe.connect(address).is_err() {
                return std::fs::remove_file(path);
            }
            std::thread::sleep(IN_USE_PAUSE);
        }
        return Err(io::ErrorKind::AddrInUse.into());
    }
    Ok(())
}

fn socket(config: &ListenerConfig, address: SocketAddr, listen: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(listen)?;
    set_options(&socket, config)?;
    // Accepted sockets inherit the option, which saves a system call each.
    socket.set_tcp_nodelay(config.tcp_options.nodelay)?;
    socket.bind(&address.into())?;
    if listen {
        socket.listen(i32::from(config.tcp_options.backlog))?;
    }
    Ok(socket)
}

fn set_options(socket: &Socket, config: &ListenerConfig) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if config.tcp_options.recbuf.0 > 0 {
        socket.set_recv_buffer_size(config.tcp_options.recbuf.0 as usize)?;
    }
    if config.tcp_options.sndbuf.0 > 0 {
        socket.set_send_buffer_size(config.tcp_options.sndbuf.0 as usize)?;
    }
    Ok(())
}

/// The other end of an accepted socket. A client of a unix-domain socket is on this host: it counts as 127.0.0.1, port 0.
pub fn peer_of(address: &SockAddr) -> Option<SocketAddr> {
    if address.is_unix() { Some(SocketAddr::from(([127, 0, 0, 1], 0))) } else { address.as_socket() }
}
