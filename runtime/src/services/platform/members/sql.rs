//! The statements on members and their tokens.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{Member, MemberToken, Session};
use crate::services::platform::PlatformError;
use crate::services::platform::sql::Sql;

impl Sql {
    /// In order of name.
    pub async fn members(&self) -> Result<Vec<Member>, PlatformError> {
        let rows = sqlx::query("select id, name, role, created_at from member order by name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(member).collect()
    }

    pub async fn member(&self, id: Uuid) -> Result<Option<Member>, PlatformError> {
        let row = sqlx::query("select id, name, role, created_at from member where id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(member).transpose()
    }

    /// False when the name is taken.
    pub async fn add_member(&self, member: &Member) -> Result<bool, PlatformError> {
        let done = sqlx::query(
            "insert into member (id, name, role, created_at) values ($1, $2, $3, $4) \
             on conflict do nothing",
        )
        .bind(member.id.to_string())
        .bind(&member.name)
        .bind(&member.role)
        .bind(&member.created_at)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// False when it is the last owner, who stays one.
    pub async fn set_role(&self, id: Uuid, role: &str) -> Result<bool, PlatformError> {
        let done = sqlx::query(
            "update member set role = $2 where id = $1 and ($2 = 'owner' or role <> 'owner' \
             or (select count(*) from member where role = 'owner') > 1)",
        )
        .bind(id.to_string())
        .bind(role)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// With its tokens. False when it is the last owner, who stays.
    pub async fn delete_member(&self, id: Uuid) -> Result<bool, PlatformError> {
        let done = sqlx::query(
            "delete from member where id = $1 and (role <> 'owner' \
             or (select count(*) from member where role = 'owner') > 1)",
        )
        .bind(id.to_string())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Of a member, in order of creation; without those that have expired.
    pub async fn tokens(&self, member: Uuid, now: i64) -> Result<Vec<MemberToken>, PlatformError> {
        let rows = sqlx::query(
            "select id, name, created_at, expires_at from member_token \
             where member_id = $1 and expires_at > $2 order by created_at, id",
        )
        .bind(member.to_string())
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(token).collect()
    }

    /// Adds a token, and forgets those of the member that have expired.
    pub async fn add_token(
        &self,
        member: Uuid,
        token: &MemberToken,
        hash: &[u8],
        now: i64,
    ) -> Result<(), PlatformError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("delete from member_token where member_id = $1 and expires_at <= $2")
            .bind(member.to_string())
            .bind(now)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "insert into member_token (id, member_id, name, hash, created_at, expires_at) \
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(token.id.to_string())
        .bind(member.to_string())
        .bind(&token.name)
        .bind(hash)
        .bind(&token.created_at)
        .bind(token.expires_at)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn delete_token(&self, member: Uuid, id: Uuid) -> Result<bool, PlatformError> {
        let done = sqlx::query("delete from member_token where id = $1 and member_id = $2")
            .bind(id.to_string())
            .bind(member.to_string())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whose token this is.
    pub async fn session(&self, hash: &[u8], now: i64) -> Result<Option<Session>, PlatformError> {
        let row = sqlx::query(
            "select m.id, m.name, m.role, m.created_at, t.expires_at from member_token t \
             join member m on m.id = t.member_id where t.hash = $1 and t.expires_at > $2",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(Session {
            member: member(&row)?,
            expires_at: row.try_get("expires_at")?,
        }))
    }
}

fn id(row: &SqliteRow) -> Result<Uuid, PlatformError> {
    let text: &str = row.try_get("id")?;
    let id = text.parse();
    id.map_err(|_| PlatformError::Corrupt(format!("`{text}` is no id")))
}

fn member(row: &SqliteRow) -> Result<Member, PlatformError> {
    Ok(Member {
        id: id(row)?,
        name: row.try_get("name")?,
        role: row.try_get("role")?,
        created_at: row.try_get("created_at")?,
    })
}

fn token(row: &SqliteRow) -> Result<MemberToken, PlatformError> {
    Ok(MemberToken {
        id: id(row)?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}
