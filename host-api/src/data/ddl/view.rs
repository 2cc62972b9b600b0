//! Views, and what depends on what.

use serde::{Deserialize, Serialize};
use sqlparser::ast::{
    CreateTableOptions, CreateView, Expr, Ident, ObjectName, Query, SqlOption, Value as Literal,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::access::{self, Grants};
use super::catalog::{Catalog, format};
use super::names::{self, Taken};
use super::rows::{Notes, Output, Use, plain, replaced, template};
use super::select::{self, Selected};
use super::translate::Work;
use super::{Refusal, sql, writable};
use crate::data::schema::{PUBLIC, Source, View};
use crate::data::{Column, Key, Kind, Name, Table, Type};

/// A view, as its migration declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ViewDef {
    pub name: String,
    pub columns: Vec<ViewColumn>,
    /// PostgreSQL text, in which every output and relation has a name of its own.
    pub query: String,
    pub invoker: bool,
    /// The relation whose rows it shows as they are.
    pub shows: Option<String>,
    /// Names of columns.
    pub key: Vec<String>,
    pub grants: Grants,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ViewColumn {
    pub name: String,
    pub ty: Type,
    pub domain: Option<String>,
    pub source: Option<Source>,
    pub comment: Option<String>,
}

impl ViewDef {
    pub fn outputs(&self) -> Vec<Output> {
        self.columns
            .iter()
            .map(|column| Output {
                name: column.name.clone(),
                ty: column.ty.clone(),
                domain: column.domain.clone(),
                source: column.source.clone(),
            })
            .collect()
    }

    pub fn column_mut(&mut self, name: &str) -> Result<&mut ViewColumn, Refusal> {
        let fault = Refusal::wrong(format!(
            "column \"{name}\" of relation \"{}\" does not exist",
            self.name
        ));
        self.columns
            .iter_mut()
            .find(|column| column.name == name)
            .ok_or(fault)
    }

    fn translated(&self, catalog: &Catalog) -> Result<(Selected, Notes), Refusal> {
        let notes = Notes::default();
        let selected = select::whole(catalog, &parse_query(&self.query)?, &notes)?;
        Ok((selected, notes))
    }

    /// Its query with its own columns' names.
    fn definition(&self, catalog: &Catalog) -> Result<String, Refusal> {
        let (selected, _) = self.translated(catalog)?;
        let shown = self.columns.iter().map(|column| &column.name);
        if shown
            .clone()
            .eq(selected.outputs.iter().map(|output| &output.name))
        {
            return Ok(selected.sql);
        }
        Ok(format!(
            "with \"with.0\" ({}) as ({}) select * from \"with.0\"",
            sql::list(shown),
            selected.sql
        ))
    }

    /// The statement that makes it on SQLite, for SQL of the app's own.
    pub fn create(&self, catalog: &Catalog) -> Result<String, Refusal> {
        Ok(sql::create_view(
            &self.name,
            &plain(&self.definition(catalog)?),
        ))
    }

    pub fn described(&self, catalog: &Catalog) -> Table {
        let mut closed = writable::closed(self, catalog);
        let writable = closed.is_none();
        let columns = writable && self.columns.iter().any(|column| column.source.is_some());
        if writable && !columns {
            closed = Some(writable::without_columns(self));
        }
        let definition = self.definition(catalog).ok();
        let places: Vec<usize> = self
            .key
            .iter()
            .filter_map(|name| self.columns.iter().position(|column| column.name == *name))
            .collect();
        let first = places
            .first()
            .and_then(|at| self.columns[*at].source.as_ref());
        let name = first
            .and_then(|source| catalog.tables.get(&source.table))
            .and_then(|table| table.primary_name())
            .unwrap_or_default();
        Table {
            schema: Name::of_catalog(PUBLIC),
            name: Name::of_catalog(&self.name),
            kind: Kind::View(View {
                insertable: columns,
                updatable: columns,
                deletable: writable,
                definition: definition.map(|sql| template(&sql)),
                invoker: self.invoker,
                closed,
            }),
            columns: self.columns.iter().map(ViewColumn::described).collect(),
            primary_key: (!places.is_empty()).then(|| Key {
                name: name.to_owned(),
                columns: places,
            }),
            unique: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            comment: self.comment.clone(),
            grants: access::described(&self.grants, self.columns.iter().map(|c| &*c.name)),
            policies: None,
        }
    }
}

impl ViewColumn {
    fn described(&self) -> Column {
        Column {
            name: Name::of_catalog(&self.name),
            ty: self.ty.clone(),
            format: self.domain.clone().unwrap_or_else(|| format(&self.ty)),
            not_null: false,
            has_default: false,
            default: None,
            generated_always: false,
            generated: None,
            comment: self.comment.clone(),
            source: self.source.clone(),
        }
    }
}

pub(super) fn parse_query(text: &str) -> Result<Query, Refusal> {
    Parser::new(&PostgreSqlDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_query())
        .map(|query| *query)
        .map_err(|error| Refusal::wrong(error.to_string()))
}

pub(super) fn create(work: &mut Work, create: &CreateView, open: bool) -> Result<(), Refusal> {
    for (given, what) in [
        (create.materialized, "a materialized view"),
        (create.temporary, "a temporary view"),
        (create.if_not_exists, "`create view if not exists`"),
        (
            create.or_alter
                || create.secure
                || create.with_no_schema_binding
                || create.copy_grants
                || create.to.is_some()
                || create.params.is_some()
                || create.comment.is_some()
                || !create.cluster_by.is_empty(),
            "another database's syntax",
        ),
    ] {
        if given {
            return Err(Refusal::only_postgres(what));
        }
    }
    let name = names::relation(&create.name)?;
    names::new_relation(&name)?;
    let options = match &create.options {
        CreateTableOptions::None => &[][..],
        CreateTableOptions::With(options) | CreateTableOptions::Options(options) => options,
        _ => return Err(Refusal::only_postgres("a view's option")),
    };
    let asked = invoker(options)?;
    let mut query = (*create.query).clone();
    select::named(&mut query);
    let text = query.to_string();
    let notes = Notes::default();
    select::whole(&work.catalog, &parse_query(&text)?, &notes)?;
    let text = replaced(&text, notes.stars.into_inner());
    let selected = select::whole(&work.catalog, &parse_query(&text)?, &Notes::default())?;

    if create.columns.len() > selected.outputs.len() {
        return Err(Refusal::wrong(
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    let mut columns: Vec<ViewColumn> = Vec::new();
    for (at, output) in selected.outputs.into_iter().enumerate() {
        let name = match create.columns.get(at) {
            Some(column) => names::ident(&column.name)?,
            None => output.name,
        };
        if columns
            .iter()
            .any(|there| there.name.eq_ignore_ascii_case(&name))
        {
            return Err(
                Refusal::wrong(format!("column \"{name}\" specified more than once"))
                    .fix("give it another name with `as`"),
            );
        }
        columns.push(ViewColumn {
            name,
            ty: output.ty,
            domain: output.domain,
            source: output.source,
            comment: None,
        });
    }
    let key = selected.key.iter().map(|at| columns[*at].name.clone());
    let mut view = ViewDef {
        key: key.collect(),
        columns,
        query: text,
        // As PostgreSQL's runner says: see `postgres::OwnerTx::harden`.
        invoker: if open { asked.unwrap_or(false) } else { true },
        shows: selected.shows,
        grants: work.catalog.default_grants(),
        comment: None,
        name: name.clone(),
    };
    match work.catalog.views.get(&name) {
        Some(old) if create.or_replace => {
            for (at, there) in old.columns.iter().enumerate() {
                let same = view
                    .columns
                    .get(at)
                    .ok_or_else(|| Refusal::wrong("cannot drop columns from view"))?;
                if same.name != there.name {
                    return Err(Refusal::wrong(format!(
                        "cannot change name of view column \"{}\" to \"{}\"",
                        there.name, same.name
                    ))
                    .fix("rename it with `alter view … rename column …` instead"));
                }
                if same.ty != there.ty {
                    return Err(Refusal::wrong(format!(
                        "cannot change data type of view column \"{}\" from {} to {}",
                        there.name, there.ty, same.ty
                    )));
                }
            }
            let reads_itself = work.catalog.depends(&name, &view)?;
            if reads_itself {
                return Err(Refusal::wrong(format!("view \"{name}\" reads itself")));
            }
            view.grants.clone_from(&old.grants);
            view.comment.clone_from(&old.comment);
            for (new, old) in view.columns.iter_mut().zip(&old.columns) {
                new.comment.clone_from(&old.comment);
            }
            work.run([sql::drop_view(&name)]);
        }
        Some(_) => {
            return Err(Refusal::wrong(format!(
                "relation \"{name}\" already exists"
            )));
        }
        None if create.or_replace && work.catalog.tables.contains_key(&name) => {
            return Err(Refusal::wrong(format!("\"{name}\" is not a view")));
        }
        None => Taken::of(&work.catalog).relation(&name)?,
    }
    let sql = view.create(&work.catalog)?;
    match open {
        true => work.new.remove(&name),
        false => work.new.insert(name.clone()),
    };
    work.catalog.views.insert(name, view);
    work.run([sql]);
    Ok(())
}

/// What `with (…)` of a view says of `security_invoker`.
fn invoker(options: &[SqlOption]) -> Result<Option<bool>, Refusal> {
    let mut asked = None;
    for option in options {
        let (name, value) = match option {
            SqlOption::Ident(name) => (name, None),
            SqlOption::KeyValue { key, value } => (key, Some(value)),
            other => return Err(Refusal::only_postgres(format!("the view option `{other}`"))),
        };
        match names::ident(name)?.as_str() {
            "security_invoker" => asked = Some(boolean(value)?),
            // It only keeps conditions apart that could tell of rows; ours are applied first.
            "security_barrier" => {
                boolean(value)?;
            }
            other => return Err(Refusal::only_postgres(format!("the view option {other}"))),
        }
    }
    Ok(asked)
}

fn boolean(value: Option<&Expr>) -> Result<bool, Refusal> {
    let word = match value {
        None => return Ok(true),
        Some(Expr::Value(value)) => match &value.value {
            Literal::Boolean(value) => return Ok(*value),
            Literal::SingleQuotedString(text) | Literal::Number(text, _) => text.clone(),
            other => other.to_string(),
        },
        Some(other) => other.to_string(),
    };
    match word.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        other => Err(Refusal::wrong(format!(
            "invalid value for boolean option: {other}"
        ))),
    }
}

/// A change of a view, by `alter view` or by `alter table`.
pub(super) enum Change<'a> {
    Rename(&'a ObjectName),
    RenameColumn(&'a Ident, &'a Ident),
    Set(&'a [SqlOption]),
    /// `owner to`: there is one.
    Nothing,
}

pub(super) fn alter(work: &mut Work, name: &str, change: &Change<'_>) -> Result<(), Refusal> {
    match change {
        Change::Nothing => Ok(()),
        Change::Set(options) => {
            if let Some(asked) = invoker(options)? {
                work.catalog.view_mut(name)?.invoker = asked;
            }
            Ok(())
        }
        Change::Rename(to) => {
            let to = names::relation(to)?;
            names::new_relation(&to)?;
            Taken::of(&work.catalog).relation(&to)?;
            if work.new.remove(name) {
                work.new.insert(to.clone());
            }
            work.with_views_away(|work| {
                work.catalog.rename_relation_in_texts(name, &to)?;
                if let Some(mut view) = work.catalog.views.remove(name) {
                    view.name.clone_from(&to);
                    work.catalog.views.insert(to.clone(), view);
                }
                for view in work.catalog.views.values_mut() {
                    if view.shows.as_deref() == Some(name) {
                        view.shows = Some(to.clone());
                    }
                }
                Ok(())
            })
        }
        Change::RenameColumn(from, to) => {
            let (from, to) = (names::ident(from)?, names::ident(to)?);
            let view = work.catalog.view_mut(name)?;
            view.column_mut(&from)?;
            if view.columns.iter().any(|there| there.name == to) {
                return Err(Refusal::wrong(format!(
                    "column \"{to}\" of relation \"{name}\" already exists"
                )));
            }
            work.with_views_away(|work| {
                work.catalog.rename_column_in_texts(name, &from, &to)?;
                let view = work.catalog.view_mut(name)?;
                super::catalog::rename(&mut view.key, &from, &to);
                view.column_mut(&from)?.name.clone_from(&to);
                for rights in view.grants.values_mut() {
                    rights.rename_column(&from, &to);
                }
                Ok(())
            })
        }
    }
}

pub(super) fn drop(
    work: &mut Work,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<(), Refusal> {
    let mut dropped = Vec::new();
    for name in names {
        let name = names::relation(name)?;
        if work.catalog.views.contains_key(&name) {
            dropped.push(name);
        } else if work.catalog.tables.contains_key(&name) {
            return Err(Refusal::wrong(format!("\"{name}\" is not a view")).fix("use `drop table`"));
        } else if !if_exists {
            return Err(Refusal::wrong(format!("view \"{name}\" does not exist")));
        }
    }
    work.release(&dropped, "view", cascade)?;
    for name in &dropped {
        if work.catalog.views.remove(name).is_some() {
            work.drop_view(name);
        }
    }
    Ok(())
}

/// Something whose text names relations and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dependent {
    View(String),
    /// The table's name and the policy's.
    Policy(String, String),
}

impl std::fmt::Display for Dependent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dependent::View(name) => write!(f, "view {name}"),
            Dependent::Policy(table, name) => write!(f, "policy {name} on table {table}"),
        }
    }
}

impl Catalog {
    fn depends(&self, on: &str, view: &ViewDef) -> Result<bool, Refusal> {
        let (_, notes) = view.translated(self)?;
        for used in notes.uses.into_inner() {
            if used.relation == on {
                return Ok(true);
            }
            if let Some(inner) = self.views.get(&used.relation)
                && used.column.is_none()
                && self.depends(on, inner)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What views and policies name, one after another.
    fn uses(&self) -> Result<Vec<(Dependent, Vec<Use>)>, Refusal> {
        let mut found = Vec::new();
        for view in self.views.values() {
            let (_, notes) = view.translated(self)?;
            found.push((Dependent::View(view.name.clone()), notes.uses.into_inner()));
        }
        for table in self.tables.values() {
            for policy in &table.access.policies {
                let mut uses = Vec::new();
                for text in policy.using.iter().chain(&policy.check) {
                    let (_, notes) = access::condition(self, table, text)?;
                    uses.extend(notes.uses.into_inner());
                }
                let who = Dependent::Policy(table.name.clone(), policy.name.clone());
                found.push((who, uses));
            }
        }
        Ok(found)
    }

    /// What names the relation, or one column of it; a table's own policies do not count as naming it.
    pub(super) fn dependents(
        &self,
        relation: &str,
        column: Option<&str>,
    ) -> Result<Vec<Dependent>, Refusal> {
        let mut found = Vec::new();
        for (who, uses) in self.uses()? {
            let own = matches!(&who, Dependent::Policy(table, _) if table == relation);
            let named = uses.iter().any(|used| {
                used.relation == relation
                    && match column {
                        Some(column) => used.column.as_deref() == Some(column),
                        None => !own,
                    }
            });
            if named {
                found.push(who);
            }
        }
        Ok(found)
    }

    /// Says `to` for the relation `from` in every text.
    pub(super) fn rename_relation_in_texts(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        self.change_texts(from, None, to)?;
        for view in self.views.values_mut() {
            for column in &mut view.columns {
                if let Some(source) = &mut column.source
                    && source.table == from
                {
                    to.clone_into(&mut source.table);
                }
            }
        }
        Ok(())
    }

    /// Says `to` for the column `from` of `relation` in every text. Names that views give stay.
    pub(super) fn rename_column_in_texts(
        &mut self,
        relation: &str,
        from: &str,
        to: &str,
    ) -> Result<(), Refusal> {
        self.change_texts(relation, Some(from), to)?;
        for view in self.views.values_mut() {
            for column in &mut view.columns {
                if let Some(source) = &mut column.source
                    && source.table == relation
                    && source.column == from
                {
                    to.clone_into(&mut source.column);
                }
            }
        }
        Ok(())
    }

    fn change_texts(
        &mut self,
        relation: &str,
        column: Option<&str>,
        to: &str,
    ) -> Result<(), Refusal> {
        let change = |text: &mut String, notes: Notes| -> Result<(), Refusal> {
            let uses = notes.uses.into_inner();
            let meant = |used: &&Use| used.relation == relation && used.column.as_deref() == column;
            let mut spans = Vec::new();
            for used in uses.iter().filter(meant) {
                // `using (…)` names two columns in one word.
                if uses
                    .iter()
                    .any(|other| other.span == used.span && !meant(&other))
                {
                    return Err(Refusal::only_postgres(
                        "a rename of a column that a view's `using` names",
                    )
                    .fix("drop the view first and make it again"));
                }
                if !spans.contains(&used.span) {
                    spans.push(used.span);
                }
            }
            let word = sql::quoted(to);
            *text = replaced(
                text,
                spans.into_iter().map(|span| (span, word.clone())).collect(),
            );
            Ok(())
        };
        let before = self.clone();
        for view in self.views.values_mut() {
            let (_, notes) = view.translated(&before)?;
            change(&mut view.query, notes)?;
        }
        for (name, table) in &mut self.tables {
            for policy in &mut table.access.policies {
                for text in policy.texts() {
                    let (_, notes) = access::condition(&before, before.table(name)?, text)?;
                    change(text, notes)?;
                }
            }
        }
        Ok(())
    }
}

impl Work {
    /// Makes sure that what names `relations` goes with them, on `cascade`, or is not there.
    pub(super) fn release(
        &mut self,
        relations: &[String],
        what: &str,
        cascade: bool,
    ) -> Result<(), Refusal> {
        for relation in relations {
            for who in self.catalog.dependents(relation, None)? {
                let goes = match &who {
                    Dependent::View(name) | Dependent::Policy(name, _) => relations.contains(name),
                };
                if goes {
                    continue;
                }
                if !cascade {
                    return Err(depended(&format!("{what} {relation}"), &who));
                }
                self.drop_dependent(&who)?;
            }
        }
        Ok(())
    }

    /// As [`Work::release`], for one column.
    pub(super) fn release_column(
        &mut self,
        relation: &str,
        column: &str,
        cascade: bool,
    ) -> Result<(), Refusal> {
        for who in self.catalog.dependents(relation, Some(column))? {
            if !cascade {
                let what = format!("column {column} of table {relation}");
                return Err(depended(&what, &who));
            }
            self.drop_dependent(&who)?;
        }
        Ok(())
    }

    fn drop_dependent(&mut self, who: &Dependent) -> Result<(), Refusal> {
        match who {
            Dependent::View(name) => {
                if self.catalog.views.contains_key(name) {
                    self.release(std::slice::from_ref(name), "view", true)?;
                    self.catalog.views.remove(name);
                    self.drop_view(name);
                }
            }
            Dependent::Policy(table, name) => {
                let access = &mut self.catalog.table_mut(table)?.access;
                access.policies.retain(|policy| policy.name != *name);
            }
        }
        Ok(())
    }

    /// Runs `change` while no view stands in SQLite's schema: it would not let its tables change.
    pub(super) fn with_views_away(
        &mut self,
        change: impl FnOnce(&mut Work) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let before = self.catalog.views.clone();
        let start = self.steps_len();
        let inside = std::mem::replace(&mut self.views_away, true);
        change(self)?;
        self.views_away = inside;
        if inside || (self.steps_len() == start && self.catalog.views == before) {
            return Ok(());
        }
        let gone = before.keys().map(|name| sql::drop_view(name)).collect();
        self.run_before(start, gone);
        let made = self
            .catalog
            .views
            .values()
            .map(|view| view.create(&self.catalog))
            .collect::<Result<Vec<_>, _>>()?;
        self.run(made);
        Ok(())
    }

    fn drop_view(&mut self, name: &str) {
        if !self.views_away {
            self.run([sql::drop_view(name)]);
        }
    }
}

fn depended(what: &str, who: &Dependent) -> Refusal {
    Refusal::wrong(format!(
        "cannot drop {what} because other objects depend on it: {who} depends on it"
    ))
    .fix("use `cascade` to drop the dependent objects too")
}
