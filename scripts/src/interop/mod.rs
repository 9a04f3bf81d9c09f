//! `cargo x interop`: other people's MQTT clients against the release binary, with 1 and with 4 shards, over each
//! transport they speak. It starts the broker it tests (or takes the address of one already running, over TCP only) and
//! changes nothing else.

mod certificates;
mod haproxy;
mod mosquitto;
mod report;
mod scripted;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use certificates::Certificates;
use haproxy::Haproxy;
use report::{Report, Row};

use crate::arguments::Arguments;
use crate::broker::Broker;
use crate::packages;
use crate::process;

/// What every client is put through; `properties` is for MQTT 5.0 only.
const CASES: [&str; 11] = [
    "qos0",
    "qos1",
    "qos2",
    "retained",
    "will",
    "shared",
    "session",
    "wildcard",
    "large",
    "order",
    "properties",
];

/// The versions, under the names that the clients take.
const VERSIONS: [&str; 3] = ["3.1", "3.1.1", "5.0"];

/// What to test.
pub struct Options {
    /// Host and port of a broker that already runs; otherwise one is started per shard count.
    broker: Option<(String, u16)>,
    /// The shard counts to start a broker with.
    shards: Vec<u32>,
    /// Only clients whose name contains this.
    client: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { broker: None, shards: vec![1, 4], client: String::new() }
    }
}

impl Options {
    /// Reads `--broker`, `--shards` and `--client`.
    pub fn from_arguments(arguments: &mut Arguments) -> Result<Self> {
        let mut options = Self::default();
        if let Some(text) = arguments.text("broker")? {
            let (host, port) = text.rsplit_once(':').context("--broker wants HOST:PORT")?;
            options.broker =
                Some((host.to_owned(), port.parse().with_context(|| format!("--broker {text}"))?));
        }
        if let Some(text) = arguments.text("shards")? {
            let numbers = text.split(',').map(str::parse).collect::<Result<_, _>>();
            options.shards = numbers.with_context(|| format!("--shards {text}"))?;
        }
        options.client = arguments.text("client")?.unwrap_or_default();
        arguments.finish()?;
        Ok(options)
    }
}

/// A way into a broker.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Tcp,
    Tls,
    Ws,
    Wss,
    /// TLS with haproxy, which speaks the PROXY protocol with the broker.
    Haproxy,
}

impl Way {
    /// The listener at the broker's end.
    const fn listener(self) -> &'static str {
        match self {
            Way::Tcp => "tcp:default",
            Way::Tls => "ssl:default",
            Way::Ws => "ws:default",
            Way::Wss => "wss:default",
            Way::Haproxy => "tcp:balanced",
        }
    }

    /// What the clients speak, under the name that they take.
    const fn transport(self) -> &'static str {
        match self {
            Way::Tcp => "tcp",
            Way::Tls | Way::Haproxy => "tls",
            Way::Ws => "ws",
            Way::Wss => "wss",
        }
    }
}

/// A broker as the clients see it.
#[derive(Clone)]
struct Target {
    host: String,
    port: u16,
    /// What every topic and client id of one run begins with; short, since MQTT 3.1 allows 23 characters.
    prefix: String,
    /// tcp, tls, ws or wss.
    transport: &'static str,
    /// Certificate of the authority to trust, where there is TLS.
    authority: Option<PathBuf>,
}

/// What was installed and built for the clients.
struct Programs {
    clients: packages::Clients,
    rumqttc: PathBuf,
}

/// Runs a client in a version and returns what it says.
type Run = fn(&Programs, &Target, &'static str) -> Result<String>;

/// One client in one version.
struct Client {
    name: &'static str,
    way: Way,
    version: &'static str,
    run: Run,
}

/// All clients that can run here.
fn clients() -> Vec<Client> {
    let mosquitto: Run = |_, target, version| mosquitto::run(target, version);
    let paho: Run = |programs, target, version| scripted::run_paho(&programs.clients, target, version);
    let mqtt_js: Run = |programs, target, version| scripted::run_mqtt_js(&programs.clients, target, version);
    let browser: Run = |programs, target, version| scripted::run_browser(&programs.clients, target, version);
    let rumqttc: Run = |programs, target, version| scripted::run_rumqttc(&programs.rumqttc, target, version);
    let mut clients = Vec::new();
    let mut add = |name, way, versions: &[&'static str], run| {
        clients.extend(versions.iter().map(|version| Client { name, way, version, run }));
    };
    add("mosquitto", Way::Tcp, &VERSIONS, mosquitto);
    add("paho", Way::Tcp, &VERSIONS, paho);
    add("mqtt.js", Way::Tcp, &VERSIONS, mqtt_js);
    add("rumqttc", Way::Tcp, &VERSIONS[1..], rumqttc);
    add("mosquitto/tls", Way::Tls, &VERSIONS, mosquitto);
    add("paho/tls", Way::Tls, &VERSIONS[1..], paho);
    add("mqtt.js/tls", Way::Tls, &VERSIONS[1..], mqtt_js);
    add("paho/ws", Way::Ws, &VERSIONS, paho);
    add("mqtt.js/ws", Way::Ws, &VERSIONS, mqtt_js);
    add("paho/wss", Way::Wss, &VERSIONS[1..], paho);
    add("mqtt.js/wss", Way::Wss, &VERSIONS[1..], mqtt_js);
    if is_there("chromium", "the browser") {
        add("chromium/ws", Way::Ws, &VERSIONS, browser);
        add("chromium/wss", Way::Wss, &VERSIONS[1..], browser);
    }
    if is_there(haproxy::PROGRAM, "the PROXY protocol") {
        add("mosquitto/haproxy", Way::Haproxy, &VERSIONS, mosquitto);
    }
    clients
}

/// Whether a program is there that is too much to install for one test; says so if not.
fn is_there(program: &str, what: &str) -> bool {
    let is_there = process::is_installed(program);
    if !is_there {
        println!("skipped: {what}, because {program} is not there; to test it: apt-get install -y {program}");
    }
    is_there
}

/// Runs every client in every version against every broker and prints the table.
///
/// # Errors
/// A client is missing, a broker does not start or stop as it should, or a case failed.
pub fn run(options: &Options) -> Result<()> {
    let programs = Programs { clients: packages::install()?, rumqttc: scripted::build_rumqttc()? };
    let mut clients = clients();
    clients.retain(|client| client.name.contains(&options.client));
    if clients.is_empty() {
        bail!("no client's name contains {}", options.client);
    }
    let mut report = Report::default();
    if let Some((host, port)) = &options.broker {
        clients.retain(|client| client.way == Way::Tcp);
        let target = |_| Ok((host.clone(), *port, None));
        run_clients(&programs, &clients, &target, "-", &mut report)?;
    } else {
        let certificates = Certificates::make()?;
        for &shards in &options.shards {
            let run = run_broker(&programs, &clients, &certificates, shards, &mut report);
            // The table so far says more than a broker that does not stop.
            if let Err(error) = run {
                println!("{report}");
                return Err(error);
            }
        }
    }
    println!("\n{report}");
    report.into_result()
}

/// Runs the clients against a broker of its own with a listener for each way.
fn run_broker(
    programs: &Programs,
    clients: &[Client],
    certificates: &Certificates,
    shards: u32,
    report: &mut Report,
) -> Result<()> {
    let mut settings: Vec<String> = vec!["mqtt.peer_cert_as_clientid=cn".to_owned()];
    let (certificate, key) = (certificates.certificate("server"), certificates.key("server"));
    for kind in ["ssl", "ws", "wss"] {
        settings.push(format!("listeners.{kind}.default.enable=true"));
        settings.push(format!("listeners.{kind}.default.bind=127.0.0.1:0"));
        if kind != "ws" {
            settings.push(format!("listeners.{kind}.default.ssl_options.certfile={}", certificate.display()));
            settings.push(format!("listeners.{kind}.default.ssl_options.keyfile={}", key.display()));
        }
    }
    settings.push("listeners.tcp.balanced.bind=127.0.0.1:0".to_owned());
    settings.push("listeners.tcp.balanced.proxy_protocol=true".to_owned());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let broker = Broker::start_with(shards, &settings)?;
    let balancer = if clients.iter().any(|client| client.way == Way::Haproxy) {
        Some(Haproxy::start(certificates, broker.port_of(Way::Haproxy.listener())?)?)
    } else {
        None
    };
    let target = |way: Way| {
        let port = match &balancer {
            Some(balancer) if way == Way::Haproxy => balancer.port(),
            _ => broker.port_of(way.listener())?,
        };
        let has_tls = matches!(way, Way::Tls | Way::Wss | Way::Haproxy);
        Ok(("127.0.0.1".to_owned(), port, has_tls.then(|| certificates.authority())))
    };
    run_clients(programs, clients, &target, &shards.to_string(), report)?;
    if let Some(balancer) = &balancer {
        let target = Target {
            host: "127.0.0.1".to_owned(),
            port: balancer.port(),
            prefix: format!("cn{shards}"),
            transport: Way::Haproxy.transport(),
            authority: Some(certificates.authority()),
        };
        haproxy::check_common_name(&target, certificates)
            .context("the client's certificate behind haproxy")?;
        println!("{:<24} {shards:>2} shards           ok", "common name, haproxy");
    }
    broker.stop()
}

fn run_clients(
    programs: &Programs,
    clients: &[Client],
    place: &dyn Fn(Way) -> Result<(String, u16, Option<PathBuf>)>,
    shards: &str,
    report: &mut Report,
) -> Result<()> {
    for (number, client) in clients.iter().enumerate() {
        let (host, port, authority) = place(client.way)?;
        // The process id keeps runs apart that share a broker which is already running.
        let prefix = format!("x{}{number}.{shards}", std::process::id() % 1000);
        let target = Target { host, port, prefix, transport: client.way.transport(), authority };
        let started = Instant::now();
        let said = (client.run)(programs, &target, client.version);
        let row = Row::from_lines(client.name, client.version, shards, started.elapsed(), said);
        println!("{}", row.to_progress());
        report.rows.push(row);
    }
    Ok(())
}
