"""scaleway (PyPI), the present Python SDK, by the present paths."""

import os

from scaleway import Client, ScalewayException
from scaleway.instance.v1 import InstanceV1API
from scaleway_core.api import ValidationError

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

ZONE = "fr-par-1"
DATA = os.urandom(3 << 20)


def api_with(token, **settings):
    client = Client(
        api_url=API, access_key="SCW00000000000000000", secret_key=token, default_zone=ZONE, **settings
    )
    return InstanceV1API(client)


api = api_with(TOKEN, default_project_id=ORGANIZATION)


@step("a volume is made in the default project")
def volume():
    made = api.create_volume(name="disk", volume_type="l_ssd", size=len(DATA)).volume
    equal((made.name, made.size, made.zone, made.state), ("disk", len(DATA), ZONE, "available"))
    equal((made.project, made.organization), (ORGANIZATION, ORGANIZATION))
    return made


@step("an organization by itself is taken as well")
def _organization():
    by_organization = api_with(TOKEN, default_organization_id=ORGANIZATION)
    made = by_organization.create_volume(name="by organization", volume_type="l_ssd", size=512).volume
    equal((made.project, made.organization), (ORGANIZATION, ORGANIZATION))
    api.delete_volume(volume_id=made.id)


@step("it is filled, and a snapshot of it begins with a task")
def snapshot():
    write(volume.id, DATA)
    begun = api.create_snapshot(name="before", volume_id=volume.id, tags=["nightly"])
    equal((begun.snapshot.state, begun.snapshot.zone, begun.snapshot.tags), ("snapshotting", ZONE, ["nightly"]))
    equal(begun.task.href_from, f"/instance/v1/zones/{ZONE}/snapshots")
    equal(begun.task.href_result, f"/instance/v1/zones/{ZONE}/snapshots/{begun.snapshot.id}")
    equal((begun.task.status, begun.task.progress), ("pending", 0))
    equal(begun.task.started_at, begun.snapshot.creation_date)
    return begun.snapshot


@step("the snapshot becomes available")
def _available():
    whole = until(
        "it is available",
        lambda: (got := api.get_snapshot(snapshot_id=snapshot.id).snapshot).state == "available" and got,
    )
    equal((whole.name, whole.size, whole.base_volume.id), ("before", len(DATA), volume.id))
    equal(whole.creation_date, snapshot.creation_date)
    equal(whole.error_reason, None)


@step("lists of more than one page are followed to their end")
def _pages():
    made = [api.create_volume(name=f"v{number}", volume_type="l_ssd", size=512).volume.id for number in range(105)]
    listed = [it.id for it in api.list_volumes_all()]
    equal(listed, [BROKEN_VOLUME, volume.id] + made)
    page = api.list_volumes(per_page=10, page=2)
    equal([it.id for it in page.volumes], listed[10:20])
    equal(int(page.total_count), 107)
    equal(len(api.list_volumes().volumes), 50)
    for _ in range(3):
        api.create_snapshot(name="many", volume_id=made[0])
    by_two = api.list_snapshots_all(name="many", per_page=2)
    equal((len(by_two), len({it.id for it in by_two})), (3, 3))
    equal(len(api.list_snapshots_all(project=ORGANIZATION)), 4)
    equal([it.id for it in api.list_snapshots_all(tags="nightly")], [snapshot.id])
    equal([it.id for it in api.list_snapshots_all(base_volume_id=volume.id)], [snapshot.id])


@step("a snapshot and a volume are renamed")
def _rename():
    renamed = api.update_snapshot(snapshot_id=snapshot.id, name="after", tags=["kept"]).snapshot
    equal((renamed.name, renamed.tags), ("after", ["kept"]))
    equal(api.update_volume(volume_id=volume.id, name="renamed").volume.name, "renamed")


@step("a whole snapshot with another owner is a transfer")
def _transfer():
    got = api.get_snapshot(snapshot_id=snapshot.id).snapshot
    moved = api._set_snapshot(
        snapshot_id=got.id,
        id=got.id,
        name=got.name,
        organization=OTHER_ORGANIZATION,
        project=OTHER_ORGANIZATION,
        size=got.size,
        state=got.state,
        base_volume=got.base_volume,
        creation_date=got.creation_date,
        modification_date=got.modification_date,
        volume_type=got.volume_type,
        tags=got.tags,
    ).snapshot
    equal((moved.organization, moved.project, moved.name), (OTHER_ORGANIZATION, OTHER_ORGANIZATION, "after"))


@step("the volume is broken and deleted, and the snapshot gives every byte back")
def _restore():
    write(volume.id, b"broken")
    api.delete_volume(volume_id=volume.id)
    restored = api.create_volume(
        name="restored", volume_type="l_ssd", base_snapshot=snapshot.id, project=OTHER_ORGANIZATION
    ).volume
    equal((restored.state, restored.size), ("fetching", len(DATA)))
    until("it is restored", lambda: api.get_volume(volume_id=restored.id).volume.state == "available")
    equal(read(f"/volumes/{restored.id}") == DATA, True)


@step("a copy that fails ends as an error with its reason")
def failed():
    begun = api.create_snapshot(name="of nothing", volume_id=BROKEN_VOLUME).snapshot
    ended = until(
        "it ends", lambda: (got := api.get_snapshot(snapshot_id=begun.id).snapshot).state == "error" and got
    )
    equal("request" in ended.error_reason, True)
    return ended


@step("a snapshot is deleted")
def _delete():
    equal(api.delete_snapshot(snapshot_id=snapshot.id), None)
    equal(api.list_snapshots_all(name="after"), [])


@step("every refusal is told with its status, and wrong fields by their names")
def _errors():
    gone = refused(ScalewayException, lambda: api.get_snapshot(snapshot_id=snapshot.id))
    equal((gone.status_code, gone.response.json()["type"]), (404, "unknown_resource"))
    again = refused(ScalewayException, lambda: api.delete_volume(volume_id=MISSING))
    equal(again.status_code, 404)
    invalid = refused(ValidationError, lambda: api.create_volume(name="x", volume_type="l_ssd", size=513))
    equal((invalid.status_code, list(invalid.errors)), (400, ["size"]))
    foreign = refused(
        ScalewayException,
        lambda: api.create_volume(name="x", volume_type="l_ssd", size=512, project=FOREIGN_ORGANIZATION),
    )
    equal(foreign.status_code, 403)
    conflict = refused(
        ScalewayException, lambda: api.create_volume(name="x", volume_type="l_ssd", base_snapshot=failed.id)
    )
    equal((conflict.status_code, conflict.response.json()["current_state"]), (409, "error"))
    stranger = refused(ScalewayException, lambda: api_with(WRONG_TOKEN).list_snapshots())
    equal(stranger.status_code, 401)
