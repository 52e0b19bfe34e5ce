"""What only this service is measured for: its limit, several copies at once, an empty volume, growth."""

import json
import os
import shutil
import statistics
import subprocess
import threading
import time

from images import append_salted, place, sparse
from tools import CHECKOUT, GIB, Service

MIB = 1 << 20


class At:
    """A running service in a folder that goes away with it."""

    def __init__(self, folder, image):
        self.folder, self.image = folder, image

    def __enter__(self):
        self.folder.mkdir()
        self.service = Service(self.folder, self.image)
        return self.service

    def __exit__(self, *_):
        self.service.end()
        shutil.rmtree(self.folder)


def limit(folder, image, rounds):
    """The vault beside the bare work, in one process with the same threads (`crates/snapshot-vault/examples/limit.rs`)."""
    example = CHECKOUT / "target" / "release" / "examples" / "limit"
    threads = min(2 * os.cpu_count(), 16)
    printed = subprocess.check_output([example, folder / "limit", image, str(threads), str(rounds)])
    measures = json.loads(printed)
    for copy in ("vault", "vault_opening_all"):
        for key in ("seconds", "cpu"):
            measures[copy]["percent_" + key] = 100 * measures["bare"][key] / measures[copy][key]
    return measures


def at_once(folder, image):
    """One copy, then two others at once; and two at once while somebody asks the API, whose processor time would else count
    as that of the copies."""
    images = [folder / f"volume-{number}.raw" for number in range(3)]
    for number, salted in enumerate(images):
        append_salted(image, salted, number)
        place(salted, salted.with_suffix(".placed"))
        os.replace(salted.with_suffix(".placed"), salted)
    latencies, done = [], threading.Event()

    def ask(service):
        while not done.is_set():
            for path in (f"/volumes/{service.volume}", "/snapshots", "/volumes"):
                began = time.monotonic()
                service.call("GET", path)
                latencies.append(time.monotonic() - began)
            time.sleep(0.005)

    with At(folder / "service", images[0]) as service:
        volumes = [service.volume, service.register(images[1]), service.register(images[2])]
        _, one = service.measured(lambda: service.snapshot_of(volumes[0]))
        _, two = service.measured(lambda: service.snapshot_of(*volumes[1:]))
    with At(folder / "service", images[0]) as service:
        volumes = [service.volume, service.register(images[1])]
        asking = threading.Thread(target=ask, args=[service])
        asking.start()
        service.snapshot_of(*volumes)
        done.set()
        asking.join()
    for salted in images:
        salted.unlink()
    latencies = sorted(1000 * latency for latency in latencies)
    return {
        "one": one,
        "two": two,
        "throughput_of_two": 2 * one["seconds"] / two["seconds"],
        "requests": len(latencies),
        "milliseconds_median": statistics.median(latencies),
        "milliseconds_99th": latencies[len(latencies) * 99 // 100],
    }


def empty(folder, tib=4):
    """A volume of some TiB with 64 MiB of data."""
    image = folder / "empty.raw"
    sparse(image, tib << 40, 64)
    with At(folder / "service", image) as service:
        first, unchanged = service.snapshot_step(), service.snapshot_step()
    image.unlink()
    return {"first": first, "unchanged": unchanged}


def growth(folder, image, sizes):
    """The steps for volumes of so many GiB, of which each GiB is like the image, and none the same as another."""
    results = {}
    for gib in sizes:
        free = shutil.disk_usage(folder).free
        # The volume, its chunks, and the restored one.
        needed = gib * GIB / os.path.getsize(image) * os.stat(image).st_blocks * 512 * 2.6
        if free < needed:
            print(f"left out, as the disk has {free / GIB:.0f} GiB of the {needed / GIB:.0f} GiB needed: {gib} GiB")
            continue
        volume = folder / "volume.raw"
        for number in range(gib * GIB // os.path.getsize(image)):
            append_salted(image, volume, number)
        subprocess.run(["sync", volume], check=True)
        subprocess.run(f"cat {volume} > /dev/null", shell=True, check=True)
        with At(folder / "service", volume) as service:
            steps = {step: getattr(service, step)() for step in ("first", "unchanged", "restore", "verify")}
        volume.unlink()
        results[gib] = steps
    return results


def growth_chart(results):
    """Seconds for each size, as a chart of text: a bar that doubles with the size is a cost that grows as the volume does."""
    lines = ["| step | GiB | seconds | CPU seconds | CPU seconds per GiB | memory | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for step in ("first", "unchanged", "restore", "verify"):
        most = max(steps[step]["cpu"] for steps in results.values())
        for gib, steps in results.items():
            measures = steps[step]
            bar = "█" * max(1, round(32 * measures["cpu"] / most))
            lines.append(
                f"| {step} | {gib} | {measures['seconds']:.2f} | {measures['cpu']:.2f} | {measures['cpu'] / gib:.2f} "
                f"| {measures['memory'] / MIB:.0f} MiB | {bar} |"
            )
    return "\n".join(lines)
