"""What the stories of the Python clients share: steps, waiting, and the bytes, which none of these clients has calls for."""

import os
import sys
import time
import traceback
import urllib.request

API = os.environ["API"]
TOKEN = os.environ["TOKEN"]
ORGANIZATION = os.environ["ORGANIZATION"]
OTHER_ORGANIZATION = os.environ["OTHER_ORGANIZATION"]
FOREIGN_ORGANIZATION = os.environ["FOREIGN_ORGANIZATION"]
BROKEN_VOLUME = os.environ["BROKEN_VOLUME"]
MISSING = "701a8946-ff9d-4579-95e3-1c2c2d0f892d"
WRONG_TOKEN = "8a44a2ce-0f5e-4c39-9e21-6d1f3b0c7c1d"


def step(sentence):
    """Takes one step of the story at once; what it returns stands under its name for the steps that follow. The first one that
    does not hold ends the story."""

    def take(action):
        try:
            result = action()
        except Exception:
            traceback.print_exc()
            print(f"not ok {sentence}")
            sys.exit(1)
        print(f"ok {sentence}", flush=True)
        return result

    return take


def equal(seen, expected):
    if seen != expected:
        raise AssertionError(f"expected {expected!r}, saw {seen!r}")


def refused(kind, call):
    """What a call that has to fail in this way raises."""
    try:
        answer = call()
    except kind as error:
        return error
    raise AssertionError(f"not refused: {answer!r}")


def until(what, look):
    """Asks until there is something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain until {what}")


def write(volume_id, data):
    """Fills a volume."""
    request = urllib.request.Request(f"{API}/volumes/{volume_id}/data", data=data, method="PUT")
    request.add_header("X-Auth-Token", TOKEN)
    request.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(request) as answer:
        equal(answer.status, 200)


def read(path):
    """The bytes of a volume or a snapshot."""
    request = urllib.request.Request(f"{API}{path}/data", headers={"X-Auth-Token": TOKEN})
    with urllib.request.urlopen(request) as answer:
        return answer.read()
