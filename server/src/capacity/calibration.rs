//! The coefficients of the model as `ringmq-bench calibrate` writes them: a TOML file in which every number that the model
//! uses has its name and unit. It never measures anything itself.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Measured by `ringmq-bench calibrate` on the machine its own `[host]` section names.
const EMBEDDED: &str = include_str!("calibration.toml");
/// The form of the file; another one is refused.
const FORMAT: u32 = 1;

/// Why a calibration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The file cannot be read.
    #[error("--calibration {path:?}: {source}; `ringmq-bench calibrate --broker PATH -o FILE` writes one")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a calibration.
    #[error("{name}: {source}; `ringmq-bench calibrate --broker PATH -o FILE` writes a correct one")]
    Parse {
        /// The file, or what else it is called.
        name: String,
        /// What is wrong, and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file is one, but a value of it cannot be right.
    #[error("{name}: {what}; calibrate again")]
    Value {
        /// The file, or what else it is called.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The form of the file.
    pub format: u32,
    /// The day it was measured, as year-month-day.
    pub measured_on: String,
    /// Where it was measured.
    pub host: MeasuredHost,
    /// What was measured.
    pub broker: MeasuredBroker,
    /// Bytes.
    pub memory: MemoryCoefficients,
    /// Microseconds of CPU time, user and system.
    pub cpu: CpuCoefficients,
    /// The runs the coefficients were computed from. For people; the model does not read them.
    #[serde(default, rename = "measurement")]
    pub measurements: Vec<toml::Table>,
}

/// The machine of a calibration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredHost {
    /// Release of the kernel.
    pub kernel: String,
    /// Name of the processor.
    pub cpu_model: String,
    /// Cores the broker and the load generator shared.
    pub cores: u64,
    /// Memory of the machine.
    pub memory_bytes: u64,
}

/// The broker of a calibration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredBroker {
    /// What `ringmq --version` prints.
    pub version: String,
    /// Shards it ran.
    pub shards: u64,
}

/// What things take. `docs/capacity.md` has the source of each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryCoefficients {
    /// The process without shards.
    pub base_bytes: f64,
    /// Each shard before its first client.
    pub shard_bytes: f64,
    /// Each lane from one shard to another before its first message.
    pub lane_bytes: f64,
    /// Buffers and tables each shard keeps once it has had traffic.
    pub shard_traffic_bytes: f64,
    /// A connection, without the session it serves.
    pub connection_bytes: f64,
    /// A session, whether its client is there or away.
    pub session_bytes: f64,
    /// A subscription to a filter nobody else has.
    pub subscription_bytes: f64,
    /// A retained message besides its payload.
    pub retained_bytes: f64,
    /// A queued message besides its payload.
    pub queued_bytes: f64,
    /// What the kernel keeps for a connection that is idle: socket, descriptor, poll.
    pub kernel_connection_bytes: f64,
}

/// What things cost.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuCoefficients {
    /// From accept to CONNACK, and the end of the connection.
    pub connect_us: f64,
    /// PINGREQ and PINGRESP of a client that does nothing else.
    pub ping_us: f64,
    /// A message is published and stored as retained. For people; the model does not use it.
    pub retained_store_us: f64,
    /// A retained message is delivered to a new subscriber.
    pub retained_delivery_us: f64,
    /// A message is published and queued for a session that is away. For people; the model does not use it.
    pub queue_us: f64,
    /// A queued message is delivered when its client has come back.
    pub queue_delivery_us: f64,
    /// Connections at which the event costs below were measured.
    pub warm_connections: f64,
    /// Connections at which the cold factors were measured.
    pub cold_connections: f64,
    /// Quality of service 0, 1 and 2.
    pub qos: [QosCoefficients; 3],
    /// What payload adds.
    pub payload: PayloadCoefficients,
}

/// What a publication costs on its way in and on its way out: so much for each time its client's socket is served, and so
/// much for each message found there.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QosCoefficients {
    /// A publisher's socket is served, acknowledgements included.
    pub publish_event_us: f64,
    /// A message from it.
    pub publish_message_us: f64,
    /// A subscriber's socket is served, acknowledgements included.
    pub delivery_event_us: f64,
    /// A message to it.
    pub delivery_message_us: f64,
    /// An event with `cold_connections` in use costs this times the event with `warm_connections`.
    pub cold_factor: f64,
}

/// Microseconds that payload adds to a message, at a few sizes; between them the model goes straight.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadCoefficients {
    /// Sizes, rising; the other coefficients were measured at the first.
    pub bytes: Vec<f64>,
    /// Added to a publication at these sizes.
    pub publish_us: Vec<f64>,
    /// Added to a delivery at these sizes.
    pub delivery_us: Vec<f64>,
}

impl Calibration {
    /// The calibration in the binary.
    ///
    /// # Errors
    /// None in a binary whose tests passed.
    pub fn embedded() -> Result<Calibration, CalibrationError> {
        parse("the calibration in the binary", EMBEDDED)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`CalibrationError`] with the file's name.
    pub fn read(path: &Path) -> Result<Calibration, CalibrationError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CalibrationError::Read { path: path.to_owned(), source })?;
        parse(&format!("--calibration {}", path.display()), &text)
    }
}

fn parse(name: &str, text: &str) -> Result<Calibration, CalibrationError> {
    let name = || name.to_owned();
    let calibration: Calibration = toml::from_str(text)
        .map_err(|source| CalibrationError::Parse { name: name(), source: Box::new(source) })?;
    match flaw(&calibration) {
        Some(what) => Err(CalibrationError::Value { name: name(), what }),
        None => Ok(calibration),
    }
}

/// What keeps the numbers from being used.
fn flaw(calibration: &Calibration) -> Option<String> {
    if calibration.format != FORMAT {
        return Some(format!("format {} is not {FORMAT}, which this version reads", calibration.format));
    }
    let (memory, cpu) = (&calibration.memory, &calibration.cpu);
    let payload = &cpu.payload;
    let one_each =
        payload.bytes.len() == payload.publish_us.len() && payload.bytes.len() == payload.delivery_us.len();
    if payload.bytes.is_empty() || !one_each || !payload.bytes.is_sorted_by(|a, b| a < b) {
        return Some("cpu.payload needs rising sizes and one cost of each kind for each".to_owned());
    }
    if cpu.warm_connections < 1.0 || cpu.cold_connections <= cpu.warm_connections {
        return Some("cpu.cold_connections must be above cpu.warm_connections".to_owned());
    }
    let mut numbers = vec![
        memory.base_bytes,
        memory.shard_bytes,
        memory.lane_bytes,
        memory.shard_traffic_bytes,
        memory.connection_bytes,
        memory.session_bytes,
        memory.subscription_bytes,
        memory.retained_bytes,
        memory.queued_bytes,
        memory.kernel_connection_bytes,
        cpu.connect_us,
        cpu.ping_us,
        cpu.retained_store_us,
        cpu.retained_delivery_us,
        cpu.queue_us,
        cpu.queue_delivery_us,
    ];
    for qos in &cpu.qos {
        numbers.extend([qos.publish_event_us, qos.publish_message_us, qos.delivery_event_us]);
        numbers.extend([qos.delivery_message_us, qos.cold_factor]);
    }
    numbers.extend(payload.bytes.iter().chain(&payload.publish_us).chain(&payload.delivery_us));
    let wrong = numbers.iter().find(|number| !(number.is_finite() && **number >= 0.0));
    wrong.map(|number| format!("{number} is no coefficient; all are numbers from 0"))
}

/// Round numbers for the tests of the model.
#[cfg(test)]
pub fn round() -> Calibration {
    let qos = |scale: f64| QosCoefficients {
        publish_event_us: 4.0 * scale,
        publish_message_us: 0.25 * scale,
        delivery_event_us: 6.0 * scale,
        delivery_message_us: 0.5 * scale,
        cold_factor: 2.0,
    };
    Calibration {
        format: FORMAT,
        measured_on: "2026-01-02".to_owned(),
        host: MeasuredHost {
            kernel: "6.1".to_owned(),
            cpu_model: "Example".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
        },
        broker: MeasuredBroker { version: "ringmq 0.0.0".to_owned(), shards: 2 },
        memory: MemoryCoefficients {
            base_bytes: 6e6,
            shard_bytes: 400e3,
            lane_bytes: 5e3,
            shard_traffic_bytes: 1e6,
            connection_bytes: 1000.0,
            session_bytes: 500.0,
            subscription_bytes: 300.0,
            retained_bytes: 200.0,
            queued_bytes: 100.0,
            kernel_connection_bytes: 4000.0,
        },
        cpu: CpuCoefficients {
            connect_us: 50.0,
            ping_us: 20.0,
            retained_store_us: 1.0,
            retained_delivery_us: 2.0,
            queue_us: 1.0,
            queue_delivery_us: 3.0,
            warm_connections: 100.0,
            cold_connections: 10_000.0,
            qos: [qos(1.0), qos(2.0), qos(4.0)],
            payload: PayloadCoefficients {
                bytes: vec![16.0, 1016.0, 4016.0],
                publish_us: vec![0.0, 1.0, 7.0],
                delivery_us: vec![0.0, 2.0, 5.0],
            },
        },
        measurements: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_calibration_is_correct_and_names_its_machine() {
        let calibration = Calibration::embedded().unwrap();
        assert!(!calibration.host.cpu_model.is_empty() && calibration.broker.version.starts_with("ringmq "));
        assert!(!calibration.measurements.is_empty());
        for (lower, higher) in [(0, 1), (1, 2)] {
            let event = |qos: usize| {
                calibration.cpu.qos[qos].publish_event_us + calibration.cpu.qos[qos].delivery_event_us
            };
            assert!(event(lower) < event(higher), "QoS {lower} costs less than QoS {higher}");
        }
    }

    #[test]
    fn what_is_no_calibration_is_refused_with_the_file_and_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        let cases = [
            (EMBEDDED.replace("format = 1", "format = 2"), "format 2 is not 1"),
            (EMBEDDED.replace("ping_us = ", "ping_us = -"), "is no coefficient"),
            (EMBEDDED.replace("ping_us = ", "pong_us = "), "unknown field `pong_us`"),
            (EMBEDDED.replace("cold_connections = ", "cold_connections = 0.0 #"), "must be above"),
            ("x".to_owned(), "TOML parse error"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, text).unwrap();
            let error = Calibration::read(&path).unwrap_err().to_string();
            assert!(error.starts_with("--calibration ") && error.contains("alibrate"), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        let missing = Calibration::read(&directory.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("ringmq-bench calibrate"), "{missing}");
    }
}
