//! `/admin/users` and `/admin/audit`: what an app's own server sees and changes of its users.

use std::sync::Arc;

use chrono::Duration;
use pumice_host_api::auth::{AuditEntry, Engine, Flow, Tx, User, UserFilter};
use pumice_host_api::data::DataError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::account::{self, Address};
use super::answer::Answer;
use super::asked::Asked;
use super::{Outcome, audit, shown};
use crate::limits;
use crate::services::auth::fault::Fault;
use crate::services::auth::{mfa, passwords};

/// Users of a page unless it says otherwise.
const PER_PAGE: u64 = 50;

pub async fn list(asked: &Arc<Asked>) -> Outcome {
    let page = Page::of(asked)?;
    let filter = UserFilter {
        text: asked
            .param("filter")
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
    };
    let (users, count) = asked.look(List { filter, page }).await?;
    let users: Vec<Value> = users.iter().map(shown::user).collect();
    let body = json!({ "users": users, "aud": "authenticated" });
    Ok(page.answer(body, count, "/admin/users"))
}

#[derive(Clone, Copy)]
struct Page {
    number: u64,
    size: u64,
}

impl Page {
    /// Both parameters may be empty.
    fn of(asked: &Asked) -> Result<Page, Fault> {
        let number = |name: &str, default: u64, max: u64| match asked.param(name) {
            None | Some("") => Ok(default),
            Some(text) => match text.parse::<u64>() {
                Ok(0) => Ok(default),
                Ok(number) => Ok(number.min(max)),
                Err(error) => Err(Fault::invalid(format!(
                    "Bad Pagination Parameters: {name} {text:?}: {error}"
                ))),
            },
        };
        Ok(Page {
            number: number("page", 1, u64::from(u32::MAX))?,
            size: number("per_page", PER_PAGE, limits::USERS_PER_PAGE_MAX)?,
        })
    }

    fn offset(self) -> u64 {
        (self.number - 1) * self.size
    }

    /// `body` with the headers that lead to other pages. Clients look for the number after the first `=`.
    fn answer(self, body: Value, count: u64, path: &str) -> Answer {
        let last = count.div_ceil(self.size).max(1);
        let to = |page: u64, rel: &str| {
            format!("<{path}?page={page}&per_page={}>; rel=\"{rel}\"", self.size)
        };
        let mut links = Vec::new();
        if self.number < last {
            links.push(to(self.number + 1, "next"));
        }
        links.push(to(last, "last"));
        Answer::json(body)
            .header("x-total-count", &count.to_string())
            .header("link", &links.join(", "))
    }
}

struct List {
    filter: UserFilter,
    page: Page,
}

impl Flow for List {
    type Answer = (Vec<User>, u64);

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let users = tx
            .users(&self.filter, self.page.offset(), self.page.size)
            .await?;
        Ok((users, tx.count_users(&self.filter).await?))
    }
}

/// `GET /admin/audit`.
pub async fn audit(asked: &Arc<Asked>) -> Outcome {
    let page = Page::of(asked)?;
    let text = asked
        .param("query")
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    let (entries, count) = asked.look(Audit { text, page }).await?;
    let entries: Vec<Value> = entries.iter().map(shown::audit).collect();
    Ok(page.answer(entries.into(), count, "/admin/audit"))
}

struct Audit {
    text: Option<String>,
    page: Page,
}

impl Flow for Audit {
    type Answer = (Vec<AuditEntry>, u64);

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let text = self.text.as_deref();
        let entries = tx.audit(text, self.page.offset(), self.page.size).await?;
        Ok((entries, tx.count_audit(text).await?))
    }
}

fn id_of(text: &str) -> Result<Uuid, Fault> {
    text.parse().map_err(|_| {
        let message = "user_id must be an UUID";
        Fault::new(http::StatusCode::NOT_FOUND, "validation_failed", message)
    })
}

pub async fn get(asked: &Arc<Asked>, id: &str) -> Outcome {
    let user = asked.look(Get(id_of(id)?)).await?;
    Ok(Answer::json(shown::user(&user.ok_or_else(Fault::no_user)?)))
}

struct Get(Uuid);

impl Flow for Get {
    type Answer = Option<User>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        tx.user(self.0).await
    }
}

/// The hash that a request gives or asks for.
async fn password_hash(asked: &Asked) -> Result<Option<String>, Fault> {
    match (asked.text("password")?, asked.text("password_hash")?) {
        (Some(_), Some(_)) => Err(Fault::invalid(
            "Only a password or a password hash should be provided",
        )),
        (None, Some(hash)) if passwords::is_hash(hash) => Ok(Some(hash.to_owned())),
        (None, Some(_)) => Err(Fault::invalid(
            "password_hash has to be one of argon2, bcrypt, scrypt or Firebase scrypt, with parameters that can be computed in time",
        )),
        (Some(password), None) => {
            passwords::check(&asked.settings.password, &asked.api.leaked, password)?;
            Ok(Some(
                asked.api.passwords.hash(asked.app.id, password).await?,
            ))
        }
        (None, None) => Ok(None),
    }
}

/// How long `ban_duration` says: `none`, or as in `24h`, `1h30m`, `300ms`.
fn ban(text: &str) -> Result<Duration, Fault> {
    let invalid = || {
        Fault::invalid(format!(
            "invalid format for ban duration: {text:?}; write `none` or as in `24h`"
        ))
    };
    if text == "none" {
        return Ok(Duration::zero());
    }
    let mut rest = text;
    let mut total = Duration::zero();
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(invalid)?;
        let (number, unit) = rest.split_at(digits);
        let number: i64 = number.parse().map_err(|_| invalid())?;
        let length = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let (unit, after) = unit.split_at(length);
        let part = match unit {
            "h" => Duration::try_hours(number),
            "m" => Duration::try_minutes(number),
            "s" => Duration::try_seconds(number),
            "ms" => Duration::try_milliseconds(number),
            _ => None,
        };
        total = part
            .and_then(|part| total.checked_add(&part))
            .ok_or_else(invalid)?;
        rest = after;
    }
    // Far behind every date that a database keeps.
    match text.is_empty() || total > Duration::days(limits::BAN_DAYS_MAX) {
        true => Err(invalid()),
        false => Ok(total),
    }
}

/// What a request of an admin says of a user.
struct Said {
    email: Option<String>,
    phone: Option<String>,
    password_hash: Option<String>,
    email_confirm: Option<bool>,
    phone_confirm: Option<bool>,
    user_metadata: Option<serde_json::Map<String, Value>>,
    app_metadata: Option<serde_json::Map<String, Value>>,
    role: Option<String>,
    ban: Option<Duration>,
}

impl Said {
    async fn of(asked: &Asked) -> Result<Said, Fault> {
        let role = asked.text("role")?;
        if let Some(role) = role
            && !matches!(role, "authenticated" | "anon")
        {
            return Err(Fault::invalid(
                "role has to be authenticated or anon; use roles of permissions for more",
            ));
        }
        Ok(Said {
            email: asked.email()?,
            phone: asked.phone()?,
            password_hash: password_hash(asked).await?,
            email_confirm: asked.flag("email_confirm")?,
            phone_confirm: asked.flag("phone_confirm")?,
            user_metadata: asked.object("user_metadata")?,
            app_metadata: asked.object("app_metadata")?,
            role: role.map(str::to_owned),
            ban: asked.text("ban_duration")?.map(ban).transpose()?,
        })
    }

    fn apply(&self, user: &mut User, asked: &Asked) {
        let now = asked.now;
        if let Some(hash) = &self.password_hash {
            user.password_hash = Some(hash.clone());
        }
        if let Some(change) = &self.user_metadata {
            shown::merge(&mut user.user_metadata, change.clone());
        }
        if let Some(change) = &self.app_metadata {
            shown::merge(&mut user.app_metadata, change.clone());
        }
        if let Some(role) = &self.role {
            user.role.clone_from(role);
        }
        if let Some(ban) = self.ban {
            user.banned_until = (!ban.is_zero()).then(|| now + ban);
        }
        user.updated_at = now;
    }
}

pub async fn create(asked: &Arc<Asked>) -> Outcome {
    let said = Said::of(asked).await?;
    let mut user = account::blank(asked.now);
    if let Some(id) = asked.text("id")? {
        user.id = id
            .parse()
            .map_err(|_| Fault::invalid("id has to be a UUID"))?;
    }
    let addresses: Vec<Address> = said
        .email
        .clone()
        .map(Address::Email)
        .into_iter()
        .chain(said.phone.clone().map(Address::Phone))
        .collect();
    if addresses.is_empty() {
        return Err(Fault::invalid(
            "Cannot create a user without either an email or phone",
        ));
    }
    let names: Vec<&str> = addresses.iter().map(Address::provider).collect();
    user.app_metadata = account::providers(&names);
    for address in &addresses {
        match address {
            Address::Email(email) => {
                user.email = Some(email.clone());
                user.email_confirmed_at = (said.email_confirm == Some(true)).then_some(asked.now);
            }
            Address::Phone(phone) => {
                user.phone = Some(phone.clone());
                user.phone_confirmed_at = (said.phone_confirm == Some(true)).then_some(asked.now);
            }
        }
        let data = account::said(
            &user,
            address,
            address.is_confirmed(&user),
            Default::default(),
        );
        let identity = account::identity(&user, address.provider(), data, asked.now);
        user.identities.push(identity);
    }
    said.apply(&mut user, asked);
    let user = asked
        .run(Create {
            asked: asked.clone(),
            user,
        })
        .await??;
    Ok(Answer::json(shown::user(&user)))
}

struct Create {
    asked: Arc<Asked>,
    user: User,
}

impl Flow for Create {
    type Answer = Result<User, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        if !account::insert(tx, &self.user).await? {
            let by_email = match &self.user.email {
                Some(email) => tx.user_by_email(email).await?,
                None => None,
            };
            if by_email.is_some() {
                return Ok(Err(Fault::email_exists()));
            }
            let by_phone = match &self.user.phone {
                Some(phone) => tx.user_by_phone(phone).await?,
                None => None,
            };
            return Ok(Err(match by_phone {
                Some(_) => Fault::phone_exists(),
                None => Fault::new(
                    http::StatusCode::UNPROCESSABLE_ENTITY,
                    "conflict",
                    "A user with this id exists already",
                ),
            }));
        }
        audit::record(tx, &self.asked, "user_signedup", &self.user, Value::Null).await?;
        Ok(Ok(self.user.clone()))
    }
}

pub async fn update(asked: &Arc<Asked>, id: &str) -> Outcome {
    let id = id_of(id)?;
    let said = Said::of(asked).await?;
    let update = Update {
        asked: asked.clone(),
        id,
        said,
    };
    let user = asked.run(update).await??;
    Ok(Answer::json(shown::user(&user)))
}

struct Update {
    asked: Arc<Asked>,
    id: Uuid,
    said: Said,
}

impl Flow for Update {
    type Answer = Result<User, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let (said, now) = (&self.said, self.asked.now);
        let Some(mut user) = tx.lock_user(self.id).await? else {
            return Ok(Err(Fault::no_user()));
        };
        said.apply(&mut user, &self.asked);
        if let Err(fault) = account::fits(&user) {
            return Ok(Err(fault));
        }
        // An app's server says what an address is; it counts at once.
        if let Some(email) = said
            .email
            .as_ref()
            .filter(|email| user.email.as_ref() != Some(email))
        {
            account::change_address(&mut user, &Address::Email(email.clone()), now);
        }
        if let Some(phone) = said
            .phone
            .as_ref()
            .filter(|phone| user.phone.as_ref() != Some(phone))
        {
            account::change_address(&mut user, &Address::Phone(phone.clone()), now);
        }
        if said.email_confirm == Some(true)
            && let Some(email) = user.email.clone()
        {
            account::confirm(&mut user, &Address::Email(email), now);
        }
        if said.phone_confirm == Some(true)
            && let Some(phone) = user.phone.clone()
        {
            account::confirm(&mut user, &Address::Phone(phone), now);
        }
        if !account::save(tx, &user).await? {
            return Ok(Err(match said.email {
                Some(_) => Fault::email_exists(),
                None => Fault::phone_exists(),
            }));
        }
        let banned = said.ban.is_some_and(|ban| !ban.is_zero());
        if said.password_hash.is_some() || banned {
            account::shut(tx, &mut user, None).await?;
            tx.save_user(&user).await?;
        }
        audit::record(tx, &self.asked, "user_modified", &user, Value::Null).await?;
        Ok(Ok(user))
    }
}

pub async fn delete(asked: &Arc<Asked>, id: &str) -> Outcome {
    let delete = Delete {
        asked: asked.clone(),
        id: id_of(id)?,
        soft: asked.flag("should_soft_delete")?.unwrap_or(false),
    };
    asked.run(delete).await??;
    Ok(Answer::done())
}

struct Delete {
    asked: Arc<Asked>,
    id: Uuid,
    soft: bool,
}

impl Flow for Delete {
    type Answer = Result<(), Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let Some(mut user) = tx.lock_user(self.id).await? else {
            return Ok(Err(Fault::no_user()));
        };
        audit::record(
            tx,
            &self.asked,
            "user_deleted",
            &user,
            json!({ "soft": self.soft }),
        )
        .await?;
        if !self.soft {
            tx.delete_user(user.id).await?;
            return Ok(Ok(()));
        }
        tx.delete_sessions(user.id, None).await?;
        tx.delete_flows(user.id).await?;
        // The row stays for what refers to it; nothing in it says any more who it was.
        for identity in &user.identities {
            tx.delete_identity(identity.id).await?;
        }
        for factor in &user.factors {
            tx.delete_factor(factor.id).await?;
        }
        tx.put_recovery_codes(user.id, &[]).await?;
        tx.delete_tokens(user.id).await?;
        user = User {
            id: user.id,
            created_at: user.created_at,
            deleted_at: Some(self.asked.now),
            ..account::blank(self.asked.now)
        };
        tx.save_user(&user).await?;
        Ok(Ok(()))
    }
}

/// `GET /admin/users/{id}/factors`.
pub async fn factors(asked: &Arc<Asked>, id: &str) -> Outcome {
    let user = asked
        .look(Get(id_of(id)?))
        .await?
        .ok_or_else(Fault::no_user)?;
    Ok(Answer::json(
        user.factors.iter().map(shown::factor).collect(),
    ))
}

/// `DELETE /admin/users/{id}/factors/{factor}`.
pub async fn delete_factor(asked: &Arc<Asked>, id: &str, factor: &str) -> Outcome {
    let delete = DeleteFactor {
        asked: asked.clone(),
        user: id_of(id)?,
        factor: factor.parse().map_err(|_| Fault::no_factor())?,
    };
    let factor = asked.run(delete).await??;
    Ok(Answer::json(factor))
}

struct DeleteFactor {
    asked: Arc<Asked>,
    user: Uuid,
    factor: Uuid,
}

impl Flow for DeleteFactor {
    type Answer = Result<Value, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let Some(user) = tx.lock_user(self.user).await? else {
            return Ok(Err(Fault::no_user()));
        };
        let Some(factor) = user.factors.iter().find(|factor| factor.id == self.factor) else {
            return Ok(Err(Fault::no_factor()));
        };
        if let Err(fault) = mfa::remove_in(tx, &user, factor.id).await? {
            return Ok(Err(fault));
        }
        audit::record(tx, &self.asked, "factor_deleted", &user, Value::Null).await?;
        Ok(Ok(shown::factor(factor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_written_as_durations() {
        assert_eq!(ban("none").unwrap(), Duration::zero());
        assert_eq!(ban("24h").unwrap(), Duration::hours(24));
        assert_eq!(ban("1h30m5s").unwrap(), Duration::seconds(5405));
        for bad in [
            "",
            "h",
            "24",
            "1d",
            "-1h",
            "99999999999999999999h",
            "9999999999h",
        ] {
            assert!(ban(bad).is_err(), "{bad}");
        }
    }
}
