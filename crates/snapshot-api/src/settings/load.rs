//! Reading the settings: the defaults, then a file, then the environment.

use std::{collections::BTreeMap, env, path::Path};

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::{Settings, SettingsError, written::Written};

const DEFAULTS: &str = include_str!("../../../../config/default.toml");
const PREFIX: &str = "SNAPSHOT";
const SEPARATOR: &str = "__";

/// Reads the settings: the compiled-in defaults, over them the file, over both the environment.
///
/// # Errors
///
/// [`SettingsError`] names the setting that is misspelt or of no use.
pub(crate) fn load(file: Option<&Path>) -> Result<Settings, SettingsError> {
    let mut variables = Map::new();
    for (variable, value) in env::vars_os() {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with("SNAPSHOT__")) else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            return Err(SettingsError::NoText {
                variable: variable.to_owned(),
            });
        };
        variables.insert(variable.to_owned(), value);
    }
    layered(file, variables)
}

fn layered(file: Option<&Path>, variables: Map<String, String>) -> Result<Settings, SettingsError> {
    let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
    let known = leaves(&defaults.collect()?);
    let environment = Environment::with_prefix(PREFIX)
        .prefix_separator(SEPARATOR)
        .separator(SEPARATOR)
        .ignore_empty(true)
        .source(Some(variables));
    let mut layers = Config::builder().add_source(defaults);
    if let Some(path) = file {
        let file = File::from(path).format(FileFormat::Toml).required(true);
        let tree = file.collect().map_err(|error| unreadable(path, error))?;
        check(&known, &tree, |_| format!("the file {}", path.display()))?;
        layers = layers.add_source(file);
    }
    check(&known, &environment.collect()?, |key| {
        let variable = key.to_uppercase().replace('.', SEPARATOR);
        format!("the environment variable {PREFIX}{SEPARATOR}{variable}")
    })?;
    let written: Written = layers.add_source(environment).build()?.try_deserialize()?;
    written.checked()
}

/// Where a file can't be read. The line itself, which the parser tells as well, may be that of a secret.
fn unreadable(path: &Path, error: ConfigError) -> SettingsError {
    let ConfigError::FileParse { cause, .. } = error else {
        return error.into();
    };
    let told = cause.to_string();
    SettingsError::Malformed {
        file: path.display().to_string(),
        place: told.lines().next().unwrap_or("TOML parse error").to_owned(),
    }
}

/// What is set by a tree, by its dotted name: everything that is no table, and tables with nothing in them.
fn leaves(tree: &Map<String, Value>) -> BTreeMap<String, ValueKind> {
    let mut set = BTreeMap::new();
    for (key, value) in tree {
        match &value.kind {
            ValueKind::Table(inside) if !inside.is_empty() => {
                set.extend(
                    leaves(inside)
                        .into_iter()
                        .map(|(inner, kind)| (format!("{key}.{inner}"), kind)),
                );
            }
            kind => {
                set.insert(key.clone(), kind.clone());
            }
        }
    }
    set
}

/// Refuses what there is no setting for, and what is of another kind than the setting: the library would take `true` for 1 and
/// 0.5 for 1.
fn check(
    known: &BTreeMap<String, ValueKind>,
    tree: &Map<String, Value>,
    origin: impl Fn(&str) -> String,
) -> Result<(), SettingsError> {
    for (key, kind) in leaves(tree) {
        let Some(expected) = known.get(&key) else {
            let is_empty_table = matches!(kind, ValueKind::Table(_));
            let begins_others = known.keys().any(|it| it.starts_with(&format!("{key}.")));
            if is_empty_table && begins_others {
                continue;
            }
            let origin = origin(&key);
            return Err(SettingsError::Unknown { key, origin });
        };
        let problem = match (expected, &kind) {
            (ValueKind::String(_), ValueKind::String(_)) => None,
            (ValueKind::String(_), _) => Some("must be a text"),
            (_, ValueKind::String(text)) if text.trim().parse::<i128>().is_ok() => None,
            (_, ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_)) => None,
            _ => Some("must be a whole number"),
        };
        if let Some(problem) = problem {
            let origin = origin(&key);
            return Err(SettingsError::WrongKind { key, problem, origin });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, path::PathBuf};

    use log::LevelFilter;

    use super::*;
    use crate::settings::LogFormat;

    fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let variables = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        layered(None, variables)
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        from_environment(variables).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_can_be_used_as_they_are() {
        let settings = from_environment(&[]).unwrap();

        assert_eq!(settings.server.bind, "127.0.0.1:8080");
        assert_eq!(settings.data_dir, PathBuf::from("./data"));
        assert_eq!(settings.zone, "local-1");
        assert_eq!(settings.vault.chunk_size.bytes(), 131_072);
        assert!(settings.bootstrap.is_none());
    }

    #[test]
    fn the_example_for_production_can_be_used_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/production.example.toml");

        let settings = layered(Some(Path::new(path)), Map::new()).unwrap();

        assert_eq!(settings.log.format, LogFormat::Json);
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        write!(
            file,
            "zone = \"from-file\"\n[server]\nbind = \"127.0.0.1:1\"\nworkers = 3\n"
        )
        .unwrap();
        let variables = [("SNAPSHOT__SERVER__BIND".to_owned(), "127.0.0.1:2".to_owned())];

        let settings = layered(Some(file.path()), variables.into_iter().collect()).unwrap();

        assert_eq!(settings.server.bind, "127.0.0.1:2");
        assert_eq!(settings.server.workers.get(), 3);
        assert_eq!(settings.zone, "from-file");
        assert_eq!(settings.log.level, LevelFilter::Info);
    }

    #[test]
    fn a_misspelt_setting_is_named_with_where_it_comes_from() {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        write!(file, "[server]\nbnid = \"127.0.0.1:1\"\n").unwrap();

        let in_file = layered(Some(file.path()), Map::new()).unwrap_err().to_string();

        assert!(in_file.contains("`server.bnid`"), "{in_file}");
        assert!(in_file.contains(file.path().to_str().unwrap()), "{in_file}");
        assert_eq!(
            refused(&[("SNAPSHOT__LOG__LEVLE", "info")]),
            "there is no setting `log.levle`, which comes from the environment variable SNAPSHOT__LOG__LEVLE"
        );
        assert!(refused(&[("SNAPSHOT__SERVER", "x")]).contains("`server`"));
        assert!(refused(&[("SNAPSHOT__ZONE__NAME", "x")]).contains("`zone.name`"));
    }

    fn from_file(text: &str) -> Result<Settings, SettingsError> {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        file.write_all(text.as_bytes()).unwrap();
        layered(Some(file.path()), Map::new())
    }

    #[test]
    fn a_setting_of_the_wrong_kind_is_named_and_not_guessed_at() {
        for (text, told) in [
            ("[audit]\nkeep_days = true", "`audit.keep_days` must be a whole number"),
            ("[audit]\nkeep_days = 0.5", "`audit.keep_days` must be a whole number"),
            ("[quotas]\nsnapshots = [1]", "`quotas.snapshots` must be a whole number"),
            ("zone = true", "`zone` must be a text"),
            ("zone = 1", "`zone` must be a text"),
            ("[extra]", "`extra`"),
        ] {
            let refused = from_file(text).unwrap_err().to_string();
            assert!(refused.contains(told), "{text}: {refused}");
        }
        for variable in ["SNAPSHOT__AUDIT__KEEP_DAYS", "SNAPSHOT__QUOTAS__VOLUME_BYTES"] {
            for value in ["true", "0.5", "1e3", "0x10"] {
                assert!(refused(&[(variable, value)]).contains("must be a whole number"));
            }
        }
        from_file("[server]\n[audit]\nkeep_days = \"7\"").unwrap();
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_with_the_place_and_nothing_of_the_line() {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        write!(file, "[vault]\nmaster_key = s3cret\n").unwrap();

        let told = layered(Some(file.path()), Map::new()).unwrap_err();

        let file = file.path().display();
        assert_eq!(
            told.to_string(),
            format!("TOML parse error at line 2, column 14 in the file {file}")
        );
        assert!(!format!("{told:?}").contains("s3cret"));
    }

    #[test]
    fn a_setting_of_no_use_is_named() {
        for (variable, value, named) in [
            ("SNAPSHOT__SERVER__BIND", "nowhere", "`server.bind`"),
            ("SNAPSHOT__SERVER__BIND", "127.0.0.1:99999", "`server.bind`"),
            ("SNAPSHOT__SERVER__WORKERS", "many", "`server.workers`"),
            ("SNAPSHOT__SERVER__WORKERS", "513", "`server.workers`"),
            (
                "SNAPSHOT__SERVER__BLOCKING_THREADS",
                "100000",
                "`server.blocking_threads`",
            ),
            (
                "SNAPSHOT__DATABASE__CONNECTIONS",
                "4294967295",
                "`database.connections`",
            ),
            ("SNAPSHOT__TASKS__CONCURRENCY", "100000", "`tasks.concurrency`"),
            ("SNAPSHOT__TASKS__THREADS", "100000", "`tasks.threads`"),
            (
                "SNAPSHOT__LIMITS__STALLED_ANSWER_MS",
                "4294967295",
                "`limits.stalled_answer_ms`",
            ),
            ("SNAPSHOT__SERVER__BLOCKING_THREADS", "0", "`server.blocking_threads`"),
            ("SNAPSHOT__SERVER__SHUTDOWN_MS", "3600000", "`server.shutdown_ms`"),
            ("SNAPSHOT__LIMITS__CONNECTIONS", "-1", "`limits.connections`"),
            ("SNAPSHOT__LIMITS__JSON_BODY_BYTES", "0", "`limits.json_body_bytes`"),
            ("SNAPSHOT__DATABASE__CONNECTIONS", "0", "`database.connections`"),
            ("SNAPSHOT__VAULT__CHUNK_SIZE", "100000", "`vault.chunk_size`"),
            ("SNAPSHOT__VAULT__RECHECK_PERCENT", "101", "`vault.recheck_percent`"),
            ("SNAPSHOT__TASKS__LEASE_MS", "1", "`tasks.lease_ms`"),
            ("SNAPSHOT__TASKS__CONCURRENCY", "0", "`tasks.concurrency`"),
            ("SNAPSHOT__ZONE", "a\"b", "`zone`"),
            ("SNAPSHOT__LOG__LEVEL", "loud", "`log.level`"),
            ("SNAPSHOT__LOG__FORMAT", "xml", "`log.format`"),
            ("SNAPSHOT__BOOTSTRAP__ORGANIZATION", "0", "`bootstrap.token`"),
        ] {
            let sentence = refused(&[(variable, value)]);
            assert!(sentence.contains(named), "{variable}={value}: {sentence}");
        }
    }

    #[test]
    fn a_wrong_secret_is_named_but_not_repeated() {
        let organization = (
            "SNAPSHOT__BOOTSTRAP__ORGANIZATION",
            "6f418e5f-b42d-4423-a0b5-349c74c454a4",
        );

        let key = refused(&[("SNAPSHOT__VAULT__MASTER_KEY", "hunter2")]);
        let token = refused(&[("SNAPSHOT__BOOTSTRAP__TOKEN", "hunter2"), organization]);

        assert!(key.contains("`vault.master_key`") && !key.contains("hunter2"), "{key}");
        assert!(
            token.contains("`bootstrap.token`") && !token.contains("hunter2"),
            "{token}"
        );
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let digits = "12345678".repeat(8);
        let token = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
        let settings = from_environment(&[
            ("SNAPSHOT__VAULT__MASTER_KEY", &digits),
            ("SNAPSHOT__DATABASE__URL", "postgres://me:hunter2@db/x"),
            ("SNAPSHOT__BOOTSTRAP__TOKEN", token),
            (
                "SNAPSHOT__BOOTSTRAP__ORGANIZATION",
                "c6ff5501-eb35-44b8-aa01-8777211a830b",
            ),
        ])
        .unwrap();

        let shown = format!("{settings:?}");

        assert!(
            settings.vault.master_key.is_some(),
            "a key of digits alone is still a text"
        );
        for secret in [digits.as_str(), "hunter2", token] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let settings = from_environment(&[("SNAPSHOT__ZONE", ""), ("SNAPSHOT__VAULT__MASTER_KEY", "")]).unwrap();

        assert_eq!(settings.zone, "local-1");
        assert!(settings.vault.master_key.is_none());
    }
}
