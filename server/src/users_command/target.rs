//! Which file of users is meant, and how passwords are hashed in it.

use super::Place;
use super::error::UsersError;
use crate::config::Config;
use clap::{Args, ValueEnum};
use ringmq_access::authentication::password::{HashAlgorithm, SaltPosition};
use ringmq_access::authentication::scram::{ITERATIONS_DEFAULT, ScramMechanism};
use ringmq_access::authentication::users::UserFile;
use ringmq_access::authentication::{ElementConfig, PasswordBasedConfig, USERS_FILE};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of users.
#[derive(Debug)]
pub struct Target {
    /// Where it is.
    pub path: PathBuf,
    /// How passwords are hashed.
    pub algorithm: HashAlgorithm,
    /// Iterations of SCRAM keys, by mechanism.
    iterations: Vec<(ScramMechanism, u32)>,
}

impl Target {
    /// The file that was named, else that of the first element of the configuration that has one, else the default.
    pub fn find(config: &Config, place: &Place) -> Target {
        let chains = config.listener_authentication.values();
        let elements: Vec<&ElementConfig> = config.authentication.iter().chain(chains.flatten()).collect();
        let data_dir = &config.node.data_dir;
        let built_in = elements.iter().filter_map(|element| match element {
            ElementConfig::PasswordBased(config) => match &**config {
                PasswordBasedConfig::BuiltInDatabase(config) => Some(config),
                _ => None,
            },
            _ => None,
        });
        let scram = elements.iter().filter_map(|element| match element {
            ElementConfig::Scram(config) => Some(config),
            _ => None,
        });
        let scram_file = scram.clone().next().map(|scram| scram.file.as_path());
        let built_in_file = built_in.clone().next().map(|built_in| built_in.file.as_path());
        let configured = data_dir.join(built_in_file.or(scram_file).unwrap_or(Path::new(USERS_FILE)));
        let path = place.file.clone().unwrap_or(configured);
        // The element of this very file, so that hashes are made the way it expects them.
        let algorithm = built_in.clone().find(|built_in| data_dir.join(&built_in.file) == path);
        let algorithm = algorithm.map(|built_in| built_in.password_hash_algorithm.clone());
        Target {
            path,
            algorithm: algorithm.unwrap_or_default(),
            iterations: scram.map(|scram| (scram.algorithm, scram.iteration_count)).collect(),
        }
    }

    /// Iterations of new keys of a mechanism.
    pub fn iterations(&self, mechanism: ScramMechanism) -> u32 {
        let found = self.iterations.iter().find(|(configured, _)| *configured == mechanism);
        found.map_or(ITERATIONS_DEFAULT, |(_, iterations)| *iterations)
    }

    /// Opens the file to change it; its directory is made if it is missing.
    ///
    /// # Errors
    /// [`UsersError`].
    pub fn open(&self) -> Result<UserFile, UsersError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new("."));
        let failed = |source| UsersError::Directory { directory: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let owner = std::fs::metadata(directory).map_err(failed)?.uid();
        let user = rustix::process::geteuid().as_raw();
        if user != owner && user == 0 {
            return Err(UsersError::Owner { directory: directory.to_owned(), owner, user });
        }
        Ok(UserFile::open(&self.path)?)
    }
}

/// Another algorithm than the configured one.
#[derive(Debug, Args)]
pub struct AlgorithmArguments {
    /// How passwords are hashed, or hashes were made, if not as the configuration says.
    #[arg(long, value_enum)]
    algorithm: Option<AlgorithmWord>,
    /// Where the salt stands in what is digested.
    #[arg(long, value_enum)]
    salt_position: Option<PositionWord>,
}

/// An algorithm, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum AlgorithmWord {
    Argon2id,
    Bcrypt,
    Pbkdf2,
    Sha512,
    Sha256,
    Sha,
    Md5,
    Plain,
}

/// A place for the salt, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PositionWord {
    /// Before the password.
    Prefix,
    /// After it.
    Suffix,
    /// There is none.
    Disable,
}

impl AlgorithmArguments {
    /// The algorithm that was typed, or else the configured one.
    ///
    /// # Errors
    /// [`UsersError::SaltPosition`].
    pub fn apply(&self, configured: &HashAlgorithm) -> Result<HashAlgorithm, UsersError> {
        let name = self.algorithm.and_then(|word| word.to_possible_value());
        let named = name.as_ref().and_then(|value| HashAlgorithm::named(value.get_name()));
        let mut algorithm = match named {
            // The same kind with the configured costs.
            Some(named) if std::mem::discriminant(&named) == std::mem::discriminant(configured) => {
                configured.clone()
            }
            Some(named) => named,
            None => configured.clone(),
        };
        let Some(position) = self.salt_position else { return Ok(algorithm) };
        let position = match position {
            PositionWord::Prefix => SaltPosition::Prefix,
            PositionWord::Suffix => SaltPosition::Suffix,
            PositionWord::Disable => SaltPosition::Disable,
        };
        match &mut algorithm {
            HashAlgorithm::Md5 { salt_position }
            | HashAlgorithm::Sha { salt_position }
            | HashAlgorithm::Sha256 { salt_position }
            | HashAlgorithm::Sha512 { salt_position } => *salt_position = position,
            _ => return Err(UsersError::SaltPosition),
        }
        Ok(algorithm)
    }
}
