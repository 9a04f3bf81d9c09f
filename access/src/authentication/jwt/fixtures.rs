//! Keys and tokens made with openssl for these tests alone. The private halves were thrown away.

/// `openssl pkey -pubout`
pub const RSA: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAm85zadilfDmO8sujckoj
mxAC3QllC1ScRuM9cQtenXTJqYUFQPQ3v9vJVt5JcgSddRxvYZ8qHUeICqXZgn3e
ThTsNd5dxWteE9IN6eI4JGz7x+3WZHeakFhss28BioWaZnBRThTeOaCwlPa1+giE
0847X/G5Y5xjbyGRmlFfAKisMk38eK1eUSSXjcgT0j5B5JnIDkhatSiGtlcTGU0J
OReMlAwAccG/qWtu8vPM4xoxVeY4lm5e+aNWqxDTIhEv9yusYaE+XnO0C+be45Hw
1LFPU5dSbMeo28pg3NVijzpm52o+663kXZdpkvdMhA1tFVUVYBTZh12KtQlLdCl4
gwIDAQAB
-----END PUBLIC KEY-----
";

/// `openssl pkey -pubout`
pub const P256: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkzIoJRCFSMLhwSznBTlxNyKyS50v
5eznACY3ggPVJu2Rvu45oTfAp/O+ahOn/LrGfj8+x3xSEI8WxXiyBLhr0g==
-----END PUBLIC KEY-----
";

/// `openssl pkey -pubout`
pub const P384: &str = "\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEjosqW7rscGVKUHSjZafE77lwzKQiizCB
ofwkHD9NUxAfrYEugqI1R6WIpLqsgMWRtP2wmaOzoTWbcL9CrMxF9giOYtQs6i2l
It1I8rd9iz0gGcsZzsYL50nFlyU0KC9j
-----END PUBLIC KEY-----
";

/// `openssl pkey -pubout`
pub const ED25519: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAIM5kc0j5/lf6Gtop/H8KQN3QkzvTdwAXygxqYwBzmqU=
-----END PUBLIC KEY-----
";

/// Signed with RS256: `{"sub":"device"}`
pub const RS256_TOKEN: &str = "\
eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InIxIn0.eyJzdWIiOiJkZXZpY2UifQ.km-bbecFxS3h7WZdYlMqrcT32\
b1sXNoP3JjJr888_8rPajb1h0rIoXtLawvUPnB6BQjpg3kqGaBpUdKGVg02fUYFl7D9-A4XKNic7DCV1X1Oog3A-MF7LRkqlY05X\
H-6XPiN6r_FwYQXTvEZGMmPXpOdtpDG4cIv6LOvJaAdCGw3boe2BhrB4OF5LEPgNyGbUa3t7K2MjhUymHiU39VK1UoS71L5yg3MS\
o1jhwkyYGSc8EfZBoHX3STzzwsaZbcX3E262RXnJhoFfjksGmAVnrY6uktvVsi4Ni8_OzZuLVrJVN4bR0YuxU53ZdHCJNLIuU3zZ\
VvPVmFZvrKSYhG2sA";

/// Signed with PS256: `{"sub":"device"}`
pub const PS256_TOKEN: &str = "\
eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkZXZpY2UifQ.FDcHom8upKerRHCrP1Rr3hiFnM8lvmMgMnWS6ICk\
Qe5gw_CLjo8kKiNK3x6QZckBHVqAezI49PmgGKif8sX-KFxK0HrTma_X18jgwq0MlAWZ91_5gahHSfn0mBi0WRRMOiulou9Q72ky\
r5DCoK6lOrhiZOxmP87rSrfnE63WiWXepI2CGkAAivLxu1YsZnhXbxnEq6f0qex4xA585oD4F3GombgFJFLphbLNOgGm7TqxxgGn\
DtTo8v6IkmtGt91iR_YmpcQlt46Yy7sB7KAAap4VHKIH6VssJATnlvrc21CiuyNDIRXd_6Wu2LPacROlkJQxewi1PbZuTQ0hIwOM\
Uw";

/// Signed with ES256: `{"sub":"device"}`
pub const ES256_TOKEN: &str = "\
eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImUxIn0.eyJzdWIiOiJkZXZpY2UifQ.rXjzZuq09Ja9t9M8d4UXNjTE_\
kV6_1dZd6Igzp8jOCuQrTvEczB9Bn-i8GLjSbzJkRflOjGMwxNQdRzpuPcMaQ";

/// Signed with ES384: `{"sub":"device"}`
pub const ES384_TOKEN: &str = "\
eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkZXZpY2UifQ.1Ac6EaHSSfrfVhTftkl4gILE4ZSMvRX_h1cCcFl_\
VBaopu-xVGG1WEDU-21yohyp93BJ0I9rDolOW-EKm1TA0E5hs9rIzMYvQG1CRtaDNhcNtiLWd0EfCfYeZsI6FgC6";

/// Signed with EdDSA: `{"sub":"device"}`
pub const EDDSA_TOKEN: &str = "\
eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkZXZpY2UifQ.8xcJoNtiiQiL0QryQP6L_BH70qIpDgkBjFJI6Rfn\
1MGA9LG2KSihAH1FAdM02rbpwi30SbvQnHwle1vX5y5HBQ";

/// The RSA and the P-256 key, a secret, and a key of a kind that is not known.
pub const JWKS: &str = r#"{
 "keys": [
  {
   "kty": "oct",
   "k": "c2VjcmV0",
   "kid": "r1"
  },
  {
   "kty": "RSA",
   "kid": "r1",
   "use": "sig",
   "alg": "RS256",
   "n": "m85zadilfDmO8sujckojmxAC3QllC1ScRuM9cQtenXTJqYUFQPQ3v9vJVt5JcgSddRxvYZ8qHUeICqXZgn3eThTsNd5dxWteE9IN6eI4JGz7x-3WZHeakFhss28BioWaZnBRThTeOaCwlPa1-giE0847X_G5Y5xjbyGRmlFfAKisMk38eK1eUSSXjcgT0j5B5JnIDkhatSiGtlcTGU0JOReMlAwAccG_qWtu8vPM4xoxVeY4lm5e-aNWqxDTIhEv9yusYaE-XnO0C-be45Hw1LFPU5dSbMeo28pg3NVijzpm52o-663kXZdpkvdMhA1tFVUVYBTZh12KtQlLdCl4gw",
   "e": "AQAB"
  },
  {
   "kty": "EC",
   "kid": "e1",
   "crv": "P-256",
   "x": "kzIoJRCFSMLhwSznBTlxNyKyS50v5eznACY3ggPVJu0",
   "y": "kb7uOaE3wKfzvmoTp_y6xn4_Psd8UhCPFsV4sgS4a9I"
  },
  {
   "kty": "OKP",
   "crv": "X448",
   "x": "AA"
  }
 ]
}"#;
