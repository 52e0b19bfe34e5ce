//! What a token lets its holder do.
//!
//! | role | `read` | `create` | `change` | `delete` | `administer` |
//! | --- | --- | --- | --- | --- | --- |
//! | `admin` | yes | yes | yes | yes | yes |
//! | `operator` | yes | yes | yes | yes | no |
//! | `backup` | yes | yes | no | no | no |
//! | `read` | yes | no | no | no | no |
//!
//! Whoever steals a `backup` token can copy what is there, and can fill the quota, but nothing that was there before is
//! lost, overwritten, renamed or given away.

use std::fmt;

/// What kinds of calls a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything but what concerns who may call, and who did.
    Operator,
    /// Makes snapshots and volumes, and reads: what a machine that may be broken into should hold.
    Backup,
    /// Only reads.
    Read,
}

/// What a use case asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// To see resources and to read their bytes.
    Read,
    /// To make new snapshots and volumes; a restore fills a new volume, so it makes one.
    Create,
    /// To rename, retag, transfer, and to write bytes over those of a volume.
    Change,
    /// To delete, which includes calling a copy off.
    Delete,
    /// To see who did what, and to say who may.
    Administer,
}

impl Role {
    /// Every role there is, the mightiest first.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Operator, Self::Backup, Self::Read];

    /// Whether the role has a right.
    pub const fn has(self, right: Right) -> bool {
        match (self, right) {
            (Self::Admin, _)
            | (Self::Operator, Right::Read | Right::Create | Right::Change | Right::Delete)
            | (Self::Backup, Right::Read | Right::Create)
            | (Self::Read, Right::Read) => true,
            (Self::Operator, Right::Administer)
            | (Self::Backup, Right::Change | Right::Delete | Right::Administer)
            | (Self::Read, Right::Create | Right::Change | Right::Delete | Right::Administer) => false,
        }
    }

    /// The role as the command line, the API and the database call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Backup => "backup",
            Self::Read => "read",
        }
    }

    /// The role of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == raw)
    }
}

impl Right {
    /// Every right there is.
    pub const ALL: [Self; 5] = [Self::Read, Self::Create, Self::Change, Self::Delete, Self::Administer];

    /// The right as the API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Administer => "administer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table above.
    #[test]
    fn each_role_has_its_rights_and_no_others() {
        let rights = |role: Role| -> Vec<&str> {
            let has = Right::ALL.into_iter().filter(|right| role.has(*right));
            has.map(Right::as_str).collect()
        };

        assert_eq!(
            rights(Role::Admin),
            ["read", "create", "change", "delete", "administer"]
        );
        assert_eq!(rights(Role::Operator), ["read", "create", "change", "delete"]);
        assert_eq!(rights(Role::Backup), ["read", "create"]);
        assert_eq!(rights(Role::Read), ["read"]);
    }

    #[test]
    fn a_role_is_read_by_the_name_it_is_written_with() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}
