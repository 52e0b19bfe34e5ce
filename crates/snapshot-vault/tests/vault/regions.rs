//! Which bytes of an object are which field: `docs/format.md` once more, written without the crate's help.

use snapshot_vault::BlobKey;
use std::ops::Range;

/// A field of an object.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) part: Part,
    pub(crate) field: &'static str,
    pub(crate) bytes: Range<usize>,
}

/// What is lost with a damaged field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Description,
    Key,
    Manifest,
    /// What lists a pack's records: nothing is lost, as long as the index knows their places.
    PackEnds,
    /// A record of a chunk or of an index page.
    Record,
}

/// All fields of an object, one after another, from its first byte to its last.
pub(crate) fn regions(key: &BlobKey, object: &[u8]) -> Vec<Region> {
    let mut fields = Fields {
        regions: Vec::new(),
        end: 0,
    };
    match key.as_str().split('/').next().unwrap() {
        "vault" => fields.add(
            Part::Description,
            &[
                ("magic", 8),
                ("version", 2),
                ("zero", 2),
                ("chunk size", 4),
                ("vault id", 16),
                ("check", 32),
                ("checksum", 16),
            ],
        ),
        "keys" => fields.add(
            Part::Key,
            &[
                ("magic", 8),
                ("version", 2),
                ("zero", 6),
                ("vault id", 16),
                ("domain id", 16),
                ("nonce", 12),
                ("wrapped key", 32),
                ("tag", 16),
                ("checksum", 16),
            ],
        ),
        "manifests" => {
            let sealed = u64::from_le_bytes(*object[56..].first_chunk().unwrap());
            let head = [
                ("magic", 8),
                ("version", 2),
                ("zero", 2),
                ("nonce", 12),
                ("domain id", 16),
                ("manifest id", 16),
                ("length", 8),
            ];
            fields.add(Part::Manifest, &head);
            let tail = [("sealed", as_usize(sealed) - 16), ("tag", 16), ("checksum", 16)];
            fields.add(Part::Manifest, &tail);
        }
        "packs" => fields.add_pack(object),
        other => panic!("no object is called {other}"),
    }
    assert_eq!(fields.end, object.len(), "{key}: the fields make up the object");
    fields.regions
}

struct Fields {
    regions: Vec<Region>,
    end: usize,
}

impl Fields {
    fn add(&mut self, part: Part, fields: &[(&'static str, usize)]) {
        for (field, len) in fields {
            self.regions.push(Region {
                part,
                field,
                bytes: self.end..self.end + len,
            });
            self.end += len;
        }
    }

    fn add_pack(&mut self, object: &[u8]) {
        let trailer = object.len() - 72;
        let records = u32::from_le_bytes(*object[trailer + 12..].first_chunk().unwrap());
        let header = [
            ("header: magic", 8),
            ("header: version", 2),
            ("header: zero", 6),
            ("header: pack id", 16),
            ("header: domain id", 16),
            ("header: checksum", 16),
        ];
        self.add(Part::PackEnds, &header);
        for _ in 0..records {
            let sealed = u32::from_le_bytes(*object[self.end + 8..].first_chunk().unwrap());
            let record = [
                ("record: kind", 1),
                ("record: codec", 1),
                ("record: zero", 2),
                ("record: plaintext length", 4),
                ("record: sealed length", 4),
                ("record: nonce", 12),
                ("record: id", 32),
                ("record: ciphertext", as_usize(sealed.into()) - 16),
                ("record: tag", 16),
                ("record: checksum", 16),
            ];
            self.add(Part::Record, &record);
        }
        for _ in 0..records {
            let entry = [
                ("entry: id", 32),
                ("entry: kind", 1),
                ("entry: zero", 3),
                ("entry: offset", 4),
                ("entry: length", 4),
                ("entry: plaintext length", 4),
            ];
            self.add(Part::PackEnds, &entry);
        }
        let trailer = [
            ("trailer: magic", 8),
            ("trailer: version", 2),
            ("trailer: zero", 2),
            ("trailer: records", 4),
            ("trailer: length", 8),
            ("trailer: pack id", 16),
            ("trailer: domain id", 16),
            ("trailer: checksum", 16),
        ];
        self.add(Part::PackEnds, &trailer);
    }
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
