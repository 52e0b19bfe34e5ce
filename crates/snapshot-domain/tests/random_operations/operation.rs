//! What can happen.

use proptest::prelude::*;

/// One thing that somebody does. Numbers pick among what is there at that moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    CreateVolume {
        caller: u8,
        organization: u8,
    },
    RegisterVolume {
        organization: u8,
    },
    RenameVolume {
        caller: u8,
        volume: u8,
    },
    DeleteVolume {
        caller: u8,
        volume: u8,
    },
    BeginWrite {
        caller: u8,
        volume: u8,
    },
    EndWrite {
        write: u8,
        commit: bool,
    },
    CreateSnapshot {
        caller: u8,
        organization: u8,
        volume: u8,
    },
    RenameSnapshot {
        caller: u8,
        snapshot: u8,
    },
    TransferSnapshot {
        caller: u8,
        snapshot: u8,
        to: u8,
    },
    DeleteSnapshot {
        caller: u8,
        snapshot: u8,
    },
    Restore {
        caller: u8,
        organization: u8,
        snapshot: u8,
    },
    Claim {
        worker: u8,
    },
    Renew {
        worker: u8,
        task: u8,
    },
    Complete {
        worker: u8,
        task: u8,
    },
    Fail {
        worker: u8,
        task: u8,
    },
    PutBack {
        worker: u8,
        task: u8,
    },
    /// A worker's process ends without a word, and starts again.
    Die {
        worker: u8,
    },
    /// Time goes by, for a while or until every lease has expired.
    Wait {
        long: bool,
    },
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    use Operation as Op;
    prop_oneof![
        3 => two().prop_map(|(caller, organization)| Op::CreateVolume { caller, organization }),
        1 => any::<u8>().prop_map(|organization| Op::RegisterVolume { organization }),
        2 => two().prop_map(|(caller, volume)| Op::RenameVolume { caller, volume }),
        2 => two().prop_map(|(caller, volume)| Op::DeleteVolume { caller, volume }),
        2 => two().prop_map(|(caller, volume)| Op::BeginWrite { caller, volume }),
        3 => any::<(u8, bool)>().prop_map(|(write, commit)| Op::EndWrite { write, commit }),
        8 => three().prop_map(|(caller, organization, volume)| Op::CreateSnapshot { caller, organization, volume }),
        2 => two().prop_map(|(caller, snapshot)| Op::RenameSnapshot { caller, snapshot }),
        2 => three().prop_map(|(caller, snapshot, to)| Op::TransferSnapshot { caller, snapshot, to }),
        4 => two().prop_map(|(caller, snapshot)| Op::DeleteSnapshot { caller, snapshot }),
        4 => three().prop_map(|(caller, organization, snapshot)| Op::Restore { caller, organization, snapshot }),
        10 => any::<u8>().prop_map(|worker| Op::Claim { worker }),
        2 => two().prop_map(|(worker, task)| Op::Renew { worker, task }),
        10 => two().prop_map(|(worker, task)| Op::Complete { worker, task }),
        2 => two().prop_map(|(worker, task)| Op::Fail { worker, task }),
        2 => two().prop_map(|(worker, task)| Op::PutBack { worker, task }),
        1 => any::<u8>().prop_map(|worker| Op::Die { worker }),
        3 => any::<bool>().prop_map(|long| Op::Wait { long }),
    ]
}

fn two() -> impl Strategy<Value = (u8, u8)> {
    any::<(u8, u8)>()
}

fn three() -> impl Strategy<Value = (u8, u8, u8)> {
    any::<(u8, u8, u8)>()
}
