//! For tests: the API over rows in memory.

use std::{num::NonZero, sync::Arc, time::Duration};

use actix_web::web::Data;
use snapshot_domain::{
    Token, TokenRecord,
    ports::{OrganizationRepository, TokenRepository},
    testing::{Services, a_token_record, an_organization},
    use_case::ReceiptService,
};
use uuid::Uuid;

use super::{Api, ApiSettings, BytesTags, Changes, Health, LongReads, Rates, Reads, Transfers, Turns};

struct Well;

impl Reads for Well {
    fn together(&self, reads: &mut dyn FnMut()) -> bool {
        reads();
        false
    }

    fn end(&self) {}

    fn at_one_moment(&self, reads: &mut dyn FnMut()) {
        reads();
    }
}

impl Health for Well {
    fn check(&self) -> snapshot_domain::Result<()> {
        Ok(())
    }
}

pub(super) fn token() -> Token {
    Token::from_random(Uuid::from_u128(7))
}

/// An API that takes [`token`].
pub(super) fn api() -> Data<Api> {
    let services = Services::default();
    let owner = an_organization();
    OrganizationRepository::insert(&services.store, &owner).unwrap();
    let record = TokenRecord {
        hash: token().hash(),
        ..a_token_record(owner.id)
    };
    TokenRepository::insert(&services.store, &record).unwrap();
    Data::new(api_of(services))
}

/// An API of these services.
pub(super) fn api_of(services: Services) -> Api {
    Api {
        receipts: ReceiptService::new(Arc::new(services.store.clone()), Arc::new(services.clock.clone())),
        turns: Turns::default(),
        snapshots: services.snapshots,
        volumes: services.volumes,
        tasks: services.tasks,
        offers: services.transfers,
        access: services.access,
        audit: services.audit,
        ids: Arc::new(services.ids),
        reads: Arc::new(Well),
        long_reads: LongReads::at_most(NonZero::<usize>::MIN),
        health: Arc::new(Well),
        wake_workers: Box::new(|| ()),
        bytes_tags: BytesTags::of(b"a secret"),
        transfers: Transfers::at_most(1),
        changes: Changes::at_most(1),
        rates: Rates::new(None, None),
        settings: ApiSettings {
            zone: "local-1".to_owned(),
            zones: Vec::new(),
            head_limit_bytes: 1024,
            json_limit_bytes: 1024,
            stalled_body: Duration::from_secs(1),
            heartbeat: Duration::from_secs(1),
            reads_are_short: true,
        },
    }
}
