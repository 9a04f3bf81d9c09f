//! Keys of EMQ X 4.x that mean two keys of today: they are replaced before anything is read, so that nothing else knows them.

use super::error::ConfigError;
use super::setting::{KeyPath, Setting};
use ringmq_core::config::ByteSize;
use toml::Value;

/// `listeners.*.*.rate_limit = "1024,4096"`: bytes a second, and how many at once.
const RATE_LIMIT: &str = "rate_limit";
const BYTES_RATE: &str = "bytes_rate";
const BYTES_BURST: &str = "bytes_burst";

/// The settings with today's keys in place of older ones.
///
/// # Errors
/// A value that is not of the older form, and a key that stands beside the one it means.
pub fn replace_aliases(settings: Vec<Setting>) -> Result<Vec<Setting>, ConfigError> {
    if !settings.iter().any(is_rate_limit) {
        return Ok(settings);
    }
    check_beside(&settings)?;
    let mut replaced = Vec::with_capacity(settings.len() + 1);
    for setting in settings {
        if is_rate_limit(&setting) {
            replaced.extend(rate_and_burst(&setting)?);
        } else {
            replaced.push(setting);
        }
    }
    Ok(replaced)
}

fn is_rate_limit(setting: &Setting) -> bool {
    matches!(setting.path.segments(), [listeners, _, _, key] if listeners == "listeners" && key == RATE_LIMIT)
}

/// The key beside another one of the same listener.
fn beside(path: &KeyPath, key: &str) -> KeyPath {
    let mut segments = path.segments().to_vec();
    segments.pop();
    KeyPath::new(segments).child(key)
}

fn check_beside(settings: &[Setting]) -> Result<(), ConfigError> {
    for setting in settings.iter().filter(|setting| is_rate_limit(setting)) {
        let [rate, burst] = [BYTES_RATE, BYTES_BURST].map(|key| beside(&setting.path, key));
        let other = settings.iter().find(|other| other.path == rate || other.path == burst);
        if let Some(other) = other {
            return Err(ConfigError::Conflict {
                first: format!("{} ({})", setting.path, setting.origin),
                second: format!("{} ({})", other.path, other.origin),
                conflict: format!("both say how many bytes a client may send; remove {RATE_LIMIT}"),
            });
        }
    }
    Ok(())
}

/// The bucket of 4.x holds `burst` bytes in all; `bytes_burst` counts what goes beyond the rate.
fn rate_and_burst(setting: &Setting) -> Result<[Setting; 2], ConfigError> {
    let text = match (&setting.value, &setting.text) {
        (Value::String(text), _) => Some(text.as_str()),
        (_, text) => text.as_deref(),
    };
    let (rate, at_once) = text.and_then(read_pair).ok_or_else(|| {
        let expected = "a rate in bytes a second and how many bytes may come at once, at least as many, such as \
                        \"1024,4096\"; today's keys are bytes_rate = \"1024/s\" and bytes_burst = 3072";
        ConfigError::form(setting, expected)
    })?;
    let set = |key, value| Setting {
        path: beside(&setting.path, key),
        value: Value::String(value),
        text: None,
        origin: setting.origin.clone(),
    };
    let burst = ByteSize(at_once.0 - rate.0);
    Ok([set(BYTES_RATE, format!("{rate}/s")), set(BYTES_BURST, burst.to_string())])
}

fn read_pair(text: &str) -> Option<(ByteSize, ByteSize)> {
    let (rate, at_once) = text.split_once(',')?;
    let (rate, at_once): (ByteSize, ByteSize) = (rate.trim().parse().ok()?, at_once.trim().parse().ok()?);
    (rate.0 > 0 && at_once >= rate).then_some((rate, at_once))
}
