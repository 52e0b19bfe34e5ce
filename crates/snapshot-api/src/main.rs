//! The snapshot service as a process: its command line, its settings, and how its parts are put together.
//!
//! The HTTP layer is the library of the same crate; [`startup`] wires it to the stores.

mod cli;
mod commands;
mod data_folder;
mod descriptors;
mod environment;
mod expiry;
mod first_start;
mod health;
mod logging;
mod maintenance_commands;
mod registration;
mod retention;
mod server;
mod settings;
mod startup;
mod vault_commands;
mod verify_command;

use std::process::ExitCode;

use clap::Parser as _;
use snapshot_api::app;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    // Rows and bytes are nobody else's business, also those in files that libraries make.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // The log may be off, or may not have been started: this is what the command has to say.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = settings::load(cli.config.as_deref())?;
    logging::start(&settings.log);
    let output = cli.output;
    let done = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => startup::serve(&settings),
        Command::Token(command) => commands::token(&settings, command, output),
        Command::Organization(command) => commands::organization(&settings, command, output),
        Command::Volume(command) => commands::volume(&settings, command, output),
        Command::Migrate => commands::migrate(&settings, output),
        Command::Healthcheck => commands::healthcheck(&settings, output),
        Command::Openapi => commands::openapi(),
        Command::Digest(command) => commands::digest(&settings, &command, output),
        Command::Vault(command) => return vault_commands::run(&settings, &command, output),
    };
    done.map(|()| ExitCode::SUCCESS)
}
