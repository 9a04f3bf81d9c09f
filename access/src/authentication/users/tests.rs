//! Users in files: what is stored is found again, what is wrong is named by its line, and nobody learns who exists.

use super::*;
use crate::authentication::chain::{Authenticator, Decision};
use crate::authentication::password::{Argon2idCost, HashAlgorithm, PasswordHash};
use crate::authentication::scram::{ScramKeys, ScramMechanism};
use bytes::Bytes;
use proptest::prelude::*;
use ringmq_core::authorization::Subject;
use ringmq_core::codec::ProtocolVersion;
use ringmq_shards::access::Entry;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

fn sha256() -> HashAlgorithm {
    HashAlgorithm::named("sha256").unwrap()
}

fn row(user_id: &str, password: &str) -> Row {
    let password = Some(sha256().hash(password.as_bytes()).unwrap());
    Row { user_id: user_id.into(), is_superuser: user_id.starts_with('r'), password, scram: Vec::new() }
}

fn written(table: &UserTable) -> String {
    let mut text = Vec::new();
    table.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn reread(table: &UserTable) -> UserTable {
    UserTable::parse(written(table).into_bytes()).unwrap()
}

#[test]
fn users_are_found_after_being_written_and_read() {
    let mut table = UserTable::empty().unwrap();
    let names = ["alice", "root", "a b", "#x", "%41", "tab\tline\nend", "é日本", "-", "A"];
    for name in names {
        assert!(!table.put(&row(name, name)).unwrap());
    }
    let keys = ScramKeys::derive(ScramMechanism::Sha512, 4096, "pw").unwrap();
    let scram = Row { user_id: "scram".into(), is_superuser: false, password: None, scram: vec![keys] };
    table.put(&scram).unwrap();
    for table in [&table, &reread(&table)] {
        assert_eq!(table.len(), names.len() + 1);
        for name in names {
            let found = table.find(name).unwrap();
            assert_eq!((&*found.user_id, found.is_superuser), (name, name == "root"));
            assert!(found.password.unwrap().matches(name.as_bytes()));
        }
        assert_eq!(table.find("scram").unwrap(), scram);
        for unknown in ["", "Alice", "alic", "alicee", "A\tx", "ringmq-users"] {
            assert!(table.find(unknown).is_none(), "{unknown}");
        }
    }
}

#[test]
fn comments_stay_and_what_was_removed_goes() {
    let mut table = UserTable::empty().unwrap();
    table.put(&row("a", "1")).unwrap();
    let text = format!("{}# the others\n\n", written(&table)) + "b\t-\t-\n";
    let mut table = UserTable::parse(text.into_bytes()).unwrap();
    assert!(table.remove("a") && !table.remove("a"));
    assert!(table.put(&row("b", "2")).unwrap());
    assert_eq!(table.rows().map(|row| row.user_id).collect::<Vec<_>>(), ["b".into()]);
    let text = written(&table);
    assert!(text.contains("# the others\n") && !text.contains("a\t") && text.matches("b\t").count() == 1);
    assert!(reread(&table).find("b").unwrap().password.unwrap().matches(b"2"));
}

#[test]
fn wrong_lines_are_named_and_not_shown() {
    let header = written(&UserTable::empty().unwrap());
    let cases = [
        ("x", "line 2: expected a user id"),
        ("x\t-", "line 2: expected a user id"),
        ("\t-\t-", "line 2: the user id must be"),
        ("%6\t-\t-", "line 2: the user id must be"),
        ("%41\t-\t-", "line 2: the user id must be"),
        ("a b\t-\t-", "line 2: the user id must be"),
        ("x\tyes\t-", "line 2: expected `superuser` or `-`"),
        ("x\t-\tsecret-word", "line 2: the password hash is of no known kind"),
        ("x\t-\t-\tsecret-word", "line 2: expected SCRAM-SHA-256"),
        ("\n#c\nx\t-\t-\nx\t-\t-", "line 5: the user stands in an earlier line"),
    ];
    for (line, expected) in cases {
        let error = UserTable::parse(format!("{header}{line}\n").into_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{line}: {error}");
        assert!(!error.contains("secret-word"), "{error}");
    }
    for text in ["", "ringmq-users 2 x\n", "ringmq-users 1 \n", "users\n"] {
        assert_eq!(UserTable::parse(text.into()).unwrap_err(), TableError::Header, "{text}");
    }
    let bytes = [header.as_bytes(), b"a\t-\t-\n\xff"].concat();
    assert_eq!(UserTable::parse(bytes).unwrap_err(), TableError::Encoding { line: 3 });
}

proptest! {
    #[test]
    fn a_table_is_a_map(steps in prop::collection::vec(("\\PC{1,3}|[ab]", any::<bool>()), 0..60)) {
        let mut table = UserTable::empty().unwrap();
        let mut model = BTreeMap::new();
        for (number, (name, is_put)) in steps.iter().enumerate() {
            if *is_put {
                let row = row(name, &number.to_string());
                prop_assert_eq!(table.put(&row).unwrap(), model.insert(name.clone(), row).is_some());
            } else {
                prop_assert_eq!(table.remove(name), model.remove(name).is_some());
            }
        }
        let table = reread(&table);
        prop_assert_eq!(table.len(), model.len());
        for (name, row) in model {
            prop_assert_eq!(table.find(&name), Some(row));
        }
    }

    #[test]
    fn no_text_panics(text in "(ringmq-users 1 [A-Za-z0-9+/]{0,44}\n)?[ -~\t\n]{0,80}") {
        let _ = UserTable::parse(text.into_bytes());
    }
}

fn entry(user_name: Option<&str>, password: Option<&[u8]>) -> Entry {
    let subject = Subject {
        user_name: user_name.map(Into::into),
        ..Subject::new("client", "192.0.2.1:5".parse().unwrap())
    };
    Entry { subject, password: password.map(Bytes::copy_from_slice), version: ProtocolVersion::V5 }
}

/// What is compared, as kind and cost, and whether it may let anybody in.
fn compared(element: &BuiltInDatabase, user_name: &str) -> (PasswordHash, bool) {
    match element.decide(&entry(Some(user_name), Some(b"pw"))) {
        Decision::Compare(comparison) => (comparison.stored, comparison.granted.is_some()),
        decision => panic!("{decision:?}"),
    }
}

#[test]
fn known_and_unknown_users_cost_one_comparison_of_the_same_kinds() {
    let argon2 = HashAlgorithm::Argon2id(Argon2idCost { memory_kib: 64, iterations: 1, parallelism: 1 });
    let mut table = UserTable::empty().unwrap();
    let empty = BuiltInDatabase::new(Arc::new(reread(&table)), UserIdType::UserName, argon2.clone());
    let (decoy, may_enter) = compared(&empty, "nobody");
    assert_eq!((decoy.kind(), may_enter), ("argon2id", false));
    for number in 0..60 {
        let algorithm = if number % 3 == 0 { sha256() } else { argon2.clone() };
        let password = Some(algorithm.hash(b"pw").unwrap());
        let user_id = format!("user-{number}").into();
        table.put(&Row { user_id, is_superuser: false, password, scram: Vec::new() }).unwrap();
    }
    let element = BuiltInDatabase::new(Arc::new(table), UserIdType::UserName, argon2);
    let mut kinds = BTreeMap::new();
    for number in 0..300 {
        let name = format!("unknown-{number}");
        let (decoy, may_enter) = compared(&element, &name);
        assert!(!may_enter, "whatever the password, a decoy admits nobody");
        assert!(compared(&element, &name).0 == decoy, "the same user always costs the same");
        *kinds.entry(decoy.kind()).or_insert(0) += 1;
    }
    // Unknown users are as expensive as known ones are: one in three cheap, two in three dear.
    assert_eq!(kinds.len(), 2);
    assert!((40..=160).contains(&kinds["sha256"]), "{kinds:?}");
    assert_eq!(compared(&element, "user-1").0.kind(), "argon2id");
    assert!(compared(&element, "user-1").1);
}

#[test]
fn without_name_or_password_nothing_is_compared() {
    let mut table = UserTable::empty().unwrap();
    table.put(&row("known", "pw")).unwrap();
    table.put(&row("client", "pw")).unwrap();
    let table = Arc::new(table);
    let by_name = BuiltInDatabase::new(Arc::clone(&table), UserIdType::UserName, sha256());
    assert!(matches!(by_name.decide(&entry(None, Some(b"pw"))), Decision::Ignore));
    for name in ["known", "unknown"] {
        assert!(matches!(by_name.decide(&entry(Some(name), None)), Decision::Unknown));
    }
    let by_id = BuiltInDatabase::new(table, UserIdType::ClientId, sha256());
    let Decision::Compare(comparison) = by_id.decide(&entry(None, Some(b"pw"))) else { panic!() };
    assert!(comparison.granted.is_some() && comparison.stored.matches(b"pw"));
}

proptest! {
    #[test]
    fn no_file_to_import_panics(
        name in "a(\\.csv|\\.json|)",
        is_hash in any::<bool>(),
        text in "(user_id,password,password_hash,salt\n|\\[|a:\\$7\\$1\\$)?[ -~\n\"]{0,60}|\\PC{0,20}"
    ) {
        let kind = if is_hash { ImportKind::Hash } else { ImportKind::Plain };
        let _ = Importing::new().import(&name, kind, &text);
    }
}

struct Importing {
    folder: tempfile::TempDir,
    table: UserTable,
    algorithm: HashAlgorithm,
    keeps_existing: bool,
}

impl Importing {
    fn new() -> Importing {
        let folder = tempfile::tempdir().unwrap();
        Importing { folder, table: UserTable::empty().unwrap(), algorithm: sha256(), keeps_existing: false }
    }

    fn import(&mut self, name: &str, kind: ImportKind, text: &str) -> Result<Imported, String> {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let rules = ImportRules { algorithm: &self.algorithm, keeps_existing: self.keeps_existing };
        let imported = import(&mut self.table, &path, ImportFormat::of(&path), kind, rules);
        imported.map_err(|error| error.to_string())
    }

    fn admits(&self, user_id: &str, password: &str) -> bool {
        let row = self.table.find(user_id);
        row.and_then(|row| row.password).is_some_and(|stored| stored.matches(password.as_bytes()))
    }
}

/// `echo -n saltpassword | sha256sum`
const SALTED: &str = "13601bda4ea78e55a07b98866d2be6be0744e3866f13c00c811cab608a28f322";

#[test]
fn csv_json_and_mosquitto_files_are_imported() {
    let mut importing = Importing::new();
    let csv = "user_id,password,is_superuser\r\nalice,\"a,\"\"b\",true\nbob,pw\n";
    let done = importing.import("plain.csv", ImportKind::Plain, csv).unwrap();
    assert_eq!(done, Imported { added: 2, ..Imported::default() });
    assert!(importing.admits("alice", "a,\"b") && importing.admits("bob", "pw"));
    assert!(importing.table.find("alice").unwrap().is_superuser);
    let csv = format!("user_id,password_hash,salt,is_superuser\ncarol,{SALTED},salt,1\nbob,{SALTED},salt,\n");
    let done = importing.import("hash.csv", ImportKind::Hash, &csv).unwrap();
    assert_eq!(done, Imported { added: 1, replaced: 1, kept: 0 });
    assert!(importing.admits("bob", "password") && importing.admits("carol", "password"));
    let json =
        format!(r#"[{{"user_id":"dave","password_hash":"{SALTED}","salt":"salt","is_superuser":true}}]"#);
    importing.import("hash.json", ImportKind::Hash, &json).unwrap();
    assert!(importing.admits("dave", "password") && importing.table.find("dave").unwrap().is_superuser);
    importing.import("plain.json", ImportKind::Plain, r#"[{"user_id":"eve","password":"x"}]"#).unwrap();
    assert!(importing.admits("eve", "x"));
    importing.keeps_existing = true;
    let csv = "user_id,password\nbob,new\nfrank,new\n";
    let done = importing.import("plain.csv", ImportKind::Plain, csv).unwrap();
    assert_eq!(done, Imported { added: 1, replaced: 0, kept: 1 });
    assert!(importing.admits("bob", "password") && importing.admits("frank", "new"));
}

#[test]
fn a_file_of_mosquitto_passwd_is_imported() {
    // mosquitto_passwd -b file user pw, and with -H sha512, of Mosquitto 2.0.
    let iterated = "\
user:$7$101$CHxw7uov/o3XvT6X$d3CSkMcQXypNSLM0kpdYgyPvm++Y1b5qHrG1j4TDYg2JuvMOlCfjbsZnVF3ySLeD7VMiESTJKRsS0KpwJlSngw==";
    let salted = "\
dev:$6$GYu2cKKe02RsvAcB$QSQcGl6smBHvK1Ulg6ocu8UtXxKG5QrsaDLx9UfxBQn/Bn0oJccv8nZCde4iIK6ZghijZY2PpomstMXkRKfUmQ==";
    let mut importing = Importing::new();
    let text = format!("# users\n{iterated}\r\n\n{salted}\n");
    importing.import("password_file", ImportKind::Hash, &text).unwrap();
    for user in ["user", "dev"] {
        assert!(importing.admits(user, "pw") && !importing.admits(user, "pq"));
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_by_line_and_not_shown() {
    let long = format!("user_id,password\nok,1\n{},1\n", "x".repeat(USER_ID_BYTES_MAX + 1));
    let cases = [
        ("a.csv", ImportKind::Plain, "", ":1: expected the header user_id,password,is_superuser"),
        (
            "a.csv",
            ImportKind::Hash,
            "user_id,password\n",
            ":1: expected the header user_id,password_hash,salt",
        ),
        ("a.csv", ImportKind::Plain, "user_id,password\nok,1\n,secret-word\n", ":3: the user id must be"),
        ("a.csv", ImportKind::Plain, "user_id,password\nok,1\n\nx\n", ":4: the password is missing"),
        (
            "a.csv",
            ImportKind::Plain,
            "user_id,password,is_superuser\nx,1,maybe\n",
            ":2: is_superuser must be",
        ),
        ("a.csv", ImportKind::Hash, "user_id,password_hash\nx,secret-word\n", ":2: the hash is not the hexa"),
        ("a.csv", ImportKind::Plain, &long, ":3: the user id must be"),
        ("a.json", ImportKind::Plain, "[\n{\"user_id\":1}]", ":2: not well-formed"),
        ("a.json", ImportKind::Plain, "[{\"user_id\":\"x\"}]", ":entry 1: the password is missing"),
        ("a.json", ImportKind::Plain, "secret-word", ":1: not well-formed"),
        ("file", ImportKind::Hash, "ok:$6$YQ==$\n", ":1: the mosquitto hash is not well-formed"),
        ("file", ImportKind::Hash, "#c\nsecret-word\n", ":2: not well-formed: expected user:hash"),
    ];
    for (name, kind, text, expected) in cases {
        let error = Importing::new().import(name, kind, text).unwrap_err();
        assert!(error.contains(&format!("{name}{expected}")), "{text}: {error}");
        assert!(error.ends_with("; nothing was imported") && !error.contains("secret-word"), "{error}");
    }
}

#[test]
fn one_process_at_a_time_changes_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.db");
    let mut file = UserFile::open(&path).unwrap();
    file.put(&row("a", "1")).unwrap();
    file.save().unwrap();
    assert!(matches!(UserFile::open(&path), Err(UserFileError::Busy { .. })));
    assert!(load(&path).unwrap().has("a"), "readers do not wait");
    drop(file);
    assert!(UserFile::open(&path).unwrap().table.has("a"));
    std::fs::write(&path, "nonsense\n").unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("users.db:line 1: expected `ringmq-users 1`"), "{error}");
}
