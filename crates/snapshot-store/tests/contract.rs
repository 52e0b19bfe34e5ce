//! Every rule of the repository ports, on SQLite and on PostgreSQL.
//!
//! PostgreSQL is used when `SNAPSHOT_TEST_POSTGRES_URL` names a server (`.ci/postgres start` prints one); each test gets a
//! schema of its own there.

mod place;

use snapshot_domain::repository_contract;

use self::place::{in_a_postgres_schema, in_a_temporary_file};

repository_contract!(sqlite, || Some(in_a_temporary_file()));
repository_contract!(postgres, in_a_postgres_schema);
