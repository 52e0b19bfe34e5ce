#!/usr/bin/env bash
# curl, with the samples of the original API's document as they are printed there: only ids are put in place of ids.
set -euo pipefail

work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
missing=6f418e5f-b42d-4423-a0b5-349c74c454a4

# The document's samples.
create='
            {
                "name": "snapshot-0-1",
                "organization": "000a115d-2852-4b0a-9ce8-47f1134ba95a",
                "volume_id": "701a8946-ff9d-4579-95e3-1c2c2d0f892d"
            }
'
update='
            {
                "organization": "f1350c5d-f1d8-4f9d-b114-6053905578e1"
            }
'
created='
        {
          "snapshot": {
            "base_volume": {
              "id": "701a8946-ff9d-4579-95e3-1c2c2d0f892d",
              "name": "vol simple snapshot"
            },
            "creation_date": "2014-05-22T12:10:05.596769+00:00",
            "id": "f0361e7b-cbe4-4882-a999-945192b7171b",
            "name": "snapshot-0-1",
            "organization": "000a115d-2852-4b0a-9ce8-47f1134ba95a",
            "size": 10000000000,
            "state": "snapshotting",
            "volume_type": "l_ssd"
          }
        }
'

# Takes one step of the story; the first one that does not hold ends it.
step() { # SENTENCE COMMAND...
    local sentence=$1
    shift
    # A subshell of its own, because bash ignores `set -e` in what stands before `||`.
    set +e
    (set -e; "$@")
    local status=$?
    set -e
    if [ "$status" = 0 ]; then
        echo "ok $sentence"
    else
        echo "not ok $sentence"
        echo "the last answer: $(cat "$work/status" "$work/headers" "$work/body" 2>/dev/null)" >&2
        exit 1
    fi
}

# Calls the service; the answer lies in status, headers and body.
call() { # STATUS METHOD PATH [CURL-OPTION...]
    local expected=$1 method=$2 path=$3
    shift 3
    local verb=(--request "$method")
    [ "$method" = HEAD ] && verb=(--head)
    curl --silent --show-error "${verb[@]}" --header "X-Auth-Token: $TOKEN" --output "$work/body" --dump-header "$work/headers" \
        --write-out '%{http_code}' "$@" "$API$path" >"$work/status"
    [ "$(cat "$work/status")" = "$expected" ]
}

send() { # STATUS METHOD PATH BODY
    call "$1" "$2" "$3" --header "Content-Type: application/json" --data-binary "$4"
}

told() { jq --exit-status --raw-output "$1" "$work/body"; }

remember() { told "$2" >"$work/$1"; }
the() { cat "$work/$1"; }

header() { tr -d '\r' <"$work/headers" | grep -i "^$1: " | cut -d ' ' -f 2-; }

# Asks until something is in a state.
until_state() { # PATH KIND STATE
    local deadline=$((SECONDS + 60))
    until call 200 GET "$1" && [ "$(told ".$2.state")" = "$3" ]; do
        [ "$SECONDS" -lt "$deadline" ]
        sleep 0.05
    done
}

volume_is_made() {
    local body='{"name": "vol simple snapshot", "organization": "'$ORGANIZATION'", "volume_type": "l_ssd", "size": 3145728}'
    send 201 POST /volumes "$body"
    remember volume .volume.id
    [ "$(header location)" = "/volumes/$(the volume)" ]
    head --bytes 3145728 /dev/urandom >"$work/image"
    call 200 PUT "/volumes/$(the volume)/data" --upload-file "$work/image"
}

# Every key of the sample is in the answer, with a value of the same type.
like_the_sample() { # FILTER
    jq --exit-status --argjson sample "$created" '
        def like($sample): . as $seen | $sample | to_entries | all(
            (.value | type) == ($seen[.key] | type)
            and (if (.value | type) == "object" then .value as $inner | $seen[.key] | like($inner) else true end));
        '"$1"' | like($sample.snapshot)' "$work/body" >/dev/null
}

sample_is_created() {
    send 200 POST /snapshots "${create/701a8946-ff9d-4579-95e3-1c2c2d0f892d/$(the volume)}"
    [ "$(header content-type)" = application/json ]
    like_the_sample .snapshot
    [ "$(told '.snapshot | [.name, .organization, .state, .volume_type, .base_volume.name] | join(" ")')" = \
        "snapshot-0-1 000a115d-2852-4b0a-9ce8-47f1134ba95a snapshotting l_ssd vol simple snapshot" ]
    remember snapshot .snapshot.id
    until_state "/snapshots/$(the snapshot)" snapshot available
}

sample_is_listed() {
    send 200 POST /snapshots "${create/701a8946-ff9d-4579-95e3-1c2c2d0f892d/$(the volume)}"
    remember second .snapshot.id
    call 200 GET /snapshots
    [ "$(told '[.snapshots[].id] | join(" ")')" = "$(the snapshot) $(the second)" ]
    [ "$(told 'keys | join(" ")')" = snapshots ]
    like_the_sample '.snapshots[0]'
    call 200 GET '/snapshots?page=1&per_page=1'
    [ "$(header x-total-count)" = 2 ]
    [ "$(header link)" = '</snapshots?page=2&per_page=1>; rel="next",</snapshots?page=2&per_page=1>; rel="last"' ]
    call 200 GET '/snapshots?page=2&per_page=1'
    [ "$(told '[.snapshots[].id] | join(" ")')" = "$(the second)" ]
}

sample_is_retrieved() {
    call 200 GET "/snapshots/$(the snapshot)"
    like_the_sample .snapshot
    [ "$(told .snapshot.id)" = "$(the snapshot)" ]
    call 200 HEAD "/snapshots/$(the snapshot)"
}

sample_is_updated() {
    send 200 PUT "/snapshots/$(the snapshot)" '{"name": "renamed"}'
    [ "$(told .snapshot.name)" = renamed ]
    send 200 PUT "/snapshots/$(the snapshot)" "${update/f1350c5d-f1d8-4f9d-b114-6053905578e1/$OTHER_ORGANIZATION}"
    like_the_sample .snapshot
    [ "$(told .snapshot.organization)" = "$OTHER_ORGANIZATION" ]
}

bytes_come_back() {
    echo broken | call 200 PUT "/volumes/$(the volume)/data" --upload-file -
    until_state "/snapshots/$(the second)" snapshot available
    call 204 DELETE "/volumes/$(the volume)"
    call 206 GET "/snapshots/$(the snapshot)/data" --range 1000-1999
    cmp "$work/body" <(tail --bytes +1001 "$work/image" | head --bytes 1000)
    local body='{"name": "restored", "organization": "'$ORGANIZATION'", "volume_type": "l_ssd", "base_snapshot": "'$(the snapshot)'"}'
    send 201 POST /volumes "$body"
    remember restored .volume.id
    until_state "/volumes/$(the restored)" volume available
    call 200 GET "/volumes/$(the restored)/data"
    cmp "$work/body" "$work/image"
}

task_is_read() {
    local zone=/instance/v1/zones/fr-par-1
    send 201 POST $zone/snapshots '{"name": "zoned", "project": "'"$ORGANIZATION"'", "volume_id": "'"$(the restored)"'"}'
    remember task .task.id
    [ "$(header location)" = "$zone/snapshots/$(told .snapshot.id)" ]
    local deadline=$((SECONDS + 60))
    until call 200 GET "$zone/tasks/$(the task)" && [ "$(told .task.status)" = success ]; do
        [ "$SECONDS" -lt "$deadline" ]
        sleep 0.05
    done
    [ "$(told '[.task.progress, .task.zone] | join(" ")')" = "100 fr-par-1" ]
    call 200 GET "$(told .task.href_result)"
    [ "$(told .snapshot.state)" = available ]
}

sample_is_removed() {
    call 204 DELETE "/snapshots/$(the snapshot)"
    [ ! -s "$work/body" ]
    call 404 DELETE "/snapshots/$(the snapshot)"
}

refusals_are_told() {
    call 404 GET "/snapshots/$missing"
    [ "$(told '[.type, .message] | join(" ")')" = "unknown_resource Snapshot \"$missing\" not found" ]
    send 400 POST /snapshots '{"name": ""}'
    [ "$(told '.fields | keys | join(" ")')" = "name organization volume_id" ]
    send 403 POST /volumes '{"name": "x", "organization": "'"$FOREIGN_ORGANIZATION"'", "size": 512}'
    [ "$(told .type)" = authorization_required ]
    call 409 PUT "/volumes/$BROKEN_VOLUME/data" --data-binary x
    [ "$(told .type)" = conflict ]
    call 405 PATCH /snapshots
    [ "$(header allow)" = "GET, HEAD, POST" ]
    local TOKEN=8a44a2ce-0f5e-4c39-9e21-6d1f3b0c7c1d
    call 401 GET /snapshots
    [ "$(told .message)" = "Authentication error" ]
}

step "a volume is made and filled" volume_is_made
step "the sample of a creation makes a snapshot that becomes available" sample_is_created
step "the sample of a list, whole and page by page" sample_is_listed
step "the sample of a retrieval" sample_is_retrieved
step "the sample of an update is a transfer" sample_is_updated
step "the volume is broken and deleted, and the snapshot gives every byte back" bytes_come_back
step "a task is read where it was begun" task_is_read
step "the sample of a removal" sample_is_removed
step "every refusal is told with its status and its object" refusals_are_told
