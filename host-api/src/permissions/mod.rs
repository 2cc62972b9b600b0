//! Permissions of an app: what there is to be permitted, who was granted it, and whether a caller holds it.
//!
//! A service registers a *namespace* with *actions*; `namespace.action` is a *permission*. *Grants* allow or
//! deny permissions to a role, a user or an API key, for all resources or some, for ever or until an
//! instant. Roles inherit from parents. A deny wins over every allow, whatever path either comes by;
//! without an allow the answer is no.
//!
//! `service_role` is not bound by policies and so by no grant: it holds every registered permission.
//!
//! Rows are in schema `auth` of the app's own database. Questions of the host are answered from memory
//! ([`compiled`]); `auth.has_permission` in SQL reads the rows, within the transaction that asks. Both
//! say the same of what is committed.

mod cache;
pub mod compiled;
mod explain;
mod rows;
mod sql;
mod types;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::compiled::{Own, Set};
use crate::data::own::{Engine, Operation};
use crate::data::postgres::OwnerTx;
use crate::data::sqlite::Connection;
use crate::data::{Context, DataError, DataStore, Db, ddl};

pub(crate) use self::cache::PermissionCache;
pub(crate) use self::sql::{PREPARE_POSTGRES, has_permission};
pub use self::types::{
    ACTIONS_MAX, AppRole, Effect, Explanation, GRANTS_MAX, GRANTS_PER_SUBJECT_MAX, Grant,
    GrantFilter, HOLDERS_CACHED_MAX, MEMBERSHIPS_MAX, NAME_BYTES_MAX, Namespace, NewGrant,
    PARENTS_MAX, PermissionError, RESOURCE_BYTES_MAX, ROLES_MAX, Subject, Who, is_name, parts,
};

use self::types::{checked_name, checked_selector};

/// How long making the tables may take; others' writes to a file wait meanwhile.
const PREPARE_MAX: Duration = Duration::from_secs(30);
/// How often a question is asked again whose rows change meanwhile.
const ATTEMPTS: u32 = 3;

/// An app's permissions. Cheap to clone.
#[derive(Clone)]
pub struct Permissions(DataStore);

/// Makes the tables where they are not there yet, and brings old ones up to date.
///
/// # Errors
/// SQLite's.
pub fn prepare_sqlite(connection: &Connection) -> Result<(), DataError> {
    let run = |script: &str| -> Result<(), DataError> {
        connection.script(script).map_err(|(_, error)| error.into())
    };
    let mut old = false;
    connection.query(sql::IS_OLD, &[], |_| {
        old = true;
        Ok(())
    })?;
    if old {
        run(sql::UPGRADE_SQLITE[0])?;
    }
    run(sql::PREPARE_SQLITE)?;
    if old {
        run(sql::UPGRADE_SQLITE[1])?;
    }
    Ok(())
}

/// As [`prepare_sqlite`].
///
/// # Errors
/// PostgreSQL's.
pub async fn prepare_postgres(tx: &mut OwnerTx) -> Result<(), DataError> {
    for statement in PREPARE_POSTGRES {
        tx.execute("permissions", 0, statement).await?;
    }
    Ok(())
}

/// Whether a file has the tables.
///
/// # Errors
/// SQLite's.
pub(crate) fn is_prepared(connection: &Connection) -> Result<bool, DataError> {
    let mut found = false;
    connection.query(sql::IS_PREPARED, &[], |_| {
        found = true;
        Ok(())
    })?;
    Ok(found)
}

impl Permissions {
    pub fn new(store: DataStore) -> Permissions {
        Permissions(store)
    }

    /// Whether `who` holds `permission` for `resource`; without a resource only grants for everything
    /// count.
    ///
    /// Answered from memory. What this node changes is seen at once, what others change on PostgreSQL
    /// within a second, and whatever an open transaction has changed once that has committed.
    ///
    /// # Errors
    /// [`PermissionError::Unknown`] when nobody registered it; [`PermissionError::Data`].
    pub async fn check(
        &self,
        who: &Who,
        permission: &str,
        resource: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<bool, PermissionError> {
        for attempt in 1.. {
            let set = self.0.permissions().set(&self.0).await?;
            let Some(action) = set.action(permission) else {
                return Err(unknown(permission));
            };
            if let Some(held) = set.may(who, action, resource, now) {
                return Ok(held);
            }
            let own = self.own(who).await?;
            // The rows changed between the two: begin again, but not for ever.
            if own.version == set.version || attempt >= ATTEMPTS {
                set.learn(who, &own);
                return Ok(set.may(who, action, resource, now).unwrap_or_default());
            }
            self.0.permissions().forget();
        }
        Ok(false)
    }

    async fn own(&self, who: &Who) -> Result<Own, DataError> {
        let read = rows::ReadOwn {
            user_id: who.user_id,
            key_id: who.key_id.clone(),
        };
        self.read(read).await
    }

    /// Why `who` may or may not: read from the rows, not from memory.
    ///
    /// # Errors
    /// [`PermissionError::Data`].
    pub async fn explain(
        &self,
        who: &Who,
        permission: &str,
        resource: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Explanation, PermissionError> {
        let (base, own) = (self.read(rows::ReadBase).await?, self.own(who).await?);
        Ok(explain::explain(
            &base, &own, who, permission, resource, now,
        ))
    }

    /// Those of `permissions` that nobody has registered.
    ///
    /// # Errors
    /// [`PermissionError::Data`].
    pub async fn unknown(&self, permissions: &[String]) -> Result<Vec<String>, PermissionError> {
        let set = self.0.permissions().set(&self.0).await?;
        let unknown = |permission: &&String| set.action(permission).is_none();
        Ok(permissions.iter().filter(unknown).cloned().collect())
    }

    /// All namespaces, in order of name.
    ///
    /// # Errors
    /// [`PermissionError::Data`].
    pub async fn namespaces(&self) -> Result<Vec<Namespace>, PermissionError> {
        Ok(self.read(rows::Namespaces(None)).await?)
    }

    /// # Errors
    /// [`PermissionError::NoNamespace`].
    pub async fn namespace(&self, name: &str) -> Result<Namespace, PermissionError> {
        let found = self.read(rows::Namespaces(Some(name.to_owned()))).await?;
        let found = found.into_iter().next();
        found.ok_or_else(|| PermissionError::NoNamespace(name.to_owned()))
    }

    /// Registers namespaces with exactly these actions, all or none of them. Whoever registers one first is
    /// its owner. Grants of an action that goes are kept, and count again when it comes back.
    ///
    /// # Errors
    /// [`PermissionError::Invalid`], [`PermissionError::NotOwner`], [`PermissionError::TooMany`].
    pub async fn register(&self, mut namespaces: Vec<Namespace>) -> Result<(), PermissionError> {
        for namespace in &mut namespaces {
            checked_name("a namespace", &namespace.name)?;
            for action in &namespace.actions {
                checked_name("an action", action)?;
            }
            namespace.actions.sort();
            namespace.actions.dedup();
        }
        self.write(rows::Register(namespaces)).await
    }

    /// Forgets a namespace, its actions, and every grant that names one of them.
    ///
    /// # Errors
    /// [`PermissionError::NoNamespace`], [`PermissionError::NotOwner`].
    pub async fn delete_namespace(&self, name: &str, owner: &str) -> Result<(), PermissionError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.write(rows::DeleteNamespace { name, owner }).await
    }

    /// All roles that were made, in order of name. `anon` and `authenticated` are there without that.
    ///
    /// # Errors
    /// [`PermissionError::Data`].
    pub async fn roles(&self) -> Result<Vec<AppRole>, PermissionError> {
        Ok(self.read(rows::Roles).await?)
    }

    /// # Errors
    /// [`PermissionError::NoRole`].
    pub async fn role(&self, name: &str) -> Result<AppRole, PermissionError> {
        let roles = self.roles().await?;
        let found = roles.into_iter().find(|role| role.name == name);
        found.ok_or_else(|| PermissionError::NoRole(name.to_owned()))
    }

    /// Makes a role that inherits from exactly these parents.
    ///
    /// # Errors
    /// [`PermissionError::Invalid`], [`PermissionError::NoRole`] for a parent,
    /// [`PermissionError::Cycle`], [`PermissionError::TooMany`].
    pub async fn put_role(&self, mut role: AppRole) -> Result<(), PermissionError> {
        checked_name("a role", &role.name)?;
        not_service(&role.name)?;
        role.parents.sort();
        role.parents.dedup();
        for parent in &role.parents {
            not_service(parent)?;
        }
        if role.parents.len() > PARENTS_MAX {
            let what = format!("the role would have {} parents", role.parents.len());
            let max = PARENTS_MAX;
            return Err(PermissionError::TooMany { what, max });
        }
        self.write(rows::PutRole(role)).await
    }

    /// Forgets a role with its members and its grants; nobody inherits from it any more.
    ///
    /// # Errors
    /// [`PermissionError::NoRole`].
    pub async fn delete_role(&self, name: &str) -> Result<(), PermissionError> {
        self.write(rows::DeleteRole(name.to_owned())).await
    }

    /// Users of a role, in order of id.
    ///
    /// # Errors
    /// [`PermissionError::NoRole`].
    pub async fn members(
        &self,
        role: &str,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<Uuid>, PermissionError> {
        let page = rows::Members {
            role: role.to_owned(),
            offset,
            limit,
        };
        let found = self.read(page).await?;
        found.ok_or_else(|| PermissionError::NoRole(role.to_owned()))
    }

    /// Gives a user a role; one that has it already is no error.
    ///
    /// # Errors
    /// [`PermissionError::NoRole`], [`PermissionError::TooMany`].
    pub async fn add_member(&self, role: &str, user_id: Uuid) -> Result<(), PermissionError> {
        let role = role.to_owned();
        self.write(rows::AddMember { role, user_id }).await
    }

    /// # Errors
    /// [`PermissionError::NoMember`].
    pub async fn delete_member(&self, role: &str, user_id: Uuid) -> Result<(), PermissionError> {
        let role = role.to_owned();
        self.write(rows::DeleteMember { role, user_id }).await
    }

    /// Adds a grant. `now` is when.
    ///
    /// # Errors
    /// [`PermissionError::Invalid`], [`PermissionError::Unknown`], [`PermissionError::NoRole`],
    /// [`PermissionError::TooMany`].
    pub async fn grant(
        &self,
        mut grant: NewGrant,
        now: DateTime<Utc>,
    ) -> Result<Grant, PermissionError> {
        let invalid = |why: String| Err(PermissionError::Invalid(why));
        grant.resource = checked_selector(grant.resource)?;
        let namespace = grant.permission.strip_suffix(".*");
        if !namespace.is_some_and(is_name) && parts(&grant.permission).is_none() {
            let shown: String = grant.permission.chars().take(80).collect();
            return invalid(format!(
                "{shown:?} is no permission; write `namespace.action` or `namespace.*`"
            ));
        }
        match &grant.subject {
            Subject::Role(role) => not_service(role)?,
            Subject::Key(key) => checked_name("a key", key)?,
            Subject::User(_) => {}
        }
        if let Some(until) = grant.expires_at
            && until <= now
        {
            let until = rows::shown(until);
            return invalid(format!("expires_at {until} is over; write a later instant"));
        }
        let id = Uuid::now_v7();
        self.write(rows::AddGrant { grant, id, now }).await
    }

    /// # Errors
    /// [`PermissionError::NoGrant`].
    pub async fn revoke(&self, id: Uuid) -> Result<(), PermissionError> {
        self.write(rows::DeleteGrant(id)).await
    }

    /// A page of grants in order of creation, and how many there are in all.
    ///
    /// # Errors
    /// [`PermissionError::Data`].
    pub async fn grants(
        &self,
        filter: GrantFilter,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Grant>, u64), PermissionError> {
        let page = rows::Grants {
            filter,
            offset,
            limit,
        };
        Ok(self.read(page).await?)
    }

    async fn read<O: Operation>(&self, operation: O) -> Result<O::Answer, DataError>
    where
        O::Answer: Default,
    {
        read(&self.0, operation).await
    }

    async fn write<T: Send + 'static, O>(&self, operation: O) -> Result<T, PermissionError>
    where
        O: Operation<Answer = Result<T, PermissionError>>,
    {
        self.prepare().await?;
        let change = Change {
            operation,
            _after: self.forgets(),
        };
        let outcome = self.0.own(change).await;
        // The answer may be here before the job is dropped.
        self.0.permissions().forget();
        outcome?
    }

    fn forgets(&self) -> Forgets {
        Forgets(self.0.permissions().clone())
    }

    /// Makes sure that there are tables: on SQLite it makes them.
    async fn prepare(&self) -> Result<(), PermissionError> {
        if self.0.permissions().is_prepared() {
            return Ok(());
        }
        match self.0.db() {
            Db::Sqlite(sqlite) => {
                let after = self.forgets();
                let job = move |connection: &Connection| {
                    let _after = &after;
                    if is_prepared(connection)? {
                        return Ok(());
                    }
                    let made = ddl::prepare(connection);
                    made.map_err(|fault| DataError::Internal(fault.to_string()))?;
                    prepare_sqlite(connection)
                };
                sqlite.write(Context::default(), PREPARE_MAX, job).await?;
            }
            Db::Postgres(_) => {
                if !self.0.own_read(rows::Prepared).await? {
                    return Err(PermissionError::NotPrepared);
                }
            }
        }
        self.0.permissions().set_prepared();
        Ok(())
    }
}

/// Dropped, it has the next question read the rows.
struct Forgets(Arc<PermissionCache>);

impl Drop for Forgets {
    fn drop(&mut self) {
        self.0.forget();
    }
}

/// An operation that changes rows. The writer of a file carries it out also when nobody waits for it any
/// more, and drops it after COMMIT or without one: what is in memory is then forgotten, whoever went away.
/// On PostgreSQL a COMMIT that is under way then is seen as another node's is.
struct Change<O> {
    operation: O,
    _after: Forgets,
}

impl<O: Operation> Operation for Change<O> {
    type Answer = O::Answer;

    async fn run<E: Engine>(&self, engine: &mut E) -> Result<Self::Answer, DataError> {
        self.operation.run(engine).await
    }
}

/// Runs an operation that only reads; of a file that is not there nothing is read.
async fn read<O: Operation>(store: &DataStore, operation: O) -> Result<O::Answer, DataError>
where
    O::Answer: Default,
{
    match store.db() {
        Db::Sqlite(sqlite) if !sqlite.path().exists() => Ok(O::Answer::default()),
        _ => store.own_read(operation).await,
    }
}

fn unknown(permission: &str) -> PermissionError {
    PermissionError::Unknown(permission.chars().take(80).collect())
}

/// # Errors
/// [`PermissionError::Invalid`] for the role that nothing binds.
fn not_service(role: &str) -> Result<(), PermissionError> {
    match role {
        "service_role" => Err(PermissionError::Invalid(
            "`service_role` holds every permission, and no grant binds it; name another role"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Set")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
