//! Who may do what: row policies, row-level security, grants.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sqlparser::ast::{
    Action, AlterPolicy, AlterPolicyOperation, CreatePolicy, CreatePolicyCommand, CreatePolicyType,
    DropPolicy, Expr, GrantObjects, Grantee, GranteeName, GranteesType, Ident, ObjectName, Owner,
    Privileges as Given,
};

use super::catalog::{Catalog, TableDef};
use super::rows::{Notes, Rows, template};
use super::translate::{Work, parse_expr};
use super::{Refusal, names, select};
use crate::data::schema::{Columns, Command, Piece, Policy, Privileges, Template};

/// Roles that a policy or a grant can name, beside `public`.
const ROLES: [&str; 3] = ["anon", "authenticated", "service_role"];

/// Access to a table, as its migrations declare it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Access {
    pub row_security: bool,
    /// In order of name.
    pub policies: Vec<PolicyDef>,
}

impl Default for Access {
    /// Closed.
    fn default() -> Access {
        Access {
            row_security: true,
            policies: Vec::new(),
        }
    }
}

/// A policy; its expressions are PostgreSQL text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PolicyDef {
    pub name: String,
    pub permissive: bool,
    pub command: Command,
    pub roles: Vec<String>,
    pub using: Option<String>,
    pub check: Option<String>,
}

/// What each role may do.
pub(super) type Grants = BTreeMap<String, Rights>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rights {
    pub select: Right,
    pub insert: Right,
    pub update: Right,
    pub delete: bool,
}

/// A privilege on a relation, and beside it those on columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Right {
    pub all: bool,
    pub columns: BTreeSet<String>,
}

impl Rights {
    pub fn all() -> Rights {
        let all = Right {
            all: true,
            columns: BTreeSet::new(),
        };
        Rights {
            select: all.clone(),
            insert: all.clone(),
            update: all,
            delete: true,
        }
    }

    fn each(&mut self) -> [&mut Right; 3] {
        [&mut self.select, &mut self.insert, &mut self.update]
    }

    pub fn add(&mut self, other: &Rights) {
        let others = [&other.select, &other.insert, &other.update];
        for (right, other) in self.each().into_iter().zip(others) {
            right.all |= other.all;
            right.columns.extend(other.columns.iter().cloned());
        }
        self.delete |= other.delete;
    }

    pub fn rename_column(&mut self, from: &str, to: &str) {
        for right in self.each() {
            if right.columns.remove(from) {
                right.columns.insert(to.to_owned());
            }
        }
    }

    pub fn drop_column(&mut self, column: &str) {
        for right in self.each() {
            right.columns.remove(column);
        }
    }

    /// For a relation with these columns.
    fn described<'n>(&self, columns: impl Iterator<Item = &'n str> + Clone) -> Privileges {
        let of = |right: &Right| {
            if right.all {
                return Columns::All;
            }
            let indices: Vec<usize> = columns
                .clone()
                .enumerate()
                .filter(|(_, name)| right.columns.contains(*name))
                .map(|(index, _)| index)
                .collect();
            match indices.is_empty() {
                true => Columns::None,
                false => Columns::Some(indices),
            }
        };
        Privileges {
            select: of(&self.select),
            insert: of(&self.insert),
            update: of(&self.update),
            delete: self.delete,
        }
    }
}

pub(super) fn described<'n>(
    grants: &Grants,
    columns: impl Iterator<Item = &'n str> + Clone,
) -> BTreeMap<String, Privileges> {
    grants
        .iter()
        .map(|(role, rights)| (role.clone(), rights.described(columns.clone())))
        .filter(|(_, rights)| *rights != Privileges::default())
        .collect()
}

impl Access {
    /// The policies for statements; none when row-level security is off.
    pub fn described(&self, catalog: &Catalog, table: &TableDef) -> Option<Vec<Policy>> {
        let policy = |policy: &PolicyDef| {
            let template = |text: &Option<String>| {
                text.as_ref().map(|text| {
                    // What can no longer be understood lets nobody in.
                    condition(catalog, table, text)
                        .map(|(template, _)| template)
                        .unwrap_or_else(|_| Template(vec![Piece::Text("0".to_owned())]))
                })
            };
            Policy {
                name: policy.name.clone(),
                permissive: policy.permissive,
                command: policy.command,
                roles: policy.roles.clone(),
                using: template(&policy.using),
                check: template(&policy.check),
            }
        };
        self.row_security
            .then(|| self.policies.iter().map(policy).collect())
    }
}

impl PolicyDef {
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        self.using.iter_mut().chain(&mut self.check)
    }
}

/// A policy's expression for SQLite, and what it names.
pub(super) fn condition(
    catalog: &Catalog,
    table: &TableDef,
    text: &str,
) -> Result<(Template, Notes), Refusal> {
    let notes = Notes::default();
    let sql = {
        let rows = Rows::policy(&notes, &table.name, table.outputs());
        select::scope(catalog, &rows).condition(&parse_expr(text)?)?
    };
    Ok((template(&sql), notes))
}

/// A policy's expression as the catalog keeps it.
fn kept(catalog: &Catalog, table: &TableDef, expr: &Expr) -> Result<String, Refusal> {
    let mut expr = expr.clone();
    select::named(&mut expr);
    let text = expr.to_string();
    let (_, notes) = condition(catalog, table, &text)?;
    let text = super::rows::replaced(&text, notes.stars.into_inner());
    condition(catalog, table, &text)?;
    Ok(text)
}

pub(super) fn create_policy(work: &mut Work, create: &CreatePolicy) -> Result<(), Refusal> {
    let name = names::ident(&create.name)?;
    let table = policy_table(&work.catalog, &create.table_name)?;
    if table.access.policies.iter().any(|there| there.name == name) {
        return Err(Refusal::wrong(format!(
            "policy \"{name}\" for table \"{}\" already exists",
            table.name
        )));
    }
    let command = match create.command {
        None | Some(CreatePolicyCommand::All) => Command::All,
        Some(CreatePolicyCommand::Select) => Command::Select,
        Some(CreatePolicyCommand::Insert) => Command::Insert,
        Some(CreatePolicyCommand::Update) => Command::Update,
        Some(CreatePolicyCommand::Delete) => Command::Delete,
    };
    fits(command, create.using.is_some(), create.with_check.is_some())?;
    let text = |expr: &Option<Expr>| {
        expr.as_ref()
            .map(|expr| kept(&work.catalog, table, expr))
            .transpose()
    };
    let policy = PolicyDef {
        name,
        permissive: create.policy_type != Some(CreatePolicyType::Restrictive),
        command,
        roles: owners(create.to.as_deref())?,
        using: text(&create.using)?,
        check: text(&create.with_check)?,
    };
    let table = table.name.clone();
    let access = &mut work.catalog.table_mut(&table)?.access;
    access.policies.push(policy);
    access.policies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

fn fits(command: Command, using: bool, check: bool) -> Result<(), Refusal> {
    match command {
        Command::Insert if using => Err(Refusal::wrong(
            "only WITH CHECK expression allowed for INSERT",
        )),
        Command::Select | Command::Delete if check => Err(Refusal::wrong(
            "WITH CHECK cannot be applied to SELECT or DELETE",
        )),
        _ => Ok(()),
    }
}

pub(super) fn alter_policy(work: &mut Work, alter: &AlterPolicy) -> Result<(), Refusal> {
    let name = names::ident(&alter.name)?;
    let table = policy_table(&work.catalog, &alter.table_name)?;
    let Some(at) = table
        .access
        .policies
        .iter()
        .position(|there| there.name == name)
    else {
        return Err(no_policy(&name, &table.name));
    };
    let mut policy = table.access.policies[at].clone();
    match &alter.operation {
        AlterPolicyOperation::Rename { new_name } => {
            let to = names::ident(new_name)?;
            if table.access.policies.iter().any(|there| there.name == to) {
                return Err(Refusal::wrong(format!(
                    "policy \"{to}\" for table \"{}\" already exists",
                    table.name
                )));
            }
            policy.name = to;
        }
        AlterPolicyOperation::Apply {
            to,
            using,
            with_check,
        } => {
            fits(policy.command, using.is_some(), with_check.is_some())?;
            if to.is_some() {
                policy.roles = owners(to.as_deref())?;
            }
            if let Some(expr) = using {
                policy.using = Some(kept(&work.catalog, table, expr)?);
            }
            if let Some(expr) = with_check {
                policy.check = Some(kept(&work.catalog, table, expr)?);
            }
        }
    }
    let table = table.name.clone();
    let access = &mut work.catalog.table_mut(&table)?.access;
    access.policies[at] = policy;
    access.policies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

pub(super) fn drop_policy(work: &mut Work, drop: &DropPolicy) -> Result<(), Refusal> {
    let name = names::ident(&drop.name)?;
    let relation = names::relation(&drop.table_name)?;
    if drop.if_exists && !work.catalog.tables.contains_key(&relation) {
        return Ok(());
    }
    let table = policy_table(&work.catalog, &drop.table_name)?.name.clone();
    let policies = &mut work.catalog.table_mut(&table)?.access.policies;
    let before = policies.len();
    policies.retain(|there| there.name != name);
    if policies.len() == before && !drop.if_exists {
        return Err(no_policy(&name, &table));
    }
    Ok(())
}

/// `comment on policy … on …`, which nobody reads: the policy must be there.
pub(super) fn comment_on_policy(
    catalog: &Catalog,
    policy: &Ident,
    table: &ObjectName,
) -> Result<(), Refusal> {
    let name = names::ident(policy)?;
    let table = policy_table(catalog, table)?;
    match table.access.policies.iter().any(|there| there.name == name) {
        true => Ok(()),
        false => Err(no_policy(&name, &table.name)),
    }
}

fn policy_table<'c>(catalog: &'c Catalog, name: &ObjectName) -> Result<&'c TableDef, Refusal> {
    let name = names::relation(name)?;
    if catalog.views.contains_key(&name) {
        return Err(Refusal::wrong(format!("\"{name}\" is not a table")));
    }
    catalog.table(&name)
}

fn no_policy(name: &str, table: &str) -> Refusal {
    Refusal::wrong(format!(
        "policy \"{name}\" for table \"{table}\" does not exist"
    ))
}

fn owners(to: Option<&[Owner]>) -> Result<Vec<String>, Refusal> {
    let Some(to) = to else {
        return Ok(vec!["public".to_owned()]);
    };
    let mut roles = BTreeSet::new();
    for owner in to {
        match owner {
            Owner::Ident(name) => {
                roles.insert(role(&names::ident(name)?)?);
            }
            // The owner, whom no policy binds.
            Owner::CurrentRole | Owner::CurrentUser | Owner::SessionUser => {}
        }
    }
    // Everybody is everybody, whoever else is named.
    if roles.contains("public") {
        roles.retain(|role| role == "public");
    }
    Ok(roles.into_iter().collect())
}

fn role(name: &str) -> Result<String, Refusal> {
    if name == "public" || ROLES.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(
        Refusal::wrong(format!("role \"{name}\" does not exist")).fix(format!(
            "an app's roles are {} and public",
            ROLES.join(", ")
        )),
    )
}

/// What a grant or a revoke is about.
pub(super) struct Change<'a> {
    pub grant: bool,
    pub privileges: &'a Given,
    pub objects: Option<&'a GrantObjects>,
    pub grantees: &'a [Grantee],
    /// `with grant option`, `grant option for` and the like.
    pub further: bool,
}

/// A privilege on tables that the API uses, and its columns.
enum Kind {
    Select,
    Insert,
    Update,
    Delete,
}

impl Change<'_> {
    pub fn apply(&self, work: &mut Work) -> Result<(), Refusal> {
        let objects = self
            .objects
            .ok_or_else(|| Refusal::only_postgres("a grant of a role"))?;
        let roles = self.roles()?;
        let named = match objects {
            GrantObjects::Tables(names) | GrantObjects::Views(names) => names
                .iter()
                .map(names::relation)
                .collect::<Result<Vec<_>, _>>()?,
            GrantObjects::AllTablesInSchema { schemas } => {
                public(schemas)?;
                work.catalog.relations().cloned().collect()
            }
            // SQLite has nothing that these could open or close.
            GrantObjects::Schemas(_)
            | GrantObjects::Sequences(_)
            | GrantObjects::AllSequencesInSchema { .. }
            | GrantObjects::Function { .. }
            | GrantObjects::Procedure { .. }
            | GrantObjects::AllFunctionsInSchema { .. } => return Ok(()),
            other => return Err(Refusal::only_postgres(format!("a grant on {other}"))),
        };
        let changes = self.changes()?;
        for name in &named {
            let (columns, _) = work.catalog.shown(name)?;
            for (_, of) in &changes {
                for column in of.iter().flatten() {
                    if !columns.iter().any(|there| there.name == *column) {
                        return Err(Refusal::wrong(format!(
                            "column \"{column}\" of relation \"{name}\" does not exist"
                        )));
                    }
                }
            }
            let grants = work.catalog.grants_mut(name)?;
            self.change(grants, &roles, &changes);
        }
        Ok(())
    }

    /// `alter default privileges`; `schemas` are none when it says none.
    pub fn apply_default(&self, work: &mut Work, schemas: &[ObjectName]) -> Result<(), Refusal> {
        let Some(GrantObjects::Tables(what)) = self.objects else {
            return Err(Refusal::only_postgres("these default privileges"));
        };
        let what = what.first().map(names::parts).transpose()?;
        match what.as_deref() {
            Some([word]) if word == "tables" => {}
            Some([word])
                if ["sequences", "functions", "routines", "types", "schemas"]
                    .contains(&word.as_str()) =>
            {
                return Ok(());
            }
            _ => return Err(Refusal::only_postgres("these default privileges")),
        }
        let roles = self.roles()?;
        let changes = self.changes()?;
        if changes.iter().any(|(_, columns)| columns.is_some()) {
            return Err(Refusal::wrong(
                "default privileges cannot be set for columns",
            ));
        }
        let defaults = if schemas.is_empty() {
            &mut work.catalog.defaults_everywhere
        } else {
            public(schemas)?;
            &mut work.catalog.defaults
        };
        self.change(defaults, &roles, &changes);
        Ok(())
    }

    fn roles(&self) -> Result<Vec<String>, Refusal> {
        if self.further {
            return Err(Refusal::only_postgres("a grant option"));
        }
        let mut roles = Vec::new();
        for grantee in self.grantees {
            let name = match (&grantee.grantee_type, &grantee.name) {
                (GranteesType::Public, _) => "public".to_owned(),
                (
                    GranteesType::None | GranteesType::Role | GranteesType::Group,
                    Some(GranteeName::ObjectName(name)),
                ) => match &names::parts(name)?[..] {
                    [name]
                        if matches!(
                            name.as_str(),
                            "current_user" | "current_role" | "session_user"
                        ) =>
                    {
                        continue;
                    }
                    [name] => role(name)?,
                    _ => return Err(Refusal::wrong(format!("`{grantee}` is no role"))),
                },
                _ => return Err(Refusal::wrong(format!("`{grantee}` is no role"))),
            };
            // It may do everything.
            if name != "service_role" {
                roles.push(name);
            } else if !self.grant {
                return Err(Refusal::wrong("service_role may do everything on SQLite")
                    .fix("take it out, or mark it with `-- pumice: only postgres`"));
            }
        }
        Ok(roles)
    }

    fn changes(&self) -> Result<Vec<(Kind, Option<Vec<String>>)>, Refusal> {
        let actions = match self.privileges {
            Given::All { .. } => {
                return Ok([Kind::Select, Kind::Insert, Kind::Update, Kind::Delete]
                    .into_iter()
                    .map(|kind| (kind, None))
                    .collect());
            }
            Given::Actions(actions) => actions,
        };
        let mut changes = Vec::new();
        for action in actions {
            let (kind, columns) = match action {
                Action::Select { columns } => (Kind::Select, columns),
                Action::Insert { columns } => (Kind::Insert, columns),
                Action::Update { columns } => (Kind::Update, columns),
                Action::Delete => (Kind::Delete, &None),
                // The API does none of these.
                Action::Truncate | Action::References { .. } | Action::Trigger { .. } => continue,
                other => {
                    return Err(Refusal::wrong(format!(
                        "invalid privilege type {other} for relation"
                    )));
                }
            };
            let columns = columns
                .as_ref()
                .map(|columns| columns.iter().map(names::ident).collect())
                .transpose()?;
            changes.push((kind, columns));
        }
        Ok(changes)
    }

    fn change(
        &self,
        grants: &mut Grants,
        roles: &[String],
        changes: &[(Kind, Option<Vec<String>>)],
    ) {
        for role in roles {
            let rights = grants.entry(role.clone()).or_default();
            for (kind, columns) in changes {
                let right = match kind {
                    Kind::Select => &mut rights.select,
                    Kind::Insert => &mut rights.insert,
                    Kind::Update => &mut rights.update,
                    Kind::Delete => {
                        rights.delete = self.grant;
                        continue;
                    }
                };
                match (columns, self.grant) {
                    (None, true) => right.all = true,
                    // It takes those on columns too.
                    (None, false) => *right = Right::default(),
                    (Some(columns), true) => right.columns.extend(columns.iter().cloned()),
                    (Some(columns), false) => {
                        right.columns.retain(|name| !columns.contains(name));
                    }
                }
            }
        }
        grants.retain(|_, rights| *rights != Rights::default());
    }
}

fn public(schemas: &[ObjectName]) -> Result<(), Refusal> {
    for schema in schemas {
        if names::parts(schema)? != ["public"] {
            return Err(Refusal::only_postgres(format!("the schema {schema}")));
        }
    }
    Ok(())
}
