//! `cargo x interop`: other people's MQTT clients against the release binary, with 1 and with 4 shards. It
//! starts the broker it tests (or takes the address of one already running) and changes nothing else.

mod mosquitto;
mod report;
mod scripted;

use std::time::Instant;

use anyhow::{Context, Result, bail};
use report::{Report, Row};

use crate::arguments::Arguments;
use crate::broker::Broker;
use crate::packages;

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

/// A broker as the clients see it.
#[derive(Clone)]
struct Target {
    host: String,
    port: u16,
    /// What every topic and client id of one run begins with; short, since MQTT 3.1 allows 23 characters.
    prefix: String,
}

/// How one client is run in one version.
type Client<'a> = (&'static str, &'static str, Box<dyn Fn(&Target) -> Result<String> + 'a>);

/// Runs every client in every version against every broker and prints the table.
///
/// # Errors
/// A client is missing, a broker does not start or stop as it should, or a case failed.
pub fn run(options: &Options) -> Result<()> {
    let installed = packages::install()?;
    let rumqttc = scripted::build_rumqttc()?;
    let mut clients: Vec<Client<'_>> = Vec::new();
    for version in VERSIONS {
        clients.push(("mosquitto", version, Box::new(move |target| mosquitto::run(target, version))));
    }
    for version in VERSIONS {
        clients.push(("paho", version, Box::new(|target| scripted::run_paho(&installed, target, version))));
    }
    for version in VERSIONS {
        clients.push((
            "mqtt.js",
            version,
            Box::new(|target| scripted::run_mqtt_js(&installed, target, version)),
        ));
    }
    for version in &VERSIONS[1..] {
        clients.push((
            "rumqttc",
            version,
            Box::new(|target| scripted::run_rumqttc(&rumqttc, target, version)),
        ));
    }
    clients.retain(|(name, ..)| name.contains(&options.client));
    if clients.is_empty() {
        bail!("no client's name contains {}", options.client);
    }

    let mut report = Report::default();
    if let Some((host, port)) = &options.broker {
        run_clients(&clients, host, *port, "-", &mut report);
    } else {
        for &shards in &options.shards {
            let broker = Broker::start(shards)?;
            run_clients(&clients, "127.0.0.1", broker.port(), &shards.to_string(), &mut report);
            // The table so far says more than a broker that does not stop.
            if let Err(error) = broker.stop() {
                println!("{report}");
                return Err(error);
            }
        }
    }
    println!("\n{report}");
    report.into_result()
}

fn run_clients(clients: &[Client<'_>], host: &str, port: u16, shards: &str, report: &mut Report) {
    for (number, (name, version, client)) in clients.iter().enumerate() {
        // The process id keeps runs apart that share a broker which is already running.
        let prefix = format!("x{}{number}.{shards}", std::process::id() % 1000);
        let target = Target { host: host.to_owned(), port, prefix };
        let started = Instant::now();
        let said = client(&target);
        let row = Row::from_lines(name, version, shards, started.elapsed(), said);
        println!("{}", row.to_progress());
        report.rows.push(row);
    }
}
