//! `kill -9` at any moment.

use std::{env, thread, time::Duration};

use crate::{
    client::{id_of, noise},
    service::Data,
    story::{bytes_of, restore, start_on},
};

const MIB: usize = 1 << 20;

/// Numbers that look random, and are the same for the same seed.
struct Moments(u64);

impl Moments {
    fn next_below(&mut self, limit: u64) -> u64 {
        let bytes = noise(8, self.0);
        self.0 += 1;
        u64::from_le_bytes(bytes.try_into().unwrap()) % limit
    }
}

/// `SNAPSHOT_TEST_KILLS` says how often: 8 times unless it is set.
#[test]
fn whatever_moment_the_process_is_killed_at_every_task_goes_on_and_ends_well() {
    let kills: u64 = env::var("SNAPSHOT_TEST_KILLS").map_or(8, |kills| kills.parse().unwrap());
    let data = Data::new();
    let mut service = start_on(&data);
    let mut moments = Moments(1);
    let mut snapshots: Vec<(String, Vec<u8>)> = Vec::new();
    let mut restores: Vec<(String, Vec<u8>)> = Vec::new();

    for round in 0..kills {
        let client = service.client();
        let mut bytes = noise(24 * MIB, 100 + round);
        bytes[8 * MIB..16 * MIB].fill(0);
        let volume = client.make_volume_of(&bytes);
        let snapshot = id_of(&client.snapshot(&volume, "killed").expect(200).json()["snapshot"]);
        snapshots.push((snapshot, bytes));
        if round > 0 {
            let (first, bytes) = snapshots[0].clone();
            client.wait_for_state("snapshot", &first, "available");
            restores.push((restore(&client, &first), bytes));
        }
        thread::park_timeout(Duration::from_millis(moments.next_below(400)));
        service.signal("KILL");
        service.wait();
        service = start_on(&data);
    }

    let client = service.client();
    for (volume, bytes) in &restores {
        client.wait_for_state("volume", volume, "available");
        assert!(bytes_of(&client, "volume", volume) == *bytes);
    }
    for (snapshot, bytes) in &snapshots {
        client.wait_for_state("snapshot", snapshot, "available");
        let volume = restore(&client, snapshot);
        client.wait_for_state("volume", &volume, "available");
        assert!(bytes_of(&client, "volume", &volume) == *bytes);
    }
    let listed = client.get("/snapshots").expect(200).json();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), snapshots.len());
}

#[test]
fn a_write_that_the_process_died_in_leaves_the_bytes_from_before() {
    use std::io::Write as _;

    let data = Data::new();
    let mut service = start_on(&data);
    let before = noise(4 * MIB, 1);
    let volume = service.client().make_volume_of(&before);
    let client = service.client();
    let mut connection = client.connect();
    let head = client.head_of(
        "PUT",
        &format!("/volumes/{volume}/data"),
        &format!("Content-Length: {}\r\n", 4 * MIB),
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&noise(2 * MIB, 2)).unwrap();
    client.wait_for_state("volume", &volume, "saving");

    service.signal("KILL");
    service.wait();
    let service = start_on(&data);

    let client = service.client();
    client.wait_for_state("volume", &volume, "available");
    assert!(bytes_of(&client, "volume", &volume) == before);
    assert_eq!(
        std::fs::read_dir(data.path().join("volumes/staging")).unwrap().count(),
        0
    );
}
