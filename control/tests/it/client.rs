//! A node with made-up metrics, and a client that speaks plain HTTP over a socket.

use ringmq_control::config::{DashboardConfig, DashboardListeners, HttpListenerConfig};
use ringmq_control::{Control, ControlNode, ControlSocket, start};
use ringmq_shards::durability::DurabilityLevel;
use ringmq_shards::metrics::{MetricsReader, ShardCells};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub fn config(bind: &str) -> DashboardConfig {
    let http = HttpListenerConfig { enable: true, bind: bind.parse().unwrap() };
    DashboardConfig { listeners: DashboardListeners { http } }
}

pub fn control(cells: &[Arc<ShardCells>]) -> Control {
    let socket = ControlSocket::bind(&config("127.0.0.1:0")).unwrap().unwrap();
    let node = ControlNode {
        name: "ringmq@test".to_owned(),
        version: "1.2.3",
        started: Instant::now(),
        durability: DurabilityLevel::Fsync,
        metrics: MetricsReader::new(Arc::from(cells)),
    };
    start(socket, node).unwrap()
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// The whole answer to a GET, head and body.
pub fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
