import { data, defineProcedure, reject } from '@pumice/sdk'

// Moves `amount` points from one row of `members` to another; answers with what each has then.
export default defineProcedure(async ({ from, to, amount }) => {
  if (!(amount > 0)) reject('invalid_amount', 'amount must be above zero')
  const payer = await points('update members set points = points - $2 where id = $1 and points >= $2 returning points', from, amount)
  if (payer === undefined) reject('insufficient_points', 'there are not so many points to transfer')
  // The points taken above go back if this refuses: the whole call is one transaction.
  const payee = await points('update members set points = points + $2 where id = $1 returning points', to, amount)
  if (payee === undefined) reject('no_member', 'there is nobody to transfer to')
  return { from: payer, to: payee }
})

async function points(statement, id, amount) {
  const { data: rows, error } = await data.sql(statement, [id, amount])
  if (error) throw error
  return rows[0]?.points
}
