//! What is read and written, each in one transaction.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::compiled::{Base, Own};
use super::explain::cycle;
use super::sql;
use super::types::{
    ACTIONS_MAX, AppRole, Effect, GRANTS_MAX, GRANTS_PER_SUBJECT_MAX, Grant, GrantFilter,
    MEMBERSHIPS_MAX, Namespace, NewGrant, PermissionError, ROLES_MAX, Subject,
};
use crate::Role;
use crate::data::own::{self, Engine, Operation, Sql, optional};
use crate::data::{DataError, Value};

/// What an operation came to. A refusal comes before anything is written.
type Outcome<T> = Result<T, PermissionError>;

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn number(number: u64) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

/// As both engines store and compare it.
fn instant(at: DateTime<Utc>) -> Value {
    text(crate::data::sqlite::timestamptz(at.into()))
}

async fn one<T: DeserializeOwned, E: Engine>(
    engine: &mut E,
    sql: &Sql,
    args: &[Value],
) -> Result<Option<T>, DataError> {
    Ok(own::rows(engine, sql, args).await?.into_iter().next())
}

/// Whether there are tables.
pub struct Prepared;

impl Operation for Prepared {
    type Answer = bool;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<bool, DataError> {
        Ok(!engine.texts(&sql::PREPARED, &[]).await?.is_empty())
    }
}

/// None without tables.
pub struct Version;

impl Operation for Version {
    type Answer = Option<i64>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Option<i64>, DataError> {
        match Prepared.run(engine).await? {
            true => one(engine, &sql::VERSION, &[]).await,
            false => Ok(None),
        }
    }
}

pub struct ReadBase;

impl Operation for ReadBase {
    type Answer = Base;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Base, DataError> {
        // Before the rows: what changes meanwhile is then seen as a change.
        let Some(version) = Version.run(engine).await? else {
            return Ok(Base::default());
        };
        Ok(Base {
            version,
            actions: own::rows(engine, &sql::ACTIONS, &[]).await?,
            parents: own::rows(engine, &sql::PARENTS, &[]).await?,
            grants: own::rows(engine, &sql::ROLE_GRANTS, &[]).await?,
        })
    }
}

pub struct ReadOwn {
    pub user_id: Option<Uuid>,
    pub key_id: Option<String>,
}

impl Operation for ReadOwn {
    type Answer = Own;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Own, DataError> {
        let Some(version) = Version.run(engine).await? else {
            return Ok(Own::default());
        };
        let user = self.user_id.map_or(Value::Null, text);
        let subjects = [user.clone(), optional(self.key_id.as_deref())];
        let roles = match self.user_id {
            Some(_) => own::rows(engine, &sql::MEMBERSHIPS, &[user]).await?,
            None => Vec::new(),
        };
        Ok(Own {
            version,
            roles,
            grants: own::rows(engine, &sql::OWN_GRANTS, &subjects).await?,
        })
    }
}

/// One namespace, or all.
pub struct Namespaces(pub Option<String>);

impl Operation for Namespaces {
    type Answer = Vec<Namespace>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Vec<Namespace>, DataError> {
        match Prepared.run(engine).await? {
            true => own::rows(engine, &sql::NAMESPACES, &[optional(self.0.as_deref())]).await,
            false => Ok(Vec::new()),
        }
    }
}

/// Registers namespaces whole, or none of them. Grants of actions that go are kept: they count again when
/// the action comes back.
pub struct Register(pub Vec<Namespace>);

impl Operation for Register {
    type Answer = Outcome<()>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<()>, DataError> {
        engine.execute(&sql::BUMP, &[]).await?;
        let mut others: Vec<String> = own::rows(engine, &sql::ACTIONS, &[]).await?;
        for wanted in &self.0 {
            let name = [text(&wanted.name)];
            let known: Option<Namespace> = one(engine, &sql::NAMESPACES, &name).await?;
            if let Err(refused) = may_change(known.as_ref(), &wanted.owner) {
                return Ok(Err(refused));
            }
            others.retain(|other| {
                other
                    .split_once('.')
                    .is_none_or(|(of, _)| of != wanted.name)
            });
        }
        let new: usize = self.0.iter().map(|namespace| namespace.actions.len()).sum();
        if others.len() + new > ACTIONS_MAX {
            let what = format!("the app would have {} permissions", others.len() + new);
            let max = ACTIONS_MAX;
            return Ok(Err(PermissionError::TooMany { what, max }));
        }
        for wanted in &self.0 {
            let name = text(&wanted.name);
            let namespace = [name.clone(), text(&wanted.owner)];
            engine.execute(&sql::ADD_NAMESPACE, &namespace).await?;
            engine
                .execute(&sql::DELETE_ACTIONS, std::slice::from_ref(&name))
                .await?;
            for action in &wanted.actions {
                let permission = text(format!("{}.{action}", wanted.name));
                let action = [permission, name.clone(), text(action)];
                engine.execute(&sql::ADD_ACTION, &action).await?;
            }
        }
        Ok(Ok(()))
    }
}

/// # Errors
/// [`PermissionError::NotOwner`] when the namespace is somebody else's.
fn may_change(known: Option<&Namespace>, owner: &str) -> Outcome<()> {
    match known {
        Some(known) if known.owner != owner => Err(PermissionError::NotOwner {
            namespace: known.name.clone(),
            owner: known.owner.clone(),
        }),
        _ => Ok(()),
    }
}

/// With its actions and all grants that name them.
pub struct DeleteNamespace {
    pub name: String,
    pub owner: String,
}

impl Operation for DeleteNamespace {
    type Answer = Outcome<()>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<()>, DataError> {
        engine.execute(&sql::BUMP, &[]).await?;
        let name = [text(&self.name)];
        let known: Option<Namespace> = one(engine, &sql::NAMESPACES, &name).await?;
        if known.is_none() {
            return Ok(Err(PermissionError::NoNamespace(self.name.clone())));
        }
        if let Err(refused) = may_change(known.as_ref(), &self.owner) {
            return Ok(Err(refused));
        }
        engine
            .execute(&sql::DELETE_GRANTS_OF_NAMESPACE, &name)
            .await?;
        engine.execute(&sql::DELETE_ACTIONS, &name).await?;
        engine.execute(&sql::DELETE_NAMESPACE, &name).await?;
        Ok(Ok(()))
    }
}

/// In order of name.
pub struct Roles;

impl Operation for Roles {
    type Answer = Vec<AppRole>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Vec<AppRole>, DataError> {
        if !Prepared.run(engine).await? {
            return Ok(Vec::new());
        }
        let names: Vec<String> = own::rows(engine, &sql::ROLES, &[]).await?;
        let parents: Vec<(String, String)> = own::rows(engine, &sql::PARENTS, &[]).await?;
        let with_parents = |name: String| {
            let of = parents.iter().filter(|(role, _)| *role == name);
            let parents = of.map(|(_, parent)| parent.clone()).collect();
            AppRole { name, parents }
        };
        Ok(names.into_iter().map(with_parents).collect())
    }
}

/// Roles that are there without being made: those of the database that tokens name.
pub fn is_built_in(role: &str) -> bool {
    matches!(Role::from(role), Role::Anon | Role::Authenticated)
}

/// Makes a role, or gives it other parents.
pub struct PutRole(pub AppRole);

impl Operation for PutRole {
    type Answer = Outcome<()>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<()>, DataError> {
        let AppRole { name, parents } = &self.0;
        engine.execute(&sql::BUMP, &[]).await?;
        let known: Vec<String> = own::rows(engine, &sql::ROLES, &[]).await?;
        let unknown = parents
            .iter()
            .find(|parent| *parent != name && !is_built_in(parent) && !known.contains(parent));
        if let Some(parent) = unknown {
            return Ok(Err(PermissionError::NoRole(parent.clone())));
        }
        if !known.contains(name) && known.len() >= ROLES_MAX {
            let what = format!("the app has {} roles", known.len());
            let max = ROLES_MAX;
            return Ok(Err(PermissionError::TooMany { what, max }));
        }
        let base = Base {
            parents: own::rows(engine, &sql::PARENTS, &[]).await?,
            ..Base::default()
        };
        if let Some(way) = cycle(name, parents, &base) {
            return Ok(Err(PermissionError::Cycle(way)));
        }
        engine.execute(&sql::ADD_ROLE, &[text(name)]).await?;
        engine.execute(&sql::DELETE_PARENTS, &[text(name)]).await?;
        for parent in parents {
            let pair = [text(name), text(parent)];
            engine.execute(&sql::ADD_PARENT, &pair).await?;
        }
        Ok(Ok(()))
    }
}

/// With its members, its grants, and where others inherit from it.
pub struct DeleteRole(pub String);

impl Operation for DeleteRole {
    type Answer = Outcome<()>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<()>, DataError> {
        engine.execute(&sql::BUMP, &[]).await?;
        if !has_role(engine, &self.0).await? {
            return Ok(Err(PermissionError::NoRole(self.0.clone())));
        }
        for statement in &sql::DELETE_ROLE {
            engine.execute(statement, &[text(&self.0)]).await?;
        }
        Ok(Ok(()))
    }
}

async fn has_role<E: Engine>(engine: &mut E, role: &str) -> Result<bool, DataError> {
    let known: Vec<String> = own::rows(engine, &sql::ROLES, &[]).await?;
    Ok(known.iter().any(|known| known == role))
}

/// None when there is no such role.
pub struct Members {
    pub role: String,
    pub offset: u64,
    pub limit: u64,
}

impl Operation for Members {
    type Answer = Option<Vec<Uuid>>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Option<Vec<Uuid>>, DataError> {
        if !Prepared.run(engine).await? || !has_role(engine, &self.role).await? {
            return Ok(None);
        }
        let page = [text(&self.role), number(self.limit), number(self.offset)];
        Ok(Some(own::rows(engine, &sql::MEMBERS, &page).await?))
    }
}

pub struct AddMember {
    pub role: String,
    pub user_id: Uuid,
}

impl Operation for AddMember {
    type Answer = Outcome<()>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<()>, DataError> {
        engine.execute(&sql::BUMP, &[]).await?;
        if !has_role(engine, &self.role).await? {
            return Ok(Err(PermissionError::NoRole(self.role.clone())));
        }
        let roles: Vec<String> =
            own::rows(engine, &sql::MEMBERSHIPS, &[text(self.user_id)]).await?;
        if !roles.contains(&self.role) && roles.len() >= MEMBERSHIPS_MAX {
            let what = format!("the user has {} roles", roles.len());
            let max = MEMBERSHIPS_MAX;
            return Ok(Err(PermissionError::TooMany { what, max }));
        }
        let pair = [text(&self.role), text(self.user_id)];
        engine.execute(&sql::ADD_MEMBER, &pair).await?;
        Ok(Ok(()))
    }
}

pub struct DeleteMember {
    pub role: String,
    pub user_id: Uuid,
}

impl Operation for DeleteMember {
    type Answer = Outcome<()>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<()>, DataError> {
        engine.execute(&sql::BUMP, &[]).await?;
        let pair = [text(&self.role), text(self.user_id)];
        Ok(match engine.execute(&sql::DELETE_MEMBER, &pair).await? {
            0 => Err(PermissionError::NoMember {
                role: self.role.clone(),
                user_id: self.user_id,
            }),
            _ => Ok(()),
        })
    }
}

/// Adds a grant.
pub struct AddGrant {
    pub grant: NewGrant,
    pub id: Uuid,
    pub now: DateTime<Utc>,
}

impl AddGrant {
    /// As it will be.
    pub fn whole(&self) -> Grant {
        let (mut role, mut user_id, mut key_id) = (None, None, None);
        match &self.grant.subject {
            Subject::Role(name) => role = Some(name.clone()),
            Subject::User(id) => user_id = Some(*id),
            Subject::Key(id) => key_id = Some(id.clone()),
        }
        Grant {
            id: self.id,
            role,
            user_id,
            key_id,
            permission: self.grant.permission.clone(),
            effect: self.grant.effect,
            resource: self.grant.resource.clone(),
            expires_at: self.grant.expires_at,
            created_at: Some(self.now),
        }
    }
}

impl Operation for AddGrant {
    type Answer = Outcome<Grant>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<Grant>, DataError> {
        engine.execute(&sql::BUMP, &[]).await?;
        let grant = self.whole();
        let actions: Vec<String> = own::rows(engine, &sql::ACTIONS, &[]).await?;
        let namespaces = match grant.permission.strip_suffix(".*") {
            Some(name) => own::rows(engine, &sql::NAMESPACES, &[text(name)]).await?,
            None => Vec::<Namespace>::new(),
        };
        if namespaces.is_empty() && !actions.contains(&grant.permission) {
            return Ok(Err(PermissionError::Unknown(grant.permission)));
        }
        if let Some(role) = &grant.role
            && !is_built_in(role)
            && !has_role(engine, role).await?
        {
            return Ok(Err(PermissionError::NoRole(role.clone())));
        }
        let user = grant.user_id.map_or(Value::Null, text);
        let (role, key) = (
            optional(grant.role.as_deref()),
            optional(grant.key_id.as_deref()),
        );
        let of_subject = [role.clone(), user.clone(), key.clone(), Value::Null];
        let of_app = [Value::Null, Value::Null, Value::Null, Value::Null];
        for (filter, what, max) in [
            (of_subject, "the subject has", GRANTS_PER_SUBJECT_MAX),
            (of_app, "the app has", GRANTS_MAX),
        ] {
            let found: Option<usize> = one(engine, &sql::COUNT_GRANTS, &filter).await?;
            let found = found.unwrap_or_default();
            if found >= max {
                let what = format!("{what} {found} grants");
                return Ok(Err(PermissionError::TooMany { what, max }));
            }
        }
        let row = [
            text(grant.id),
            role,
            user,
            key,
            text(&grant.permission),
            Value::Integer(i64::from(grant.effect == Effect::Allow)),
            optional(grant.resource.as_deref()),
            grant.expires_at.map_or(Value::Null, instant),
            instant(self.now),
        ];
        engine.execute(&sql::ADD_GRANT, &row).await?;
        Ok(Ok(grant))
    }
}

pub struct DeleteGrant(pub Uuid);

impl Operation for DeleteGrant {
    type Answer = Outcome<()>;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Outcome<()>, DataError> {
        engine.execute(&sql::BUMP, &[]).await?;
        Ok(
            match engine.execute(&sql::DELETE_GRANT, &[text(self.0)]).await? {
                0 => Err(PermissionError::NoGrant(self.0)),
                _ => Ok(()),
            },
        )
    }
}

/// A page of grants in order of creation, and how many there are in all.
pub struct Grants {
    pub filter: GrantFilter,
    pub offset: u64,
    pub limit: u64,
}

impl Operation for Grants {
    type Answer = (Vec<Grant>, u64);

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<(Vec<Grant>, u64), DataError> {
        if !Prepared.run(engine).await? {
            return Ok((Vec::new(), 0));
        }
        let filter = &self.filter;
        let mut args = vec![
            optional(filter.role.as_deref()),
            filter.user_id.map_or(Value::Null, text),
            optional(filter.key_id.as_deref()),
            optional(filter.permission.as_deref()),
        ];
        let count: Option<u64> = one(engine, &sql::COUNT_GRANTS, &args).await?;
        args.extend([number(self.limit), number(self.offset)]);
        let grants = own::rows(engine, &sql::GRANTS, &args).await?;
        Ok((grants, count.unwrap_or_default()))
    }
}

/// RFC 3339, for messages.
pub fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
