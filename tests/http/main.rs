//! The real binary over HTTP, and at the command line: every promise of the API, from outside.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

mod audit;
mod auth;
mod client;
mod command_line;
mod create;
mod data;
mod delete;
mod errors;
mod etags;
mod first_start;
mod get;
mod limits;
mod list;
mod many_clients;
mod openapi;
mod postgres;
mod quotas;
mod retries;
mod roles;
mod samples;
mod service;
mod settings;
mod stop;
mod tasks;
mod tenants;
mod transfers;
mod update;
mod volumes;
mod waiting;
mod wire;
mod zones;
