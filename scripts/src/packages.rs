//! What interop and host need from Debian, PyPI and npm: installed by name and version, cached in the target folder.
//! It never changes the system unless it runs as root, and installs nothing that is already there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::tree;

const PAHO: &str = "paho-mqtt==2.1.0";
const MQTT_JS: &str = "mqtt@5.16.0";
/// Limit of one call of a package manager; Debian's npm alone brings hundreds of packages.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
/// Programs that must be on the path, each with the Debian package that brings it.
const PROGRAMS: [(&str, &str); 5] = [
    ("mosquitto_pub", "mosquitto-clients"),
    ("mosquitto_sub", "mosquitto-clients"),
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// Where the clients that are scripts find their interpreter and library.
pub struct Clients {
    /// The Python of a virtual environment that holds paho-mqtt.
    pub python: PathBuf,
    /// The `node_modules` folder that holds MQTT.js.
    pub node_modules: PathBuf,
}

/// Makes sure that all clients are there.
///
/// # Errors
/// Something is missing and cannot be installed; the error says what to install.
pub fn install() -> Result<Clients> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !process::is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    // Debian's python3 cannot make a virtual environment without this package.
    if !can_make_venv()? {
        missing.push("python3-venv");
    }
    missing.dedup();
    if !missing.is_empty() {
        install_debian(&missing)?;
    }
    Ok(Clients { python: install_paho()?, node_modules: install_mqtt_js()? })
}

/// Makes sure that programs are there, each with the Debian package that brings it.
///
/// # Errors
/// One is missing and cannot be installed; the error says what to install.
pub fn require(programs: &[(&str, &str)]) -> Result<()> {
    let missing = programs.iter().filter(|(program, _)| !process::is_installed(program));
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() { Ok(()) } else { install_debian(&packages) }
}

/// Makes sure that `program`, which Debian's `package` brings, is on the path.
///
/// # Errors
/// It is missing and cannot be installed; the error says what to install.
pub fn install_program(program: &str, package: &str) -> Result<()> {
    if process::is_installed(program) { Ok(()) } else { install_debian(&[package]) }
}

fn can_make_venv() -> Result<bool> {
    if !process::is_installed("python3") {
        return Ok(false);
    }
    let mut probe = Command::new("python3");
    Ok(process::run_captured(probe.args(["-c", "import venv, ensurepip"]), b"", INSTALL_LIMIT)?.is_success())
}

fn install_debian(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let advice = format!("install these Debian packages and run again: apt-get install -y {names}");
    if !is_root()? || !process::is_installed("apt-get") {
        bail!("{advice}");
    }
    println!("installing from Debian: {names}");
    let mut update = Command::new("apt-get");
    run_quietly(update.arg("update"), &advice)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    run_quietly(install.env("DEBIAN_FRONTEND", "noninteractive"), &advice)
}

fn is_root() -> Result<bool> {
    let finished = process::run_captured(Command::new("id").arg("-u"), b"", INSTALL_LIMIT)?;
    Ok(finished.stdout.trim() == "0")
}

fn install_paho() -> Result<PathBuf> {
    let folder = tree::scratch("interop")?.join("py");
    let python = folder.join("bin/python");
    if is_stamped(&folder, PAHO) {
        return Ok(python);
    }
    println!("installing from PyPI: {PAHO}");
    remove(&folder)?;
    let advice = format!(
        "install from PyPI by hand: python3 -m venv {0} && {0}/bin/pip install {PAHO}",
        folder.display()
    );
    run_quietly(Command::new("python3").args(["-m", "venv"]).arg(&folder), &advice)?;
    let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PAHO];
    run_quietly(Command::new(&python).args(words), &advice)?;
    stamp(&folder, PAHO)?;
    Ok(python)
}

fn install_mqtt_js() -> Result<PathBuf> {
    let folder = tree::scratch("interop")?.join("js");
    let modules = folder.join("node_modules");
    if is_stamped(&folder, MQTT_JS) {
        return Ok(modules);
    }
    println!("installing from npm: {MQTT_JS}");
    remove(&folder)?;
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let advice = format!("install from npm by hand: npm install --prefix {} {MQTT_JS}", folder.display());
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&folder).arg(MQTT_JS);
    run_quietly(&mut npm, &advice)?;
    stamp(&folder, MQTT_JS)?;
    Ok(modules)
}

/// The stamp is written last, so that an installation cut short is made again.
fn stamp(folder: &std::path::Path, version: &str) -> Result<()> {
    fs::write(folder.join("installed"), version).with_context(|| format!("writing in {}", folder.display()))
}

fn is_stamped(folder: &std::path::Path, version: &str) -> bool {
    fs::read_to_string(folder.join("installed")).is_ok_and(|text| text == version)
}

fn remove(folder: &std::path::Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn run_quietly(command: &mut Command, advice: &str) -> Result<()> {
    let finished = process::run_captured(command, b"", INSTALL_LIMIT)?;
    if !finished.is_success() {
        bail!("`{}`: {}\n{advice}", process::to_line(command), finished.to_reason());
    }
    Ok(())
}
