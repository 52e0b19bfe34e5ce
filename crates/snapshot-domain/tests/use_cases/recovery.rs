//! Getting the rows back from the vault.

use std::{collections::BTreeMap, sync::Arc};

use snapshot_domain::{
    ArchivedSnapshot, BaseVolume, Error, OrganizationId, Result, Snapshot, SnapshotId, VolumeId, VolumeType,
    ports::{OrganizationRepository, SnapshotArchive, TokenRepository, VolumeRepository},
    testing::{
        InMemoryStore, ManualClock, MockSnapshotRepository, SequentialIds, a_content, a_token_record, a_volume,
        an_organization_id, moment, name, size, tags,
    },
    use_case::{RecoveryError, RecoveryService},
};

/// What a vault holds; `None` for what can't be read.
#[derive(Clone, Default)]
struct Archive(BTreeMap<OrganizationId, BTreeMap<SnapshotId, Option<ArchivedSnapshot>>>);

impl Archive {
    fn with(mut self, snapshot: &ArchivedSnapshot) -> Self {
        let of_domain = self.0.entry(snapshot.domain).or_default();
        of_domain.insert(snapshot.id, Some(snapshot.clone()));
        self
    }
}

impl SnapshotArchive for Archive {
    fn domains(&self) -> Result<Vec<OrganizationId>> {
        Ok(self.0.keys().copied().collect())
    }

    fn list(&self) -> Result<Vec<(OrganizationId, SnapshotId)>> {
        let of_domain = |(domain, snapshots): (&OrganizationId, &BTreeMap<SnapshotId, _>)| {
            let domain = *domain;
            snapshots.keys().map(move |id| (domain, *id)).collect::<Vec<_>>()
        };
        Ok(self.0.iter().flat_map(of_domain).collect())
    }

    fn read(&self, domain: OrganizationId, snapshot: SnapshotId) -> Result<ArchivedSnapshot> {
        let found = self.0[&domain][&snapshot].clone();
        found.ok_or_else(|| Error::corrupt("manifest", "a flipped bit"))
    }
}

fn archived(n: u64, owner: OrganizationId, domain: OrganizationId) -> ArchivedSnapshot {
    ArchivedSnapshot {
        id: SnapshotId::new(SequentialIds::nth_id(n)),
        organization: owner,
        domain,
        name: name("before the upgrade"),
        tags: tags(&["nightly"]),
        base_volume: BaseVolume {
            id: VolumeId::new(SequentialIds::nth_id(1000 + n)),
            name: name("disk"),
        },
        size: size(1 << 30),
        volume_type: VolumeType::LocalSsd,
        created_at: moment(5),
        content: a_content(),
    }
}

fn service(store: &InMemoryStore, archive: &Archive) -> RecoveryService {
    let rows = || Arc::new(store.clone());
    RecoveryService::new(
        rows(),
        rows(),
        rows(),
        rows(),
        Arc::new(archive.clone()),
        Arc::new(ManualClock::default()),
    )
}

fn sorted(mut snapshots: Vec<Snapshot>) -> Vec<Snapshot> {
    snapshots.sort_by_key(Snapshot::id);
    snapshots
}

#[test]
fn every_snapshot_and_every_organization_comes_back() {
    let store = InMemoryStore::default();
    let [owner, maker] = [(); 2].map(|()| an_organization_id());
    let idle = an_organization_id();
    let (kept, transferred) = (archived(1, owner, owner), archived(2, owner, maker));
    let mut archive = Archive::default().with(&kept).with(&transferred);
    archive.0.entry(idle).or_default();

    let recovery = service(&store, &archive).recover().unwrap();

    assert_eq!(
        sorted(store.all_snapshots()),
        [Snapshot::from(kept), Snapshot::from(transferred)]
    );
    assert!(store.all_snapshots().iter().all(|snapshot| snapshot.readable().is_ok()));
    let organizations = OrganizationRepository::list(&store).unwrap();
    assert_eq!(organizations.len(), 3);
    assert!(organizations.iter().all(|it| it.name.as_str() == it.id.to_string()));
    assert!(
        [owner, maker, idle]
            .iter()
            .all(|id| recovery.organizations.contains(id))
    );
    assert_eq!(
        (recovery.snapshots.len(), recovery.present, recovery.unreadable.len()),
        (2, 0, 0)
    );
}

#[test]
fn what_cant_be_read_is_told_and_the_rest_comes_back() {
    let store = InMemoryStore::default();
    let owner = an_organization_id();
    let readable = archived(2, owner, owner);
    let mut archive = Archive::default().with(&readable);
    let lost = SnapshotId::new(SequentialIds::nth_id(1));
    archive.0.get_mut(&owner).unwrap().insert(lost, None);

    let recovery = service(&store, &archive).recover().unwrap();

    assert_eq!(recovery.snapshots, [readable.id]);
    assert_eq!(recovery.unreadable.len(), 1);
    assert_eq!(recovery.unreadable[0].0, lost);
}

#[test]
fn an_interrupted_recovery_is_completed_by_the_next_and_leaves_what_is_there() {
    let store = InMemoryStore::default();
    let owner = an_organization_id();
    let [first, second] = [1, 2].map(|n| archived(n, owner, owner));
    let half = Archive::default().with(&first);
    service(&store, &half).recover().unwrap();

    let recovery = service(&store, &half.with(&second)).recover().unwrap();

    assert_eq!((recovery.snapshots, recovery.present), (vec![second.id], 1));
    assert_eq!(recovery.organizations, []);
    assert_eq!(store.all_snapshots().len(), 2);
}

#[test]
fn a_database_with_tokens_or_volumes_is_left_alone() {
    let owner = an_organization_id();
    let archive = Archive::default().with(&archived(1, owner, owner));
    let (with_token, with_volume) = (InMemoryStore::default(), InMemoryStore::default());
    for store in [&with_token, &with_volume] {
        let organization = snapshot_domain::Organization {
            id: owner,
            name: name("Lighthouse"),
            created_at: moment(0),
        };
        OrganizationRepository::insert(store, &organization).unwrap();
    }
    TokenRepository::insert(&with_token, &a_token_record(owner)).unwrap();
    VolumeRepository::insert(&with_volume, &a_volume(owner).build(), None).unwrap();

    for (store, told) in [(with_token, "tokens"), (with_volume, "volumes")] {
        let refused = service(&store, &archive).recover().unwrap_err();

        assert!(
            matches!(refused, RecoveryError::InUse { what } if what == told),
            "{refused}"
        );
        assert_eq!(store.all_snapshots(), []);
    }
}

#[test]
fn a_database_that_fails_ends_the_recovery() {
    let owner = an_organization_id();
    let store = InMemoryStore::default();
    let rows = || Arc::new(store.clone());
    let mut failing = MockSnapshotRepository::new();
    failing
        .expect_adopt()
        .once()
        .returning(|_| Err(Error::unavailable("no route to host")));
    let archive = Archive::default()
        .with(&archived(1, owner, owner))
        .with(&archived(2, owner, owner));
    let service = RecoveryService::new(
        rows(),
        rows(),
        rows(),
        Arc::new(failing),
        Arc::new(archive),
        Arc::new(ManualClock::default()),
    );

    let failed = service.recover().unwrap_err();

    assert!(
        matches!(failed, RecoveryError::Failed(Error::Unavailable { .. })),
        "{failed}"
    );
}
