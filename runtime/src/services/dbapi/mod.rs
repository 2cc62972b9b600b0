//! `/rest/v1`: every table is an API, in the PostgREST dialect; and functions below `rpc/`. `/batch/v1`:
//! several such requests in one transaction.
//!
//! A door like a guest's `data` interface: it turns a request into [`DataStore`] calls and rows into a
//! response, and decides nothing about data. A request is the same value whether it came alone or in a
//! batch.

mod answer;
mod batch;
mod nulls;
mod openapi;
mod procedure;
mod request;
mod rpc;
mod table;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HOST};
use http::{Method, Response};
use pumice_host_api::data::{Actor, DataError, DataStore, Db, Settings, Transaction};
use pumice_host_api::{Budget, Caller, InvocationId, Role};

pub use self::answer::allow_browsers;
use self::request::{Asked, Payload};
use crate::body::Body;
use crate::entries::http::AppRequest;
use crate::entries::procedure::Procedures;
use crate::error::{self, Error};
use crate::functions::App;
use crate::request_id::RequestId;
use crate::services::auth::{AuthError, extract};
use crate::services::permissions::guard;
use crate::services::rates::Rates;

/// Where the dialect lives in an app.
pub const REST: &str = "/rest/v1";
/// Where batches of its requests go.
pub const BATCH: &str = "/batch/v1";

/// What this door works with.
pub struct Dbapi {
    pub procedures: Procedures,
    pub rates: Arc<Rates>,
}

/// Who stands at the door, and what the requests of one HTTP request have in common.
struct Visit<'v> {
    procedures: &'v Procedures,
    app: Arc<App>,
    store: DataStore,
    settings: Arc<Settings>,
    /// Who asks; or why whoever it is may only call what is public.
    identity: Result<Caller, AuthError>,
    request_id: RequestId,
    /// The batch's.
    within: Option<(&'v Transaction, Arc<Budget>)>,
}

impl Dbapi {
    /// Answers a request below [`REST`], errors included.
    pub async fn answer(&self, mut incoming: AppRequest) -> Response<Body> {
        let headers = incoming.request.headers();
        let preflight = headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if preflight && incoming.request.method() == Method::OPTIONS {
            return answer::preflight(headers);
        }
        let visit = self.visit(&incoming);
        let rate = match &visit.identity {
            Ok(caller) => self.rates.user(&visit.app, caller, 1).await,
            Err(_) => Ok(None),
        };
        let rate = match rate {
            Ok(rate) => rate,
            Err(refusal) => {
                return error::rest(&refusal.into(), visit.anonymous(), visit.request_id);
            }
        };
        let before = incoming.prefix;
        incoming.prefix += REST.len();
        let (parts, body) = incoming.request.into_parts();
        let path = match parts.uri.path().get(incoming.prefix..) {
            None | Some("") => "/",
            Some(path) => path,
        };
        let asked = Asked {
            method: &parts.method,
            path,
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            body: Payload::Coming(body),
        };
        let outcome = match path.trim_start_matches('/').is_empty() {
            true => {
                let host = parts.uri.authority().map(|authority| authority.as_str());
                let header = parts.headers.get(HOST);
                let site = Site {
                    host: host.or_else(|| header?.to_str().ok()).unwrap_or_default(),
                    scheme: scheme(incoming.peer.trusted, &parts.headers),
                    base: &parts.uri.path()[..before + REST.len()],
                };
                visit.root(&asked, &site).await
            }
            false => visit.handle(asked).await,
        };
        let mut response = outcome
            .unwrap_or_else(|error| error::rest(&error, visit.anonymous(), visit.request_id));
        if let Some(rate) = rate {
            rate.tell_near(response.headers_mut());
        }
        response
    }

    /// Answers a request to [`BATCH`], errors included. Its requests are counted, and limited, as if each
    /// came alone.
    pub async fn batch(&self, incoming: AppRequest, requests: &AtomicU64) -> Response<Body> {
        let headers = incoming.request.headers();
        if incoming.request.method() == Method::OPTIONS {
            return answer::preflight(headers);
        }
        let visit = self.visit(&incoming);
        batch::answer(visit, incoming, requests, &self.rates).await
    }

    fn visit(&self, incoming: &AppRequest) -> Visit<'_> {
        let app = incoming.app.clone();
        let (store, settings) = (app.data.clone(), app.data.settings());
        let identity = extract::caller(&app.keys, incoming.request.headers());
        let identity = match identity {
            Err(AuthError::Missing) if settings.anonymous => Ok(extract::anonymous()),
            identity => identity,
        };
        Visit {
            procedures: &self.procedures,
            app,
            store,
            settings,
            identity,
            request_id: incoming.request_id,
            within: None,
        }
    }
}

/// Where the root document says that it is.
struct Site<'s> {
    host: &'s str,
    scheme: &'static str,
    base: &'s str,
}

fn scheme(trusted: bool, headers: &http::HeaderMap) -> &'static str {
    let forwarded = headers.get("x-forwarded-proto");
    match forwarded.filter(|_| trusted) {
        Some(proto) if proto.as_bytes().eq_ignore_ascii_case(b"https") => "https",
        _ => "http",
    }
}

impl Visit<'_> {
    /// Whether a refusal should tell to sign in.
    fn anonymous(&self) -> bool {
        !matches!(&self.identity, Ok(caller) if caller.role != Role::Anon)
    }

    /// The transaction that everything belongs to, if it does.
    fn within(&self) -> Option<&Transaction> {
        self.within.as_ref().map(|(transaction, _)| *transaction)
    }

    /// On whose behalf `asked` is done.
    fn actor(&self, caller: Caller, asked: &Asked<'_>) -> Actor {
        let mut actor = Actor::caller(caller, InvocationId(self.request_id.uuid()));
        actor.budget = self.within.as_ref().map(|(_, budget)| budget.clone());
        // Only PostgreSQL has functions that ask for it.
        if let Db::Postgres(_) = self.store.db() {
            actor.request = Some(Arc::new(asked.info()));
        }
        actor
    }

    /// Answers one request, but for the root's.
    async fn handle(&self, asked: Asked<'_>) -> Result<Response<Body>, Error> {
        let path = request::decode(asked.path.trim_start_matches('/'))?;
        if let Some(name) = path.strip_prefix("rpc/") {
            // The app's own come first.
            if let Some(procedure) = self.procedures.find(&self.app, name) {
                return self.procedure(&procedure, asked).await;
            }
            if !name.is_empty() && !name.contains('/') {
                return self.rpc(name, asked).await;
            }
        }
        let caller = self.identity.clone()?;
        if path.contains('/') {
            let message = "Invalid path specified in request URL";
            return Err(DataError::sql("PGRST125", message).into());
        }
        let actor = self.actor(caller, &asked);
        self.table(&path, asked, actor).await
    }

    /// Answers a request for `/`.
    async fn root(&self, asked: &Asked<'_>, site: &Site<'_>) -> Result<Response<Body>, Error> {
        let caller = self.identity.as_ref().map_err(|error| *error)?;
        match *asked.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(answer::allow("OPTIONS,GET,HEAD")),
            _ => return Err(request::unsupported(asked.method).into()),
        }
        let profile = asked.profile(&self.settings)?;
        let media = asked.root_media()?;
        let schema = self.store.schema().await?;
        let revision = self.app.revision.load_full();
        let mut procedures = Vec::new();
        for found in revision.iter().flat_map(|revision| revision.procedures()) {
            let require = found.require.as_deref();
            match guard::permit(&self.store, found.access, require, caller).await {
                Ok(()) => procedures.push(found.guest.name.as_str()),
                Err(Error::Auth(_) | Error::Permissions(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let document = openapi::Document {
            app: &self.app.name,
            schema: &schema,
            space: profile.schema,
            role: Some(caller.role.as_str()).filter(|_| caller.role != Role::ServiceRole),
            procedures,
            host: site.host,
            scheme: site.scheme,
            base: site.base,
        };
        Ok(answer::document(
            asked.method,
            media,
            &profile,
            document.write(),
        ))
    }
}
