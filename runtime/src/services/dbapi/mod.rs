//! `/rest/v1`: every table is an API, in the PostgREST dialect; and procedures below `rpc/`.
//!
//! A door like a guest's `data` interface: it turns a request into [`DataStore`] calls and rows into a
//! response, and decides nothing about data.

mod answer;
mod request;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use pumice_host_api::data::query::{self, Conflict, Insert};
use pumice_host_api::data::{Actor, DataError, DataStore};
use pumice_host_api::{InvocationId, Role};

use self::request::Parsed;
use crate::body::Body;
use crate::entries::http::AppRequest;
use crate::entries::procedure::Procedures;
use crate::error::{self, Error};
use crate::functions::Procedure;
use crate::services::auth::extract;

/// Where the dialect lives in an app.
pub const REST: &str = "/rest/v1";

/// What this door works with.
pub struct Dbapi {
    pub procedures: Procedures,
}

impl Dbapi {
    /// Answers a request below [`REST`], errors included.
    pub async fn answer(&self, incoming: AppRequest) -> Response<Body> {
        let request_id = incoming.request_id;
        if incoming.request.method() == Method::OPTIONS {
            return answer::preflight(incoming.request.headers());
        }
        // Whom a refusal may tell to sign in.
        let mut role = Role::Anon;
        match self.handle(incoming, &mut role).await {
            Ok(response) => response,
            Err(error) => error::rest(&error, role == Role::Anon, request_id),
        }
    }

    async fn handle(
        &self,
        mut incoming: AppRequest,
        role: &mut Role,
    ) -> Result<Response<Body>, Error> {
        incoming.prefix += REST.len();
        let path = incoming.path().trim_start_matches('/');
        let path = request::decode(path)?;
        let procedure = path.strip_prefix("rpc/");
        let found = match procedure {
            Some(name) => Some(self.procedures.find(&incoming.app, name)),
            None => None,
        };
        let (keys, headers) = (&incoming.app.keys, incoming.request.headers());
        let caller = match &found {
            // Known before the procedure is, so that names can not be tried out without a key.
            Some(Ok(procedure)) => extract::admit(keys, procedure.access, headers)?,
            _ => extract::caller(keys, headers)?,
        };
        *role = caller.role.clone();
        let cause = InvocationId(incoming.request_id.uuid());
        let actor = Actor::caller(caller, cause);
        if let Some(procedure) = found {
            return self.procedure(procedure?, actor, incoming).await;
        }
        if path.is_empty() {
            return Err(DataError::sql("PGRST126", "Root endpoint metadata is disabled").into());
        }
        if path.contains('/') {
            let message = "Invalid path specified in request URL";
            return Err(DataError::sql("PGRST125", message).into());
        }
        let store = incoming.app.data.clone();
        let parsed = Parsed::of(path.into_owned(), &incoming.request)?;
        let body = incoming.request.into_body();
        if matches!(parsed.method, Method::POST | Method::PATCH) {
            // Who may not write is told before the body is read.
            store.may_write(&actor, &parsed.query.table).await?;
        }
        match parsed.method {
            Method::GET | Method::HEAD => select(&store, &actor, parsed).await,
            Method::POST => insert(&store, &actor, parsed, request::body(body).await?).await,
            Method::PATCH => update(&store, &actor, parsed, request::body(body).await?).await,
            Method::DELETE => delete(&store, &actor, parsed).await,
            method => {
                let message = format!("Unsupported HTTP method: {method}");
                Err(DataError::sql("PGRST117", message).into())
            }
        }
    }

    async fn procedure(
        &self,
        procedure: Arc<Procedure>,
        actor: Actor,
        incoming: AppRequest,
    ) -> Result<Response<Body>, Error> {
        let AppRequest {
            app,
            request_id,
            request,
            ..
        } = incoming;
        if request.method() != Method::POST {
            let message = format!("Cannot use the {} method on RPC", request.method());
            return Err(DataError::sql("PGRST101", message).into());
        }
        let arguments = request::arguments(&request::body(request.into_body()).await?)?;
        let json = self
            .procedures
            .call(&app, &procedure, actor, request_id, arguments)
            .await?;
        Ok(answer::json(Bytes::from(json)))
    }
}

async fn select(store: &DataStore, actor: &Actor, parsed: Parsed) -> Result<Response<Body>, Error> {
    let rows = store.select(actor, None, &parsed.query).await?;
    if parsed.single && rows.count != 1 {
        return Err(query::not_single(rows.count).into());
    }
    Ok(answer::rows(&parsed, rows))
}

async fn insert(
    store: &DataStore,
    actor: &Actor,
    parsed: Parsed,
    body: Bytes,
) -> Result<Response<Body>, Error> {
    let conflict = parsed.prefer.merge.map(|merge| Conflict {
        on: parsed.on_conflict.clone(),
        merge,
    });
    let insert = Insert {
        table: parsed.query.table.clone(),
        rows: query::body(&body)?,
        columns: parsed.columns.clone(),
        conflict,
        returning: parsed.returning(),
    };
    let rows = store.insert(actor, None, insert).await?;
    Ok(answer::created(&parsed, rows))
}

async fn update(
    store: &DataStore,
    actor: &Actor,
    parsed: Parsed,
    body: Bytes,
) -> Result<Response<Body>, Error> {
    let values = query::body(&body)?.into_iter().next().unwrap_or_default();
    let returning = parsed.returning();
    let rows = store
        .update(actor, None, &parsed.query, values, returning)
        .await?;
    Ok(answer::changed(&parsed, rows))
}

async fn delete(store: &DataStore, actor: &Actor, parsed: Parsed) -> Result<Response<Body>, Error> {
    let returning = parsed.returning();
    let rows = store.delete(actor, None, &parsed.query, returning).await?;
    Ok(answer::deleted(&parsed, rows))
}
