//! The command line.

#![expect(
    clippy::doc_markdown,
    reason = "what stands here is printed as help, and is no Markdown"
)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use snapshot_domain::Name;
use uuid::Uuid;

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
    /// Make the database's tables, or bring them up to date
    Migrate,
    /// Ask the server on the configured address whether it works; exits with 1 when it does not
    Healthcheck,
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
    fn a_token_needs_an_organization() {
        let missing = Cli::try_parse_from(["snapshot-api", "token", "create", "--name", "x"]);

        assert!(missing.is_err());
    }
}
