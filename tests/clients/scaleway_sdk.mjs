// @scaleway/sdk (npm), by the present paths, with its waiters and its `.all()`. Its argument is the folder it is installed in.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";

const { createClient, Instance } = createRequire(`${process.argv[2]}/`)("@scaleway/sdk");

const { API, TOKEN, ORGANIZATION, OTHER_ORGANIZATION, FOREIGN_ORGANIZATION, BROKEN_VOLUME } = process.env;
const MISSING = "701a8946-ff9d-4579-95e3-1c2c2d0f892d";
const WRONG_TOKEN = "8a44a2ce-0f5e-4c39-9e21-6d1f3b0c7c1d";
const ZONE = "fr-par-1";
const DATA = randomBytes(3 << 20);

function apiWith(secretKey, defaultProjectId = ORGANIZATION) {
  const accessKey = "SCW00000000000000000";
  return new Instance.v1.API(createClient({ apiURL: API, accessKey, secretKey, defaultProjectId, defaultZone: ZONE }));
}

// Takes one step of the story at once, and returns what it returns. The first one that does not hold ends the story.
async function step(sentence, action) {
  try {
    const result = await action();
    console.log(`ok ${sentence}`);
    return result;
  } catch (error) {
    console.error(error);
    console.log(`not ok ${sentence}`);
    process.exit(1);
  }
}

// The bytes, which the client has no calls for.
async function write(volume, body) {
  const headers = { "X-Auth-Token": TOKEN, "Content-Type": "application/octet-stream" };
  const answer = await fetch(`${API}/volumes/${volume}/data`, { method: "PUT", headers, body });
  assert.equal(answer.status, 200);
}

async function read(path) {
  const answer = await fetch(`${API}${path}/data`, { headers: { "X-Auth-Token": TOKEN } });
  assert.equal(answer.status, 200);
  return Buffer.from(await answer.arrayBuffer());
}

// What a call that has to fail fails with. The kind is a name: the package does not export its classes of errors.
async function refused(call, kind, status) {
  const error = await call().then(() => assert.fail("not refused"), (error) => error);
  assert.deepEqual([error.name, error.status], [kind, status], error.message);
  return error;
}

const api = apiWith(TOKEN);

const volume = await step("a volume is made in the default project", async () => {
  const { volume } = await api.createVolume({ name: "disk", volumeType: "l_ssd", size: DATA.length });
  assert.deepEqual([volume.name, volume.size, volume.zone, volume.state], ["disk", DATA.length, ZONE, "available"]);
  assert.deepEqual([volume.project, volume.organization], [ORGANIZATION, ORGANIZATION]);
  return volume.id;
});

const snapshot = await step("it is filled, and a snapshot of it begins with a task", async () => {
  await write(volume, DATA);
  const { snapshot, task } = await api.createSnapshot({ name: "before", volumeId: volume, tags: ["nightly"] });
  assert.deepEqual([snapshot.state, snapshot.tags, snapshot.zone], ["snapshotting", ["nightly"], ZONE]);
  assert.ok(snapshot.creationDate instanceof Date);
  assert.deepEqual([task.status, task.progress, task.startedAt], ["pending", 0, snapshot.creationDate]);
  assert.equal(task.hrefResult, `/instance/v1/zones/${ZONE}/snapshots/${snapshot.id}`);
  return snapshot.id;
});

await step("its waiter sees the snapshot become available", async () => {
  const whole = await api.waitForSnapshot({ snapshotId: snapshot });
  assert.deepEqual([whole.state, whole.size, whole.baseVolume.id], ["available", DATA.length, volume]);
});

await step("lists of more than one page are followed to their end", async () => {
  const made = [];
  for (let number = 0; number < 105; number += 1) {
    made.push((await api.createVolume({ name: `v${number}`, volumeType: "l_ssd", size: 512 })).volume.id);
  }
  const all = (await api.listVolumes().all()).map(({ id }) => id);
  assert.deepEqual(all, [BROKEN_VOLUME, volume, ...made]);
  const page = await api.listVolumes({ perPage: 10, page: 2 });
  assert.deepEqual([page.volumes.map(({ id }) => id), page.totalCount], [all.slice(10, 20), 107]);
  const snapshots = [];
  for await (const page of api.listSnapshots({ perPage: 1, tags: "nightly" })) snapshots.push(...page.map(({ id }) => id));
  assert.deepEqual(snapshots, [snapshot]);
});

await step("a snapshot and a volume are read and renamed", async () => {
  assert.equal((await api.getSnapshot({ snapshotId: snapshot })).snapshot.name, "before");
  const renamed = (await api.updateSnapshot({ snapshotId: snapshot, name: "after", tags: [] })).snapshot;
  assert.deepEqual([renamed.name, renamed.tags], ["after", []]);
  assert.equal((await api.updateVolume({ volumeId: volume, name: "renamed" })).volume.name, "renamed");
});

await step("a whole snapshot with another owner is a transfer", async () => {
  const { snapshot: got } = await api.getSnapshot({ snapshotId: snapshot });
  const owner = { organization: OTHER_ORGANIZATION, project: OTHER_ORGANIZATION };
  const { snapshot: moved } = await api._setSnapshot({ ...got, ...owner, snapshotId: snapshot });
  assert.deepEqual([moved.organization, moved.project, moved.name], [OTHER_ORGANIZATION, OTHER_ORGANIZATION, "after"]);
});

await step("the volume is broken and deleted, and the snapshot gives every byte back", async () => {
  await write(volume, Buffer.from("broken"));
  await api.deleteVolume({ volumeId: volume });
  const request = { name: "restored", volumeType: "l_ssd", baseSnapshot: snapshot, project: OTHER_ORGANIZATION };
  const { volume: restored } = await api.createVolume(request);
  assert.deepEqual([restored.state, restored.size], ["fetching", DATA.length]);
  const whole = await api.waitForVolume({ volumeId: restored.id });
  assert.equal(whole.state, "available");
  assert.ok((await read(`/volumes/${restored.id}`)).equals(DATA));
});

const failed = await step("its waiter sees a copy that fails end as an error", async () => {
  const { snapshot: begun } = await api.createSnapshot({ name: "of nothing", volumeId: BROKEN_VOLUME });
  const ended = await api.waitForSnapshot({ snapshotId: begun.id });
  assert.equal(ended.state, "error");
  assert.match(ended.errorReason, /request/);
  return begun.id;
});

await step("a snapshot is deleted", async () => {
  await api.deleteSnapshot({ snapshotId: snapshot });
  assert.deepEqual(await api.listSnapshots({ name: "after" }).all(), []);
});

await step("every refusal is told by the kind of error that stands for it", async () => {
  const gone = await refused(() => api.getSnapshot({ snapshotId: snapshot }), "ResourceNotFoundError", 404);
  assert.deepEqual([gone.resource, gone.resourceId], ["snapshot", snapshot]);
  const missing = await refused(() => api.deleteVolume({ volumeId: MISSING }), "ResourceNotFoundError", 404);
  assert.equal(missing.resourceId, MISSING);
  const malformed = await refused(() => api.getVolume({ volumeId: "42" }), "ResourceNotFoundError", 404);
  assert.deepEqual([malformed.resource, malformed.resourceId], ["instance_volume", "42"]);
  const wrongSize = () => api.createVolume({ name: "x", volumeType: "l_ssd", size: 513 });
  const invalid = await refused(wrongSize, "InvalidArgumentsError", 400);
  assert.deepEqual(invalid.details.map(({ argumentName }) => argumentName), ["size"]);
  const foreign = () => api.createVolume({ name: "x", volumeType: "l_ssd", size: 512, project: FOREIGN_ORGANIZATION });
  await refused(foreign, "ScalewayError", 403);
  const conflict = () => api.createVolume({ name: "x", volumeType: "l_ssd", baseSnapshot: failed });
  assert.equal((await refused(conflict, "ScalewayError", 409)).rawMessage, "snapshot is not available");
  await refused(() => apiWith(WRONG_TOKEN).listSnapshots(), "ScalewayError", 401);
});
