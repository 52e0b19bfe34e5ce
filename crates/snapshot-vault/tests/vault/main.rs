//! The vault as its callers see it.
#![allow(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

mod bad_places;
mod blob_stores;
mod chunk_indexes;
mod collect;
mod crashes;
mod damage;
mod damage_in_any_order;
mod distrust;
mod fixture;
mod flips;
mod in_turn;
mod lacked;
mod misuse;
mod promised;
mod racing;
mod regions;
mod round_trip;
mod support;
mod verify;
