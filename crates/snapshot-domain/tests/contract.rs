//! The in-memory store keeps the contract that every store has to keep.

use snapshot_domain::{repository_contract, testing::InMemoryStore};

repository_contract!(in_memory, || Some(InMemoryStore::default()));
