//! The vault: the ports it stands on, its description, its domains.

use crate::blob::{BlobEntry, BlobError, BlobKey, BlobStore};
use crate::catalog::{NoCatalog, PackCatalog, SetAside};
use crate::copy::OpenSessions;
use crate::domain::{Domain, DomainCore};
use crate::elsewhere::lead_past_damage;
use crate::error::VaultError;
use crate::format::config::Config;
use crate::format::{Flaw, domain_key, manifest, names};
use crate::found::FoundChunks;
use crate::id::{ChunkSize, DomainId, ManifestId, PackId, VaultId};
use crate::index::ChunkIndex;
use crate::key::{DomainKeys, MasterKey};
use crate::recheck::RecheckShare;
use crate::reconcile::{Reconciliation, reconcile};
use crate::seal::{SealKey, random_bytes};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// How a vault is made and used.
#[derive(Clone, Copy, Debug)]
pub struct VaultOptions {
    /// The chunk size of a vault that is made. An existing vault keeps its own.
    pub chunk_size: ChunkSize,
    /// How large a pack grows before it is closed, in bytes; more than 1 GiB counts as 1 GiB. A pack holds at least one
    /// record.
    pub pack_size_bytes: u64,
    /// How many of the chunks that are stored are opened again and compared before.
    pub recheck: RecheckShare,
    /// Whether the caller's database knows of copies that lie in the vault. Then none is made in an empty store: that is a
    /// folder where the disk is not mounted.
    pub has_copies: bool,
}

impl Default for VaultOptions {
    fn default() -> Self {
        Self {
            chunk_size: ChunkSize::default(),
            pack_size_bytes: 64 << 20,
            recheck: RecheckShare::default(),
            has_copies: false,
        }
    }
}

const MAX_PACK_SIZE_BYTES: u64 = 1 << 30;
/// How many damaged chunks are remembered, so that they take some mebibytes at most.
const MAX_MET: usize = 1 << 16;
/// Objects of fixed size are far smaller; a larger one is damaged, and is not read into memory.
pub(crate) const MAX_FIXED_OBJECT_BYTES: u64 = 4096;

/// The store of all copies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault(pub(crate) Arc<VaultCore>);

/// What domains, copies and readers share.
pub(crate) struct VaultCore {
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) index: Arc<dyn ChunkIndex>,
    pub(crate) catalog: Arc<dyn PackCatalog>,
    pub(crate) config: Config,
    /// The object of the description, as it is stored.
    pub(crate) description: Vec<u8>,
    pub(crate) pack_size_bytes: u64,
    pub(crate) recheck: RecheckShare,
    wrapping: SealKey,
    domains: Mutex<HashMap<DomainId, Arc<DomainCore>>>,
    pub(crate) sessions: OpenSessions,
    /// What was set aside by this process, so that the same damage is noted once however often it is read.
    met: Mutex<HashSet<SetAside>>,
    /// Whether packs are known to be lost or damaged, or the index to lack something. Then not even the chunks of a committed
    /// copy are sure to be there.
    damage_is_known: AtomicBool,
    /// Packs that were found to be gone since the start.
    gone: Mutex<HashSet<PackId>>,
    /// Packs that were found torn at the start.
    pub(crate) torn: Mutex<BTreeSet<PackId>>,
    /// Held while a torn object is looked at and removed: by then another thread must not have put a whole one.
    clearing: Mutex<()>,
}

/// The key of a domain.
struct DomainKey {
    plain: Zeroizing<[u8; 32]>,
    /// The object that it is sealed in.
    sealed: Vec<u8>,
}

impl Vault {
    /// Opens the vault, or makes it in an empty store, unless copies should be there, or packs that the catalog lists. A
    /// description that a crash has torn while it was stored is made anew, as long as it is the only object.
    ///
    /// # Errors
    ///
    /// [`VaultError::WrongMasterKey`], [`VaultError::UnsupportedVersion`], [`VaultError::NotAVault`],
    /// [`VaultError::StoreIsEmpty`], [`VaultError::Damaged`] when the description of the vault is, failures of the store.
    pub fn open(
        blobs: Arc<dyn BlobStore>,
        master: &MasterKey,
        index: Arc<dyn ChunkIndex>,
        catalog: Arc<dyn PackCatalog>,
        options: VaultOptions,
    ) -> Result<Self, VaultError> {
        let may_be_new = !options.has_copies && catalog.list(None, 1)?.is_empty();
        let config = match read_config(&*blobs, master) {
            Err(VaultError::Damaged { reason, .. }) if may_be_new && is_alone(&*blobs, &names::config())? => {
                log::warn!("the vault's description is made anew, for there is nothing else, and {reason}");
                blobs.delete(&names::config())?;
                None
            }
            config => config?,
        };
        let config = match config {
            Some(config) => config,
            None => make_config(&*blobs, may_be_new, master, options.chunk_size)?,
        };
        Ok(Self::with_config(config, blobs, master, index, catalog, options))
    }

    /// Opens a vault that is there to read what its copies say of themselves: their chunks can't be read. Nothing is
    /// written, and `blobs` may be written to by somebody else at the same time.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotAVault`] also for an empty store; otherwise as [`open`](Self::open).
    pub fn open_manifests(blobs: Arc<dyn BlobStore>, master: &MasterKey) -> Result<Self, VaultError> {
        let (index, catalog) = (Arc::new(FoundChunks::default()), Arc::new(NoCatalog::default()));
        Self::open_read_only(blobs, master, index, catalog)
    }

    pub(crate) fn open_read_only(
        blobs: Arc<dyn BlobStore>,
        master: &MasterKey,
        index: Arc<FoundChunks>,
        catalog: Arc<NoCatalog>,
    ) -> Result<Self, VaultError> {
        let config = read_config(&*blobs, master)?.ok_or(VaultError::NotAVault)?;
        let options = VaultOptions::default();
        Ok(Self::with_config(config, blobs, master, index, catalog, options))
    }

    fn with_config(
        config: Config,
        blobs: Arc<dyn BlobStore>,
        master: &MasterKey,
        index: Arc<dyn ChunkIndex>,
        catalog: Arc<dyn PackCatalog>,
        options: VaultOptions,
    ) -> Self {
        Self(Arc::new(VaultCore {
            blobs,
            index,
            catalog,
            config,
            description: config.encode(master),
            pack_size_bytes: options.pack_size_bytes.min(MAX_PACK_SIZE_BYTES),
            recheck: options.recheck,
            wrapping: master.wrapping_key(config.vault),
            domains: Mutex::new(HashMap::new()),
            sessions: OpenSessions::default(),
            met: Mutex::default(),
            damage_is_known: AtomicBool::new(false),
            gone: Mutex::default(),
            torn: Mutex::default(),
            clearing: Mutex::default(),
        }))
    }

    /// The vault's own id, made when the vault was.
    pub fn id(&self) -> VaultId {
        self.0.config.vault
    }

    /// The size of this vault's chunks.
    pub fn chunk_size(&self) -> ChunkSize {
        self.0.config.chunk_size
    }

    /// Makes index, catalog and the stored packs agree. To be called at start, before the first copy: packs that are
    /// stored but not in the catalog are recorded; packs that are not in the index are fed from their footers; packs
    /// that are lost or damaged are reported, and their chunks count as absent; of a chunk that is set aside where the index
    /// finds it, another place is found, if there is one. Torn packs are reported, and
    /// [`collect`](Self::collect) removes them. Memory stays bounded.
    ///
    /// # Errors
    ///
    /// Failures of store, index and catalog; damage is no error here.
    pub fn reconcile(&self) -> Result<Reconciliation, VaultError> {
        let reconciliation = reconcile(&*self.0.blobs, &*self.0.index, &*self.0.catalog)?;
        // Whether a pack was torn before anything counted on it, or damaged after the catalog lost its row, nobody can tell.
        let is_whole = reconciliation.damaged.is_empty() && reconciliation.torn.is_empty();
        self.0.damage_is_known.store(!is_whole, Ordering::Relaxed);
        lead_past_damage(self, &|| false)?;
        *self.0.torn() = reconciliation.torn.iter().map(|pack| pack.id).collect();
        Ok(reconciliation)
    }

    /// A domain. Its key is made and stored if it is new, or was torn when it was stored: then the domain has no copies.
    ///
    /// # Errors
    ///
    /// [`VaultError::Damaged`] when its key object is damaged or gone while its copies are there; failures of the store.
    pub fn domain(&self, id: DomainId) -> Result<Domain, VaultError> {
        self.domain_with(id, || match self.read_domain_key(id) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => self.make_domain_key(id),
            Err(error) => {
                self.clear_torn_domain_key(id, error)?;
                self.make_domain_key(id)
            }
        })
    }

    /// A domain that has copies. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`VaultError::Damaged`] when its key object is damaged or gone; failures of the store.
    pub(crate) fn existing_domain(&self, id: DomainId) -> Result<Domain, VaultError> {
        self.domain_with(id, || self.read_domain_key(id)?.ok_or_else(|| key_is_gone(id)))
    }

    fn domain_with(
        &self,
        id: DomainId,
        key: impl FnOnce() -> Result<DomainKey, VaultError>,
    ) -> Result<Domain, VaultError> {
        // Held while a key is made, so that two callers do not make two.
        let mut domains = self.0.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(core) = domains.get(&id) {
            return Ok(Domain::new(self.0.clone(), core.clone()));
        }
        let DomainKey { plain, sealed } = key()?;
        let core = Arc::new(DomainCore {
            id,
            keys: DomainKeys::new(&plain),
            sealed_key: sealed,
        });
        domains.insert(id, core.clone());
        Ok(Domain::new(self.0.clone(), core))
    }

    /// All domains that have a key in the store, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn domains(&self) -> Result<Vec<DomainId>, VaultError> {
        let mut domains = Vec::new();
        self.0.blobs.list(names::DOMAIN_KEYS, &mut |entry: BlobEntry| {
            domains.extend(names::uuid_of(&entry.key).map(DomainId::new));
            ControlFlow::Continue(())
        })?;
        Ok(domains)
    }

    /// All copies, whether or not they can be opened, by domain.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn copies(&self) -> Result<Vec<(DomainId, ManifestId)>, VaultError> {
        list_copies(&*self.0.blobs)
    }

    /// Whether the index answers. Takes no time.
    ///
    /// # Errors
    ///
    /// [`VaultError::Index`] when it does not: nothing can be copied or read.
    pub fn check_index(&self) -> Result<(), VaultError> {
        self.0.index.packs(None, 1)?;
        Ok(())
    }

    /// Tells a store that is away as a whole from one that has lost something: there, at least the vault's description is.
    pub(crate) fn check_is_there(&self) -> Result<(), VaultError> {
        match self.0.blobs.size(&names::config()) {
            Ok(_) => Ok(()),
            Err(BlobError::NotFound { .. }) => Err(VaultError::NotAVault),
            Err(error) => Err(error.into()),
        }
    }

    fn read_domain_key(&self, id: DomainId) -> Result<Option<DomainKey>, VaultError> {
        let name = names::domain_key(id);
        let Some(sealed) = read_fixed_object(&*self.0.blobs, &name)? else {
            return Ok(None);
        };
        let plain = domain_key::decode(&sealed, self.id(), id, &self.0.wrapping);
        let plain = plain.map_err(|flaw| flaw.losing_all(&name))?;
        Ok(Some(DomainKey { plain, sealed }))
    }

    fn make_domain_key(&self, id: DomainId) -> Result<DomainKey, VaultError> {
        let name = names::domain_key(id);
        // A new key in the place of a lost one would hide the loss, and the copies would look like damaged ones.
        if !is_empty(&*self.0.blobs, &names::manifests(id))? {
            return Err(key_is_gone(id));
        }
        let plain = Zeroizing::new(random_bytes()?);
        let sealed = domain_key::encode(self.id(), id, &plain, &self.0.wrapping)?;
        self.0.blobs.put(&name, &sealed)?;
        Ok(DomainKey { plain, sealed })
    }

    /// Removes a domain's key that is not whole, if nothing is sealed under it that a copy needs. Fails with `error`, by
    /// which it could not be read, when that is not so.
    fn clear_torn_domain_key(&self, id: DomainId, error: VaultError) -> Result<(), VaultError> {
        let name = names::domain_key(id);
        let stored = match &error {
            VaultError::Damaged { .. } => read_fixed_object(&*self.0.blobs, &name)?,
            _ => None,
        };
        let is_torn = stored.is_some_and(|bytes| domain_key::check_stored(&bytes, id).is_err());
        if !is_torn || !is_empty(&*self.0.blobs, &names::manifests(id))? {
            return Err(error);
        }
        log::warn!("{name} is made anew, for the domain has no copies: {error}");
        Ok(self.0.blobs.delete(&name)?)
    }
}

impl VaultCore {
    pub(crate) fn torn(&self) -> MutexGuard<'_, BTreeSet<PackId>> {
        self.torn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all that a committed copy needs may be taken to be there.
    pub(crate) fn may_rely_on_copies(&self) -> bool {
        !self.damage_is_known.load(Ordering::Relaxed)
    }

    /// A copy needs something that the index does not find: from now on, copies ask for each chunk of their parents, and
    /// store what is not found.
    pub(crate) fn met_lack(&self) {
        self.damage_is_known.store(true, Ordering::Relaxed);
    }

    /// A pack is gone that something is needed of: no copy that begins from now on counts on what it held. The next start makes
    /// the index anew without it.
    pub(crate) fn met_gone(&self, pack: PackId) {
        if self.gone().insert(pack) {
            log::error!("pack {pack} is gone");
        }
    }

    pub(crate) fn gone(&self) -> MutexGuard<'_, HashSet<PackId>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a manifest, if they are no more than one can have.
    pub(crate) fn read_manifest(&self, name: &BlobKey) -> Result<Vec<u8>, VaultError> {
        let size = self.blobs.size(name)?;
        let size = Some(size).filter(|size| *size <= manifest::max_bytes(self.config.chunk_size));
        let size = size.and_then(|size| usize::try_from(size).ok());
        let mut bytes = vec![0; size.ok_or_else(|| Flaw::Bytes("it is far too long").losing_all(name))?];
        self.blobs.read(name, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Makes way for a manifest, if what lies under its name is one that was torn when it was stored. Whether nothing is in
    /// the way.
    ///
    /// Nobody makes a copy again that was told to exist: what is torn was never told.
    pub(crate) fn clear_torn_manifest(&self, domain: DomainId, id: ManifestId) -> Result<bool, VaultError> {
        let name = names::manifest(domain, id);
        let _clearing = self.clearing.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match self.read_manifest(&name) {
            Ok(bytes) => bytes,
            Err(VaultError::Blob(BlobError::NotFound { .. })) => return Ok(true),
            Err(error) => return Err(error),
        };
        match manifest::check_stored(&bytes, domain, id) {
            Ok(()) | Err(Flaw::Version(_)) => Ok(false),
            Err(flaw) => {
                log::warn!("{name} was never finished, and is made again: {}", flaw.reason());
                self.blobs.delete(&name)?;
                Ok(true)
            }
        }
    }

    /// Sets aside what a reader found damaged. Whoever reads is told of the damage, also when that fails: somebody meets it
    /// again.
    pub(crate) fn met_damage(&self, chunk: SetAside) {
        {
            let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
            if met.len() >= MAX_MET {
                met.clear();
            }
            if !met.insert(chunk) {
                return;
            }
        }
        log::error!(
            "chunk {} at {} of pack {} is damaged, or can't be read",
            chunk.chunk,
            chunk.offset,
            chunk.pack
        );
        if let Err(error) = self.catalog.set_aside(&[chunk]) {
            log::error!("a damaged chunk could not be set aside: {error}: {}", error.0);
            self.met.lock().unwrap_or_else(PoisonError::into_inner).remove(&chunk);
        }
    }
}

impl fmt::Debug for VaultCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultCore")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The copies of which the manifests lie in a store.
pub(crate) fn list_copies(blobs: &dyn BlobStore) -> Result<Vec<(DomainId, ManifestId)>, VaultError> {
    let mut copies = Vec::new();
    blobs.list(names::MANIFESTS, &mut |entry: BlobEntry| {
        match names::manifest_of(&entry.key) {
            Some(ids) => copies.push(ids),
            None => log::warn!("{} is no manifest", entry.key),
        }
        ControlFlow::Continue(())
    })?;
    Ok(copies)
}

fn key_is_gone(id: DomainId) -> VaultError {
    Flaw::Bytes("the domain's key is gone, and its copies are still there").losing_all(&names::domain_key(id))
}

fn read_config(blobs: &dyn BlobStore, master: &MasterKey) -> Result<Option<Config>, VaultError> {
    let name = names::config();
    let Some(bytes) = read_fixed_object(blobs, &name)? else {
        return Ok(None);
    };
    Config::decode(&bytes, name.as_str(), master).map(Some)
}

fn make_config(
    blobs: &dyn BlobStore,
    may_be_new: bool,
    master: &MasterKey,
    chunk_size: ChunkSize,
) -> Result<Config, VaultError> {
    if !is_empty(blobs, "")? {
        return Err(VaultError::NotAVault);
    }
    // A folder where nothing is mounted: a vault that is begun there would take new copies to the wrong disk.
    if !may_be_new {
        return Err(VaultError::StoreIsEmpty);
    }
    let config = Config {
        vault: VaultId::random(),
        chunk_size,
    };
    blobs.put(&names::config(), &config.encode(master))?;
    Ok(config)
}

pub(crate) fn read_fixed_object(blobs: &dyn BlobStore, name: &BlobKey) -> Result<Option<Vec<u8>>, VaultError> {
    let size = match blobs.size(name) {
        Ok(size) => size,
        Err(BlobError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if size > MAX_FIXED_OBJECT_BYTES {
        return Err(Flaw::Bytes("it is far too long").losing_all(name));
    }
    let mut bytes = vec![0; usize::try_from(size).expect("at most 4096")];
    blobs.read(name, 0, &mut bytes)?;
    Ok(Some(bytes))
}

fn is_empty(blobs: &dyn BlobStore, prefix: &str) -> Result<bool, VaultError> {
    let mut empty = true;
    blobs.list(prefix, &mut |_| {
        empty = false;
        ControlFlow::Break(())
    })?;
    Ok(empty)
}

/// Whether the store holds no other object.
fn is_alone(blobs: &dyn BlobStore, name: &BlobKey) -> Result<bool, VaultError> {
    let mut alone = true;
    blobs.list("", &mut |entry| {
        alone = entry.key == *name;
        if alone {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(alone)
}
