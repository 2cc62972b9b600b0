//! Points of members: five for each entry, and theirs to give away.

use pumice::data::{self, DataError, params};
use pumice::{Change, Rejection, reject};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Entry {
    id: i64,
    member_id: String,
}

/// After an entry is written. A change may be told twice: the entry itself remembers its reward.
#[pumice::after_trigger]
fn reward(change: Change<Entry>) -> Result<(), DataError> {
    let Entry { id, member_id } = change.into_row();
    data::transaction_as_app(|tx| {
        let first = tx.sql(
            "update entries set rewarded = true where id = $1 and not rewarded returning id",
            params![id],
        )?;
        if first.count() == 1 {
            tx.sql(
                "update members set points = points + 5 where id = $1",
                params![member_id],
            )?;
        }
        Ok(())
    })
}

#[derive(Deserialize)]
struct Transfer {
    from: String,
    to: String,
    points: i64,
}

#[derive(Deserialize, Serialize)]
struct Member {
    name: String,
    points: i64,
}

/// Moves points from one member to another, by their names. The whole call is one transaction: an
/// error puts back what was taken.
#[pumice::procedure]
fn transfer(Transfer { from, to, points }: Transfer) -> Result<[Member; 2], Rejection> {
    if points <= 0 {
        return Err(reject("invalid_points", "give one point or more"));
    }
    let giver = add(&from, -points)?;
    let taker = add(&to, points)?;
    Ok([giver, taker])
}

fn add(name: &str, points: i64) -> Result<Member, Rejection> {
    let changed = data::sql(
        "update members set points = points + $2 where name = $1 returning name, points",
        params![name, points],
    );
    match changed {
        // The check of points: none may have fewer than 0.
        Err(error) if error.code() == Some("23514") => {
            Err(reject("too_few_points", format!("{name} has not so many")))
        }
        changed => changed?
            .first()?
            .ok_or_else(|| reject("no_member", format!("nobody is called {name}"))),
    }
}
