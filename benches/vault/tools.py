"""What is measured: this service, and what people would use instead. Each does the same steps."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


def tree_bytes(path):
    """Bytes that a folder takes on disk."""
    return sum(os.lstat(os.path.join(at, name)).st_blocks * 512 for at, _, names in os.walk(path) for name in names)


def run(*command, env=None):
    """Runs a command, and returns its seconds, CPU seconds and highest memory in bytes."""
    began = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaints = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed: {complaints.decode(errors='replace')[-500:]}")
    return {"seconds": time.monotonic() - began, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}


class Service:
    """This project: the release binary, asked over HTTP, with the image registered as a volume."""

    name, binary = "snapshot-api", CHECKOUT / "target" / "release" / "snapshot-api"

    def __init__(self, folder, image):
        self.data = folder / "data"
        self.environment = {**os.environ, "SNAPSHOT__DATA_DIR": str(self.data), "SNAPSHOT__SERVER__BIND": "127.0.0.1:0"}
        self.log = open(folder / "log", "w+")
        self.printed = open(folder / "printed", "w+")
        self.process = subprocess.Popen([self.binary], env=self.environment, stdout=self.printed, stderr=self.log)
        self.address = self.awaited("log", r"listening on http://(\S+)")
        uuid = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
        self.organization = self.awaited("printed", r"organization\s+" + uuid)
        self.token = self.awaited("printed", r"token\s+" + uuid)
        self.volume = self.register(image)
        self.snapshot = None

    def register(self, image):
        command = [self.binary, "--output", "json", "volume", "register", image, "--name", "bench", "--organization", self.organization]
        return json.loads(subprocess.check_output(command, env=self.environment))["volume"]["id"]

    def awaited(self, file, pattern):
        for _ in range(2000):
            found = re.search(pattern, open(getattr(self, file).name).read())
            if found:
                return found.group(1)
            time.sleep(0.01)
        sys.exit(f"the service did not say {pattern}")

    def request(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.address, timeout=600)
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json", **headers}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        return connection.getresponse()

    def call(self, method, path, body=None):
        answer = self.request(method, path, body)
        read = answer.read()
        if answer.status >= 400:
            sys.exit(f"{method} {path}: {answer.status} {read.decode()}")
        return json.loads(read)

    def usage(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rpartition(")")[2].split()
        memory = re.search(r"VmHWM:\s+(\d+) kB", open(f"/proc/{self.process.pid}/status").read()).group(1)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(memory) * 1024

    def measured(self, step):
        """What a step takes, and what it returns."""
        cpu, _ = self.usage()
        began = time.monotonic()
        result = step()
        seconds = time.monotonic() - began
        after, memory = self.usage()
        return result, {"seconds": seconds, "cpu": after - cpu, "memory": memory}

    def until_available(self, kind, path, id):
        while True:
            now = self.call("GET", f"{path}/{id}")[kind]
            if now["state"] == "available":
                return id
            if now["state"] == "error":
                sys.exit(f"the service failed: {now['error_reason']}")
            time.sleep(0.01)

    def begin_snapshot(self, volume):
        body = {"name": "bench", "organization": self.organization, "volume_id": volume}
        return self.call("POST", "/snapshots", body)["snapshot"]["id"]

    def snapshot_of(self, *volumes):
        """Snapshots of volumes, made at the same time."""
        for id in [self.begin_snapshot(volume) for volume in volumes]:
            self.until_available("snapshot", "/snapshots", id)
        return id

    def snapshot_step(self):
        self.snapshot, measures = self.measured(lambda: self.snapshot_of(self.volume))
        return measures

    first = unchanged = changed = snapshot_step

    def restore(self):
        body = {"name": "bench", "organization": self.organization, "volume_type": "l_ssd", "base_snapshot": self.snapshot}
        made = lambda: self.until_available("volume", "/volumes", self.call("POST", "/volumes", body)["volume"]["id"])
        volume, measures = self.measured(made)
        self.restored = self.data / "volumes" / f"{volume}.raw"
        return measures

    def read(self, bytes):
        """The first bytes of the snapshot, over HTTP."""
        buffer, left = bytearray(1 << 20), bytes

        def all_of_it():
            nonlocal left
            answer = self.request("GET", f"/snapshots/{self.snapshot}/data", Range=f"bytes=0-{bytes - 1}")
            while got := answer.readinto(buffer):
                left -= got

        _, measures = self.measured(all_of_it)
        if left:
            sys.exit(f"{left} bytes of the snapshot did not come")
        return measures

    def verify(self):
        return run(self.binary, "vault", "verify", env={"SNAPSHOT__DATA_DIR": str(self.data)})

    def stored(self):
        return tree_bytes(self.data / "vault")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


class Restic:
    name, needs = "restic", "restic"

    def __init__(self, folder, image):
        self.repository, self.image, self.out = folder / "repository", image, folder / "out"
        self.env = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(self.repository), "RESTIC_CACHE_DIR": str(folder / "cache")}
        run("restic", "init", env=self.env)

    def first(self):
        # The file's metadata tells nothing of a volume's content, so every byte is read, as by all others here.
        return run("restic", "backup", "--force", self.image, env=self.env)

    unchanged = changed = first

    def restore(self):
        # Until it is on disk, as with all others here.
        self.restored = Path(f"{self.out}{self.image}")
        return run("sh", "-c", 'restic restore latest --target "$1" && sync "$2"', "sh", self.out, self.restored, env=self.env)

    def read(self, bytes):
        return run("sh", "-c", 'restic dump --no-lock latest "$1" | head -c "$2"', "sh", self.image, bytes, env=self.env)

    def verify(self):
        return run("restic", "check", "--read-data", env=self.env)

    def stored(self):
        return tree_bytes(self.repository)

    def end(self):
        pass


class Borg:
    name, needs = "borg", "borg"

    def __init__(self, folder, image):
        self.repository, self.image, self.out, self.count = folder / "repository", image, folder / "out", 0
        self.env = {
            "BORG_PASSPHRASE": "bench",
            "BORG_REPO": str(self.repository),
            "BORG_BASE_DIR": str(folder / "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        run("borg", "init", "--encryption", "repokey-blake2", env=self.env)

    def first(self):
        self.count += 1
        options = ["--files-cache", "disabled", "--compression", "zstd,1", "--chunker-params", "fixed,4194304", "--sparse"]
        return run("borg", "create", *options, f"::{self.count}", self.image, env=self.env)

    unchanged = changed = first

    def restore(self):
        self.out.mkdir(exist_ok=True)
        self.restored = Path(f"{self.out}{self.image}")
        command = f'cd "$1" && borg extract --sparse "::{self.count}" && sync "$2"'
        return run("sh", "-c", command, "sh", self.out, self.restored, env=self.env)

    def read(self, bytes):
        command = f'borg extract --bypass-lock --stdout "::{self.count}" 2>/dev/null | head -c "$1"'
        return run("sh", "-c", command, "sh", bytes, env=self.env)

    def verify(self):
        return run("borg", "check", "--verify-data", env=self.env)

    def stored(self):
        return tree_bytes(self.repository)

    def end(self):
        pass


class Qcow2:
    """A compressed image: neither deduplicated nor encrypted, and its check reads no data. A second one is the same work."""

    name, needs = "qemu-img", "qemu-img"

    def __init__(self, folder, image):
        self.folder, self.image, self.count = folder / "images", image, 0
        self.folder.mkdir()

    def first(self):
        self.count += 1
        self.latest = self.folder / f"{self.count}.qcow2"
        command = ["-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", self.image, self.latest]
        return run("sh", "-c", 'qemu-img convert "$@" && sync "$9"', "sh", *command)

    def unchanged(self):
        return None

    changed = first

    def restore(self):
        self.restored = self.folder.parent / "restored.raw"
        return run("sh", "-c", 'qemu-img convert -O raw "$1" "$2" && sync "$2"', "sh", self.latest, self.restored)

    def read(self, bytes):
        return None

    def verify(self):
        return None

    def stored(self):
        return tree_bytes(self.folder)

    def end(self):
        pass


class Cp:
    """A plain sparse copy, on disk: what costs least and keeps least."""

    name, needs = "cp", "cp"

    def __init__(self, folder, image):
        self.folder, self.image, self.count = folder / "copies", image, 0
        self.folder.mkdir()

    def first(self):
        self.count += 1
        self.latest = self.folder / f"{self.count}.raw"
        return run("sh", "-c", 'cp --sparse=always "$1" "$2" && sync "$2"', "sh", self.image, self.latest)

    def unchanged(self):
        return None

    changed = first

    def restore(self):
        self.restored = self.folder.parent / "restored.raw"
        return run("sh", "-c", 'cp --sparse=always "$1" "$2" && sync "$2"', "sh", self.latest, self.restored)

    def read(self, bytes):
        return None

    def verify(self):
        return None

    def stored(self):
        return tree_bytes(self.folder)

    def end(self):
        pass
