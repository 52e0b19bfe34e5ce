//! What was measured, round by round, and its medians.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::load::Measured;

/// One thing that was measured: what, with how many stored snapshots, by how many at once, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) call: &'static str,
    pub(crate) rows: u64,
    pub(crate) connections: usize,
    pub(crate) way: &'static str,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report {
    measured: BTreeMap<Key, Vec<(Measured, f64)>>,
    facts: Map<String, Value>,
}

/// The medians of what was measured under one key.
#[derive(Clone, Copy)]
struct Medians {
    rate: f64,
    median_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

impl Report {
    /// Adds a measurement, and the processor microseconds that the server used for one request.
    pub(crate) fn add(&mut self, key: Key, measured: Measured, cpu_us: f64) {
        self.measured.entry(key).or_default().push((measured, cpu_us));
    }

    /// Adds something that is no rate.
    pub(crate) fn fact(&mut self, name: &str, value: Value) {
        self.facts.insert(name.to_owned(), value);
    }

    /// Prints the table, and returns all of it.
    pub(crate) fn print(&self) -> Value {
        println!(
            "| call | stored | at once | requests/s | ms, median | ms, 99 % | CPU µs | of constant | 99 % of its | of plain | of database |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        let mut list = Vec::new();
        for key in self.measured.keys() {
            let it = self.medians(key);
            let of = |way: &'static str, share: fn(Medians, Medians) -> f64| {
                let other = Key { way, ..key.clone() };
                let other = (key.way == "api" && self.measured.contains_key(&other)).then(|| self.medians(&other));
                other.map(|other| share(it, other))
            };
            let rates: fn(Medians, Medians) -> f64 = |it, other| it.rate / other.rate;
            let (constant, plain, database) = (of("constant", rates), of("plain", rates), of("database", rates));
            let p99 = of("constant", |it, other| it.p99_ms / other.p99_ms);
            let pool = of("pool", rates);
            let show = |share: Option<f64>| share.map(|share| format!("{share:.2}")).unwrap_or_default();
            let by = if pool.is_some() {
                format!("{} ({} of a pool's)", show(database), show(pool))
            } else {
                show(database)
            };
            println!(
                "| {}: {} | {} | {} | {:.0} | {:.2} | {:.2} | {:.0} | {} | {} | {} | {by} |",
                key.call,
                key.way,
                key.rows,
                key.connections,
                it.rate,
                it.median_ms,
                it.p99_ms,
                it.cpu_us,
                show(constant),
                show(p99),
                show(plain),
            );
            list.push(json!({
                "call": key.call, "way": key.way, "rows": key.rows, "connections": key.connections,
                "requests_per_second": it.rate, "median_ms": it.median_ms, "p99_ms": it.p99_ms, "server_cpu_us": it.cpu_us,
                "of_constant": constant, "p99_of_constant": p99, "of_plain": plain, "of_database": database, "of_pool": pool,
            }));
        }
        for (name, value) in &self.facts {
            println!("{name}: {value}");
        }
        json!({"measured": list, "facts": self.facts})
    }

    fn medians(&self, key: &Key) -> Medians {
        let runs = self.measured.get(key).map(Vec::as_slice).unwrap_or_default();
        let median = |value: fn(&(Measured, f64)) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        Medians {
            rate: median(|(it, _)| it.rate),
            median_ms: median(|(it, _)| it.median_ms),
            p99_ms: median(|(it, _)| it.p99_ms),
            cpu_us: median(|(_, cpu_us)| *cpu_us),
        }
    }
}
