//! What the first start tells, once.

use std::io::{self, Write as _};

use snapshot_domain::use_case::Bootstrap;

/// Prints the first organization and its token, and a line to try them with.
///
/// # Errors
///
/// When standard output can't be written to.
pub(crate) fn print(made: &Bootstrap, url: &str) -> io::Result<()> {
    let organization = made.organization.id;
    let token = made.token.token.expose();
    let mut out = io::stdout().lock();
    writeln!(out, "This is the first start. What follows is shown only now; keep it.")?;
    writeln!(out)?;
    writeln!(out, "    organization  {organization}")?;
    writeln!(out, "    token         {token}")?;
    writeln!(out)?;
    writeln!(out, "List the snapshots, of which there are none yet:")?;
    writeln!(out)?;
    writeln!(out, "    curl --header 'X-Auth-Token: {token}' {url}/snapshots")?;
    writeln!(out)?;
    out.flush()
}
