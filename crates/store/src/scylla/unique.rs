//! Values that may exist once. Each reservation has a token of its own, so that what comes late cannot touch a later one.

use async_trait::async_trait;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use crate::{
    StoreError, limits,
    unique::{Holder, Unique},
};

use super::session::{Cql, contended};

impl Cql {
    async fn reservation(
        &self,
        statement: &PreparedStatement,
        scope: &str,
        value: &str,
    ) -> Result<Option<(Holder, Uuid)>, StoreError> {
        let found = self.row::<(String, bool, i64, Uuid)>(statement, (scope, value)).await?;
        Ok(found.map(|(owner, confirmed, reserved_at_ms, token)| (Holder { owner, confirmed, reserved_at_ms }, token)))
    }
}

#[async_trait]
impl Unique for Cql {
    async fn reserve(&self, scope: &str, value: &str, owner: &str, now_ms: i64) -> Result<Option<Holder>, StoreError> {
        for (what, part) in [("a scope", scope), ("a unique value", value), ("an owner", owner)] {
            limits::name(what, part)?;
        }
        let _alone = self.alone(&(scope, value)).await;
        let token = Uuid::new_v4();
        let mut tries = self.tries();
        loop {
            let reserved = async {
                if let Some((holder, _)) = self.reservation(&self.statements.holder_serial, scope, value).await? {
                    return Ok(Some(Some(holder).filter(|holder| holder.owner != owner)));
                }
                let row = (scope, value, owner, now_ms, token);
                Ok(self.swap(&self.statements.reserve, row).await?.then_some(None))
            };
            match reserved.await {
                Ok(Some(settled)) => return Ok(settled),
                Ok(None) => tries.again(contended(format!("the value in {scope}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn confirm(&self, scope: &str, value: &str, owner: &str) -> Result<bool, StoreError> {
        self.of_owner(&self.statements.confirm, scope, value, owner).await
    }

    async fn release(&self, scope: &str, value: &str, owner: &str) -> Result<(), StoreError> {
        self.of_owner(&self.statements.release, scope, value, owner).await.map(|_| ())
    }

    async fn holder(&self, scope: &str, value: &str) -> Result<Option<Holder>, StoreError> {
        Ok(self.reservation(&self.statements.holder, scope, value).await?.map(|(holder, _)| holder))
    }
}

impl Cql {
    /// Runs a statement on the owner's reservation; `false` when it is not the owner's.
    async fn of_owner(
        &self,
        statement: &PreparedStatement,
        scope: &str,
        value: &str,
        owner: &str,
    ) -> Result<bool, StoreError> {
        let _alone = self.alone(&(scope, value)).await;
        let mut tries = self.tries();
        loop {
            let changed = async {
                let found = self.reservation(&self.statements.holder_serial, scope, value).await?;
                match found.filter(|(holder, _)| holder.owner == owner) {
                    None => Ok(Some(false)),
                    Some((_, token)) => Ok(self.swap(statement, (scope, value, token)).await?.then_some(true)),
                }
            };
            match changed.await {
                Ok(Some(settled)) => return Ok(settled),
                Ok(None) => tries.again(contended(format!("the value in {scope}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }
}
