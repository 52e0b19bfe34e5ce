//! Doubles of the ports for tests, and the suites that every implementation of a port passes.

pub mod blob_contract;
mod decoder;
mod faulty;
pub mod index_contract;
mod memory;
mod mishaps;
mod promises;
mod tear;

pub use decoder::Decoder;
pub use faulty::{Fault, FaultyBlobs};
pub use memory::{MemoryBlobs, MemoryCatalog, MemoryIndex};
pub use mishaps::{Mishaps, Prone};
pub use promises::Promises;
pub use tear::{Behind, Tear};
