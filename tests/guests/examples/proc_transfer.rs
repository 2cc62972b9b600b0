//! A procedure that moves `amount` points from one row of `members` to another: `{"from", "to", "amount"}`,
//! answered with what each has then.

use pumice::{Rejection, data, reject};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Transfer {
    from: Value,
    to: Value,
    amount: i64,
}

#[derive(Serialize)]
struct Balances {
    from: i64,
    to: i64,
}

#[derive(Deserialize)]
struct Member {
    points: i64,
}

#[pumice::procedure]
fn transfer(Transfer { from, to, amount }: Transfer) -> Result<Balances, Rejection> {
    if amount <= 0 {
        return Err(reject("invalid_amount", "amount must be above zero"));
    }
    let taken = data::sql(
        "update members set points = points - $2 where id = $1 and points >= $2 returning points",
        data::params![from, amount],
    )?;
    let Some(payer) = taken.first::<Member>()? else {
        return Err(reject(
            "insufficient_points",
            "there are not so many points to transfer",
        ));
    };
    let given = data::sql(
        "update members set points = points + $2 where id = $1 returning points",
        data::params![to, amount],
    )?;
    // The points taken above go back: the whole call is one transaction.
    let Some(payee) = given.first::<Member>()? else {
        return Err(reject("no_member", "there is nobody to transfer to"));
    };
    Ok(Balances {
        from: payer.points,
        to: payee.points,
    })
}
