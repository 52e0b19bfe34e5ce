"""What the description can't say, and what the tool does not take from it."""

import os
import uuid

import schemathesis

# No larger than that: volumes are read to their ends, and up to 16 TiB would be described.
LARGEST = 4 << 20
ORGANIZATION = os.environ["ORGANIZATION"]


def is_uuid(value):
    try:
        return isinstance(value, str) and bool(uuid.UUID(value))
    except ValueError:
        return False


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body if isinstance(case.body, dict) else {}
    # An organization that is made up is always refused. Most requests shall get further than that.
    for owner in ("organization", "project"):
        if is_uuid(body.get(owner)) and uuid.UUID(body[owner]).int % 5:
            body[owner] = ORGANIZATION
    query = case.query if isinstance(case.query, dict) else {}
    # These depend on one another.
    if query.get("salvage") in (True, "true") and not body.get("base_snapshot"):
        query.pop("salvage")
    if "wait" not in query:
        query.pop("timeout", None)
    size = body.get("size")
    if isinstance(size, (int, float)) and size > LARGEST and size % 512 == 0:
        body["size"] = size % LARGEST or LARGEST
    # One phase makes headers of letters and digits only, whatever their pattern.
    if case.meta and case.meta.generation.mode.is_positive:
        for name in ("If-Match", "If-None-Match"):
            value = (case.headers or {}).get(name)
            if isinstance(value, str) and value.isalnum():
                case.headers[name] = f'"{value}"'
