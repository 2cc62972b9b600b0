//! What a role may see and write: policies and grants, compiled into the text of statements.
//!
//! Pure. PostgreSQL has this built in (`src/backend/rewrite/rowsecurity.c` of version 15); here the
//! same rules make conditions. Values come from functions such as `auth.uid()`, never from a request.

use super::APART;
use crate::Role;
use crate::data::schema::{Columns, Command, PUBLIC, Piece, Policy, Template, View};
use crate::data::sqlite::errors::Sight;
use crate::data::{Context, DataError, Kind, Schema, SqlFault, Table};

/// The row of a policy in a template.
const ROW: &str = "_t";

/// On whose behalf a statement is written.
#[derive(Clone, Copy)]
pub struct Rights<'a> {
    schema: &'a Schema,
    /// Who calls; none for `service_role`, which is bound by nothing.
    caller: Option<&'a str>,
    /// With whose rights relations are read: the caller's, or none inside of a view that has its owner's.
    role: Option<&'a str>,
}

/// Tables whose policies are being written, from the inside out.
#[derive(Clone, Copy)]
struct Within<'w> {
    table: &'w str,
    outer: Option<&'w Within<'w>>,
}

/// Which rows of a table there are for somebody.
#[derive(Debug, PartialEq, Eq)]
pub enum Visible {
    All,
    Nothing,
    /// Those for which this expression is true.
    When(String),
}

/// What a written row has to meet.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// The restrictive policy that asks for it; none for the permissive ones together.
    pub policy: Option<String>,
    /// An expression; none when no row meets it.
    pub text: Option<String>,
}

impl Check {
    /// What PostgreSQL says of a row that breaks it; `using` when it is about an existing row that an
    /// upsert met.
    pub fn error(&self, table: &Table, using: bool) -> DataError {
        let policy = match &self.policy {
            Some(name) => format!(" \"{name}\""),
            None => String::new(),
        };
        let using = if using { " (USING expression)" } else { "" };
        DataError::sql(
            "42501",
            format!(
                "new row violates row-level security policy{policy}{using} for table \"{}\"",
                table.name.as_str()
            ),
        )
    }
}

impl<'a> Rights<'a> {
    pub fn new(schema: &'a Schema, context: &'a Context) -> Rights<'a> {
        let caller = (context.role != Role::ServiceRole).then(|| context.role.as_str());
        Rights {
            schema,
            caller,
            role: caller,
        }
    }

    /// With whose rights a view reads: its caller's, whatever view is around it, or its owner's, whom
    /// nothing binds.
    fn inside(&self, view: &View) -> Rights<'a> {
        Rights {
            role: self.caller.filter(|_| view.invoker),
            ..*self
        }
    }

    /// Who writes the table below a view: its caller when this view or one that it reads says so.
    pub fn through(&self, view: &View) -> Rights<'a> {
        Rights {
            role: self.caller.filter(|_| self.asks_caller(view)),
            ..*self
        }
    }

    fn asks_caller(&self, view: &View) -> bool {
        let pieces = view.definition.iter().flat_map(|template| &template.0);
        view.invoker
            || pieces.into_iter().any(|piece| match piece {
                Piece::Text(_) => false,
                Piece::Relation(name) => match self.schema.table(name).map(|table| &table.kind) {
                    Some(Kind::View(inner)) => self.asks_caller(inner),
                    _ => false,
                },
            })
    }

    pub fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// Whether anything is said at all about who calls.
    pub fn binds(&self) -> bool {
        self.caller.is_some()
    }

    /// Whether policies say anything about `table`.
    pub fn bound(&self, table: &Table) -> bool {
        self.role.is_some() && table.policies.is_some()
    }

    /// The rows of `table`, called `alias`, that `command` reaches.
    ///
    /// # Errors
    /// 42P17 for policies that ask for themselves; 42501 for relations in them that may not be read.
    pub fn visible(
        &self,
        table: &Table,
        alias: &str,
        command: Command,
    ) -> Result<Visible, DataError> {
        self.visible_within(table, alias, command, None)
    }

    fn visible_within(
        &self,
        table: &Table,
        alias: &str,
        command: Command,
        within: Option<&Within<'_>>,
    ) -> Result<Visible, DataError> {
        let Some(policies) = self.policies(table) else {
            return Ok(Visible::All);
        };
        let mut applying = self.applying(policies, command);
        applying.retain(|policy| policy.using.is_some());
        let here = enter(
            table,
            applying.iter().filter_map(|p| p.using.as_ref()),
            within,
        )?;
        let within = here.as_ref().or(within);
        let always =
            |policy: &&Policy| policy.permissive && policy.using.as_ref().is_some_and(is_true);
        if applying.iter().any(always) && applying.iter().all(|policy| policy.permissive) {
            return Ok(Visible::All);
        }
        let mut text = String::new();
        for policy in applying.iter().filter(|policy| policy.permissive) {
            text.push_str(if text.is_empty() { "((" } else { ") or (" });
            self.expression(policy.using.as_ref(), alias, &mut text, within)?;
        }
        if text.is_empty() {
            return Ok(Visible::Nothing);
        }
        text.push_str("))");
        for policy in applying.iter().filter(|policy| !policy.permissive) {
            text.push_str(" and (");
            self.expression(policy.using.as_ref(), alias, &mut text, within)?;
            text.push(')');
        }
        Ok(Visible::When(text))
    }

    /// What rows of `table`, called `alias`, have to meet once `command` has written them; with `using`
    /// their `using` even where there is a check.
    ///
    /// # Errors
    /// As [`Rights::visible`].
    pub fn checks(
        &self,
        table: &Table,
        alias: &str,
        command: Command,
        using: bool,
    ) -> Result<Vec<Check>, DataError> {
        let Some(policies) = self.policies(table) else {
            return Ok(Vec::new());
        };
        fn which(policy: &Policy, using: bool) -> Option<&Template> {
            match &policy.check {
                Some(check) if !using => Some(check),
                _ => policy.using.as_ref(),
            }
        }
        let mut applying = self.applying(policies, command);
        applying.retain(|policy| which(policy, using).is_some());
        let templates = applying.iter().filter_map(|p| which(p, using));
        let here = enter(table, templates, None)?;
        let within = here.as_ref();
        let mut checks = Vec::new();
        let mut text = String::new();
        for policy in applying.iter().filter(|policy| policy.permissive) {
            text.push_str(if text.is_empty() { "(" } else { ") or (" });
            self.expression(which(policy, using), alias, &mut text, within)?;
        }
        if text.is_empty() {
            return Ok(vec![Check {
                policy: None,
                text: None,
            }]);
        }
        text.push(')');
        checks.push(Check {
            policy: None,
            text: Some(text),
        });
        let mut restrictive: Vec<_> = applying.iter().filter(|p| !p.permissive).collect();
        restrictive.sort_by(|a, b| a.name.cmp(&b.name));
        for policy in restrictive {
            let mut text = String::new();
            self.expression(which(policy, using), alias, &mut text, within)?;
            checks.push(Check {
                policy: Some(policy.name.clone()),
                text: Some(text),
            });
        }
        Ok(checks)
    }

    /// Appends what stands in a `from` for a relation: a table's name, whose rows the caller of this
    /// still has to narrow, or a view's select in parentheses.
    ///
    /// # Errors
    /// As [`Rights::visible`].
    pub fn source(&self, table: &Table, text: &mut String) -> Result<(), DataError> {
        self.source_within(table, text, None)
    }

    fn source_within(
        &self,
        table: &Table,
        text: &mut String,
        within: Option<&Within<'_>>,
    ) -> Result<(), DataError> {
        match &table.kind {
            Kind::Table => super::name(&table.name, text),
            Kind::View(view) => {
                let Some(definition) = &view.definition else {
                    return Err(DataError::Internal(format!(
                        "view {} has no definition",
                        table.name.as_str()
                    )));
                };
                text.push('(');
                self.inside(view).template(definition, ROW, text, within)?;
                text.push(')');
            }
        }
        Ok(())
    }

    /// # Errors
    /// 42501 when the role has not what `allows` asks for.
    pub fn demand(
        &self,
        table: &Table,
        allows: impl Fn(&crate::data::schema::Privileges) -> bool,
    ) -> Result<(), DataError> {
        let Some(role) = self.role else {
            return Ok(());
        };
        let granted = |role: &str| table.grants.get(role).is_some_and(&allows);
        if granted(role) || granted(PUBLIC) {
            return Ok(());
        }
        Err(denied(table))
    }

    /// What of a row of `table` whoever asked may be told, when a statement that sets `given` failed.
    pub fn sight(&self, table: &Table, given: &[usize]) -> Sight {
        let Some(role) = self.role else {
            return Sight::All;
        };
        if self.bound(table) {
            return Sight::Nothing;
        }
        let mut readable = Vec::new();
        for granted in [role, PUBLIC]
            .iter()
            .filter_map(|role| table.grants.get(*role))
        {
            match &granted.select {
                Columns::All => return Sight::All,
                Columns::Some(columns) => readable.extend(columns),
                Columns::None => {}
            }
        }
        Sight::Columns {
            readable,
            given: given.to_vec(),
        }
    }

    fn policies<'t>(&self, table: &'t Table) -> Option<&'t [Policy]> {
        self.role?;
        table.policies.as_deref()
    }

    fn applying<'t>(&self, policies: &'t [Policy], command: Command) -> Vec<&'t Policy> {
        let role = self.role.unwrap_or_default();
        let applies = |policy: &&Policy| {
            (policy.command == Command::All || policy.command == command)
                && policy.roles.iter().any(|r| r == PUBLIC || r == role)
        };
        policies.iter().filter(applies).collect()
    }

    fn expression(
        &self,
        template: Option<&Template>,
        alias: &str,
        text: &mut String,
        within: Option<&Within<'_>>,
    ) -> Result<(), DataError> {
        match template {
            Some(template) => self.template(template, alias, text, within),
            None => Ok(()),
        }
    }

    fn template(
        &self,
        template: &Template,
        alias: &str,
        text: &mut String,
        within: Option<&Within<'_>>,
    ) -> Result<(), DataError> {
        let apart = self.binds() && fails(template);
        for piece in &template.0 {
            match piece {
                Piece::Text(piece) => retarget(piece, alias, text),
                Piece::Relation(name) => {
                    let Some(table) = self.schema.table(name) else {
                        let message = format!("relation \"{name}\" does not exist");
                        return Err(DataError::sql("42P01", message));
                    };
                    self.may_read(table, template)?;
                    self.relation(table, text, within, apart)?;
                }
            }
        }
        Ok(())
    }

    /// A relation in a `from`, with only the rows that the role sees; `apart` from what the text around it
    /// asks of them.
    fn relation(
        &self,
        table: &Table,
        text: &mut String,
        within: Option<&Within<'_>>,
        apart: bool,
    ) -> Result<(), DataError> {
        let visible = self.visible_within(table, ROW, Command::Select, within)?;
        if visible == Visible::All && !(apart && table.kind != Kind::Table) {
            return self.source_within(table, text, within);
        }
        text.push_str("(select * from ");
        self.source_within(table, text, within)?;
        text.push_str(" as _t");
        match visible {
            Visible::When(condition) => {
                text.push_str(" where ");
                text.push_str(&condition);
            }
            Visible::Nothing => text.push_str(" where false"),
            Visible::All => {}
        }
        text.push_str(if apart { APART } else { ")" });
        Ok(())
    }

    fn may_read(&self, table: &Table, template: &Template) -> Result<(), DataError> {
        self.demand(table, |privileges| match &privileges.select {
            Columns::All => true,
            Columns::None => false,
            Columns::Some(columns) => {
                // Which columns the template reads is not known but by their names in it: one of
                // another table with the same name counts too.
                let named = |what: &str| {
                    let texts = template.0.iter().filter_map(|piece| match piece {
                        Piece::Text(text) => Some(text),
                        Piece::Relation(_) => None,
                    });
                    texts.into_iter().any(|text| {
                        text.match_indices(what)
                            .any(|(at, _)| what != "*" || !text[..at].trim_end().ends_with('('))
                    })
                };
                let hidden = |(at, column): (usize, &crate::data::Column)| {
                    !columns.contains(&at) && named(&column.name.to_string())
                };
                !named("*") && !table.columns.iter().enumerate().any(hidden)
            }
        })
    }
}

/// Notes that policies of `table` are being written, when they read relations themselves.
fn enter<'w, 't>(
    table: &'w Table,
    mut templates: impl Iterator<Item = &'t Template>,
    outer: Option<&'w Within<'w>>,
) -> Result<Option<Within<'w>>, DataError> {
    let reads = |template: &Template| template.0.iter().any(|p| matches!(p, Piece::Relation(_)));
    if !templates.any(reads) {
        return Ok(None);
    }
    let name = table.name.as_str();
    let mut each = outer;
    while let Some(within) = each {
        if within.table == name {
            return Err(DataError::sql(
                "42P17",
                format!("infinite recursion detected in policy for relation \"{name}\""),
            ));
        }
        each = within.outer;
    }
    Ok(Some(Within { table: name, outer }))
}

/// `using (true)`.
fn is_true(template: &Template) -> bool {
    matches!(&template.0[..], [Piece::Text(text)] if text == "1")
}

/// Whether a template calls functions that can fail on a row: all but some.
fn fails(template: &Template) -> bool {
    const NEVER: [&str; 16] = [
        "coalesce",
        "count",
        "gen_random_uuid",
        "length",
        "max",
        "min",
        "now",
        "nullif",
        "pumice_claims",
        "pumice_email",
        "pumice_lower",
        "pumice_role",
        "pumice_uid",
        "pumice_upper",
        "substr",
        "trim",
    ];
    let calls = |text: &str| {
        text.match_indices('(').any(|(at, _)| {
            let word = text[..at]
                .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next()
                .unwrap_or_default();
            !word.is_empty() && !NEVER.contains(&word) && !of_claims(&text[at + 1..])
        })
    };
    template
        .0
        .iter()
        .any(|piece| matches!(piece, Piece::Text(text) if calls(text)))
}

/// Whether arguments, up to the parenthesis that ends them, are made of claims and literals alone: then a
/// call is the same for every row.
fn of_claims(mut arguments: &str) -> bool {
    const MADE_OF: [&str; 6] = [
        "pumice_cast",
        "pumice_claims",
        "pumice_email",
        "pumice_path",
        "pumice_role",
        "pumice_uid",
    ];
    let mut depth = 1;
    while let Some(first) = arguments.bytes().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match first {
            b'(' => {
                depth += 1;
                1
            }
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return true;
                }
                1
            }
            b',' | b' ' => 1,
            // Two in a row are two literals, or one with a quote in it.
            b'\'' => match arguments[1..].find('\'') {
                Some(end) => end + 2,
                None => return false,
            },
            _ => {
                let end = arguments.find(|c| !word(c)).unwrap_or(arguments.len());
                let word = &arguments[..end];
                let number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
                if !number && !MADE_OF.contains(&word) {
                    return false;
                }
                end
            }
        };
        arguments = &arguments[length..];
    }
    false
}

fn denied(table: &Table) -> DataError {
    let kind = match table.kind {
        Kind::Table => "table",
        Kind::View(_) => "view",
    };
    SqlFault::new(
        "42501",
        format!("permission denied for {kind} {}", table.name.as_str()),
    )
    .into()
}

/// Appends `text` with its row called `alias`. What is quoted stays.
fn retarget(text: &str, alias: &str, out: &mut String) {
    if alias == ROW {
        out.push_str(text);
        return;
    }
    let bytes = text.as_bytes();
    let (mut kept, mut at) = (0, 0);
    let part_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || byte == b'_';
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => {
                let rest = &bytes[at + 1..];
                let end = rest.iter().position(|byte| *byte == quote);
                at = end.map_or(bytes.len(), |end| at + 1 + end + 1);
            }
            byte if part_of_name(byte) => {
                let start = at;
                while at < bytes.len() && part_of_name(bytes[at]) {
                    at += 1;
                }
                let whole = start == 0 || bytes[start - 1] != b'.';
                if whole && &text[start..at] == ROW && bytes.get(at) == Some(&b'.') {
                    out.push_str(&text[kept..start]);
                    out.push_str(alias);
                    kept = at;
                }
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[kept..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can fail on one row but not on another is asked of visible rows alone.
    #[test]
    fn only_calls_of_claims_and_literals_are_the_same_for_every_row() {
        let jwt = "pumice_cast(pumice_claims(), 8, 'jsonb')";
        for (text, expect) in [
            ("_t.\"owner\" = pumice_uid()".to_owned(), false),
            (
                format!("pumice_path({jwt}, '[\"it''s)\"]', 1) = _t.\"a\""),
                false,
            ),
            (
                format!(
                    "(pumice_cast(pumice_path(pumice_path({jwt}, '[\"a\"]', 0), '[0]', 1), 8, 'integer') = _t.\"a\")"
                ),
                false,
            ),
            (
                "pumice_cast(pumice_uid(), 8, 'text') = 'x'".to_owned(),
                false,
            ),
            (format!("pumice_like({jwt}, _t.\"pattern\")"), true),
            (
                "pumice_like(pumice_claims(), _t.\"pattern\")".to_owned(),
                true,
            ),
            (format!("pumice_path({jwt}, _t.\"path\", 1) = 'x'"), true),
            (
                "pumice_cast(pumice_claims() || _t.\"a\", 8, 'jsonb')".to_owned(),
                true,
            ),
            ("pumice_cast(_t.\"a\", 8, 'integer') = 1".to_owned(), true),
            ("pumice_path('[', ".to_owned(), true),
        ] {
            assert_eq!(
                fails(&Template(vec![Piece::Text(text.clone())])),
                expect,
                "{text}"
            );
        }
    }

    #[test]
    fn a_policy_speaks_of_the_row_by_its_alias() {
        for (text, expect) in [
            ("_t.\"a\" = 1", "_t7.\"a\" = 1"),
            ("'_t.' || _t.\"_t.\"", "'_t.' || _t7.\"_t.\""),
            (
                "'it''s _t.' || _t.\"a\"\"_t.b\"",
                "'it''s _t.' || _t7.\"a\"\"_t.b\"",
            ),
            (
                "a_t.\"x\" + _t1.\"x\" + é_t.\"x\"",
                "a_t.\"x\" + _t1.\"x\" + é_t.\"x\"",
            ),
            ("(_t.\"a\")=_t.\"b\"", "(_t7.\"a\")=_t7.\"b\""),
            ("x._t.\"a\"", "x._t.\"a\""),
            ("_t", "_t"),
            ("'_t.", "'_t."),
        ] {
            let mut out = String::new();
            retarget(text, "_t7", &mut out);
            assert_eq!(out, expect);
        }
    }
}
