//! `kill -9` at any moment while copies, deletions, restores and collections run together.

use std::{
    env, fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, id_of, noise},
    collection::stat,
    service::{Data, ORGANIZATION, Service, Setup, TOKEN},
    story::{bytes_of, restore},
    vault_folder::objects,
};

const MIB: usize = 1 << 20;
const SNAPSHOTS: usize = 20;

/// Numbers that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 += 1;
        let bytes = noise(8, self.0);
        usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap()) % limit as u64).unwrap()
    }
}

/// What there is, as the client knows it.
struct World {
    data: Data,
    dice: Dice,
    volumes: Vec<(String, Vec<u8>)>,
    snapshots: Vec<(String, Vec<u8>)>,
    restores: Vec<(String, Vec<u8>)>,
    begun: usize,
    deleted: usize,
}

impl World {
    fn start(&self) -> Service {
        Setup::on(&self.data)
            .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
            .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
            .set("SNAPSHOT__MAINTENANCE__COLLECT_INTERVAL_MS", "1")
            .set("SNAPSHOT__MAINTENANCE__COLLECT_LIVE_PERCENT", "75")
            .start()
    }

    /// A collection by command, which goes on while the server is killed.
    fn collect(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_snapshot-api"))
            .args(["vault", "collect"])
            .env("SNAPSHOT__DATA_DIR", self.data.path())
            .env("SNAPSHOT__LOG__LEVEL", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn make_volumes(&mut self, client: &Client) {
        for seed in 0..5 {
            let mut bytes = noise(6 * MIB, 1);
            bytes[MIB..3 * MIB].copy_from_slice(&noise(2 * MIB, 10 + seed));
            bytes[4 * MIB..5 * MIB].fill(0);
            let volume = client.make_volume_of(&bytes);
            self.volumes.push((volume, bytes));
        }
    }

    /// Changes a part of a volume, unless it is being copied.
    fn write(&mut self, client: &Client) {
        let (at, place) = (self.dice.below(self.volumes.len()), self.dice.below(5));
        let seed = self.dice.below(1_000_000) as u64;
        let (volume, bytes) = &mut self.volumes[at];
        let mut changed = bytes.clone();
        changed[place * MIB..place * MIB + MIB].copy_from_slice(&noise(MIB, seed));
        match client.write(volume, &changed).status {
            200 => *bytes = changed,
            409 => {}
            status => panic!("a write was answered with {status}"),
        }
    }

    fn round(&mut self, client: &Client) {
        for _ in 0..3 {
            self.write(client);
        }
        while self.snapshots.len() < SNAPSHOTS {
            let at = self.dice.below(self.volumes.len());
            let (volume, bytes) = self.volumes[at].clone();
            let begun = id_of(&client.snapshot(&volume, "killed").expect(200).json()["snapshot"]);
            self.snapshots.push((begun, bytes));
            self.begun += 1;
        }
        let at = self.dice.below(self.snapshots.len());
        let (snapshot, bytes) = self.snapshots[at].clone();
        let shown = client.get(&format!("/snapshots/{snapshot}")).expect(200).json();
        if shown["snapshot"]["state"] == "available" {
            self.restores.push((restore(client, &snapshot), bytes));
        }
        for _ in 0..SNAPSHOTS / 4 {
            let at = self.dice.below(self.snapshots.len());
            let (snapshot, _) = self.snapshots.swap_remove(at);
            client.delete(&format!("/snapshots/{snapshot}")).expect(204);
            self.deleted += 1;
        }
    }

    fn check(&self, client: &Client) {
        for (volume, bytes) in &self.restores {
            client.wait_for_state("volume", volume, "available");
            assert!(bytes_of(client, "volume", volume) == *bytes);
        }
        for (snapshot, bytes) in &self.snapshots {
            client.wait_for_state("snapshot", snapshot, "available");
            let volume = restore(client, snapshot);
            client.wait_for_state("volume", &volume, "available");
            assert!(bytes_of(client, "volume", &volume) == *bytes);
            client.delete(&format!("/volumes/{volume}")).expect(204);
        }
    }

    fn vault(&self, arguments: &[&str]) {
        let setup = Setup::on(&self.data).arg("vault");
        let output = arguments
            .iter()
            .fold(setup, |setup, argument| setup.arg(*argument))
            .run();
        assert!(output.status.success(), "{output:?}");
    }
}

/// `SNAPSHOT_TEST_COLLECT_KILLS` says how often: 4 times unless it is set.
#[test]
fn whatever_moment_a_collection_is_killed_at_every_snapshot_stays_whole() {
    let kills: usize = env::var("SNAPSHOT_TEST_COLLECT_KILLS").map_or(4, |kills| kills.parse().unwrap());
    let began = Instant::now();
    let mut world = World {
        data: Data::new(),
        dice: Dice(1),
        volumes: Vec::new(),
        snapshots: Vec::new(),
        restores: Vec::new(),
        begun: 0,
        deleted: 0,
    };
    let mut service = world.start();
    world.make_volumes(&service.client());
    let mut collections = Vec::new();
    for _ in 0..kills {
        world.round(&service.client());
        collections.push(world.collect());
        let moment = world.dice.below(2_000);
        thread::park_timeout(Duration::from_millis(moment as u64));
        service.signal("KILL");
        service.wait();
        for collection in &mut collections {
            collection.kill().unwrap();
            collection.wait().unwrap();
        }
        collections.clear();
        service = world.start();
        if world.restores.len() > 10 {
            let client = service.client();
            for (volume, bytes) in world.restores.drain(..) {
                client.wait_for_state("volume", &volume, "available");
                assert!(bytes_of(&client, "volume", &volume) == bytes);
                client.delete(&format!("/volumes/{volume}")).expect(204);
            }
        }
    }

    world.check(&service.client());
    world.vault(&["verify"]);
    world.vault(&["collect"]);
    let counted = stat(&world.data);
    service.signal("TERM");
    assert!(service.wait().success());
    fs::remove_dir_all(world.data.path().join("index")).unwrap();
    let recounted = stat(&world.data);
    let files = ["packs", "manifests"].map(|kind| objects(&world.data.path(), kind));
    let stored: u64 = files.iter().flatten().map(|path| path.metadata().unwrap().len()).sum();
    println!(
        "{kills} kills in {:.0} s, {} copies begun, {} snapshots deleted, {} left; {} stored, {} needed by nobody",
        began.elapsed().as_secs_f64(),
        world.begun,
        world.deleted,
        world.snapshots.len(),
        stored,
        counted["totals"]["dead_size"]
    );
    assert_eq!(recounted, counted);
    assert_eq!(counted["totals"]["snapshots"], world.snapshots.len());
    assert_eq!(counted["totals"]["stored_size"], stored);
    let service = world.start();
    world.check(&service.client());
    for (snapshot, _) in &world.snapshots {
        service.client().delete(&format!("/snapshots/{snapshot}")).expect(204);
    }
    crate::service::wait_for("the end of all manifests and packs", || {
        world.vault(&["collect"]);
        let left = ["packs", "manifests"].map(|kind| objects(&world.data.path(), kind).len());
        (left == [0, 0]).then_some(())
    });
}
