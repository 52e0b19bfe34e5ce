#!/usr/bin/env python3
"""Restores a copy from a vault by docs/format.md alone: none of the program's code is used.

Usage: reader.py VAULT_FOLDER MASTER_KEY_HEX DOMAIN MANIFEST OUTPUT
Needs blake3, cryptography and zstandard from PyPI. Prints the digest and the metadata; any damage ends it.
"""

import struct
import sys
from pathlib import Path
from uuid import UUID

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PAGE_CHUNKS = 256


def need(condition, reason):
    if not condition:
        raise SystemExit(f"refused: {reason}")


def hash_of(data, **kwargs):
    return blake3(data, **kwargs).digest()


def derive(purpose, material):
    return hash_of(material, derive_key_context=f"snapshot-vault v1 {purpose}")


def opened(path, magic):
    """The bytes of an object without its checksum."""
    data = path.read_bytes()
    need(data[:8] == magic, f"{path} is of another kind")
    need(struct.unpack_from("<H", data, 8) == (1,), f"{path} has another version")
    need(hash_of(data[:-16])[:16] == data[-16:], f"the checksum of {path}")
    return data[:-16]


def footers(vault, domain):
    """Where each record of the domain lies: id -> (path, offset, length)."""
    places = {}
    for path in sorted(vault.glob("packs/*/*")):
        data = path.read_bytes()
        magic, version, zero, count, length, pack, owner, checksum = struct.unpack("<8sHHIQ16s16s16s", data[-72:])
        need((magic, version, zero, length) == (b"SNVLT-PE", 1, 0, len(data)), f"the trailer of {path}")
        need(UUID(bytes=pack) == UUID(path.name), f"the id of {path}")
        footer = data[len(data) - 72 - 48 * count :]
        need(hash_of(footer[:-16])[:16] == checksum, f"the footer of {path}")
        need(hash_of(data[:48])[:16] == data[48:64], f"the header of {path}")
        end = 64
        for i in range(count):
            id_, _kind, zeros, offset, size, _plain = struct.unpack_from("<32sB3sIII", footer, 48 * i)
            need(offset == end and zeros == bytes(3), f"the entries of {path}")
            end += size
            if owner == domain.bytes:
                places[id_] = (path, offset, size)
        need(end == len(data) - len(footer), f"the records of {path}")
    return places


class Domain:
    def __init__(self, vault, master, domain):
        config = opened(vault / "vault", b"SNVLT-VA")
        self.chunk_size, self.vault_id, check = struct.unpack_from("<I16s32s", config, 12)
        check_key = derive("master key: check of the vault description", master)
        need(hash_of(config[:32], key=check_key) == check, "the master key is another one")
        wrapped = opened(vault / "keys" / str(domain), b"SNVLT-KE")
        need(wrapped[16:48] == self.vault_id + domain.bytes, "the domain key is another one")
        wrapping = derive("master key: wrapping of domain keys", master + self.vault_id)
        key = AESGCM(wrapping).decrypt(wrapped[48:60], wrapped[60:108], wrapped[:48])
        self.names = {
            1: derive("domain key: names of chunks", key),
            2: derive("domain key: names of index pages", key),
        }
        self.records = AESGCM(derive("domain key: sealing of records", key))
        self.manifests = AESGCM(derive("domain key: sealing of manifests", key))
        self.places = footers(vault, domain)

    def read(self, kind, digest, longest):
        id_ = hash_of(digest, key=self.names[kind])
        need(id_ in self.places, f"no pack holds {id_.hex()}")
        path, offset, size = self.places[id_]
        with path.open("rb") as file:
            file.seek(offset)
            record = file.read(size)
        need(hash_of(record[:-16])[:16] == record[-16:], f"a checksum in {path}")
        found, codec, zero, plain_len, sealed_len, nonce, name = struct.unpack_from("<BBHII12s32s", record)
        need((found, zero, name, 56 + sealed_len + 16) == (kind, 0, id_, size), f"a record in {path}")
        need(plain_len <= longest and codec in (0, 1), f"a record in {path}")
        plain = self.records.decrypt(nonce, record[56:-16], record[:56])
        if codec == 1:
            plain = zstandard.ZstdDecompressor().decompress(plain, max_output_size=plain_len)
        need(len(plain) == plain_len and hash_of(plain) == digest, f"the content of a record in {path}")
        return plain


def main(folder, master, domain, manifest, output):
    vault, domain = Path(folder), UUID(domain)
    keys = Domain(vault, bytes.fromhex(master), domain)
    data = opened(vault / "manifests" / str(domain) / manifest, b"SNVLT-MA")
    need(data[24:56] == domain.bytes + UUID(manifest).bytes, "it is another manifest")
    body = keys.manifests.decrypt(data[12:24], data[64:], data[:64])
    chunk_size, metadata_len, size, _added, zero, digest = struct.unpack_from("<IIQQQ32s", body)
    need(chunk_size == keys.chunk_size and zero == 0 and size <= 2**50, "the sizes in the manifest")
    metadata, rest = body[64 : 64 + metadata_len], body[64 + metadata_len :]
    (run_count,) = struct.unpack_from("<Q", rest)
    runs = list(struct.iter_unpack("<QQ", rest[8 : 8 + 16 * run_count]))
    hashes = [rest[i : i + 32] for i in range(8 + 16 * run_count, len(rest), 32)]
    pages = []
    for zeros, data_pages in runs:
        pages += [None] * zeros
        pages += [hashes.pop(0) for _ in range(data_pages)]
    chunks = -(-size // chunk_size)
    need(len(pages) == -(-chunks // PAGE_CHUNKS) and not hashes, "the runs in the manifest")

    whole = blake3()
    with open(output, "wb") as out:
        out.truncate(size)
        for number, page_hash in enumerate(pages):
            first = number * PAGE_CHUNKS
            count = min(PAGE_CHUNKS, chunks - first)
            page = keys.read(2, page_hash, 8228) if page_hash else struct.pack("<I", count) + b"\xff" * 32
            bitmap_len = -(-count // 8)
            need(struct.unpack_from("<I", page) == (count,), "an index page")
            bitmap, listed = page[4 : 4 + bitmap_len], page[4 + bitmap_len :]
            for i in range(count):
                place = (first + i) * chunk_size
                length = min(chunk_size, size - place)
                if bitmap[i // 8] >> (i % 8) & 1 if page_hash else True:
                    whole.update(hash_of(bytes(length)))
                    continue
                chunk_hash, listed = listed[:32], listed[32:]
                plain = keys.read(1, chunk_hash, chunk_size)
                need(len(plain) == length, "the length of a chunk")
                out.seek(place)
                out.write(plain)
                whole.update(chunk_hash)
            need(not page_hash or not listed, "an index page")
    whole.update(struct.pack("<Q", size))
    need(whole.digest() == digest, "the digest of the whole")
    print(f"blake3-{chunk_size}:{digest.hex()}")
    print(metadata.decode())


if __name__ == "__main__":
    need(len(sys.argv) == 6, __doc__)
    main(*sys.argv[1:])
