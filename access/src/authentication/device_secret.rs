//! The element `device_secret`: devices that prove a secret of their own with an HMAC, as IoT clouds have them do. The client
//! id is `id|securemode=3,signmethod=hmacsha256,timestamp=…|`, the user name `device&product`, the password the HMAC in
//! hexadecimal digits over `clientId`, `deviceName`, `productKey` and `timestamp`, each name followed by its value, in the
//! order of the names. The whole text stays the client id of the connection.

use super::chain::{Authenticator, Decision};
use super::element_file::{ElementFileError, read_text};
use super::password::{HashError, fill_random};
use hmac::{Hmac, KeyInit, Mac};
use ringmq_core::hash::SeededMap;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant};
use sha1::Sha1;
use sha2::Sha256;
use std::fmt;
use std::path::Path;
use subtle::ConstantTimeEq;

const HEADER: &str = "product_key,device_name,device_secret";
const DECOY_BYTES: usize = 32;

/// Devices and their secrets.
pub struct DeviceSecrets {
    /// By `device&product`.
    secrets: SeededMap<Box<str>, Box<str>>,
    /// Stands for the secret of a device that does not exist.
    decoy: [u8; DECOY_BYTES],
}

impl DeviceSecrets {
    /// Reads a file of comma-separated values under the header `product_key,device_name,device_secret`.
    ///
    /// # Errors
    /// [`ElementFileError`].
    pub fn load(path: &Path) -> Result<DeviceSecrets, ElementFileError> {
        let text = read_text(path)?;
        let mut decoy = [0; DECOY_BYTES];
        fill_random(&mut decoy).map_err(|error: HashError| ElementFileError::Read {
            path: path.to_owned(),
            source: std::io::Error::other(error),
        })?;
        let mut secrets = SeededMap::default();
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line.trim_end_matches('\r')) != Some(HEADER) {
            return Err(ElementFileError::line(path, 1, &format!("expected the header {HEADER}")));
        }
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.trim_end_matches('\r').split(',').collect();
            let fault = |fault: &str| ElementFileError::line(path, number + 1, fault);
            let [product, device, secret] = fields[..] else {
                return Err(fault("expected three values without commas in them"));
            };
            if [product, device, secret].iter().any(|value| value.is_empty()) || product.contains('&') {
                return Err(fault("product key, device name and device secret must not be empty"));
            }
            if secrets.insert(format!("{device}&{product}").into(), secret.into()).is_some() {
                return Err(fault("the device stands in an earlier line too; remove one of them"));
            }
        }
        Ok(DeviceSecrets { secrets, decoy })
    }
}

/// What a device says of itself in its client id.
#[derive(Debug, PartialEq, Eq)]
struct Claim<'a> {
    id: &'a str,
    sign_method: SignMethod,
    timestamp: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignMethod {
    HmacSha1,
    HmacSha256,
}

impl SignMethod {
    fn sign(self, key: &[u8], content: &str) -> Vec<u8> {
        const ANY_KEY: &str = "HMAC takes keys of every length";
        match self {
            SignMethod::HmacSha1 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(key).expect(ANY_KEY);
                mac.update(content.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            SignMethod::HmacSha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY_KEY);
                mac.update(content.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
        }
    }
}

impl<'a> Claim<'a> {
    /// Reads a client id; none if it is not of this form.
    fn parse(client_id: &'a str) -> Option<Claim<'a>> {
        let (id, rest) = client_id.split_once('|')?;
        let (mut sign_method, mut timestamp, mut is_secure_mode) = (None, None, false);
        for parameter in rest.strip_suffix('|')?.split(',') {
            match parameter.split_once('=')? {
                // 2 is a connection with TLS, 3 one without.
                ("securemode", "2" | "3") => is_secure_mode = true,
                ("signmethod", "hmacsha1") => sign_method = Some(SignMethod::HmacSha1),
                ("signmethod", "hmacsha256") => sign_method = Some(SignMethod::HmacSha256),
                ("timestamp", value) => timestamp = Some(value),
                ("securemode" | "signmethod", _) => return None,
                // Clouds let devices add what the HMAC does not cover, such as `lan` and `_v`.
                _ => {}
            }
        }
        is_secure_mode.then_some(Claim { id, sign_method: sign_method?, timestamp })
    }
}

/// What a device signs.
fn content(claim: &Claim<'_>, device: &str, product: &str) -> String {
    let mut content = format!("clientId{}deviceName{device}productKey{product}", claim.id);
    if let Some(timestamp) = claim.timestamp {
        content.push_str("timestamp");
        content.push_str(timestamp);
    }
    content
}

/// Whether a password is these bytes in hexadecimal digits of either case. Its time depends on its length alone.
fn is_digits_of(bytes: &[u8], password: &[u8]) -> bool {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.as_bytes().ct_eq(&password.to_ascii_lowercase()).into()
}

impl Authenticator for DeviceSecrets {
    fn id(&self) -> &str {
        "device_secret"
    }

    fn decide(&self, entry: &Entry) -> Decision {
        let subject = &entry.subject;
        let (Some(claim), Some(user_name), Some(password)) =
            (Claim::parse(&subject.client_id), &subject.user_name, &entry.password)
        else {
            return Decision::Ignore;
        };
        let Some((device, product)) = user_name.rsplit_once('&') else { return Decision::Ignore };
        let secret = self.secrets.get(&**user_name);
        let key = secret.map_or(&self.decoy[..], |secret| secret.as_bytes());
        let signature = claim.sign_method.sign(key, &content(&claim, device, product));
        match (secret, is_digits_of(&signature, password)) {
            (Some(_), true) => Decision::Allow(Grant::default()),
            (Some(_), false) => Decision::Deny(ReasonCode::BadUserNameOrPassword),
            (None, _) => Decision::Unknown,
        }
    }
}

impl fmt::Debug for DeviceSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSecrets").field("devices", &self.secrets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ringmq_core::authorization::Subject;
    use ringmq_core::codec::ProtocolVersion;

    fn devices(text: &str) -> Result<DeviceSecrets, ElementFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.csv");
        std::fs::write(&path, text).unwrap();
        DeviceSecrets::load(&path)
    }

    fn decide(devices: &DeviceSecrets, client_id: &str, user_name: &str, password: &str) -> &'static str {
        let subject = Subject {
            user_name: Some(user_name.into()),
            ..Subject::new(client_id, "192.0.2.1:5".parse().unwrap())
        };
        let password = Some(Bytes::copy_from_slice(password.as_bytes()));
        match devices.decide(&Entry { subject, password, version: ProtocolVersion::V311 }) {
            Decision::Allow(_) => "allow",
            Decision::Deny(ReasonCode::BadUserNameOrPassword) => "deny",
            Decision::Ignore => "ignore",
            Decision::Unknown => "unknown",
            other => panic!("{other:?}"),
        }
    }

    // printf 'clientId12345deviceNamedeviceproductKeypktimestamp789' | openssl dgst -sha1 -hmac secret, and so on.
    const SHA1: &str = "fafd82a3d602b37fb0fa8b7892f24a477f851a14";
    const SHA256: &str = "6074a46a91b1ebb2cc4ea42790ad0e80202c9843859fc292e57c4eb19fad9e57";
    const SHA256_TIMELESS: &str = "c8cb3dcb7159682438e5fd9a9c34f398e41bb8edb6f222795e307bafee151090";

    #[test]
    fn devices_prove_their_secret() {
        let devices =
            devices("product_key,device_name,device_secret\npk,device,secret\npk,de&vice,s\n").unwrap();
        let sha1 = "12345|securemode=3,signmethod=hmacsha1,timestamp=789|";
        let sha256 = "12345|securemode=2,signmethod=hmacsha256,timestamp=789|";
        let timeless = "12345|signmethod=hmacsha256,securemode=3,_v=sdk-1|";
        let upper = SHA1.to_ascii_uppercase();
        let cases = [
            (sha1, "device&pk", SHA1, "allow"),
            (sha1, "device&pk", &upper, "allow"),
            (sha256, "device&pk", SHA256, "allow"),
            (timeless, "device&pk", SHA256_TIMELESS, "allow"),
            (sha256, "device&pk", SHA1, "deny"),
            (sha1, "device&pk", "", "deny"),
            (sha1, "de&vice&pk", SHA1, "deny"),
            (sha1, "device&other", SHA1, "unknown"),
            (sha1, "device", SHA1, "ignore"),
            ("12345", "device&pk", SHA1, "ignore"),
            ("12345|securemode=3,signmethod=hmacmd5,timestamp=789|", "device&pk", SHA1, "ignore"),
            ("12345|signmethod=hmacsha1,timestamp=789|", "device&pk", SHA1, "ignore"),
            ("12345|securemode=3,signmethod=hmacsha1,timestamp=789", "device&pk", SHA1, "ignore"),
            ("12346|securemode=3,signmethod=hmacsha1,timestamp=789|", "device&pk", SHA1, "deny"),
            ("12345|securemode=3,signmethod=hmacsha1,timestamp=780|", "device&pk", SHA1, "deny"),
        ];
        for (client_id, user_name, password, expected) in cases {
            assert_eq!(decide(&devices, client_id, user_name, password), expected, "{client_id} {user_name}");
        }
    }

    #[test]
    fn wrong_lines_are_named_and_secrets_not_shown() {
        let cases = [
            ("", ":1: expected the header"),
            ("product_key,device_name,device_secret\na,b\n", ":2: expected three values"),
            ("product_key,device_name,device_secret\n\na,,secret-word\n", ":3: product key"),
            ("product_key,device_name,device_secret\na,b,c\na,b,secret-word\n", ":3: the device stands"),
        ];
        for (text, expected) in cases {
            let error = devices(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret-word"), "{error}");
        }
        let shown =
            format!("{:?}", devices("product_key,device_name,device_secret\na,b,secret-word\n").unwrap());
        assert!(!shown.contains("secret-word"));
    }
}
