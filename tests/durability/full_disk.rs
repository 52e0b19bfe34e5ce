//! A disk that is full.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    client::{id_of, noise},
    service::Data,
    story::{bytes_of, start_on},
};

const MIB: usize = 1 << 20;

/// A small file system in memory, unmounted in the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, megabytes: u32) -> Option<Self> {
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }

    fn grow(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        assert!(
            Command::new("mount")
                .args(["-o", &size])
                .arg(self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_fails_the_snapshot_with_the_reason_and_nothing_else() {
    let data = Data::new();
    let folder = data.path();
    std::fs::create_dir(&folder).unwrap();
    let Some(disk) = SmallDisk::mount(&folder, 64) else {
        println!("SKIPPED: no file system can be mounted here; that needs root");
        return;
    };
    let service = start_on(&data);
    let client = service.client();
    let bytes = noise(36 * MIB, 1);
    let volume = client.make_volume_of(&bytes);

    let failed = id_of(&client.snapshot(&volume, "too much").expect(200).json()["snapshot"]);
    let failed = client.wait_for_state("snapshot", &failed, "error");

    let reason = failed["error_reason"].as_str().unwrap();
    assert!(reason.starts_with("There is no space left in the vault"), "{reason}");
    client
        .put(&format!("/snapshots/{}", id_of(&failed)), &json!({"name": "failed"}))
        .expect(200);
    disk.grow(256);
    let snapshot = id_of(&client.make_snapshot(&volume, "with room"));
    assert!(bytes_of(&client, "snapshot", &snapshot) == bytes);
}

#[test]
fn a_full_disk_breaks_off_a_write_and_keeps_the_bytes_from_before() {
    let data = Data::new();
    let folder = data.path();
    std::fs::create_dir(&folder).unwrap();
    let Some(_disk) = SmallDisk::mount(&folder, 48) else {
        println!("SKIPPED: no file system can be mounted here; that needs root");
        return;
    };
    let service = start_on(&data);
    let client = service.client();
    let before = noise(24 * MIB, 1);
    let volume = client.make_volume_of(&before);

    let refused = client.write(&volume, &noise(24 * MIB, 2));

    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["type"], "service_unavailable");
    let volume = client.wait_for_state("volume", &volume, "available");
    assert!(bytes_of(&client, "volume", &id_of(&volume)) == before);
}
