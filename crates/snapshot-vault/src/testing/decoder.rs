//! Every decoder of stored bytes under one function, to be fed with bytes that nobody vouches for.

use crate::codec::{Opener, Sealer};
use crate::format::config::Config;
use crate::format::fields::Fields;
use crate::format::manifest::Manifest;
use crate::format::page_map::PageMap;
use crate::format::record::{Codec, HEADER_BYTES, Kind, Record, RecordHeader};
use crate::format::{Flaw, domain_key, pack, page};
use crate::geometry::{Geometry, PAGE_ENTRIES};
use crate::hash::{ChunkHash, ChunkId};
use crate::id::{ChunkSize, DomainId, ManifestId, PackId, VaultId};
use crate::key::{DomainKeys, MasterKey};
use crate::recheck::RecheckShare;
use crate::seal::{CHECKSUM_BYTES, NONCE_BYTES, TAG_BYTES, checksum};
use std::collections::BTreeMap;

/// A decoder of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// The object `vault`.
    VaultDescription,
    /// An object `keys/…`.
    DomainKey,
    /// The first bytes of a pack.
    PackHeader,
    /// The last bytes of a pack, behind 8 bytes that tell the length of the whole pack.
    PackFooter,
    /// A record as it lies in a pack.
    Record,
    /// What is inside a record of which seal and checksum are right: a byte each for kind and codec, 4 for the length of
    /// the plaintext, and what was sealed. It is opened where a chunk of 64 KiB is expected.
    RecordContent,
    /// An index page, behind 2 bytes that tell how many chunks it must cover.
    IndexPage,
    /// The pages of a manifest, behind 8 bytes that tell how many pages the content has.
    PageMap,
    /// A manifest as it is stored.
    Manifest,
    /// What is sealed in a manifest.
    ManifestBody,
}

/// The chunk size where [`Decoder::RecordContent`] is opened.
const CHUNK_BYTES: usize = ChunkSize::MIN_BYTES as usize;

impl Decoder {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::VaultDescription,
        Self::DomainKey,
        Self::PackHeader,
        Self::PackFooter,
        Self::Record,
        Self::RecordContent,
        Self::IndexPage,
        Self::PageMap,
        Self::Manifest,
        Self::ManifestBody,
    ];

    /// Decodes bytes.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    ///
    /// # Panics
    ///
    /// When the decoder is wrong: it panics, or accepts bytes that no encoder would have written.
    pub fn feed(self, bytes: &[u8]) -> Result<(), &'static str> {
        self.decode(bytes).map_err(Flaw::reason)
    }

    fn decode(self, bytes: &[u8]) -> Result<(), Flaw> {
        let world = World::new();
        let mut fields = Fields::new(bytes);
        match self {
            Self::VaultDescription => {
                crate::format::config::check_stored(bytes)?;
                let config = Config::decode(bytes, "vault", &world.master).map_err(|_| Flaw::Bytes(NOT_ITS_KEY))?;
                assert_eq!(config.encode(&world.master), bytes);
            }
            Self::DomainKey => {
                let stored = domain_key::check_stored(bytes, DOMAIN);
                let opened = domain_key::decode(bytes, VAULT, DOMAIN, &world.master.wrapping_key(VAULT));
                assert!(stored.is_ok() || opened.is_err(), "opened, but not as it was stored");
                opened?;
            }
            Self::PackHeader => {
                let domain = pack::decode_header(bytes, PACK)?;
                assert_eq!(pack::encode_header(PACK, domain), bytes);
            }
            Self::PackFooter => {
                let pack_bytes = fields.u64()?;
                let bytes = &bytes[8..];
                let footer = pack::decode_footer(bytes, PACK, pack_bytes)?;
                let records_end = pack_bytes - bytes.len() as u64;
                assert_eq!(
                    pack::encode_footer(PACK, footer.domain, &footer.entries, records_end),
                    bytes
                );
            }
            Self::Record => {
                let record = Record::parse(bytes)?;
                assert_eq!(record.header.encode(), record.associated);
                Opener::new()
                    .map_err(|_| Flaw::Bytes("no opener"))?
                    .open_any(&world.keys, &record, CHUNK_BYTES)?;
            }
            Self::RecordContent => {
                let kind = Kind::from_code(fields.u8()?)?;
                let codec = if fields.u8()? % 2 == 0 { Codec::Raw } else { Codec::Zstd };
                let record = world.record(kind, codec, fields.u32()?, &bytes[6..]);
                let record = Record::parse(&record).expect("the record is well-formed");
                Opener::new()
                    .map_err(|_| Flaw::Bytes("no opener"))?
                    .open_any(&world.keys, &record, CHUNK_BYTES)?;
            }
            Self::IndexPage => {
                let entries = fields.u16()?;
                let page = page::decode(&bytes[2..], entries.into())?;
                assert_eq!(page::encode(&page), bytes[2..]);
            }
            Self::PageMap => {
                let page_count = fields.u64()?;
                let map = PageMap::decode(&mut fields, page_count)?;
                fields.end()?;
                let mut again = Vec::new();
                map.encode(&mut again);
                assert_eq!(again, bytes[8..]);
                let listed = map.data_pages().filter(|page| map.get(*page).is_some()).count();
                assert_eq!(listed as u64, map.data_page_count());
            }
            Self::Manifest => {
                let stored = crate::format::manifest::check_stored(bytes, DOMAIN, MANIFEST);
                let opened = Manifest::decode(bytes, DOMAIN, MANIFEST, &world.keys.manifests);
                assert!(stored.is_ok() || opened.is_err(), "opened, but not as it was stored");
                opened?;
            }
            Self::ManifestBody => {
                let manifest = Manifest::decode_body(bytes)?;
                assert_eq!(manifest.encode_body().ok().as_deref(), Some(bytes));
            }
        }
        Ok(())
    }

    /// Bytes that the decoder takes, to be damaged.
    ///
    /// # Panics
    ///
    /// When an encoder fails.
    pub fn samples(self) -> Vec<Vec<u8>> {
        let world = World::new();
        match self {
            Self::VaultDescription => {
                let config = Config {
                    vault: VAULT,
                    chunk_size: ChunkSize::default(),
                };
                vec![config.encode(&world.master)]
            }
            Self::DomainKey => {
                let wrapping = world.master.wrapping_key(VAULT);
                let encoded = domain_key::encode(VAULT, DOMAIN, &[5; 32], &wrapping);
                vec![encoded.expect("a key can be wrapped")]
            }
            Self::PackHeader => vec![pack::encode_header(PACK, DOMAIN)],
            Self::PackFooter => [0, 1, 20].map(footer_of).into(),
            Self::Record => [&b"some text\n".repeat(90)[..], b"short", b""]
                .map(|plain| world.sealed(plain))
                .into(),
            Self::RecordContent => {
                let content = |kind: u8, codec: u8, plain_len: usize, payload: &[u8]| {
                    let plain_len = u32::try_from(plain_len).expect("a small plaintext").to_le_bytes();
                    [&[kind, codec], &plain_len[..], payload].concat()
                };
                let text = b"some text\n".repeat(900);
                let packed = zstd::bulk::compress(&text, 1).expect("text can be compressed");
                vec![
                    content(1, 0, 5, b"short"),
                    content(1, 1, text.len(), &packed),
                    content(2, 1, text.len(), &packed),
                ]
            }
            Self::IndexPage => [0, 1, 9, PAGE_ENTRIES]
                .map(|entries| {
                    let page: page::Page = (0..entries)
                        .map(|n| (n % 3 > 0).then_some(ChunkHash([7; 32])))
                        .collect();
                    let entries = u16::try_from(entries).expect("at most 256 entries").to_le_bytes();
                    [&entries[..], &page::encode(&page)].concat()
                })
                .into(),
            Self::PageMap => [0, 1, 60]
                .map(|page_count: u64| {
                    let mut bytes = page_count.to_le_bytes().to_vec();
                    pages(page_count).encode(&mut bytes);
                    bytes
                })
                .into(),
            Self::Manifest => {
                let encoded = a_manifest().encode(DOMAIN, MANIFEST, &world.keys.manifests);
                vec![encoded.expect("a manifest can be sealed")]
            }
            Self::ManifestBody => vec![a_manifest().encode_body().expect("little metadata")],
        }
    }

    /// The same bytes with the checksum that they should end with, where they end with one: what lies behind the checksum
    /// is then looked at, too.
    pub fn with_right_checksum(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let begins_at = match self {
            Self::VaultDescription | Self::DomainKey | Self::PackHeader | Self::Record | Self::Manifest => 0,
            Self::PackFooter => 8,
            Self::RecordContent | Self::IndexPage | Self::PageMap | Self::ManifestBody => return None,
        };
        let end = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .filter(|end| *end >= begins_at)?;
        let mut bytes = bytes[..end].to_vec();
        let sum = checksum(&bytes[begins_at..]);
        bytes.extend_from_slice(&sum);
        Some(bytes)
    }

    /// The most memory that feeding `len` bytes may take, in bytes: what they justify, and the fixed sizes of the format.
    pub fn memory_bytes(self, len: usize) -> u64 {
        let fixed = match self {
            // The plaintext of a chunk, however few bytes it was compressed to.
            Self::Record | Self::RecordContent => CHUNK_BYTES + (8 << 10),
            // Zero entries of a page take a bit each.
            Self::IndexPage => 2 * page::MAX_PAGE_BYTES + (8 << 10),
            _ => 8 << 10,
        };
        (fixed + 8 * len) as u64
    }
}

const NOT_ITS_KEY: &str = "it was made with another master key";
const VAULT: VaultId = VaultId::from_bytes([1; 16]);
const DOMAIN: DomainId = DomainId::from_bytes([2; 16]);
const PACK: PackId = PackId::from_bytes([3; 16]);
const MANIFEST: ManifestId = ManifestId::from_bytes([4; 16]);

/// The keys of the samples: always the same, so that a sample that was found once stays one.
struct World {
    master: MasterKey,
    keys: DomainKeys,
}

impl World {
    fn new() -> Self {
        Self {
            master: MasterKey::from_hex(&"7a".repeat(32)).expect("64 digits"),
            keys: DomainKeys::new(&[5; 32]),
        }
    }

    /// A record whose seal and checksum are right, whatever is in it.
    fn record(&self, kind: Kind, codec: Codec, plain_len: u32, payload: &[u8]) -> Vec<u8> {
        let header = RecordHeader {
            kind,
            codec,
            plain_len,
            sealed_len: u32::try_from(payload.len() + TAG_BYTES).expect("a small payload"),
            nonce: [0; NONCE_BYTES],
            id: ChunkId([6; 32]),
        };
        let mut record = header.encode().to_vec();
        record.extend_from_slice(payload);
        let (associated, sealed) = record.split_at_mut(HEADER_BYTES);
        let tag = self.keys.records.seal(header.nonce, associated, sealed);
        record.extend_from_slice(&tag.expect("bytes can be sealed"));
        let sum = checksum(&record);
        record.extend_from_slice(&sum);
        record
    }

    fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        let id = self.keys.chunk_id(&ChunkHash::of(plain));
        let mut sealer = Sealer::new(RecheckShare::default()).expect("a sealer");
        let record = sealer.seal(&self.keys, Kind::Chunk, id, plain);
        record.expect("a chunk can be sealed").to_vec()
    }
}

fn footer_of(records: u32) -> Vec<u8> {
    const LENGTH: u32 = 100;
    let begin = u32::try_from(pack::HEADER_BYTES).expect("64 bytes");
    let entries: Vec<_> = (0..records)
        .map(|n| pack::FooterEntry {
            id: ChunkId([7; 32]),
            kind: if n % 5 == 4 { Kind::Page } else { Kind::Chunk },
            offset: begin + n * LENGTH,
            length: LENGTH,
            plain_len: 300,
        })
        .collect();
    let records_end = u64::from(begin + records * LENGTH);
    let footer = pack::encode_footer(PACK, DOMAIN, &entries, records_end);
    let pack_bytes = records_end + footer.len() as u64;
    [&pack_bytes.to_le_bytes()[..], &footer].concat()
}

fn pages(page_count: u64) -> PageMap {
    let with_data = (0..page_count).filter(|page| page % 7 > 1);
    let pages: BTreeMap<u64, ChunkHash> = with_data.map(|page| (page, ChunkHash([9; 32]))).collect();
    PageMap::new(&pages, page_count)
}

fn a_manifest() -> Manifest {
    let geometry = Geometry {
        size_bytes: (1 << 28) - 77,
        chunk_size: ChunkSize::default(),
    };
    Manifest {
        geometry,
        pack_bytes: 77,
        digest: [3; 32],
        pages: pages(geometry.page_count()),
        metadata: b"{\"name\":\"a copy\"}".to_vec(),
    }
}
