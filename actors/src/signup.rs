//! The steps of becoming a user: reserve the address, create the account, create the organization, begin a session. Each step may be repeated.

use colloquy_cluster::Client;
use colloquy_domain::account::{self, NewSession};
use colloquy_domain::check::{is_email, normal_email};
use colloquy_domain::ids::{TenantId, UserId};
use colloquy_domain::principal::{Actor, Principal, Role};
use colloquy_domain::rejection::Rejection;
use colloquy_domain::tenant::plan::Plan;
use colloquy_domain::tenant::{self, DeploymentMode, Person};
use serde_json::Value;

use crate::ActorError;
use crate::account::AccountEntity;
use crate::core::ask;
use crate::tenant::TenantEntity;

/// The scope of unique e-mail addresses.
const EMAILS: &str = "email";
/// The scope of unique organization slugs.
const SLUGS: &str = "slug";
/// A reservation this old is settled by asking its owner: sign-up takes far less.
const RESERVATION_MS: i64 = 60_000;
/// Slugs tried for a name that is taken before one with random digits is made.
const SLUG_TRIES: u32 = 20;

/// A person who signs up.
pub struct NewPerson {
    /// The e-mail address as typed.
    pub email: String,
    /// The name.
    pub name: String,
    /// Argon2id hash of the password.
    pub password_hash: Option<String>,
    /// Whether the address is in `platform.admin_emails`.
    pub platform_admin: bool,
    /// Whether the address is proven, as by an invitation mailed to it.
    pub verified: bool,
}

/// Colloquy itself, acting on accounts.
pub fn platform() -> Principal {
    Principal::system(account::TENANT.into())
}

/// A signed-in person, acting on their own account.
pub fn own_account(user: &UserId) -> Principal {
    Principal {
        tenant: account::TENANT.into(),
        actor: Actor::User { id: user.clone(), role: Role::Owner, name: String::new() },
    }
}

/// Who owns an e-mail address, if anybody has signed up with it.
pub async fn user_of(client: &Client, email: &str) -> Result<Option<UserId>, ActorError> {
    let email = normal_email(email);
    if !is_email(&email) {
        // Nobody can have signed up with it, and the store takes no name of any length.
        return Ok(None);
    }
    let holder = client.store().unique.holder(EMAILS, &email).await?;
    Ok(holder.map(|holder| UserId(holder.owner)))
}

/// Keeps an address for an account that is made in a moment. Refused with `email_taken` when the address has one.
pub async fn reserve_email(client: &Client, id: &UserId, email: &str) -> Result<(), ActorError> {
    reserve(
        client,
        EMAILS,
        &normal_email(email),
        id.as_str(),
        "email_taken",
        "This e-mail address already has an account: sign in, or reset the password.",
        Owner::Account,
    )
    .await
}

/// Gives back an address that was kept in vain.
pub async fn release_email(client: &Client, id: &UserId, email: &str) -> Result<(), ActorError> {
    Ok(client.store().unique.release(EMAILS, &normal_email(email), id.as_str()).await?)
}

/// Creates an account. Refused with `email_taken` when the address has one.
pub async fn register(client: &Client, id: UserId, person: NewPerson) -> Result<UserId, ActorError> {
    let email = normal_email(&person.email);
    reserve_email(client, &id, &email).await?;
    let register = account::Register {
        id: id.clone(),
        email: email.clone(),
        name: person.name,
        password_hash: person.password_hash,
        platform_admin: person.platform_admin,
        verified: person.verified,
    };
    if let Err(error) =
        ask::<AccountEntity>(client, &platform(), id.as_str(), account::Command::Register(register)).await
    {
        if matches!(error, ActorError::Rejected(_)) {
            client.store().unique.release(EMAILS, &email, id.as_str()).await?;
        }
        return Err(error);
    }
    client.store().unique.confirm(EMAILS, &email, id.as_str()).await?;
    Ok(id)
}

/// Founds an organization for somebody who has an account, and makes them its owner.
pub async fn found(
    client: &Client,
    id: TenantId,
    owner: Person,
    mut profile: Value,
    plan: Plan,
    mode: DeploymentMode,
    wanted_slug: Option<&str>,
) -> Result<tenant::view::OrganizationView, ActorError> {
    let name = profile["name"].as_str().unwrap_or_default().to_owned();
    let slug = match wanted_slug {
        Some(slug) => {
            reserve_slug(client, &id, slug).await?;
            slug.to_owned()
        }
        None => free_slug(client, &id, &name).await?,
    };
    profile["slug"] = Value::String(slug.clone());
    let by = Principal::system(id.clone());
    let create = tenant::Command::Create { profile, owner: owner.clone(), plan, deployment_mode: mode };
    let organization = match ask::<TenantEntity>(client, &by, id.as_str(), create).await {
        Ok(tenant::Reply::Created { organization, .. }) => *organization,
        Ok(_) => return Err(ActorError::Failed),
        Err(error) => {
            if matches!(error, ActorError::Rejected(_)) {
                client.store().unique.release(SLUGS, &slug, id.as_str()).await?;
            }
            return Err(error);
        }
    };
    client.store().unique.confirm(SLUGS, &slug, id.as_str()).await?;
    // The organization tells its members' accounts by itself; told here too, the session that follows finds it at once.
    let membership = account::MembershipChange {
        tenant: id,
        version: 1,
        role: Some(Role::Owner),
        name: organization.profile.name.clone(),
        slug: organization.profile.slug.clone(),
    };
    ask::<AccountEntity>(client, &platform(), owner.user.as_str(), account::Command::SetMembership(membership)).await?;
    Ok(organization)
}

/// Gives an organization another slug.
pub async fn reserve_slug(client: &Client, id: &TenantId, slug: &str) -> Result<(), ActorError> {
    reserve(
        client,
        SLUGS,
        slug,
        id.as_str(),
        "slug_taken",
        "Another organization has this slug: choose another.",
        Owner::Tenant,
    )
    .await
}

/// Confirms a slug after the organization took it, and gives the old one back.
pub async fn slug_taken(client: &Client, id: &TenantId, new: &str, old: &str) -> Result<(), ActorError> {
    let unique = &client.store().unique;
    unique.confirm(SLUGS, new, id.as_str()).await?;
    Ok(unique.release(SLUGS, old, id.as_str()).await?)
}

/// Begins a session for somebody whose identity is established.
pub async fn start_session(client: &Client, user: &UserId, session: NewSession) -> Result<account::Reply, ActorError> {
    ask::<AccountEntity>(client, &platform(), user.as_str(), account::Command::StartSession { session }).await
}

async fn free_slug(client: &Client, id: &TenantId, name: &str) -> Result<String, ActorError> {
    let base = colloquy_domain::check::slug_of(name);
    for n in 1..=SLUG_TRIES {
        let slug = if n == 1 { base.clone() } else { format!("{base}-{n}") };
        match reserve_slug(client, id, &slug).await {
            Ok(()) => return Ok(slug),
            Err(ActorError::Rejected(Rejection::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let tail: String = id.as_str().chars().rev().take(8).collect();
    let slug = format!("{base}-{tail}");
    reserve_slug(client, id, &slug).await?;
    Ok(slug)
}

/// What owns a unique value.
#[derive(Clone, Copy)]
enum Owner {
    Account,
    Tenant,
}

impl Owner {
    async fn exists(self, client: &Client, id: &str) -> Result<bool, ActorError> {
        match self {
            Self::Account => there(ask::<AccountEntity>(client, &platform(), id, account::Command::View).await),
            Self::Tenant => {
                there(ask::<TenantEntity>(client, &Principal::system(id.into()), id, tenant::Command::Facts).await)
            }
        }
    }
}

/// Reserves a unique value; a reservation that went stale is settled by asking whether its owner exists.
async fn reserve(
    client: &Client,
    scope: &str,
    value: &str,
    owner: &str,
    code: &str,
    taken: &str,
    kind: Owner,
) -> Result<(), ActorError> {
    let unique = &client.store().unique;
    let now_ms = client.now_ms();
    let Some(holder) = unique.reserve(scope, value, owner, now_ms).await? else {
        return Ok(());
    };
    let stale = !holder.confirmed && now_ms - holder.reserved_at_ms > RESERVATION_MS;
    if stale {
        if kind.exists(client, &holder.owner).await? {
            unique.confirm(scope, value, &holder.owner).await?;
        } else {
            unique.release(scope, value, &holder.owner).await?;
            if unique.reserve(scope, value, owner, now_ms).await?.is_none() {
                return Ok(());
            }
        }
    }
    Err(Rejection::conflict(code, taken).into())
}

/// Whether the asked entity exists; an owner that cannot be reached is not taken for missing.
fn there<T>(answer: Result<T, ActorError>) -> Result<bool, ActorError> {
    match answer {
        Ok(_) => Ok(true),
        Err(ActorError::Rejected(Rejection::NotFound { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives back a slug that was reserved in vain.
pub async fn release_slug(client: &Client, id: &TenantId, slug: &str) -> Result<(), ActorError> {
    Ok(client.store().unique.release(SLUGS, slug, id.as_str()).await?)
}
