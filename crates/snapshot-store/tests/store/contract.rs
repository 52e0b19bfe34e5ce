//! Every rule of the repository ports, on both databases.

use snapshot_domain::repository_contract;

use crate::place::{in_a_postgres_schema, in_a_temporary_file};

repository_contract!(sqlite, || Some(in_a_temporary_file()));
repository_contract!(postgres, in_a_postgres_schema);
