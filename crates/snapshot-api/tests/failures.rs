//! What clients see when something below the HTTP layer fails: ports that fail on purpose, behind the real routes.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

use std::{num::NonZero, pin::Pin, sync::Arc, time::Duration};

use actix_web::{
    body::to_bytes,
    dev::{Payload, Service, ServiceResponse},
    error::PayloadError,
    http::{Method, StatusCode, header},
    rt::time::{sleep, timeout},
    test::{self, TestRequest},
    web::{Bytes, Data},
};
use futures_util::{Stream, StreamExt as _, future, stream};
use serde_json::{Value, json};
use snapshot_api::{Api, ApiSettings, BytesTags, Changes, Health, LongReads, Rates, Reads, Transfers, Turns, app};
use snapshot_domain::{
    Error, OrganizationId, Result, Volume, VolumeId, VolumeState,
    ports::{
        Measured, OpenVolume, ReadAt, SnapshotBytes, SnapshotCursor, SnapshotRepository, StagedWrite, VolumeBytes,
        VolumeRepository,
    },
    testing::{
        InMemorySnapshotBytes, InMemoryStore, InMemoryVolumes, ManualClock, MockReadAt, MockSnapshotBytes,
        MockSnapshotRepository, MockStagedWrite, MockVolumeBytes, SequentialIds, a_snapshot, a_volume, an_organization,
    },
    use_case::{
        AccessService, AuditService, CheckService, CreateToken, ReceiptService, SnapshotService, TaskReader,
        TransferService, VolumeService,
    },
};

const MIB: u64 = 1 << 20;

/// An API over rows and bytes in memory, parts of which can be replaced.
struct House {
    store: InMemoryStore,
    snapshots: Arc<dyn SnapshotRepository>,
    volume_bytes: Arc<dyn VolumeBytes>,
    snapshot_bytes: Arc<dyn SnapshotBytes>,
    organization: OrganizationId,
    token: String,
}

impl House {
    fn new() -> Self {
        let store = InMemoryStore::default();
        let access = access(&store);
        let organization = access.create_organization(an_organization().name).unwrap().id;
        let made = access
            .create_token(CreateToken::of_admin(an_organization().name, organization))
            .unwrap();
        Self {
            snapshots: Arc::new(store.clone()),
            store,
            volume_bytes: Arc::new(InMemoryVolumes::default()),
            snapshot_bytes: Arc::new(InMemorySnapshotBytes::default()),
            organization,
            token: made.token.expose(),
        }
    }

    fn api(&self) -> Data<Api> {
        let store = Arc::new(self.store.clone());
        let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(SequentialIds::default()));
        Data::new(Api {
            snapshots: SnapshotService::new(
                self.snapshots.clone(),
                store.clone(),
                store.clone(),
                store.clone(),
                self.snapshot_bytes.clone(),
                CheckService::new(store.clone(), clock.clone()),
                clock.clone(),
                ids.clone(),
            ),
            volumes: VolumeService::new(
                store.clone(),
                self.snapshots.clone(),
                store,
                self.volume_bytes.clone(),
                clock,
                ids.clone(),
            ),
            tasks: TaskReader::new(Arc::new(self.store.clone())),
            receipts: ReceiptService::new(Arc::new(self.store.clone()), Arc::new(ManualClock::default())),
            turns: Turns::default(),
            offers: TransferService::new(
                Arc::new(self.store.clone()),
                Arc::new(self.store.clone()),
                Arc::new(ManualClock::default()),
                ids.clone(),
            ),
            access: access(&self.store),
            audit: AuditService::new(
                Arc::new(self.store.clone()),
                Arc::new(ManualClock::default()),
                ids.clone(),
            ),
            ids,
            reads: Arc::new(OneByOne),
            long_reads: LongReads::at_most(NonZero::<usize>::MIN),
            health: Arc::new(Sick),
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
                stalled_body: Duration::from_millis(50),
                heartbeat: Duration::from_secs(15),
                reads_are_short: true,
            },
        })
    }

    fn add_volume(&self, size_bytes: u64) -> VolumeId {
        let volume = a_volume(self.organization).sized(size_bytes).build();
        VolumeRepository::insert(&self.store, &volume, None).unwrap();
        volume.id()
    }

    fn volume(&self, id: VolumeId) -> Volume {
        VolumeRepository::get(&self.store, id).unwrap()
    }

    fn request(&self, method: Method, path: &str) -> TestRequest {
        TestRequest::with_uri(path)
            .method(method)
            .insert_header(("X-Auth-Token", self.token.as_str()))
    }

    async fn answer(&self, request: TestRequest) -> ServiceResponse {
        let service = test::init_service(app(self.api())).await;
        service.call(request.to_request()).await.unwrap()
    }
}

fn access(store: &InMemoryStore) -> AccessService {
    let store = Arc::new(store.clone());
    let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(SequentialIds::default()));
    AccessService::new(store.clone(), store, clock, ids)
}

/// Reads that share nothing.
struct OneByOne;

impl Reads for OneByOne {
    fn together(&self, reads: &mut dyn FnMut()) -> bool {
        reads();
        false
    }

    fn end(&self) {}

    fn at_one_moment(&self, reads: &mut dyn FnMut()) {
        reads();
    }
}

/// A store that can't be read.
struct Sick;

impl Health for Sick {
    fn check(&self) -> Result<()> {
        Err(unavailable())
    }
}

fn unavailable() -> Error {
    Error::unavailable("/var/lib/secret.sqlite is locked")
}

fn header_of(answer: &ServiceResponse, name: &str) -> String {
    answer.headers().get(name).unwrap().to_str().unwrap().to_owned()
}

async fn json_of(answer: ServiceResponse) -> Value {
    assert_eq!(header_of(&answer, "content-type"), "application/json");
    serde_json::from_slice(&to_bytes(answer.into_body()).await.unwrap()).unwrap()
}

/// Bytes of which everything from the second mebibyte on is damaged.
fn damaged_after_the_first_mebibyte() -> Box<dyn ReadAt> {
    let mut bytes = MockReadAt::new();
    bytes.expect_read_at().returning(|offset, buffer| {
        if offset >= MIB {
            return Err(Error::Damaged {
                first: MIB,
                last: 2 * MIB - 1,
                reason: "in /vault/pack".to_owned(),
            });
        }
        buffer.fill(7);
        Ok(())
    });
    Box::new(bytes)
}

fn damaged_snapshot(house: &mut House) -> String {
    let volume = a_volume(house.organization).sized(3 * MIB).build();
    let snapshot = a_snapshot(house.organization).of(&volume).available().build();
    house.store.put_snapshot(snapshot.clone());
    let mut bytes = MockSnapshotBytes::new();
    bytes
        .expect_open()
        .returning(|_| Ok(damaged_after_the_first_mebibyte()));
    house.snapshot_bytes = Arc::new(bytes);
    format!("/snapshots/{}/data", snapshot.id())
}

#[actix_web::test]
async fn damage_in_the_first_piece_is_told_before_the_answer_begins() {
    let mut house = House::new();
    let path = damaged_snapshot(&mut house);
    let request = house
        .request(Method::GET, &path)
        .insert_header((header::RANGE, "bytes=1048576-"));

    let answer = house.answer(request).await;

    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let request_id = header_of(&answer, "x-request-id");
    let told = json!({
        "type": "api_error",
        "message": "The bytes 1048576 to 2097151 are damaged",
        "request_id": request_id,
    });
    assert_eq!(json_of(answer).await, told);
}

#[actix_web::test]
async fn damage_further_on_breaks_the_download_off() {
    let mut house = House::new();
    let path = damaged_snapshot(&mut house);

    let answer = house.answer(house.request(Method::GET, &path)).await;

    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        to_bytes(answer.into_body()).await.is_err(),
        "the end of the bytes must not look like their end"
    );
}

#[actix_web::test]
async fn a_list_that_can_not_be_read_to_its_end_breaks_off() {
    let mut house = House::new();
    let organization = house.organization;
    let mut snapshots = MockSnapshotRepository::new();
    snapshots.expect_count().returning(|_| Ok(100_000));
    snapshots.expect_list_nearby().returning(|_, _| Ok(None));
    snapshots.expect_list().returning(move |_, slice| match slice.after {
        None => Ok((0..slice.limit)
            .map(|_| Measured {
                snapshot: a_snapshot(organization).available().build(),
                exclusive_bytes: None,
            })
            .collect()),
        Some(SnapshotCursor { .. }) => Err(unavailable()),
    });
    house.snapshots = Arc::new(snapshots);

    let answer = house.answer(house.request(Method::GET, "/snapshots")).await;

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header_of(&answer, "x-total-count"), "100000");
    assert!(
        to_bytes(answer.into_body()).await.is_err(),
        "a part of the list must not look like all of it"
    );
}

#[actix_web::test]
async fn a_long_list_is_sent_whole_and_in_order() {
    let house = House::new();
    let expected: Vec<String> = (0..450)
        .map(|_| {
            let snapshot = a_snapshot(house.organization).available().build();
            house.store.put_snapshot(snapshot.clone());
            snapshot.id().to_string()
        })
        .collect();

    let answer = house.answer(house.request(Method::GET, "/snapshots")).await;

    assert_eq!(header_of(&answer, "x-total-count"), "450");
    assert!(!answer.headers().contains_key(header::LINK));
    let body = json_of(answer).await;
    let listed: Vec<&str> = body["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|snapshot| snapshot["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, expected);
}

#[actix_web::test]
async fn what_is_unavailable_says_when_to_come_again_and_nothing_of_its_cause() {
    let mut house = House::new();
    let mut snapshots = MockSnapshotRepository::new();
    snapshots.expect_find_measured().returning(|_, _| Err(unavailable()));
    house.snapshots = Arc::new(snapshots);
    let path = format!("/snapshots/{}", a_snapshot(house.organization).build().id());

    let answer = house.answer(house.request(Method::GET, &path)).await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    let told = json!({"type": "service_unavailable", "message": "the storage is unavailable"});
    assert_eq!(json_of(answer).await, told);
}

#[actix_web::test]
async fn a_store_that_can_not_be_read_makes_the_service_unhealthy() {
    let house = House::new();

    let answer = house.answer(TestRequest::with_uri("/healthz")).await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(answer).await["type"], "service_unavailable");
}

#[actix_web::test]
async fn a_panic_is_an_answer_too() {
    let mut house = House::new();
    let mut snapshots = MockSnapshotRepository::new();
    snapshots.expect_find_measured().returning(|_, _| panic!("a bug"));
    house.snapshots = Arc::new(snapshots);
    let path = format!("/snapshots/{}", a_snapshot(house.organization).build().id());
    let service = test::init_service(app(house.api())).await;

    let failure = service
        .call(house.request(Method::GET, &path).to_request())
        .await
        .unwrap_err();
    let answer = failure.error_response();
    let request_id = answer
        .headers()
        .get("x-request-id")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();

    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body: Value = serde_json::from_slice(&to_bytes(answer.into_body()).await.unwrap()).unwrap();
    let told = json!({"type": "api_error", "message": "Internal error", "request_id": request_id});
    assert_eq!(body, told);
}

/// Volumes whose new bytes go through `staged`.
fn volumes_that_stage(staged: impl Fn() -> MockStagedWrite + Send + Sync + 'static) -> Arc<dyn VolumeBytes> {
    let mut volumes = MockVolumeBytes::new();
    volumes
        .expect_stage()
        .returning(move |_| Ok(Box::new(staged()) as Box<dyn StagedWrite>));
    Arc::new(volumes)
}

#[actix_web::test]
async fn a_write_without_room_is_abandoned_and_says_that_there_is_no_space() {
    let mut house = House::new();
    house.volume_bytes = volumes_that_stage(|| {
        let mut staged = MockStagedWrite::new();
        staged.expect_write().returning(|_| {
            Err(Error::NoSpace {
                source: "/data is full".into(),
            })
        });
        staged
    });
    let volume = house.add_volume(MIB);
    let path = format!("/volumes/{volume}/data");

    let answer = house
        .answer(house.request(Method::PUT, &path).set_payload("bytes"))
        .await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let told = json!({"type": "service_unavailable", "message": "there is no space left to write to"});
    assert_eq!(json_of(answer).await, told);
    assert_eq!(*house.volume(volume).state(), VolumeState::Available { copies: 0 });
}

/// Writes into a volume with these parts of a body.
async fn write(house: &House, volume: VolumeId, body: impl Body) -> ServiceResponse {
    let request = house.request(Method::PUT, &format!("/volumes/{volume}/data"));
    send(house, request, body).await
}

/// Sends a request with these parts of a body.
async fn send(house: &House, request: TestRequest, body: impl Body) -> ServiceResponse {
    let payload: Pin<Box<dyn Stream<Item = Part>>> = Box::pin(body);
    let request = request.to_request().replace_payload(Payload::Stream { payload }).0;
    let service = test::init_service(app(house.api())).await;
    service.call(request).await.unwrap()
}

/// A part of a body, or its failure.
type Part = std::result::Result<Bytes, PayloadError>;

trait Body: Stream<Item = Part> + 'static {}

impl<S: Stream<Item = Part> + 'static> Body for S {}

fn first_bytes(house: &House, volume: VolumeId) -> [u8; 4] {
    let OpenVolume { mut bytes, .. } = house.volume_bytes.open(&house.volume(volume)).unwrap();
    let mut first = [1; 4];
    bytes.read_at(0, &mut first).unwrap();
    first
}

fn is_at_rest(house: &House, volume: VolumeId) -> bool {
    *house.volume(volume).state() == VolumeState::Available { copies: 0 }
}

fn a_volume_of_zeros(house: &House) -> VolumeId {
    let volume = house.add_volume(MIB);
    house.volume_bytes.create(&house.volume(volume)).unwrap();
    volume
}

#[actix_web::test]
async fn a_write_that_breaks_off_is_abandoned() {
    let house = House::new();
    let volume = a_volume_of_zeros(&house);
    let pieces = [
        Ok(Bytes::from_static(b"half of it")),
        Err(PayloadError::Incomplete(None)),
    ];

    let answer = write(&house, volume, stream::iter(pieces)).await;

    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(is_at_rest(&house, volume));
    assert_eq!(first_bytes(&house, volume), [0; 4]);
}

#[actix_web::test]
async fn a_write_that_stalls_is_abandoned() {
    let house = House::new();
    let volume = a_volume_of_zeros(&house);
    let body = stream::iter([Ok(Bytes::from_static(b"half of it"))]).chain(stream::pending());

    let answer = write(&house, volume, body).await;

    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(is_at_rest(&house, volume));
    assert_eq!(first_bytes(&house, volume), [0; 4]);
}

#[actix_web::test]
async fn a_write_whose_connection_is_gone_is_abandoned() {
    let house = House::new();
    let volume = a_volume_of_zeros(&house);
    let writing = write(&house, volume, stream::pending());
    let begun = until(|| *house.volume(volume).state() == VolumeState::Saving);

    // The server drops the handler in the middle of what it does.
    drop(future::select(Box::pin(writing), Box::pin(begun)).await);

    until(|| is_at_rest(&house, volume)).await;
    assert_eq!(first_bytes(&house, volume), [0; 4]);
}

/// Waits for something that other threads do.
async fn until(holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), waited)
        .await
        .expect("it holds at last");
}

#[actix_web::test]
async fn a_json_body_that_stalls_is_given_up() {
    let house = House::new();
    let request = house
        .request(Method::POST, "/snapshots")
        .insert_header(header::ContentType::json());

    let answer = send(&house, request, stream::pending()).await;

    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(json_of(answer).await["type"], "invalid_request_error");
}
