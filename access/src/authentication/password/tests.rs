//! Stored passwords: known answers of each kind, and texts that are none.

use super::*;

const CHEAP: Argon2idCost = Argon2idCost { memory_kib: 64, iterations: 1, parallelism: 1 };

fn algorithms() -> Vec<HashAlgorithm> {
    let mut all = vec![
        HashAlgorithm::Argon2id(CHEAP),
        HashAlgorithm::Bcrypt { salt_rounds: 5 },
        HashAlgorithm::Plain {},
    ];
    for salt_position in [SaltPosition::Prefix, SaltPosition::Suffix, SaltPosition::Disable] {
        all.push(HashAlgorithm::Md5 { salt_position });
        all.push(HashAlgorithm::Sha { salt_position });
        all.push(HashAlgorithm::Sha256 { salt_position });
        all.push(HashAlgorithm::Sha512 { salt_position });
    }
    for mac_fun in MacFunction::ALL {
        all.push(HashAlgorithm::Pbkdf2 { mac_fun, iterations: 3, dk_length: None });
        all.push(HashAlgorithm::Pbkdf2 { mac_fun, iterations: 3, dk_length: Some(7) });
    }
    all
}

#[test]
fn a_hash_knows_its_password_and_survives_as_text() {
    for algorithm in algorithms() {
        let hash = algorithm.hash(b"s3cret \xff").unwrap();
        let again: PasswordHash = hash.to_string().parse().unwrap();
        assert_eq!(again.to_string(), hash.to_string(), "{algorithm:?}");
        assert!(again == hash, "{algorithm:?}");
        assert!(again.matches(b"s3cret \xff"), "{algorithm:?}");
        for wrong in [&b"s3cret"[..], b"", b"S3cret \xff"] {
            assert!(!again.matches(wrong), "{algorithm:?}");
        }
    }
}

#[test]
fn a_decoy_is_of_the_same_kind_and_matches_nothing() {
    for algorithm in algorithms() {
        let (decoy, hash) = (algorithm.decoy(), algorithm.hash(b"x").unwrap());
        assert_eq!(decoy.kind(), hash.kind());
        let _: PasswordHash = decoy.to_string().parse().unwrap();
        assert!(!decoy.matches(b"x") && (decoy.kind() == "plain" || !decoy.matches(b"")), "{algorithm:?}");
    }
}

#[test]
fn known_answers() {
    let argon2 = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let bcrypt = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let pbkdf2 = "$pbkdf2-sha$i=2,l=20$c2FsdA$6mwBTcctb4zNHtkqzh1B8NjeiVc";
    for (text, password) in [(argon2, "password"), (bcrypt, "U*U"), (pbkdf2, "password")] {
        let hash: PasswordHash = text.parse().unwrap();
        assert!(hash.matches(password.as_bytes()), "{text}");
        assert!(!hash.matches(b"other"), "{text}");
    }
}

#[test]
fn columns_are_hexadecimal_digits_of_the_algorithm() {
    // echo -n saltpassword | sha256sum, echo -n password | md5sum, and so on.
    let cases = [
        ("sha256", "13601bda4ea78e55a07b98866d2be6be0744e3866f13c00c811cab608a28f322", "salt", "prefix"),
        ("sha256", "7A37B85C8918EAC19A9089C0FA5A2AB4DCE3F90528DCDEEC108B23DDF3607B99", "salt", "suffix"),
        ("md5", "5f4dcc3b5aa765d61d8327deb882cf99", "", "disable"),
        ("sha", "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "ignored", "disable"),
    ];
    for (name, hash, salt, position) in cases {
        let salt_position = match position {
            "prefix" => SaltPosition::Prefix,
            "suffix" => SaltPosition::Suffix,
            _ => SaltPosition::Disable,
        };
        let algorithm = match name {
            "sha256" => HashAlgorithm::Sha256 { salt_position },
            "md5" => HashAlgorithm::Md5 { salt_position },
            _ => HashAlgorithm::Sha { salt_position },
        };
        let stored = from_columns(&algorithm, hash, salt).unwrap();
        assert!(stored.matches(b"password"), "{name} {position}");
    }
    let pbkdf2 = HashAlgorithm::Pbkdf2 { mac_fun: MacFunction::Sha, iterations: 2, dk_length: None };
    let stored = from_columns(&pbkdf2, "ea6c", "salt");
    assert_eq!(stored.unwrap_err(), HashError::Hex("pbkdf2"));
    let stored = from_columns(&pbkdf2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957", "salt").unwrap();
    assert!(stored.matches(b"password"));
    let sha256 = HashAlgorithm::named("sha256").unwrap();
    assert_eq!(from_columns(&sha256, "abc", "").unwrap_err(), HashError::Hex("sha256"));
    let own = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert_eq!(from_columns(&sha256, own, "").unwrap().kind(), "bcrypt");
    let plain = from_columns(&HashAlgorithm::Plain {}, "$2b$", "").unwrap();
    assert!(plain.matches(b"$2b$"));
}

#[test]
fn mosquitto_lines_are_understood() {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let salt = b"twelve bytes";
    let sha512 = Digest::Sha512.of_salted(b"pw", salt, SaltPosition::Suffix);
    let text = format!("$6${}${}", encode(salt), encode(&sha512));
    assert!(from_mosquitto(&text).unwrap().matches(b"pw"));
    let mut key = [0; 64];
    MacFunction::Sha512.pbkdf2(b"pw", salt, 101, &mut key);
    let text = format!("$7$101${}${}", encode(salt), encode(&key));
    let stored = from_mosquitto(&text).unwrap();
    assert!(stored.matches(b"pw") && !stored.matches(b"pq"));
    for wrong in ["$6$", "$6$a$b", "$7$101$YQ==$YQ==", "$7$x$YQ==$YQ==", "pw", "$7$101$YQ==", ""] {
        assert!(from_mosquitto(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn wrong_texts_are_refused_without_being_shown() {
    let texts = [
        "",
        "secret-word",
        "$",
        "$$",
        "$unknown$secret-word",
        "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAA",
        "$argon2id$v=19$m=64,t=1$c29tZXNhbHQ$AAAAAAAA",
        "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$AAAAAAAA",
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAA$more",
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05$short",
        "$2b$05$€€€€€€€€€€€€€€€€€€",
        "$pbkdf2-sha256$i=0,l=1$$AA",
        "$pbkdf2-sha256$i=1,l=2$$AA",
        "$pbkdf2-none$i=1,l=1$$AA",
        "$sha256$pos=prefix$$AA",
        "$sha256$pos=middle$$AA",
        "$plain$*",
    ];
    for text in texts {
        let error = text.parse::<PasswordHash>().unwrap_err();
        assert!(!error.to_string().contains("secret-word"), "{error}");
    }
    let plain = HashAlgorithm::Plain {}.hash(b"secret-word").unwrap();
    assert_eq!(format!("{plain:?}"), "PasswordHash(plain)");
}

#[test]
fn costs_beyond_the_bounds_are_refused() {
    let beyond = [
        HashAlgorithm::Bcrypt { salt_rounds: 4 },
        HashAlgorithm::Bcrypt { salt_rounds: 17 },
        HashAlgorithm::Pbkdf2 { mac_fun: MacFunction::Sha256, iterations: 0, dk_length: None },
        HashAlgorithm::Pbkdf2 { mac_fun: MacFunction::Sha256, iterations: 1, dk_length: Some(0) },
        HashAlgorithm::Argon2id(Argon2idCost { memory_kib: 7, ..CHEAP }),
        HashAlgorithm::Argon2id(Argon2idCost { parallelism: 0, ..CHEAP }),
    ];
    for algorithm in beyond {
        assert!(algorithm.hash(b"x").is_err(), "{algorithm:?}");
    }
}
