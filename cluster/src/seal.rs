//! Sealing of personal data: one data key per entity, wrapped by the node's master key, so that destroying it erases the entity's past.
//!
//! Everything is AES-256-GCM with a fresh 96-bit nonce: `version ‖ nonce ‖ ciphertext ‖ tag`. The additional data binds a value to its place
//! (entity, record number, row), so that stored values cannot be swapped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;
use colloquy_store::journal::{Record, Snapshot};
use colloquy_store::keys::EntityKeys;
use colloquy_store::rows::Row;
use colloquy_store::{EntityKey, StoreError};

use crate::record::key_of;

/// The version byte of a sealed value.
const SEALED: u8 = 1;

/// The first byte of a sealed row body: no JSON text starts with it.
const SEALED_ROW: u8 = 0x01;
/// The same for a row in the list of another tenant than the entity's, such as an organization's in the list of all: it names the entity's.
const SEALED_FOREIGN_ROW: u8 = 0x02;

/// What a sealed blob begins with. Whatever is put is sealed, so no upload can pass for one.
const SEALED_BLOB: &[u8; 8] = b"CQSEALED";

/// Bytes of an AES-GCM nonce (NIST SP 800-38D).
const NONCE_BYTES: usize = 12;

/// Data keys kept unwrapped per generation; two generations are kept. An entry is under 200 bytes.
const KEYS_CACHED: usize = 20_000;

/// What the check of a master key is derived for.
const KEY_CHECK: &str = "colloquy 2026 check of the cluster's master key";

/// Tells whether two nodes have the same master key without saying anything about it.
pub fn key_check(master_key: &[u8; 32]) -> String {
    // Half of the hash is far beyond chance, and short enough to compare by eye.
    blake3::derive_key(KEY_CHECK, master_key)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A data key, ready to use.
type DataKey = Arc<Aes256Gcm>;

/// Seals and opens what entities with personal data store.
pub struct Sealer {
    master: Aes256Gcm,
    keys: Arc<dyn EntityKeys>,
    cache: Mutex<Cache>,
}

/// Two generations: the young one is refilled from the old one, so what is used stays.
#[derive(Default)]
struct Cache {
    young: HashMap<EntityKey, Known>,
    old: HashMap<EntityKey, Known>,
}

/// What is known of an entity's data key. That it was erased stays known, lest a read of the store that began before puts the key back.
#[derive(Clone)]
enum Known {
    Key(DataKey),
    Erased,
}

impl Sealer {
    /// A sealer with the node's master key over the store's wrapped keys.
    pub fn new(master_key: &[u8; 32], keys: Arc<dyn EntityKeys>) -> Self {
        Self { master: Aes256Gcm::new(&Key::<Aes256Gcm>::from(*master_key)), keys, cache: Mutex::default() }
    }

    /// The entity's data key; made and stored when it has none. [`StoreError::Erased`] after an erase.
    pub async fn key_for_writing(&self, entity: &EntityKey) -> Result<DataKey, StoreError> {
        if let Some(key) = self.cached(entity)? {
            return Ok(key);
        }
        let fresh: [u8; 32] = rand::random();
        let wrapped = seal(&self.master, &fresh, wrap_place(entity).as_bytes());
        let stored = self.keys.get_or_insert(entity, Bytes::from(wrapped)).await?;
        self.unwrap(entity, &stored)
    }

    /// The entity's data key, if it has one. [`StoreError::Erased`] after an erase.
    pub async fn key_for_reading(&self, entity: &EntityKey) -> Result<Option<DataKey>, StoreError> {
        if let Some(key) = self.cached(entity)? {
            return Ok(Some(key));
        }
        match self.keys.get(entity).await? {
            Some(stored) => self.unwrap(entity, &stored).map(Some),
            None => Ok(None),
        }
    }

    /// Forgets the unwrapped key for good, so that an erase takes effect here.
    pub fn forget(&self, entity: &EntityKey) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.old.remove(entity);
        cache.insert(entity.clone(), Known::Erased);
    }

    fn cached(&self, entity: &EntityKey) -> Result<Option<DataKey>, StoreError> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).find(entity)
    }

    fn unwrap(&self, entity: &EntityKey, stored: &[u8]) -> Result<DataKey, StoreError> {
        let corrupt =
            |detail: &str| StoreError::Corrupt { place: format!("data key of {entity}"), detail: detail.to_owned() };
        let plain = open(&self.master, stored, wrap_place(entity).as_bytes()).ok_or_else(|| {
            corrupt("it does not open with this master key; is it the one the data was written with?")
        })?;
        let plain: [u8; 32] = plain.try_into().map_err(|_| corrupt("it is not 32 bytes long"))?;
        let key = Arc::new(Aes256Gcm::new(&Key::<Aes256Gcm>::from(plain)));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been erased while it was read.
        cache.find(entity)?;
        cache.insert(entity.clone(), Known::Key(key.clone()));
        Ok(key)
    }

    /// Opens a row's body if it is sealed. `None` when its entity was erased.
    pub async fn open_row(&self, row: &Row) -> Result<Option<Bytes>, StoreError> {
        let Some(body) = &row.body else {
            return Ok(None);
        };
        if !matches!(body.first(), Some(&(SEALED_ROW | SEALED_FOREIGN_ROW))) {
            return Ok(Some(body.clone()));
        }
        let corrupt = || StoreError::Corrupt {
            place: format!("row {} of list {}", row.id, row.list),
            detail: "its sealed body does not open".to_owned(),
        };
        let (entity, sealed) = split_row_body(&row.tenant, body).ok_or_else(corrupt)?;
        match self.key_for_reading(&entity).await {
            Ok(Some(key)) => {
                let plain = open(&key, sealed, row_place(&entity, row).as_bytes()).ok_or_else(corrupt)?;
                Ok(Some(Bytes::from(plain)))
            }
            Ok(None) => Err(corrupt()),
            Err(StoreError::Erased(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Cache {
    fn find(&mut self, entity: &EntityKey) -> Result<Option<DataKey>, StoreError> {
        let known = match (self.young.get(entity), self.old.get(entity)) {
            (Some(known), _) => known.clone(),
            (None, Some(known)) => {
                let known = known.clone();
                self.insert(entity.clone(), known.clone());
                known
            }
            (None, None) => return Ok(None),
        };
        match known {
            Known::Key(key) => Ok(Some(key)),
            Known::Erased => Err(StoreError::Erased(entity.clone())),
        }
    }

    fn insert(&mut self, entity: EntityKey, known: Known) {
        if self.young.len() >= KEYS_CACHED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(entity, known);
    }
}

/// Seals a record's bytes for its place in the journal.
pub fn seal_record(key: &DataKey, entity: &EntityKey, seq: u64, plain: &[u8]) -> Bytes {
    Bytes::from(seal(key, plain, record_place(entity, seq).as_bytes()))
}

/// Opens records in place.
pub fn open_records(key: &DataKey, entity: &EntityKey, records: &mut [Record]) -> Result<(), StoreError> {
    for record in records {
        let plain = open(key, &record.bytes, record_place(entity, record.seq).as_bytes()).ok_or_else(|| {
            StoreError::Corrupt {
                place: format!("{entity} event {}", record.seq),
                detail: "it does not open with the entity's key".to_owned(),
            }
        })?;
        record.bytes = Bytes::from(plain);
    }
    Ok(())
}

/// Seals a snapshot.
pub fn seal_snapshot(key: &DataKey, entity: &EntityKey, snapshot: &mut Snapshot) {
    let place = snapshot_place(entity, snapshot.seq);
    snapshot.bytes = Bytes::from(seal(key, &snapshot.bytes, place.as_bytes()));
}

/// Opens a snapshot; `None` when it does not open, in which case the journal is folded from its start.
pub fn open_snapshot(key: &DataKey, entity: &EntityKey, snapshot: Snapshot) -> Option<Snapshot> {
    let plain = open(key, &snapshot.bytes, snapshot_place(entity, snapshot.seq).as_bytes())?;
    Some(Snapshot { seq: snapshot.seq, bytes: Bytes::from(plain) })
}

/// Seals a row's body in place. It names its entity in the clear, because the row alone does not.
pub fn seal_row(key: &DataKey, entity: &EntityKey, row: &mut Row) {
    let Some(body) = &row.body else { return };
    let sealed = seal(key, body, row_place(entity, row).as_bytes());
    let mut whole = Vec::with_capacity(sealed.len() + entity.tenant.len() + entity.kind.len() + entity.id.len() + 7);
    let foreign = *row.tenant != *entity.tenant;
    whole.push(if foreign { SEALED_FOREIGN_ROW } else { SEALED_ROW });
    let parts = [&entity.tenant, &entity.kind, &entity.id];
    for part in &parts[usize::from(!foreign)..] {
        // Keys are far shorter than 64 KB (see the admission limits).
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(&part.as_bytes()[..usize::from(length)]);
    }
    whole.extend_from_slice(&sealed);
    row.body = Some(Bytes::from(whole));
}

fn split_row_body<'a>(tenant: &str, body: &'a [u8]) -> Option<(EntityKey, &'a [u8])> {
    let (marker, rest) = body.split_first()?;
    let (tenant, rest) = if *marker == SEALED_FOREIGN_ROW { take_part(rest)? } else { (tenant, rest) };
    let (kind, rest) = take_part(rest)?;
    let (id, sealed) = take_part(rest)?;
    Some((key_of(tenant, kind, id), sealed))
}

fn take_part(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((std::str::from_utf8(part).ok()?, rest))
}

/// Seals a blob for its path.
pub fn seal_blob(key: &DataKey, entity: &EntityKey, path: &str, plain: &[u8]) -> Bytes {
    let sealed = seal(key, plain, blob_place(entity, path).as_bytes());
    [SEALED_BLOB.as_slice(), &sealed].concat().into()
}

/// Opens a blob. One from before blobs were sealed is as it is.
pub fn open_blob(key: Option<&DataKey>, entity: &EntityKey, path: &str, stored: Bytes) -> Result<Bytes, StoreError> {
    let Some(sealed) = stored.strip_prefix(SEALED_BLOB.as_slice()) else { return Ok(stored) };
    let plain = key.and_then(|key| open(key, sealed, blob_place(entity, path).as_bytes()));
    plain.map(Bytes::from).ok_or_else(|| StoreError::Corrupt {
        place: format!("blob {path}"),
        detail: "it does not open with the key of its entity".to_owned(),
    })
}

fn wrap_place(entity: &EntityKey) -> String {
    format!("key\0{}\0{}\0{}", entity.tenant, entity.kind, entity.id)
}

fn record_place(entity: &EntityKey, seq: u64) -> String {
    format!("event\0{}\0{}\0{}\0{seq}", entity.tenant, entity.kind, entity.id)
}

fn snapshot_place(entity: &EntityKey, seq: u64) -> String {
    format!("snapshot\0{}\0{}\0{}\0{seq}", entity.tenant, entity.kind, entity.id)
}

fn blob_place(entity: &EntityKey, path: &str) -> String {
    format!("blob\0{}\0{}\0{}\0{path}", entity.tenant, entity.kind, entity.id)
}

fn row_place(entity: &EntityKey, row: &Row) -> String {
    format!("row\0{}\0{}\0{}\0{}\0{}\0{}", row.tenant, entity.kind, entity.id, row.list, row.id, row.version())
}

fn seal(cipher: &Aes256Gcm, plain: &[u8], place: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + plain.len() + 16);
    sealed.push(SEALED);
    sealed.extend_from_slice(&nonce);
    // AES-GCM refuses only plaintexts above 64 GB; nothing here comes near.
    if let Ok(text) = cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: place }) {
        sealed.extend_from_slice(&text);
    }
    sealed
}

fn open(cipher: &Aes256Gcm, sealed: &[u8], place: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>()?;
    if *version != SEALED {
        return None;
    }
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg: text, aad: place }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(byte: u8) -> DataKey {
        Arc::new(Aes256Gcm::new(&Key::<Aes256Gcm>::from([byte; 32])))
    }

    #[test]
    fn sealed_value_opens_only_in_its_place_with_its_key() {
        let (entity, other) = (EntityKey::new("t", "k", "a"), EntityKey::new("t", "k", "b"));
        let bytes = seal_record(&cipher(1), &entity, 7, b"hello");
        assert!(!bytes.windows(5).any(|window| window == b"hello"));
        let record = |seq| Record { seq, append_id: uuid::Uuid::nil(), epoch: 1, bytes: bytes.clone() };
        let mut records = [record(7)];
        open_records(&cipher(1), &entity, &mut records).expect("opens");
        assert_eq!(&records[0].bytes[..], b"hello");
        assert!(open_records(&cipher(1), &entity, &mut [record(8)]).is_err(), "another number");
        assert!(open_records(&cipher(1), &other, &mut [record(7)]).is_err(), "another entity");
        assert!(open_records(&cipher(2), &entity, &mut [record(7)]).is_err(), "another key");
    }

    /// Keys whose reading ends when it is told to.
    struct SlowKeys {
        wrapped: Bytes,
        reading: tokio::sync::Notify,
        goes_on: tokio::sync::Notify,
    }

    #[async_trait::async_trait]
    impl EntityKeys for SlowKeys {
        async fn get_or_insert(&self, _: &EntityKey, _: Bytes) -> Result<Bytes, StoreError> {
            Ok(self.wrapped.clone())
        }
        async fn get(&self, _: &EntityKey) -> Result<Option<Bytes>, StoreError> {
            self.reading.notify_one();
            self.goes_on.notified().await;
            Ok(Some(self.wrapped.clone()))
        }
        async fn destroy(&self, _: &EntityKey) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_key_that_was_read_before_it_was_erased_is_not_kept_afterwards() {
        let (master, entity) = ([7; 32], EntityKey::new("t", "k", "a"));
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(master));
        let wrapped = Bytes::from(seal(&cipher, &[9; 32], wrap_place(&entity).as_bytes()));
        let keys =
            Arc::new(SlowKeys { wrapped, reading: tokio::sync::Notify::new(), goes_on: tokio::sync::Notify::new() });
        let sealer = Sealer::new(&master, keys.clone());
        let erase = async {
            keys.reading.notified().await;
            sealer.forget(&entity);
            keys.goes_on.notify_one();
        };
        let (read, ()) = tokio::join!(sealer.key_for_reading(&entity), erase);
        assert!(matches!(read, Err(StoreError::Erased(_))));
        assert!(matches!(sealer.key_for_reading(&entity).await, Err(StoreError::Erased(_))));
        assert!(matches!(sealer.key_for_writing(&entity).await, Err(StoreError::Erased(_))));
    }

    #[test]
    fn truncated_and_flipped_values_are_refused() {
        let sealed = seal(&cipher(1), b"text", b"place");
        for end in 0..sealed.len() {
            assert_eq!(open(&cipher(1), &sealed[..end], b"place"), None, "cut at {end}");
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(open(&cipher(1), &flipped, b"place"), None, "flipped at {at}");
        }
    }

    #[test]
    fn a_blob_opens_only_in_its_place_and_one_from_before_is_as_it_was() {
        let (entity, other) = (EntityKey::new("t", "k", "a"), EntityKey::new("t", "k", "b"));
        let sealed = seal_blob(&cipher(1), &entity, "a/b", b"a page");
        assert!(!sealed.windows(6).any(|window| window == b"a page"));
        let opened = |key: u8, entity: &EntityKey, path: &str, bytes: &Bytes| {
            open_blob(Some(&cipher(key)), entity, path, bytes.clone()).ok()
        };
        assert_eq!(opened(1, &entity, "a/b", &sealed).as_deref(), Some(&b"a page"[..]));
        assert_eq!(opened(2, &entity, "a/b", &sealed), None);
        assert_eq!(opened(1, &other, "a/b", &sealed), None);
        assert_eq!(opened(1, &entity, "a/c", &sealed), None);
        assert!(open_blob(None, &entity, "a/b", sealed.clone()).is_err());
        assert!((8..sealed.len()).all(|end| opened(1, &entity, "a/b", &sealed.slice(..end)).is_none()));
        let old = Bytes::from_static(b"%PDF-1.7");
        assert_eq!(opened(1, &entity, "a/b", &old), Some(old.clone()));
        let twice = seal_blob(&cipher(1), &entity, "a/b", &sealed);
        assert_eq!(opened(1, &entity, "a/b", &twice), Some(sealed), "an upload that looks sealed stays what it is");
    }

    #[test]
    fn row_body_names_its_entity_also_in_the_list_of_another_tenant() {
        let entity = EntityKey::new("t", "conversation", "c-1");
        for tenant in ["t", "elsewhere"] {
            let mut row = Row {
                tenant: tenant.to_owned(),
                list: "conversations".to_owned(),
                at_ms: 1,
                id: "row".to_owned(),
                seq: 3,
                view_version: 1,
                body: Some(Bytes::from_static(b"{}")),
                numbers: None,
            };
            seal_row(&cipher(1), &entity, &mut row);
            let body = row.body.clone().expect("sealed");
            let (named, sealed) = split_row_body(tenant, &body).expect("well formed");
            assert_eq!(named, entity);
            assert_eq!(open(&cipher(1), sealed, row_place(&entity, &row).as_bytes()), Some(b"{}".to_vec()));
            for end in 0..body.len().min(20) {
                // Any cut is either refused or leaves a remainder that does not open.
                let opened = split_row_body(tenant, &body[..end])
                    .and_then(|(entity, sealed)| open(&cipher(1), sealed, row_place(&entity, &row).as_bytes()));
                assert_eq!(opened, None);
            }
        }
    }
}
