//! Clients that are programs of their own in `scripts/interop/`: started with host, port, version and prefix,
//! they print a line per case. It only starts them and hands on what they say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Target;
use crate::packages::Clients;
use crate::{process, tree};

/// Limit of one client in one version; a case waits at most 20 s by itself.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// paho-mqtt (PyPI).
pub fn run_paho(installed: &Clients, target: &Target, version: &str) -> Result<String> {
    let mut command = Command::new(&installed.python);
    command.arg(tree::root().join("scripts/interop/paho_client.py"));
    run(&mut command, target, version)
}

/// MQTT.js (npm).
pub fn run_mqtt_js(installed: &Clients, target: &Target, version: &str) -> Result<String> {
    let mut command = Command::new("node");
    command.arg(tree::root().join("scripts/interop/mqttjs_client.js"));
    run(command.env("NODE_MODULES", &installed.node_modules), target, version)
}

/// MQTT.js in a web page that a headless chromium shows.
pub fn run_browser(installed: &Clients, target: &Target, version: &str) -> Result<String> {
    let mut command = Command::new("node");
    command.arg(tree::root().join("scripts/interop/browser_client.js"));
    run(command.env("NODE_MODULES", &installed.node_modules), target, version)
}

/// rumqttc (crates.io), built by `build_rumqttc`.
pub fn run_rumqttc(program: &Path, target: &Target, version: &str) -> Result<String> {
    run(&mut Command::new(program), target, version)
}

/// Builds the rumqttc client and returns its path. The whole workspace is named, so that the build shares its
/// dependencies with `cargo test --workspace`.
pub fn build_rumqttc() -> Result<PathBuf> {
    process::run(&mut tree::cargo(&["build", "--quiet", "--workspace", "--example", "rumqttc_client"]))?;
    Ok(tree::target().join("debug/examples/rumqttc_client"))
}

fn run(command: &mut Command, target: &Target, version: &str) -> Result<String> {
    command.args([&target.host, &target.port.to_string(), version, &target.prefix]);
    command.env("TRANSPORT", target.transport);
    if let Some(authority) = &target.authority {
        command.env("CA", authority);
    }
    let finished = process::run_captured(command, b"", RUN_LIMIT)?;
    // What it said before it broke still counts; only a client that said nothing has no rows to show.
    if finished.stdout.is_empty() {
        bail!("{}", finished.to_reason());
    }
    Ok(finished.stdout)
}
