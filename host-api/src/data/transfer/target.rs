//! Rows into a database on PostgreSQL, as its owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};

use super::digest::Digest;
use super::{CHANGES, Plan, sql};
use crate::data::ddl;
use crate::data::postgres::{Owner, OwnerTx};
use crate::data::{DataError, Type};

/// One transaction of the owner.
pub struct Target(OwnerTx);

/// A column of the target.
#[derive(Clone, Debug)]
pub struct TargetColumn {
    pub name: String,
    pub format: String,
    pub computed: bool,
    pub sequence: Option<String>,
}

/// Statements that put back what was in the way.
pub struct Obstacles(Vec<String>);

impl Target {
    pub async fn begin(owner: Owner) -> Result<Target, DataError> {
        Ok(Target(owner.begin().await?))
    }

    /// By schema and table.
    pub async fn columns(
        &mut self,
    ) -> Result<BTreeMap<(String, String), Vec<TargetColumn>>, DataError> {
        let rows = sqlx::query(sql::TARGET_COLUMNS)
            .fetch_all(self.0.connection())
            .await?;
        let mut tables: BTreeMap<_, Vec<TargetColumn>> = BTreeMap::new();
        for row in rows {
            let table = (row.try_get(0)?, row.try_get(1)?);
            tables.entry(table).or_default().push(TargetColumn {
                name: row.try_get(2)?,
                format: row.try_get(3)?,
                computed: row.try_get(4)?,
                sequence: row.try_get(5)?,
            });
        }
        Ok(tables)
    }

    /// Takes away what is in the way, and what migrations put into the tables.
    pub async fn clear(&mut self, plans: &[Arc<Plan>]) -> Result<Obstacles, DataError> {
        let rows = sqlx::query(sql::OBSTACLES)
            .fetch_all(self.0.connection())
            .await?;
        let mut back = Vec::new();
        for row in rows {
            self.run(row.try_get(0)?).await?;
            back.push(row.try_get(1)?);
        }
        if !plans.is_empty() {
            self.run(sql::empty(plans)).await?;
        }
        Ok(Obstacles(back))
    }

    /// Puts back what was in the way; foreign keys are checked.
    pub async fn restore(&mut self, obstacles: Obstacles) -> Result<(), DataError> {
        self.run(sql::CHECK_NOW.to_owned()).await?;
        for statement in obstacles.0 {
            self.run(statement).await?;
        }
        self.run(sql::REFRESH.to_owned()).await
    }

    /// Adds the rows of a JSON array.
    pub async fn insert(&mut self, plan: &Plan, rows: Vec<u8>) -> Result<(), DataError> {
        let rows =
            String::from_utf8(rows).map_err(|error| DataError::Internal(error.to_string()))?;
        sqlx::query(AssertSqlSafe(sql::insert(plan)))
            .bind(rows)
            .execute(self.0.connection())
            .await?;
        Ok(())
    }

    /// All rows, one after the other.
    pub async fn digest(&mut self, plan: &Plan) -> Result<Digest, DataError> {
        let mut digest = Digest::default();
        let query = sqlx::query(AssertSqlSafe(sql::rows(plan)));
        let mut rows = query.fetch(self.0.connection());
        while let Some(row) = rows.try_next().await? {
            let text: &str = row.try_get(0)?;
            digest.add(text.as_bytes());
        }
        Ok(digest)
    }

    /// Makes sequences give the numbers that the source would have given next.
    pub async fn go_on(&mut self, plans: &[Arc<Plan>]) -> Result<(), DataError> {
        for plan in plans {
            for (column, sequence) in &plan.sequences {
                sqlx::query(AssertSqlSafe(sql::go_on(plan, column, sequence)))
                    .bind(plan.last)
                    .execute(self.0.connection())
                    .await?;
            }
            if plan.label() == CHANGES {
                sqlx::query(sql::CHANGES_GO_ON)
                    .bind(plan.last.unwrap_or(0))
                    .execute(self.0.connection())
                    .await?;
            }
        }
        Ok(())
    }

    pub async fn record_seed(&mut self, seed: &ddl::Applied) -> Result<(), DataError> {
        let digest: String = seed
            .digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.0.record(&seed.file, &digest, seed.translator).await
    }

    pub async fn commit(self) -> Result<(), DataError> {
        self.0.commit().await?.close().await
    }

    async fn run(&mut self, batch: String) -> Result<(), DataError> {
        sqlx::raw_sql(AssertSqlSafe(batch))
            .execute(self.0.connection())
            .await?;
        Ok(())
    }
}

/// The type of a column of ours, by the words of `format_type`.
pub fn named(format: &str) -> Type {
    if let Some(element) = format.strip_suffix("[]") {
        return Type::Array(Box::new(named(element)));
    }
    match format {
        "boolean" => Type::Boolean,
        "smallint" => Type::Smallint,
        "integer" => Type::Integer,
        "bigint" => Type::Bigint,
        "real" => Type::Real,
        "double precision" => Type::DoublePrecision,
        "date" => Type::Date,
        "timestamp without time zone" => Type::Timestamp,
        "timestamp with time zone" => Type::Timestamptz,
        "interval" => Type::Interval,
        "uuid" => Type::Uuid,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "bytea" => Type::Bytea,
        _ if format.starts_with("numeric") => Type::Numeric { precision: None },
        // Their JSON is a string of what is stored.
        _ => Type::Text,
    }
}
