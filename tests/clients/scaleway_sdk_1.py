"""scaleway-sdk 1.15 (PyPI), the old Python SDK. Its argument is where its paths begin: nothing for the original ones."""

import os
import sys

from scaleway.apis import ComputeAPI
from slumber.exceptions import HttpClientError, HttpNotFoundError

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

BASE = API + sys.argv[1]
DATA = os.urandom(3 << 20)


def query(token=TOKEN, **options):
    return ComputeAPI(base_url=BASE, auth_token=token).query(**options)


def new_volume(**facts):
    body = {"name": "disk", "organization": ORGANIZATION, "volume_type": "l_ssd", **facts}
    return query().volumes.post(body)["volume"]


@step("a volume is made")
def volume():
    made = new_volume(size=len(DATA))
    equal((made["name"], made["size"], made["state"]), ("disk", len(DATA), "available"))
    return made["id"]


@step("it is filled, and a snapshot of it begins")
def snapshot():
    write(volume, DATA)
    body = {"name": "before", "organization": ORGANIZATION, "volume_id": volume}
    begun = query().snapshots.post(body)["snapshot"]
    equal((begun["state"], begun["base_volume"]["id"]), ("snapshotting", volume))
    return begun["id"]


@step("the snapshot becomes available")
def _available():
    until("it is available", lambda: query().snapshots(snapshot).get()["snapshot"]["state"] == "available")


@step("a list is read page by page, by the links")
def _pages():
    made = [new_volume(size=512)["id"] for _ in range(7)]
    listed = []
    for page in range(1, 5):
        answer = query(serialize=False).volumes.get(page=page, per_page=3)
        equal(answer.headers["X-Total-Count"], "9")
        equal("next" in answer.links, page < 3)
        listed += [it["id"] for it in answer.json()["volumes"]]
    equal(listed, [BROKEN_VOLUME, volume] + made)
    equal([it["id"] for it in query().volumes.get()["volumes"]], listed)
    equal([it["id"] for it in query().snapshots.get(organization=ORGANIZATION)["snapshots"]], [snapshot])


@step("one snapshot and one volume are read")
def _get():
    got = query().snapshots(snapshot).get()["snapshot"]
    equal((got["name"], got["size"]), ("before", len(DATA)))
    equal(query().volumes(volume).get()["volume"]["id"], volume)


@step("a snapshot is renamed, and goes to another organization")
def _change():
    equal(query().snapshots(snapshot).put({"name": "after"})["snapshot"]["name"], "after")
    moved = query().snapshots(snapshot).put({"organization": OTHER_ORGANIZATION})["snapshot"]
    equal((moved["organization"], moved["name"]), (OTHER_ORGANIZATION, "after"))
    equal(query().volumes(volume).patch({"name": "renamed"})["volume"]["name"], "renamed")


@step("the volume is broken and deleted, and the snapshot gives every byte back")
def _restore():
    write(volume, b"broken")
    equal(query().volumes(volume).delete(), True)
    restored = new_volume(base_snapshot=snapshot)["id"]
    until("it is restored", lambda: query().volumes(restored).get()["volume"]["state"] == "available")
    equal(read(f"/volumes/{restored}") == DATA, True)


@step("a copy that fails ends as an error")
def failed():
    body = {"name": "of nothing", "organization": ORGANIZATION, "volume_id": BROKEN_VOLUME}
    begun = query().snapshots.post(body)["snapshot"]["id"]
    until("it ends", lambda: query().snapshots(begun).get()["snapshot"]["state"] == "error")
    return begun


@step("a snapshot is deleted")
def _delete():
    equal(query().snapshots(snapshot).delete(), True)


@step("every refusal is told with its status")
def _errors():
    gone = refused(HttpNotFoundError, lambda: query().snapshots(snapshot).get())
    equal(gone.response.json(), {"type": "unknown_resource", "message": f'Snapshot "{snapshot}" not found'})
    refused(HttpNotFoundError, lambda: query().volumes(MISSING).delete())
    status = lambda call: refused(HttpClientError, call).response.status_code
    equal(status(lambda: new_volume(size=513)), 400)
    equal(status(lambda: new_volume(size=512, organization=FOREIGN_ORGANIZATION)), 403)
    equal(status(lambda: new_volume(base_snapshot=failed)), 409)
    equal(status(lambda: query(token=WRONG_TOKEN).snapshots.get()), 401)
