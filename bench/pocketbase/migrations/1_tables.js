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
  // The tables of bench/tables/articles.sql: a rule decides which rows anybody sees.
  const author = new Collection({
    type: 'base', name: 'author', listRule: '', viewRule: '',
    fields: [{ type: 'text', name: 'name' }],
  })
  app.save(author)
  app.save(new Collection({
    type: 'base',
    name: 'article',
    listRule: 'published = true',
    viewRule: 'published = true',
    updateRule: '',
    fields: [
      { type: 'relation', name: 'author', collectionId: author.id, maxSelect: 1 },
      { type: 'text', name: 'title' },
      { type: 'number', name: 'quantity', onlyInt: true },
      { type: 'bool', name: 'published' },
    ],
  }))
  app.db().newQuery(`
    with recursive number(n) as (select 1 union all select n + 1 from number where n < 100)
    insert into author (id, name) select printf('row%012d', n), 'Author ' || n from number
  `).execute()
  app.db().newQuery(`
    with recursive number(n) as (select 1 union all select n + 1 from number where n < 10000)
    insert into article (id, author, title, quantity, published)
    select printf('row%012d', n), printf('row%012d', n % 100 + 1), 'Item ' || n, n % 1000, n % 4 <> 0 from number
  `).execute()
  const settings = app.settings()
  settings.batch.enabled = true
  settings.batch.maxRequests = 500
  app.save(settings)
})
