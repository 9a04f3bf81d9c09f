//! `ringmq capacity`: what a load needs, what breaks first as it grows, and whether this host can. `docs/capacity.md`
//! explains the model. It computes and reads; it starts nothing and changes nothing.

mod assumed;
mod calibration;
mod cores;
mod disk;
mod facts;
mod limits;
mod load;
mod memory;
mod network;
mod number;
mod shape;
mod table;

pub use load::CapacityArguments;

use crate::config::Config;
use calibration::{Calibration, CalibrationError};
use cores::CorePlan;
use disk::DiskPlan;
use facts::HostFacts;
use limits::{Demand, LimitLine};
use load::Load;
use memory::MemoryPlan;
use network::NetworkPlan;
use serde::Serialize;
use shape::Shape;
use std::io::Write;
use std::process::ExitCode;

/// Why nothing can be said about a load.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// The coefficients.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// No zone of this name.
    #[error("--zone {zone}: there is no such zone; name one of the configuration, such as \"default\"")]
    NoZone {
        /// The name.
        zone: String,
    },
}

/// All that is said about a load.
#[derive(Debug, Serialize)]
struct Plan {
    /// The load.
    load: Load,
    /// The broker it is planned for.
    broker: Shape,
    /// The coefficients' origin.
    calibration: Origin,
    /// Memory by purpose.
    memory: MemoryPlan,
    /// CPU time by purpose.
    cpu: CorePlan,
    /// Descriptors of the process.
    descriptors: u64,
    /// Disk.
    disk: DiskPlan,
    /// Network.
    network: NetworkPlan,
    /// This host.
    host: HostFacts,
    /// Limits, the first to be reached first.
    limits: Vec<LimitLine>,
    /// Whether the load stays below all of them.
    fits: bool,
}

/// Where the coefficients were measured.
#[derive(Debug, Serialize)]
struct Origin {
    /// Whether nobody has measured on this host.
    is_embedded: bool,
    /// The day.
    measured_on: String,
    /// The broker.
    broker: String,
    /// The machine.
    machine: String,
}

impl Plan {
    fn of(load: Load, broker: Shape, calibration: &Calibration, is_embedded: bool, host: HostFacts) -> Plan {
        let memory = MemoryPlan::of(&load, calibration, &broker);
        let cpu = CorePlan::of(&load, calibration);
        let disk = DiskPlan::of(&load, &broker);
        let network = NetworkPlan::of(&load, host.ports);
        let demand = Demand {
            load: &load,
            shape: &broker,
            host: &host,
            memory: &memory,
            cores: &cpu,
            disk: &disk,
            network: &network,
        };
        let limits = demand.limits();
        let fits = limits.iter().all(LimitLine::is_kept);
        let descriptors = load.connections + broker.reserved_descriptors;
        let measured = &calibration.host;
        let origin = Origin {
            is_embedded,
            measured_on: calibration.measured_on.clone(),
            broker: format!("{} with {} shards", calibration.broker.version, calibration.broker.shards),
            machine: format!(
                "{}, {} cores, {}, Linux {}",
                measured.cpu_model,
                measured.cores,
                number::bytes(measured.memory_bytes),
                measured.kernel
            ),
        };
        Plan {
            load,
            broker,
            calibration: origin,
            memory,
            cpu,
            descriptors,
            disk,
            network,
            host,
            limits,
            fits,
        }
    }
}

/// Prints the plan. Exit code 0 if this host can, 1 if a limit is reached before the load is.
///
/// # Errors
/// [`CapacityError`]
pub fn run(arguments: CapacityArguments, config: &Config) -> Result<ExitCode, CapacityError> {
    let calibration = match &arguments.calibration {
        Some(path) => Calibration::read(path)?,
        None => Calibration::embedded()?,
    };
    let zone = arguments.zone;
    let shape = Shape::of(config, &zone).ok_or(CapacityError::NoZone { zone })?;
    let host = HostFacts::read(&shape.data_dir);
    let plan = Plan::of(arguments.load, shape, &calibration, arguments.calibration.is_none(), host);
    let text = if arguments.json {
        // Every field is a number, a text or a list of them; a plan that could not be written would be ours to mend.
        serde_json::to_string(&plan).expect("a plan holds only what JSON can") + "\n"
    } else {
        table::render(&plan)
    };
    // A reader that went away, such as `head`, still gets the exit code right.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if plan.fits { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
