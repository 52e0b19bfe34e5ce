use super::{InMemoryStore, Tables};
use crate::{
    Error, InstanceId, MaintenanceKind, MaintenanceRun, Resource, Result, RunId, RunLease, RunOutcome, RunState,
    Timestamp, ports::MaintenanceQueue,
};

impl MaintenanceQueue for InMemoryStore {
    fn ask(&self, run: &MaintenanceRun) -> Result<()> {
        let mut tables = self.lock();
        if tables.maintenance_runs.contains_key(&run.id) {
            return Err(Error::AlreadyExists {
                resource: Resource::Run,
                id: run.id.as_uuid(),
            });
        }
        tables.maintenance_runs.insert(run.id, run.clone());
        Ok(())
    }

    fn claim(&self, instance: InstanceId, now: Timestamp, expires_at: Timestamp) -> Result<Option<MaintenanceRun>> {
        let mut tables = self.lock();
        let running: Vec<_> = tables
            .maintenance_runs
            .values()
            .filter(|run| matches!(run.state, RunState::Running { .. }))
            .map(|run| run.job.kind())
            .collect();
        let is_free = |run: &&mut MaintenanceRun| match run.state {
            RunState::Pending => !running.contains(&run.job.kind()),
            RunState::Running { expires_at, .. } => expires_at <= now,
            RunState::Succeeded { .. } | RunState::Failed { .. } => false,
        };
        let free = tables.maintenance_runs.values_mut().filter(is_free);
        Ok(free.min_by_key(|run| (run.asked_at, run.id)).map(|run| {
            run.state = RunState::Running {
                instance,
                expires_at,
                note: None,
            };
            run.epoch += 1;
            run.clone()
        }))
    }

    fn renew(&self, lease: &RunLease, note: Option<String>, expires_at: Timestamp) -> Result<()> {
        self.change_held(lease, |state| {
            if let RunState::Running { instance, .. } = *state {
                *state = RunState::Running {
                    instance,
                    expires_at,
                    note,
                };
            }
        })
    }

    fn put_back(&self, lease: &RunLease) -> Result<()> {
        self.change_held(lease, |state| *state = RunState::Pending)
    }

    fn put_back_all(&self, instance: InstanceId) -> Result<u64> {
        let mut given_back = 0;
        for run in self.lock().maintenance_runs.values_mut() {
            if matches!(run.state, RunState::Running { instance: holder, .. } if holder == instance) {
                run.state = RunState::Pending;
                given_back += 1;
            }
        }
        Ok(given_back)
    }

    fn finish(&self, lease: &RunLease, outcome: &RunOutcome, now: Timestamp) -> Result<()> {
        self.change_held(lease, |state| *state = outcome.at(now))
    }

    fn get(&self, id: RunId) -> Result<MaintenanceRun> {
        let run = self.lock().maintenance_runs.get(&id).cloned();
        run.ok_or(Error::NotFound {
            resource: Resource::Run,
            id: id.as_uuid(),
        })
    }

    fn latest(&self, kind: MaintenanceKind, until: Timestamp) -> Result<Option<MaintenanceRun>> {
        Ok(self.lock().latest_run(kind, Some(until)).cloned())
    }

    fn forget_ended_before(&self, moment: Timestamp) -> Result<u64> {
        let mut tables = self.lock();
        let latest: Vec<RunId> = MaintenanceKind::ALL
            .into_iter()
            .filter_map(|kind| tables.latest_run(kind, None).map(|run| run.id))
            .collect();
        let before = tables.maintenance_runs.len();
        tables
            .maintenance_runs
            .retain(|id, run| run.ended_at().is_none_or(|at| at >= moment) || latest.contains(id));
        Ok((before - tables.maintenance_runs.len()) as u64)
    }
}

impl Tables {
    fn latest_run(&self, kind: MaintenanceKind, until: Option<Timestamp>) -> Option<&MaintenanceRun> {
        let runs = self.maintenance_runs.values();
        runs.filter(|run| run.job.kind() == kind && !run.job.is_dry_run())
            .filter(|run| until.is_none_or(|until| run.asked_at <= until))
            .max_by_key(|run| (run.asked_at, run.id))
    }
}

impl InMemoryStore {
    fn change_held(&self, lease: &RunLease, change: impl FnOnce(&mut RunState)) -> Result<()> {
        let mut tables = self.lock();
        let run = tables.maintenance_runs.get_mut(&lease.run).ok_or(Error::LeaseLost)?;
        run.check_held_by(lease)?;
        change(&mut run.state);
        Ok(())
    }
}
