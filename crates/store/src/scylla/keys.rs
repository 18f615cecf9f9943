//! Wrapped data keys, and their destruction.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use scylla::statement::prepared::PreparedStatement;

use crate::{EntityKey, StoreError, checksum::Checksum, keys::EntityKeys, limits};

use super::{
    fault,
    rows::ListRows,
    session::{Cql, contended},
    snapshots::Snapshots,
};

pub(super) struct DataKeys {
    cql: Arc<Cql>,
    snapshots: Snapshots,
    rows: Arc<ListRows>,
}

fn checksum(key: &EntityKey, wrapped: Option<&Bytes>) -> Checksum {
    Checksum::of("entity_key").key(key).optional(wrapped)
}

/// What is stored of a data key.
enum Stored {
    Nothing,
    Key(Bytes),
    Erased,
}

impl DataKeys {
    pub(super) fn new(cql: Arc<Cql>, snapshots: Snapshots, rows: Arc<ListRows>) -> Self {
        Self { cql, snapshots, rows }
    }

    async fn read(&self, key: &EntityKey, statement: &PreparedStatement) -> Result<Stored, StoreError> {
        let place = (&*key.tenant, &*key.kind, &*key.id);
        let Some((wrapped, erased, crc)) = self.cql.row::<(Option<Bytes>, bool, i64)>(statement, place).await? else {
            return Ok(Stored::Nothing);
        };
        let at = || fault::unequal(format!("the data key of {key}"));
        checksum(key, wrapped.as_ref()).check(crc, at)?;
        match (wrapped, erased) {
            (Some(wrapped), false) => Ok(Stored::Key(wrapped)),
            (None, true) => Ok(Stored::Erased),
            (Some(_), true) | (None, false) => Err(at()),
        }
    }

    async fn insert(&self, key: &EntityKey, wrapped: Option<&Bytes>) -> Result<bool, StoreError> {
        let crc = checksum(key, wrapped).end();
        let row = (&*key.tenant, &*key.kind, &*key.id, wrapped.cloned(), wrapped.is_none(), crc);
        self.cql.swap(&self.cql.statements.data_key_insert, row).await
    }
}

#[async_trait]
impl EntityKeys for DataKeys {
    async fn get_or_insert(&self, key: &EntityKey, fresh: Bytes) -> Result<Bytes, StoreError> {
        limits::key(key)?;
        limits::size("a wrapped key", fresh.len(), limits::WRAPPED_KEY_MAX_BYTES)?;
        let _alone = self.cql.alone(&("entity_key", key)).await;
        let mut tries = self.cql.tries();
        loop {
            let settled = async {
                match self.read(key, &self.cql.statements.data_key_serial).await? {
                    Stored::Key(wrapped) => Ok(Some(wrapped)),
                    Stored::Erased => Err(StoreError::Erased(key.clone())),
                    Stored::Nothing => Ok(self.insert(key, Some(&fresh)).await?.then(|| fresh.clone())),
                }
            };
            match settled.await {
                Ok(Some(wrapped)) => return Ok(wrapped),
                Ok(None) => tries.again(contended(format!("the data key of {key}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn get(&self, key: &EntityKey) -> Result<Option<Bytes>, StoreError> {
        limits::key(key)?;
        match self.read(key, &self.cql.statements.data_key).await? {
            Stored::Key(wrapped) => Ok(Some(wrapped)),
            Stored::Erased => Err(StoreError::Erased(key.clone())),
            Stored::Nothing => Ok(None),
        }
    }

    async fn destroy(&self, key: &EntityKey) -> Result<(), StoreError> {
        limits::key(key)?;
        let _alone = self.cql.alone(&("entity_key", key)).await;
        let mut tries = self.cql.tries();
        loop {
            let destroyed = async {
                match self.read(key, &self.cql.statements.data_key_serial).await? {
                    Stored::Erased => Ok(true),
                    Stored::Nothing => self.insert(key, None).await,
                    Stored::Key(_) => {
                        let crc = checksum(key, None).end();
                        let place = (crc, &*key.tenant, &*key.kind, &*key.id);
                        self.cql.swap(&self.cql.statements.data_key_destroy, place).await
                    }
                }
            };
            match destroyed.await {
                Ok(true) => break,
                Ok(false) => tries.again(contended(format!("the data key of {key}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
        // Also when the key was destroyed before: whoever tries again after an error expects the rest to be done.
        self.snapshots.delete(key).await?;
        self.rows.blank(key).await
    }
}
