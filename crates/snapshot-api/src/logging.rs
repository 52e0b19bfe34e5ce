//! The log: lines on standard error, for people or for programs.

use std::{fmt::Write as _, io, io::Write as _};

use env_logger::fmt::Formatter;
use log::{
    LevelFilter, Record,
    kv::{Error, Key, Value, VisitSource},
};
use serde_json::{Map, json};

use crate::settings::{Log, LogFormat};

/// Our own crates, and the access log: what the configured level is for.
const OURS: [&str; 6] = [
    "access",
    "snapshot_api",
    "snapshot_domain",
    "snapshot_mover",
    "snapshot_store",
    "snapshot_vault",
];

/// Starts the log. To be called once.
pub(crate) fn start(log: &Log) {
    let mut builder = env_logger::Builder::new();
    // Libraries have little to say that an operator needs, unless everything is wanted.
    let theirs = if log.level == LevelFilter::Trace {
        log.level
    } else {
        log.level.min(LevelFilter::Warn)
    };
    builder.filter_level(theirs);
    for target in OURS {
        builder.filter_module(target, log.level);
    }
    // It reports as an error whatever clients send that is no HTTP.
    if log.level < LevelFilter::Debug {
        builder.filter_module("actix_http", LevelFilter::Off);
    }
    match log.format {
        LogFormat::Text => builder.format(text),
        LogFormat::Json => builder.format(json),
    };
    builder.init();
}

fn text(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut values = Text(String::new());
    // Collecting into a text can't fail.
    let _ = record.key_values().visit(&mut values);
    writeln!(
        line,
        "{} {:5} {} {}{}",
        line.timestamp_millis(),
        record.level(),
        record.target(),
        record.args(),
        values.0
    )
}

fn json(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut values = Json(Map::new());
    // Collecting into a map can't fail.
    let _ = record.key_values().visit(&mut values);
    let mut object = values.0;
    object.insert("time".to_owned(), json!(line.timestamp_millis().to_string()));
    object.insert("level".to_owned(), json!(record.level().as_str()));
    object.insert("target".to_owned(), json!(record.target()));
    object.insert("message".to_owned(), json!(record.args().to_string()));
    writeln!(line, "{}", serde_json::Value::Object(object))
}

/// ` key=value` for each.
struct Text(String);

impl<'kvs> VisitSource<'kvs> for Text {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        // Writing to a text can't fail.
        let _ = write!(self.0, " {key}={value}");
        Ok(())
    }
}

/// A field for each: numbers as numbers, everything else as text.
struct Json(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Json {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let field = if let Some(number) = value.to_u64() {
            json!(number)
        } else if let Some(number) = value.to_f64() {
            json!(number)
        } else {
            json!(value.to_string())
        };
        self.0.insert(key.to_string(), field);
        Ok(())
    }
}
