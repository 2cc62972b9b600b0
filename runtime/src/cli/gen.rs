//! `pumice gen`: an app's tables in the types of other languages.

use std::fmt::Write as _;

use clap::{Subcommand, ValueEnum};
use http::Method;
use pumice_host_api::data::{Column, ForeignKey, Schema, Table, Type};
use serde_json::json;

use super::remote::{app_name, connect};
use super::{AppArgs, Report};

#[derive(Subcommand)]
pub enum Gen {
    /// Print the types of the app's tables, as they are on the server now.
    Types {
        #[arg(long, value_enum, default_value = "typescript")]
        lang: Language,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Language {
    /// The type `Database` that the dialect's own clients take.
    Typescript,
}

pub async fn run(command: Gen, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let Gen::Types { lang } = command;
    let (client, app) = (connect(&args.server)?, app_name(args)?);
    let path = format!("/apps/{app}/schema");
    let schema = client.json(Method::GET, &path, None).await?;
    let schema: Schema = serde_json::from_value(schema)?;
    let types = match lang {
        Language::Typescript => typescript(&schema),
    };
    report.data(&json!({ "types": types }), |_| print!("{types}"));
    Ok(())
}

/// What stands in the file before the tables.
const HEAD: &str = "\
export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  public: {
";

/// What stands after them: short names for what is used most.
const TAIL: &str = "
type Public = Database[\"public\"]

export type Tables<T extends keyof Public[\"Tables\"]> = Public[\"Tables\"][T][\"Row\"]

export type TablesInsert<T extends keyof Public[\"Tables\"]> = Public[\"Tables\"][T][\"Insert\"]

export type TablesUpdate<T extends keyof Public[\"Tables\"]> = Public[\"Tables\"][T][\"Update\"]

export type Enums<T extends keyof Public[\"Enums\"]> = Public[\"Enums\"][T]
";

/// An object type without members.
const NOTHING: &str = "[_ in never]: never";

/// The module that declares `Database`.
///
/// Source: the shape that `supabase gen types` prints, postgres-meta's `typescript.ts`: columns in order
/// of name, `never` for what may not be written, relationships inside `public` only.
fn typescript(schema: &Schema) -> String {
    let mut text = Text(HEAD.to_owned());
    text.object(4, "Tables", schema.tables(), |text, table| {
        text.table(schema, table);
    });
    for empty in ["Views", "Functions"] {
        text.object(4, empty, std::iter::empty::<()>(), |_, ()| {});
    }
    text.object(4, "Enums", schema.enums.values(), |text, one| {
        let labels: Vec<String> = one.labels.iter().map(|label| quoted(label)).collect();
        text.line(6, &format!("{}: {}", key(&one.name), labels.join(" | ")));
    });
    text.object(4, "CompositeTypes", std::iter::empty::<()>(), |_, ()| {});
    text.line(2, "}");
    text.line(0, "}");
    text.0 + TAIL
}

/// TypeScript as it grows.
struct Text(String);

impl Text {
    fn line(&mut self, indent: usize, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{:indent$}{line}", "");
    }

    fn object<T>(
        &mut self,
        indent: usize,
        name: &str,
        members: impl IntoIterator<Item = T>,
        mut member: impl FnMut(&mut Text, T),
    ) {
        self.line(indent, &format!("{name}: {{"));
        let before = self.0.len();
        for one in members {
            member(self, one);
        }
        if self.0.len() == before {
            self.line(indent + 2, NOTHING);
        }
        self.line(indent, "}");
    }

    fn table(&mut self, schema: &Schema, table: &Table) {
        let mut columns: Vec<&Column> = table.columns.iter().collect();
        columns.sort_by_key(|column| column.name.as_str());
        self.line(6, &format!("{}: {{", key(table.name.as_str())));
        self.object(8, "Row", &columns, |text, column| {
            text.column(column, "", &stored(column));
        });
        self.object(8, "Insert", &columns, |text, column| {
            let optional = !column.not_null || column.has_default || column.generated_always;
            text.column(column, if optional { "?" } else { "" }, &written(column));
        });
        self.object(8, "Update", &columns, |text, column| {
            text.column(column, "?", &written(column));
        });
        self.relationships(schema, table);
        self.line(6, "}");
    }

    fn column(&mut self, column: &Column, optional: &str, ty: &str) {
        let name = key(column.name.as_str());
        self.line(10, &format!("{name}{optional}: {ty}"));
    }

    fn relationships(&mut self, schema: &Schema, table: &Table) {
        let inside = |foreign: &&ForeignKey| {
            foreign.to_schema == "public" && schema.table(&foreign.to_table).is_some()
        };
        let mut foreign: Vec<&ForeignKey> = table.foreign_keys.iter().filter(inside).collect();
        if foreign.is_empty() {
            return self.line(8, "Relationships: []");
        }
        foreign.sort_by_key(|foreign| &foreign.name);
        self.line(8, "Relationships: [");
        for foreign in foreign {
            let names = foreign
                .columns
                .iter()
                .filter_map(|&at| table.columns.get(at));
            let names = list(names.map(|column| column.name.as_str()));
            let to_names = list(foreign.to_columns.iter().map(String::as_str));
            self.line(10, "{");
            for (name, value) in [
                ("foreignKeyName", quoted(&foreign.name)),
                ("columns", names),
                ("isOneToOne", is_one_to_one(table, foreign).to_string()),
                ("referencedRelation", quoted(&foreign.to_table)),
                ("referencedColumns", to_names),
            ] {
                self.line(12, &format!("{name}: {value}"));
            }
            self.line(10, "},");
        }
        self.line(8, "]");
    }
}

/// Whether at most one row of `table` can point to each row: its columns are a key.
fn is_one_to_one(table: &Table, foreign: &ForeignKey) -> bool {
    let sorted = |columns: &[usize]| {
        let mut columns = columns.to_vec();
        columns.sort_unstable();
        columns
    };
    let pointing = sorted(&foreign.columns);
    let mut keys = table.unique.iter().chain(&table.primary_key);
    keys.any(|key| sorted(&key.columns) == pointing)
}

/// What a client reads of a column.
fn stored(column: &Column) -> String {
    let null = if column.not_null { "" } else { " | null" };
    type_of(&column.ty) + null
}

/// What a client may write to a column.
fn written(column: &Column) -> String {
    if column.generated_always {
        return "never".to_owned();
    }
    stored(column)
}

fn type_of(ty: &Type) -> String {
    let name = match ty {
        Type::Boolean => "boolean",
        Type::Smallint
        | Type::Integer
        | Type::Bigint
        | Type::Numeric { .. }
        | Type::Real
        | Type::DoublePrecision => "number",
        Type::Text
        | Type::Varchar { .. }
        | Type::Char { .. }
        | Type::Date
        | Type::Time
        | Type::Timestamp
        | Type::Timestamptz
        | Type::Uuid
        | Type::Bytea => "string",
        Type::Json | Type::Jsonb => "Json",
        Type::Array(element) => return type_of(element) + "[]",
        Type::Enum(one) => {
            return format!("Database[\"public\"][\"Enums\"][{}]", quoted(&one.name));
        }
        // As the dialect's own generator has them.
        Type::Interval | Type::Other(_) => "unknown",
    };
    name.to_owned()
}

/// A member's name, quoted where it has to be.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let starts = name.starts_with(|c: char| !c.is_ascii_digit());
    if starts && name.chars().all(plain) {
        return name.to_owned();
    }
    quoted(name)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(quoted).collect();
    format!("[{}]", names.join(", "))
}

/// A string of JSON is one of TypeScript.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

#[cfg(test)]
mod tests {
    use pumice_host_api::data::ddl::{Catalog, translate};

    use super::*;

    fn types_of(migration: &str) -> String {
        let translated = translate(migration, "migrations/0001_init.sql", Catalog::default());
        let catalog = translated.expect("it is in the subset").catalog;
        let schema = catalog.schema();
        // As it travels from the server to the command.
        let sent = serde_json::to_vec(&schema).expect("it has a JSON form");
        typescript(&serde_json::from_slice(&sent).expect("it reads what it wrote"))
    }

    /// The example's file is what the command prints for it.
    #[test]
    fn the_guestbooks_types_are_up_to_date() {
        let migration = include_str!("../../../examples/guestbook/migrations/0001_init.sql");
        let expected = include_str!("../../../examples/guestbook/database.types.ts");
        assert_eq!(types_of(migration), expected);
    }

    #[test]
    fn no_tables_are_no_members() {
        let types = types_of("");
        assert_eq!(types.matches(NOTHING).count(), 5, "{types}");
        assert!(
            types.contains("    Tables: {\n      [_ in never]: never\n    }\n"),
            "{types}"
        );
    }

    #[test]
    fn every_type_has_its_own() {
        let types = types_of(
            r#"
            create type "a mood" as enum ('sad', 'a "b"');
            create table "the ends" (
                id integer generated by default as identity primary key,
                amount numeric(10, 2) not null default 0,
                "when" timestamptz not null,
                tags text[] not null,
                moods "a mood"[],
                mood "a mood" not null,
                data jsonb,
                raw bytea not null,
                span interval,
                done boolean,
                "1st" date
            );
            create table pairs (
                always bigint generated always as identity primary key,
                a integer unique references "the ends",
                sum integer generated always as (a + b) stored,
                b integer references "the ends" (id)
            );
            "#,
        );
        let check = |line: &str| {
            let found = types.lines().any(|one| one.trim() == line);
            assert!(found, "`{line}` is not in\n{types}");
        };
        let has_not = |line: &str| assert!(!types.contains(line), "`{line}` is in\n{types}");
        check("\"the ends\": {");
        check("\"a mood\": \"sad\" | \"a \\\"b\\\"\"");
        // Row, Insert and Update of what may be left out, of what may not, and of what is never written.
        check("amount: number");
        check("amount?: number");
        check("when: string");
        check("when?: string");
        check("always: number");
        check("always?: never");
        has_not("always?: number");
        check("sum: number | null");
        check("sum?: never");
        check("id?: number");
        check("tags: string[]");
        check("moods: Database[\"public\"][\"Enums\"][\"a mood\"][] | null");
        check("mood: Database[\"public\"][\"Enums\"][\"a mood\"]");
        check("data?: Json | null");
        check("raw: string");
        check("span: unknown | null");
        check("done: boolean | null");
        check("\"1st\"?: string | null");
        check("isOneToOne: true");
        check("isOneToOne: false");
        check("referencedRelation: \"the ends\"");
        check("Relationships: []");
    }
}
