//! The HTTP layer of the snapshot service: requests become use cases of [`snapshot_domain`], their results become
//! answers.
//!
//! The crate's library knows nothing of databases, vaults or files: [`Api`] is handed the services, and [`app`] puts them
//! behind URLs. The binary of the same crate reads the configuration, opens the stores and starts the server.
//!
//! A request passes `http/edge.rs`, which names it, logs it and turns failures into answers, and then one handler under
//! `http/routes/`, which parses, acts and presents, in that order.

mod http;

pub use http::{
    Api, ApiSettings, BytesTags, Changes, Health, LongReads, Rate, Rates, Reads, Transfers, Turns, app,
    end_when_unused, forget_old_answers, openapi_json,
};
