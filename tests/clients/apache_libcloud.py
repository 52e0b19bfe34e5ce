"""apache-libcloud, provider SCALEWAY, by the original paths. Where its driver has no method (rename, transfer, restore), its own
connection sends the request, so that its reading of answers and errors is under test all the same."""

import json
import os
from urllib.parse import urlsplit

from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError
from libcloud.compute.drivers.scaleway import ScalewayConnection
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider, VolumeSnapshotState

from steps import (
    API,
    BROKEN_VOLUME,
    FOREIGN_ORGANIZATION,
    MISSING,
    ORGANIZATION,
    OTHER_ORGANIZATION,
    TOKEN,
    WRONG_TOKEN,
    equal,
    read,
    refused,
    step,
    until,
    write,
)

ScalewayConnection.allow_insecure = True


def driver_with(token):
    place = urlsplit(API)
    return get_driver(Provider.SCALEWAY)(ORGANIZATION, token, secure=False, host=place.hostname, port=place.port)


driver = driver_with(TOKEN)
GIGABYTE = 10**9
DATA = os.urandom(3 << 20)


def send(method, path, body, by=driver):
    return by.connection.request(path, method=method, data=json.dumps(body)).object


def snapshot_of(volume, snapshot_id):
    return next(it for it in driver.list_volume_snapshots(volume) if it.id == snapshot_id)


@step("a volume is made")
def volume():
    made = driver.create_volume(1, "disk")
    equal((made.name, made.size, made.extra["organization"]), ("disk", 1, ORGANIZATION))
    equal(made.extra["volume_type"], "l_ssd")
    return made


@step("it is filled, and a snapshot of it begins")
def snapshot():
    write(volume.id, DATA)
    begun = driver.create_volume_snapshot(volume, "before")
    equal((begun.state, begun.size), (VolumeSnapshotState.CREATING, 1))
    return begun


@step("the snapshot becomes available")
def available():
    whole = until(
        "it is available",
        lambda: [it for it in driver.list_volume_snapshots(volume) if it.state == VolumeSnapshotState.AVAILABLE],
    )
    equal([it.id for it in whole], [snapshot.id])
    equal(whole[0].created, snapshot.created)


@step("a list of more than 100 volumes is followed to its end")
def _pages():
    made = {driver.create_volume(1, f"v{number}").id for number in range(120)}
    listed = [it.id for it in driver.list_volumes()]
    equal(len(listed), 122)
    equal(set(listed) - {volume.id, BROKEN_VOLUME}, made)


@step("one snapshot is read")
def _get():
    got = send("GET", f"/snapshots/{snapshot.id}", None)["snapshot"]
    equal((got["name"], got["state"], got["base_volume"]["id"]), ("before", "available", volume.id))


@step("a snapshot is renamed, and goes to another organization")
def _change():
    equal(send("PUT", f"/snapshots/{snapshot.id}", {"name": "after"})["snapshot"]["name"], "after")
    moved = send("PUT", f"/snapshots/{snapshot.id}", {"organization": OTHER_ORGANIZATION})["snapshot"]
    equal((moved["organization"], moved["name"]), (OTHER_ORGANIZATION, "after"))
    equal(snapshot_of(volume, snapshot.id).extra["organization"], OTHER_ORGANIZATION)


@step("the volume is broken and destroyed, and the snapshot gives every byte back")
def _restore():
    write(volume.id, b"broken")
    equal(driver.destroy_volume(volume), True)
    body = {"name": "restored", "organization": OTHER_ORGANIZATION, "volume_type": "l_ssd", "base_snapshot": snapshot.id}
    restored = send("POST", "/volumes", body)["volume"]["id"]
    path = f"/volumes/{restored}"
    until("it is restored", lambda: send("GET", path, None)["volume"]["state"] == "available")
    data = read(path)
    equal(len(data), GIGABYTE)
    equal(data[: len(DATA)] == DATA, True)
    equal(data.count(0, len(DATA)), GIGABYTE - len(DATA))


@step("a copy that fails ends as an error")
def failed():
    broken = next(it for it in driver.list_volumes() if it.id == BROKEN_VOLUME)
    begun = driver.create_volume_snapshot(broken, "of nothing")
    return until(
        "it ends", lambda: [it for it in driver.list_volume_snapshots(broken) if it.state == VolumeSnapshotState.ERROR]
    )[0]


@step("a snapshot is destroyed")
def _destroy():
    equal(driver.destroy_volume_snapshot(snapshot), True)
    equal(driver.list_volume_snapshots(volume), [])


@step("every refusal is told with its status and sentence")
def _errors():
    gone = refused(BaseHTTPError, lambda: driver.destroy_volume_snapshot(snapshot))
    equal((gone.code, gone.message), (404, f'Snapshot "{snapshot.id}" not found'))
    missing = refused(BaseHTTPError, lambda: send("GET", f"/volumes/{MISSING}", None))
    equal((missing.code, missing.message), (404, f'Volume "{MISSING}" not found'))
    invalid = refused(BaseHTTPError, lambda: driver.create_volume(1, ""))
    equal((invalid.code, invalid.message), (400, "Validation Error"))
    body = {"name": "x", "organization": FOREIGN_ORGANIZATION, "volume_type": "l_ssd", "size": 512}
    foreign = refused(BaseHTTPError, lambda: send("POST", "/volumes", body))
    equal((foreign.code, foreign.message), (403, "The token provided doesn't have the requested permission."))
    body = {"name": "x", "organization": ORGANIZATION, "volume_type": "l_ssd", "base_snapshot": failed.id}
    conflict = refused(BaseHTTPError, lambda: send("POST", "/volumes", body))
    equal((conflict.code, conflict.message), (409, "snapshot is not available"))
    stranger = refused((BaseHTTPError, InvalidCredsError), lambda: driver_with(WRONG_TOKEN).list_volumes())
    equal("Authentication error" in str(stranger), True)
