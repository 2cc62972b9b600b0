//! An app's tables in a database that somebody else keeps.

use std::sync::Arc;

use pumice_host_api::data::postgres::{CANNOT, External};
use serde::Serialize;

use super::databases::{self, Databases};
use super::{AppRow, Manifest, Platform, PlatformError, has_jobs, subscriptions};
use crate::functions::App;

/// An external database as registered.
#[derive(Debug, Serialize)]
pub struct Registered {
    pub app: String,
    /// Where it is, without the password.
    pub database: String,
    /// What the app cannot have there: all of it, plainly.
    pub cannot: Vec<String>,
}

impl Platform {
    /// Makes the database at `url` the app's, from the next request on. The app's own, which nobody has
    /// used, goes; an external one that was registered before stays as it is.
    ///
    /// # Errors
    /// [`PlatformError::External`] when it cannot be used, or may be used for too much;
    /// [`PlatformError::DatabaseUsed`]; [`PlatformError::Moving`]; [`PlatformError::NotExternal`] when the
    /// active revision needs more than there is. The app goes on as it was then.
    pub async fn register(&self, app: &Arc<App>, url: &str) -> Result<Registered, PlatformError> {
        let external = External::parse(url)?;
        // At once, not when the move has ended; and again, for one that was broken off and is not cleared away.
        self.not_moving(app).await?;
        let (_one, app) = self.alone(app).await?;
        self.not_moving(&app).await?;
        if !app.data.is_external() && !self.databases.is_untouched(app.id, &app.data).await? {
            return Err(PlatformError::DatabaseUsed(app.name.clone()));
        }
        let active = app.revision.load().as_ref().map(|revision| revision.number);
        let mut revisions = self.sql.revisions(app.id).await?.into_iter();
        let active = revisions.find(|row| Some(row.number) == active);
        if let Some(row) = &active {
            let manifest = Manifest::parse(&row.manifest).map_err(PlatformError::Manifest)?;
            let after = !subscriptions(&manifest).is_empty();
            databases::possible(databases::needs(after, has_jobs(&manifest)))?;
        }
        let lacks = external.check().await?;
        let row = Databases::external(app.id, url, &self.keyring)?;
        let store = self.databases.store(app.id, &row, &self.keyring)?;
        let registered = Arc::new(app.moved(store));
        if let Some(active) = &active {
            registered.activate(self.revision_from(&registered, active)?);
        }
        (self.hooks)(&registered);
        // Looking at the other one took its time: what was written meanwhile is somebody's, and from
        // here on nobody writes to what is about to go.
        let own = match app.data.is_external() {
            true => None,
            false => {
                let held = self.databases.hold_untouched(app.id, &app.data).await?;
                Some(held.ok_or_else(|| PlatformError::DatabaseUsed(app.name.clone()))?)
            }
        };
        if let Err(error) = self.sql.set_database(app.id, &row).await {
            // When nobody knows which of the two it is, a file takes no writes until a start that does.
            let known = self.sql.apps().await?;
            let is_set = |known: &AppRow| known.id == app.id && known.database == row;
            if !known.iter().any(is_set) {
                if let Some(own) = own {
                    own.release().await?;
                }
                return Err(error);
            }
        }
        self.registry.insert(registered.clone());
        // What wakes the app before is meant for the one that is served.
        let _ = app.successor.set(registered);
        let dropped = match own {
            Some(own) => own.drop().await,
            None => self.databases.drop(app.id, &app.data).await,
        };
        if let Err(error) = dropped {
            tracing::warn!(app.id = %app.id, %error, "the app's own empty database was not dropped");
        }
        tracing::info!(app.id = %app.id, "an external database was registered");
        let cannot = CANNOT.iter().map(|text| (*text).to_owned());
        Ok(Registered {
            app: app.name.clone(),
            database: external.address(),
            cannot: cannot.chain(lacks).collect(),
        })
    }

    async fn not_moving(&self, app: &App) -> Result<(), PlatformError> {
        let moves = self.sql.moves().await?;
        match moves.iter().any(|unfinished| unfinished.app == app.id) {
            true => Err(PlatformError::Moving(app.name.clone())),
            false => Ok(()),
        }
    }
}
