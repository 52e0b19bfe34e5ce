//! Giving back the space of what no copy needs any more.

pub(crate) mod removal;
