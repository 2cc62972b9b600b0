// The tables of bench/tables/items.sql as PocketBase has them, open to all, with the rows to read.
migrate((app) => {
  for (const name of ['item', 'entry', 'stamped_by_hook']) {
    app.save(new Collection({
      type: 'base',
      name,
      listRule: '',
      viewRule: '',
      createRule: '',
      fields: [
        { type: 'text', name: 'title' },
        { type: 'number', name: 'quantity', onlyInt: true },
        { type: 'bool', name: 'done' },
        { type: 'text', name: 'stamped_by' },
      ],
    }))
  }
  app.db().newQuery(`
    with recursive number(n) as (select 1 union all select n + 1 from number where n < 10000)
    insert into item (id, title, quantity, done, stamped_by)
    select printf('row%012d', n), 'Item ' || n, n % 1000, n % 2 = 0, '' from number
  `).execute()
})
