//! The snapshot service.
fn main() {}
