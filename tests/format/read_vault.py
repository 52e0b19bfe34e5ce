#!/usr/bin/env python3
"""Reads a snapshot out of a vault with nothing but docs/format.md: no line of the service's code is involved.

    read_vault.py VAULT MASTER_KEY_FILE                            lists every copy
    read_vault.py VAULT MASTER_KEY_FILE DOMAIN MANIFEST OUTPUT     writes one copy as a raw image

Needs the packages cryptography, blake3 and zstandard. What is refused is refused with a sentence and exit code 1.
"""

import sys
from pathlib import Path
from struct import unpack, unpack_from
from uuid import UUID

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PAGE_CHUNKS = 256
MAX_PAGE_BYTES = 8228


def refuse(what, why):
    sys.exit(f"{what}: {why}")


def derive(context, material):
    return blake3(material, derive_key_context=context).digest()


def unseal(key, nonce, sealed, associated, what):
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        refuse(what, "the seal does not open")


def checked(data, magic, what):
    """An object without its checksum."""
    if data[:8] != magic:
        refuse(what, "another magic")
    if unpack_from("<H", data, 8)[0] != 1:
        refuse(what, "a version that this reader does not know")
    if blake3(data[:-16]).digest()[:16] != data[-16:]:
        refuse(what, "the checksum is wrong")
    return data[:-16]


def records_by_footer(data):
    """Name, kind, offset and size of each record; nothing if the footer is damaged."""
    trailer = data[-72:]
    count, length = unpack_from("<IQ", trailer, 12)
    entries = data[-72 - 48 * count : -72]
    sum_ = blake3(entries + trailer[:56]).digest()[:16]
    if trailer[:8] != b"SNVLT-PE" or length != len(data) or sum_ != trailer[56:]:
        return []
    records, end = [], 64
    for at in range(0, len(entries), 48):
        name, kind, offset, size = unpack_from("<32sB3xII", entries, at)
        if offset != end:
            return []
        end = offset + size
        records.append((name, kind, offset, size))
    return records


def records_by_headers(data, what):
    """The same, from the records themselves: they must lead to where a footer for so many begins."""
    records, at = [], 64
    while (left := len(data) - at - 48 * len(records) - 72) > 0:
        kind, sealed, name = unpack_from("<B7xI12x32s", data, at)
        records.append((name, kind, at, 56 + sealed + 16))
        at += 56 + sealed + 16
    if left < 0:
        refuse(what, "neither its footer nor its records tell what it holds")
    return records


class Vault:
    def __init__(self, folder, master):
        self.folder = Path(folder)
        data = checked((self.folder / "vault").read_bytes(), b"SNVLT-VA", "vault")
        if len(data) != 64:
            refuse("vault", "it has not 80 bytes")
        self.chunk_size, self.id = unpack_from("<I16s", data, 12)
        check = derive("snapshot-vault v1 master key: check of the vault description", master)
        if blake3(data[:32], key=check).digest() != data[32:64]:
            refuse("vault", "the master key is not the vault's")
        self.wrapping = derive("snapshot-vault v1 master key: wrapping of domain keys", master + self.id)

    def manifests(self):
        return sorted(path.relative_to(self.folder / "manifests").parts for path in (self.folder / "manifests").glob("*/*"))


class Domain:
    def __init__(self, vault, name):
        self.vault, self.id = vault, UUID(name).bytes
        data = checked((vault.folder / "keys" / name).read_bytes(), b"SNVLT-KE", f"keys/{name}")
        if data[10:16] != bytes(6) or data[16:32] != vault.id or data[32:48] != self.id or len(data) != 108:
            refuse(f"keys/{name}", "its fields contradict its name")
        key = unseal(vault.wrapping, data[48:60], data[60:108], data[:48], f"keys/{name}")
        context = "snapshot-vault v1 domain key: "
        self.names = {1: derive(context + "names of chunks", key), 2: derive(context + "names of index pages", key)}
        self.records_key = derive(context + "sealing of records", key)
        self.manifests_key = derive(context + "sealing of manifests", key)
        self.places = {}
        for pack in sorted(vault.folder.glob("packs/*/*")):
            self.list_pack(pack)

    def list_pack(self, pack):
        """Notes where each record of a pack of this domain lies."""
        what, data = f"pack {pack.name}", pack.read_bytes()
        header = checked(data[:64], b"SNVLT-PA", what)
        if header[16:32] != UUID(pack.name).bytes:
            refuse(what, "it has another's name")
        if header[32:48] != self.id:
            return
        for name, kind, offset, size in records_by_footer(data) or records_by_headers(data, what):
            self.places[name, kind] = (pack, offset, size)

    def record(self, kind, hash_, limit):
        """The plaintext with this hash."""
        name = blake3(hash_, key=self.names[kind]).digest()
        what = f"record {name.hex()}"
        if (name, kind) not in self.places:
            refuse(what, "no pack holds it")
        pack, offset, size = self.places[name, kind]
        with pack.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if blake3(data[:-16]).digest()[:16] != data[-16:]:
            refuse(what, "the checksum is wrong")
        kind_, codec, zero, length, sealed, nonce, name_ = unpack_from("<BBHII12s32s", data)
        if (kind_, zero, name_) != (kind, 0, name) or 56 + sealed + 16 != size or length > limit:
            refuse(what, "its header is wrong")
        plain = unseal(self.records_key, nonce, data[56:-16], data[:56], what)
        if codec == 1:
            plain = zstandard.ZstdDecompressor().decompress(plain, max_output_size=length)
        elif codec != 0:
            refuse(what, "an unknown codec")
        if len(plain) != length or blake3(plain).digest() != hash_:
            refuse(what, "it is not what it should be")
        return plain


class Copy:
    def __init__(self, domain, name):
        what = f"manifest {name}"
        self.domain = domain
        path = domain.vault.folder / "manifests" / str(UUID(bytes=domain.id)) / name
        data = checked(path.read_bytes(), b"SNVLT-MA", what)
        nonce, domain_id, manifest_id, sealed = unpack_from("<12s16s16sQ", data, 12)
        if domain_id != domain.id or manifest_id != UUID(name).bytes or 64 + sealed != len(data):
            refuse(what, "its fields contradict its name or length")
        body = unseal(domain.manifests_key, nonce, data[64:], data[:64], what)
        self.chunk_size, described, self.size = unpack_from("<IIQ", body)
        self.digest, self.metadata = body[32:64], body[64 : 64 + described]
        (runs,) = unpack_from("<Q", body, 64 + described)
        at = 72 + described + 16 * runs
        self.pages = []
        for run in range(runs):
            zero, data_pages = unpack_from("<QQ", body, 72 + described + 16 * run)
            self.pages += [None] * zero
            for _ in range(data_pages):
                self.pages.append(body[at : at + 32])
                at += 32
        if at != len(body) or len(self.pages) != -(-self.size // (PAGE_CHUNKS * self.chunk_size)):
            refuse(what, "its runs do not add up")

    def chunk_hashes(self, page):
        """The hash of each chunk of a page; None for zeros."""
        first = page * PAGE_CHUNKS
        count = min(PAGE_CHUNKS, -(-self.size // self.chunk_size) - first)
        if self.pages[page] is None:
            return [None] * count
        plain = self.domain.record(2, self.pages[page], MAX_PAGE_BYTES)
        (n,) = unpack("<I", plain[:4])
        if n != count:
            refuse(f"page {page}", "it lists another number of chunks")
        at = 4 + (n + 7) // 8
        hashes = []
        for i in range(n):
            if plain[4 + i // 8] >> (i % 8) & 1:
                hashes.append(None)
            else:
                hashes.append(plain[at : at + 32])
                at += 32
        if at != len(plain):
            refuse(f"page {page}", "it has bytes after its end")
        return hashes

    def write(self, output):
        zeros, digest = {}, blake3()
        with open(output, "wb") as image:
            image.truncate(self.size)
            for page in range(len(self.pages)):
                for i, hash_ in enumerate(self.chunk_hashes(page)):
                    offset = (page * PAGE_CHUNKS + i) * self.chunk_size
                    length = min(self.chunk_size, self.size - offset)
                    if hash_ is None:
                        hash_ = zeros.setdefault(length, blake3(bytes(length)).digest())
                    else:
                        plain = self.domain.record(1, hash_, self.chunk_size)
                        if len(plain) != length:
                            refuse(f"chunk at {offset}", "it has not the length of its place")
                        image.seek(offset)
                        image.write(plain)
                    digest.update(hash_)
        digest.update(self.size.to_bytes(8, "little"))
        if digest.digest() != self.digest:
            refuse(output, "the digest is not the manifest's")
        print(f"blake3-{self.chunk_size}:{self.digest.hex()}")


def main(folder, key_file, *wanted):
    vault = Vault(folder, bytes.fromhex(Path(key_file).read_text().strip()))
    if wanted:
        domain, manifest, output = wanted
        Copy(Domain(vault, domain), manifest).write(output)
    else:
        for domain, manifest in vault.manifests():
            print(domain, manifest, Copy(Domain(vault, domain), manifest).metadata.decode())


if __name__ == "__main__":
    if len(sys.argv) not in (3, 6):
        sys.exit(__doc__)
    main(*sys.argv[1:])
