//! The command line.

#![expect(
    clippy::doc_markdown,
    reason = "what stands here is printed as help, and is no Markdown"
)]

use std::{num::NonZero, path::PathBuf};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
    value_parser,
};
use snapshot_domain::{Limit, Name, OwnLimit, Role};
use uuid::Uuid;

use crate::expiry::Expiry;

/// Takes snapshots of volumes: a self-hosted service with an HTTP API.
///
/// Without a command it serves. Settings come from the defaults, then the file given with --config, then the environment:
/// SNAPSHOT__SERVER__BIND, SNAPSHOT__DATA_DIR, and so on.
#[derive(Debug, Parser)]
#[command(name = "snapshot-api", version)]
pub(crate) struct Cli {
    /// A file of settings, in TOML
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print results
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server, until SIGTERM or Ctrl-C [the default]
    Serve,
    /// Make, list and revoke tokens: what clients send as X-Auth-Token
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make and list organizations: what owns volumes and snapshots
    #[command(subcommand)]
    Organization(OrganizationCommand),
    /// Make volumes of what lies on this machine
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Check what is stored in the vault, and get the database back from it
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Make the database's tables, or bring them up to date
    Migrate,
    /// Ask the server on the configured address whether it works; exits with 1 when it does not
    Healthcheck,
    /// Print the description of the HTTP API, in OpenAPI 3.1
    Openapi,
    /// Print the digest of a file's bytes, to compare with a snapshot's
    Digest(Digest),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for a new account. It is shown once, and stored as a hash
    Create {
        /// An organization that it acts for; may be given more than once
        #[arg(long = "organization", required = true, value_name = "ID")]
        organizations: Vec<Uuid>,
        /// What to call it
        #[arg(long, value_parser = Name::parse)]
        name: Name,
        /// What it is for. admin: everything; operator: all but what concerns who may call; backup: create and read, never
        /// change or delete: what a machine that may be broken into should hold; read: only read
        #[arg(long, value_name = "ROLE", default_value_t = Role::Operator, value_parser = role())]
        role: Role,
        /// From when on it is no longer taken: a date (2027-01-31, in UTC), a moment (2027-01-31T18:00:00+01:00), or a time
        /// from now (30m, 12h, 90d, 4w) [default: never]
        #[arg(long, value_name = "WHEN", value_parser = Expiry::parse)]
        expires: Option<Expiry>,
    },
    /// List all tokens, without the secrets
    List,
    /// Take a token no longer
    Revoke {
        /// The token's id, as listed: not the token itself
        id: Uuid,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Make an organization
    Create {
        /// What to call it
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
    /// List all organizations
    List,
    /// Show how much an organization may have and has, and change it
    Quota(QuotaCommand),
}

#[derive(Debug, Args)]
pub(crate) struct QuotaCommand {
    /// The organization's id
    pub(crate) organization: Uuid,
    /// How many snapshots it may have: a number, unlimited, or default for what the settings say
    #[arg(long, value_name = "LIMIT", value_parser = own_limit)]
    pub(crate) snapshots: Option<OwnLimit>,
    /// How many bytes all its volumes may have together (500K, 100M, 1G are powers of 1024), unlimited, or default
    #[arg(long, value_name = "LIMIT", value_parser = own_limit)]
    pub(crate) volume_bytes: Option<OwnLimit>,
    /// How many copies and restores may run for it at once; others wait. A number, unlimited, or default
    #[arg(long, value_name = "LIMIT", value_parser = own_limit)]
    pub(crate) tasks: Option<OwnLimit>,
}

fn own_limit(raw: &str) -> Result<OwnLimit, String> {
    match raw {
        "default" => Ok(OwnLimit::Default),
        "unlimited" | "none" => Ok(OwnLimit::Set(Limit::Unlimited)),
        "0" => Err("a limit is at least 1; write unlimited for none".to_owned()),
        number => bytes(number)
            .map(|number| OwnLimit::Set(Limit::AtMost(number)))
            .map_err(|_| "write a number (or 500K, 100M, 1G), unlimited, or default".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume of an image or a block device that stays where it is. It is only ever read
    Register {
        /// The image or the device
        path: PathBuf,
        /// What to call the volume
        #[arg(long, value_parser = Name::parse)]
        name: Name,
        /// Who will own it
        #[arg(long, value_name = "ID")]
        organization: Uuid,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Check that all that is stored is what was stored; exits with 1 when anything is damaged. Works beside the server
    Verify(Verify),
    /// Fill an empty database from the vault and its master key: organizations and snapshots. The server must be stopped
    Recover,
    /// Give back the space of what no snapshot needs; exits with 1 when something can't be read. Asks the server that runs
    Collect {
        /// Only tell what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Count what each snapshot takes, and what all of them share. Asks the server that runs
    Stat,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Check this snapshot only
    #[arg(long, value_name = "ID")]
    pub(crate) snapshot: Option<Uuid>,
    /// Check only so many percent of the stored bytes, like 10%: those snapshots first that were never checked, then those
    /// that are damaged, then those checked longest ago
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "snapshot")]
    pub(crate) share: Option<u8>,
    /// 1: compare stored bytes with their checksums, which needs no key. 2: open everything and compare it with its names
    #[arg(long, value_name = "LEVEL", default_value_t = 2, value_parser = value_parser!(u8).range(1..=2))]
    pub(crate) level: u8,
    /// How many threads work on it [default: two per core, at most 16]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZero<usize>>,
    /// How much to read in a second, at most: 500K, 100M, 1G (powers of 1024), or a plain number of bytes
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = bytes)]
    pub(crate) throughput: Option<NonZero<u64>>,
}

/// Reads a role by its name.
fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str))
        .map(|name| Role::parse(&name).expect("only the names of roles are taken"))
}

/// Reads a share in percent, with or without the sign.
fn percent(raw: &str) -> Result<u8, String> {
    let digits = raw.strip_suffix('%').unwrap_or(raw);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let percent = digits
        .parse()
        .ok()
        .filter(|percent| is_number && (1..=100).contains(percent));
    percent.ok_or_else(|| "write it like 10%, from 1% to 100%".to_owned())
}

/// Reads a number of bytes, with `K`, `M` or `G` behind it for powers of 1024.
fn bytes(raw: &str) -> Result<NonZero<u64>, String> {
    let (digits, unit) = match raw.char_indices().last() {
        Some((at, 'K' | 'k')) => (&raw[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&raw[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&raw[..at], 1 << 30),
        _ => (raw, 1),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| NonZero::new(number.checked_mul(unit)?))
        .ok_or_else(|| "write it like 500K, 100M, 1G, or as a plain number of bytes above 0".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Digest {
    /// The file, or a block device
    pub(crate) file: PathBuf,
    /// The number in the digest to compare with: blake3-<this>:… [default: the setting vault.chunk_size]
    #[arg(long, value_name = "BYTES")]
    pub(crate) chunk_size: Option<u32>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_throughput_is_a_number_of_bytes_with_or_without_a_unit() {
        let check =
            |raw: &str, expected: Option<u64>| assert_eq!(bytes(raw).ok().map(NonZero::get), expected, "{raw:?}");

        check("1", Some(1));
        check("500K", Some(500 << 10));
        check("100M", Some(100 << 20));
        check("1g", Some(1 << 30));
        for refused in ["", "M", "0", "0M", "-1", "1.5G", "10 M", "10MB", "99999999999G", "9é"] {
            check(refused, None);
        }
    }

    #[test]
    fn a_token_is_an_operators_unless_another_role_is_named() {
        let role_of = |more: &[&str]| {
            let organization = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
            let arguments = [
                "snapshot-api",
                "token",
                "create",
                "--name",
                "x",
                "--organization",
                organization,
            ];
            match Cli::try_parse_from([&arguments, more].concat()).ok()?.command {
                Some(Command::Token(TokenCommand::Create { role, .. })) => Some(role),
                _ => None,
            }
        };

        assert_eq!(role_of(&[]), Some(Role::Operator));
        assert_eq!(role_of(&["--role", "backup"]), Some(Role::Backup));
        assert_eq!(role_of(&["--role", "root"]), None);
    }

    #[test]
    fn a_limit_is_a_number_or_none_or_the_default() {
        let check = |raw: &str, expected: Option<Option<u64>>| {
            let limit = own_limit(raw).ok().map(Option::<Limit>::from);
            assert_eq!(limit.map(|limit| limit.map(Limit::as_number)), expected, "{raw:?}");
        };

        check("7", Some(Some(7)));
        check("2G", Some(Some(2 << 30)));
        check("0", None);
        check("unlimited", Some(Some(0)));
        check("default", Some(None));
        check("many", None);
        check("-1", None);
    }

    #[test]
    fn a_share_is_a_percentage() {
        let check = |raw: &str, expected: Option<u8>| assert_eq!(percent(raw).ok(), expected, "{raw:?}");

        check("10%", Some(10));
        check("1", Some(1));
        check("100%", Some(100));
        for refused in ["", "%", "0", "101%", "+5", "-5", "5 %", "5%%", "1.5%", "256"] {
            check(refused, None);
        }
    }

    #[test]
    fn a_token_needs_an_organization() {
        let missing = Cli::try_parse_from(["snapshot-api", "token", "create", "--name", "x"]);

        assert!(missing.is_err());
    }
}
