//! Which database a URL means. Whatever is shown of a URL leaves its password out.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// A database, as an URL named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Sqlite(SqliteAddress),
    Postgres(PostgresAddress),
}

/// A URL that names no database. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidUrl {
    /// Nothing at all.
    #[error("the database URL is empty")]
    Empty,
    /// Most likely a mistyped URL, which may hold a password.
    #[error("the database URL has no scheme: write sqlite:///absolute/path, sqlite:relative/path or postgres://…")]
    NoScheme,
    /// Not one of the known schemes.
    #[error("the database URL's scheme is \"{scheme}\"; known are sqlite, postgres and postgresql")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
    /// Connections of one process would each have a database of their own.
    #[error("an SQLite database in memory can't be shared: name a file")]
    InMemory,
    /// The path names a host.
    #[error("an SQLite URL has no host: write sqlite:///absolute/path or sqlite:relative/path")]
    HostInPath,
    /// No server can be read from it.
    #[error("the database URL reads postgres://user:password@host:port/database")]
    Malformed,
}

/// An SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqliteAddress(PathBuf);

/// A PostgreSQL server and a database on it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresAddress {
    url: String,
    /// The URL without its password and its parameters.
    shown: String,
    /// What must not be shown: the password, as written and as meant.
    secrets: Vec<String>,
}

impl Address {
    /// Reads a URL: `sqlite:///path`, `sqlite:path`, an absolute path, `postgres://…` or `postgresql://…`.
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidUrl> {
        match scheme_of(url) {
            None if url.is_empty() => Err(InvalidUrl::Empty),
            None if url.starts_with('/') => SqliteAddress::parse(url).map(Self::Sqlite),
            None => Err(InvalidUrl::NoScheme),
            Some(("sqlite", rest)) => SqliteAddress::parse_rest(rest).map(Self::Sqlite),
            Some(("postgres" | "postgresql", rest)) => PostgresAddress::parse(url, rest).map(Self::Postgres),
            Some((scheme, _)) => Err(InvalidUrl::UnknownScheme {
                scheme: scheme.to_owned(),
            }),
        }
    }
}

/// The scheme of a URL and what comes after its colon. A path with a colon in it has a slash before.
fn scheme_of(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.'));
    is_scheme.then_some((scheme, rest))
}

impl SqliteAddress {
    fn parse_rest(rest: &str) -> Result<Self, InvalidUrl> {
        match rest.strip_prefix("//") {
            Some(path) if path.starts_with('/') => Self::parse(path),
            Some(_) => Err(InvalidUrl::HostInPath),
            None => Self::parse(rest),
        }
    }

    fn parse(path: &str) -> Result<Self, InvalidUrl> {
        match path {
            "" => Err(InvalidUrl::Empty),
            ":memory:" => Err(InvalidUrl::InMemory),
            path => Ok(Self(path.into())),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file as SQLite takes it. A relative path begins with a dot, so that none is read as `file:` URL.
    pub(crate) fn file_name(&self) -> String {
        let path = self.0.to_string_lossy();
        if self.0.is_absolute() {
            path.into_owned()
        } else {
            format!("./{path}")
        }
    }
}

impl PostgresAddress {
    fn parse(url: &str, rest: &str) -> Result<Self, InvalidUrl> {
        let rest = rest.strip_prefix("//").ok_or(InvalidUrl::Malformed)?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let first_at = parameters.split_once('@');
        let is_cut_short = first_at.is_some_and(|(before, _)| !before.contains('='));
        if database.contains('@') || login.contains('@') || is_cut_short {
            // A slash, an @ or a ? in a password that is not written as %2F, %40 or %3F: what lies where can't be told.
            return Err(InvalidUrl::Malformed);
        }
        let in_parameters = parameters
            .split('&')
            .filter_map(|parameter| parameter.split_once('='))
            .filter(|(name, _)| name.contains("password"))
            .map(|(_, value)| value);
        let secrets = std::iter::once(password)
            .chain(in_parameters)
            .flat_map(|secret| [secret.to_owned(), percent_decoded(secret)])
            .filter(|secret| !secret.is_empty())
            .collect();
        let at = if user.is_empty() { "" } else { "@" };
        Ok(Self {
            url: url.to_owned(),
            shown: format!("postgres://{user}{at}{host}/{database}"),
            secrets,
        })
    }

    /// The URL for the client library: whoever set no limits of their own notices a server that hangs.
    pub(crate) fn connection_url(&self) -> String {
        let mut url = self.url.clone();
        for (name, value) in [
            ("connect_timeout", "5"),
            ("tcp_user_timeout", "30000"),
            ("keepalives_idle", "30"),
            ("application_name", "snapshot-store"),
        ] {
            if !url.contains(name) {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(name);
                url.push('=');
                url.push_str(value);
            }
        }
        url
    }

    /// A message without the URL's secrets.
    pub(crate) fn without_secrets(&self, message: &str) -> String {
        if self.secrets.iter().any(|secret| message.contains(secret.as_str())) {
            "the message is left out, because it holds the password".to_owned()
        } else {
            message.to_owned()
        }
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(url: &str, path: &str) {
        assert_eq!(
            Address::parse(url),
            Ok(Address::Sqlite(SqliteAddress(path.into()))),
            "{url}"
        );
    }

    #[test]
    fn the_scheme_chooses_the_database() {
        check_file("sqlite:///var/lib/a.sqlite", "/var/lib/a.sqlite");
        check_file("sqlite:data/a.sqlite", "data/a.sqlite");
        check_file("sqlite:./data:old/a.sqlite", "./data:old/a.sqlite");
        check_file("/data:old/a.sqlite", "/data:old/a.sqlite");
        assert!(matches!(Address::parse("postgres://db/x"), Ok(Address::Postgres(_))));
        assert!(matches!(Address::parse("postgresql://db/x"), Ok(Address::Postgres(_))));
    }

    #[test]
    fn what_names_no_database_is_refused() {
        assert_eq!(Address::parse(""), Err(InvalidUrl::Empty));
        for mistyped in [
            "postgres//me:secret@db/x",
            "db.internal",
            "./metadata.sqlite",
            "me:secret@db/x",
        ] {
            let refused = Address::parse(mistyped).unwrap_err();
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
        assert_eq!(Address::parse("sqlite:"), Err(InvalidUrl::Empty));
        assert_eq!(Address::parse("sqlite::memory:"), Err(InvalidUrl::InMemory));
        assert_eq!(Address::parse("sqlite://host/a"), Err(InvalidUrl::HostInPath));
        assert_eq!(Address::parse("postgres:db"), Err(InvalidUrl::Malformed));
        assert!(Address::parse("postgres://host/db?user=me@realm").is_ok());
        for secret in ["b/c", "b@c", "b?c", "b?c@d", "b/c?d"] {
            let url = format!("postgres://a:{secret}@host/db");
            assert_eq!(Address::parse(&url), Err(InvalidUrl::Malformed), "{url}");
        }
        assert_eq!(
            Address::parse("mysql://db/x"),
            Err(InvalidUrl::UnknownScheme {
                scheme: "mysql".to_owned()
            })
        );
    }

    #[test]
    fn passwords_are_never_shown() {
        let address = Address::parse("postgres://me:s%C3%A9cret@db:5432/snapshots?sslpassword=other").unwrap();

        let Address::Postgres(address) = address else {
            panic!("{address:?} is no server");
        };

        assert_eq!(address.to_string(), "postgres://me@db:5432/snapshots");
        assert_eq!(format!("{address:?}"), "postgres://me@db:5432/snapshots");
        assert!(!address.without_secrets("no user me with sécret").contains("sécret"));
        assert!(!address.without_secrets("bad option other").contains("other"));
        assert_eq!(address.without_secrets("timeout"), "timeout");
    }

    #[test]
    fn limits_that_somebody_set_are_kept() {
        let Address::Postgres(address) = Address::parse("postgres://db/x?connect_timeout=1").unwrap() else {
            panic!("the URL names a server");
        };

        assert!(
            address
                .connection_url()
                .starts_with("postgres://db/x?connect_timeout=1&")
        );
        assert!(!address.connection_url().contains("connect_timeout=5"));
    }
}
