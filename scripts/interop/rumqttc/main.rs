//! rumqttc against a broker: one line `ok CASE` or `fail CASE reason` per case, exit code 0 always.
//! An example target, so that `cargo x` itself never compiles an MQTT client.
//!
//! Called as `rumqttc_client HOST PORT VERSION PREFIX`, VERSION being 3.1.1 or 5.0. Every topic and client id
//! begins with PREFIX, so that several runs can share a broker.
#![expect(clippy::print_stdout, reason = "the result goes to the caller on standard output")]

mod cases;
mod peer;
mod v4;
mod v5;

use anyhow::{Context, Result, bail};
use peer::Run;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, version, prefix] = words.as_slice() else { bail!("HOST PORT VERSION PREFIX") };
    let connect = match version.as_str() {
        "3.1.1" => v4::connect,
        "5.0" => v5::connect,
        other => bail!("rumqttc does not speak {other}"),
    };
    let port = port.parse().context("PORT")?;
    let run = Run { host: host.clone(), port, prefix: prefix.clone(), connect };
    for (name, case) in cases::CASES {
        match case(&run) {
            Ok(()) => println!("ok {name}"),
            Err(error) => println!("fail {name} {}", format!("{error:#}").replace('\n', " ")),
        }
    }
    println!("skip properties");
    Ok(())
}
