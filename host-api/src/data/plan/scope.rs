//! What a request is planned against: whose it is, which schema it means, what it may see.

use std::sync::Arc;

use super::super::query::Query;
use super::super::schema::{Columns, Privileges};
use super::super::{Actor, DataError, Engine, Schema, Settings, Table};
use super::faults;

/// Whose request is planned, and against what.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub schema: &'a Schema,
    pub settings: &'a Settings,
    pub actor: &'a Actor,
}

impl<'a> Scope<'a> {
    /// The schema that a request means: PGRST106 when it is not an exposed one.
    pub(super) fn space<'q>(&self, query: &'q Query) -> Result<&'q str, DataError>
    where
        'a: 'q,
    {
        let exposed = &self.settings.schemas;
        match &query.schema {
            Some(asked) if exposed.contains(asked) => Ok(asked),
            Some(asked) => Err(faults::no_schema(asked, exposed)),
            None => match exposed.first() {
                Some(first) => Ok(first),
                None => Err(faults::no_schema("", exposed)),
            },
        }
    }

    /// The table or view that a request means: PGRST205 when there is none.
    pub(super) fn relation(&self, query: &Query) -> Result<Arc<Table>, DataError> {
        let space = self.space(query)?;
        if let Some(table) = self.schema.relation(space, &query.table) {
            return Ok(table.clone());
        }
        let known = self.schema.relations.get(space).into_iter().flatten();
        let seen = known.filter(|(_, table)| self.sees(table));
        let names = seen.map(|(name, _)| &**name);
        Err(faults::no_table(space, &query.table, names))
    }

    /// Whether rights are checked here: PostgreSQL checks them itself.
    pub(super) fn bound(&self) -> bool {
        self.schema.engine == Engine::Sqlite && !self.actor.unbound()
    }

    /// Whether the actor may be told of a relation: whether it has any right to it.
    pub(super) fn sees(&self, table: &Table) -> bool {
        self.actor.unbound()
            || self.privileges(table).any(|granted| {
                granted.delete
                    || [&granted.select, &granted.insert, &granted.update]
                        .iter()
                        .any(|columns| some(columns))
            })
    }

    /// What everybody may do and what the actor's role may.
    pub(super) fn privileges<'t>(
        &self,
        table: &'t Table,
    ) -> impl Iterator<Item = &'t Privileges> + use<'t> {
        let role = self.actor.caller.role.as_str();
        let of = |role: &str| table.grants.get(role);
        of("public").into_iter().chain(of(role))
    }
}

/// Whether a privilege is for any column.
pub(super) fn some(columns: &Columns) -> bool {
    match columns {
        Columns::None => false,
        Columns::Some(columns) => !columns.is_empty(),
        Columns::All => true,
    }
}
