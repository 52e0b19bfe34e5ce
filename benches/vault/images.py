"""The volumes that are copied."""

import os
import random
import shutil
import sys
from pathlib import Path

from tools import run

CHUNK = 128 << 10


def make_images(folder, gib):
    """A file system of real files, and what it is after scattered changes."""
    tree, day1, day2 = folder / "tree", folder / "day1.raw", folder / "day2.raw"
    budget, chosen = int(gib * (1 << 30) * 0.6), random.Random(1)
    files = [Path(at) / name for root in ("/usr/lib", "/usr/share", "/usr/bin", "/usr/include") for at, _, names in os.walk(root) for name in names]
    files.sort()
    chosen.shuffle(files)
    for file in files:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > budget:
            continue
        budget -= (file.stat().st_size + 4095) // 4096 * 4096
        target = tree / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        if budget < 4096:
            break
    with open(day1, "wb") as image:
        image.truncate(int(gib * (1 << 30)))
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, day1)
    shutil.rmtree(tree)
    run("cp", "--sparse=always", day1, day2)
    with open(day2, "r+b") as image:
        left = os.stat(day1).st_blocks * 512 // 50
        while left > 0:
            # A run of new blocks at a place that has data.
            try:
                start = os.lseek(image.fileno(), chosen.randrange(os.path.getsize(day2) * 9 // 10) // 4096 * 4096, os.SEEK_DATA)
            except OSError:
                continue
            length = 4096 * chosen.choice([1, 1, 1, 2, 2, 4, 8, 16])
            image.seek(start)
            image.write(bytes(byte ^ 0x55 for byte in image.read(length)) if chosen.random() < 0.5 else chosen.randbytes(length))
            left -= length
    return day1, day2


def place(source, image):
    """Puts an image where the tools read it, in the page cache, and nothing of it on its way to the disk."""
    run("cp", "--sparse=always", source, image)
    run("sync", image)
    run("cat", image)


def forget(folder):
    """Leaves nothing of a folder's files in the page cache."""
    os.sync()
    for at, _, names in os.walk(folder):
        for name in names:
            file = os.open(os.path.join(at, name), os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def data_of(file):
    """The places that are no holes."""
    end, size = 0, os.fstat(file.fileno()).st_size
    while end < size:
        try:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield start, end


def append_salted(source, target, salt):
    """Appends an image to another one, each chunk with a few other bytes: as long, as hard to compress, nothing the same."""
    target.touch()
    # Not opened for appending: all that is written would go to the end then, wherever it belongs.
    with open(source, "rb") as reading, open(target, "r+b") as writing:
        base = writing.seek(0, os.SEEK_END)
        writing.truncate(base + os.path.getsize(source))
        noise = random.Random(salt)
        for start, end in data_of(reading):
            for at in range(start, end, CHUNK):
                reading.seek(at)
                bytes = reading.read(min(CHUNK, end - at))
                os.pwrite(writing.fileno(), noise.randbytes(min(16, len(bytes))) + bytes[16:], base + at)


def sparse(image, size, pieces):
    """An image that is as good as empty: so many MiB of data, scattered."""
    noise = random.Random(3)
    with open(image, "wb") as file:
        file.truncate(size)
        for _ in range(pieces):
            os.pwrite(file.fileno(), noise.randbytes(1 << 20), noise.randrange(size >> 20) << 20)


if __name__ == "__main__":
    make_images(Path(sys.argv[1]), float(sys.argv[2]))
