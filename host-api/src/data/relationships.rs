//! What leads from one relation to another: foreign keys in both directions, through junction tables,
//! through views, and functions on PostgreSQL. Found once per schema, read by every embed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::schema::{Function, Kind, PUBLIC, Returns, Schema, Table};

/// A view that shows a foreign key's columns several times relates in this many ways at most.
const SHOWN_MAX: usize = 16;

/// All relationships of a schema, by the relation they start from (schema, name).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relationships(BTreeMap<(String, String), Vec<Arc<Relationship>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relationship {
    pub from: Arc<Table>,
    pub to: Arc<Table>,
    pub link: Link,
}

/// How rows of the two belong together. Pairs are indices of columns that must be equal: of `from` and
/// of `to` unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// `from` has the foreign key.
    ManyToOne {
        constraint: String,
        pairs: Vec<(usize, usize)>,
    },
    /// `to` has the foreign key.
    OneToMany {
        constraint: String,
        pairs: Vec<(usize, usize)>,
    },
    /// The foreign key's columns are unique.
    OneToOne {
        constraint: String,
        pairs: Vec<(usize, usize)>,
        /// Whether `to` has the foreign key.
        parent: bool,
    },
    /// Both foreign keys are in the junction's primary key.
    ManyToMany {
        junction: Arc<Table>,
        /// The junction's key to `from`, and the one to `to`.
        constraints: (String, String),
        /// Column of `from`, column of the junction.
        near: Vec<(usize, usize)>,
        /// Column of the junction, column of `to`.
        far: Vec<(usize, usize)>,
    },
    /// A function of PostgreSQL that takes a row of `from` and returns rows of `to`.
    Computed { function: Arc<Function> },
}

impl Relationships {
    /// Finds them all.
    pub(super) fn of(schema: &Schema) -> Relationships {
        let mut keys = foreign_keys(schema);
        let shown = through_views(schema, &keys);
        keys.extend(shown);
        let mut found = BTreeMap::new();
        for key in &keys {
            add(&mut found, key.forward());
            add(&mut found, key.backward());
        }
        junctions(&keys, &mut found);
        computed(schema, &mut found);
        for relationships in found.values_mut() {
            relationships.sort_by(|a, b| a.rank().cmp(&b.rank()));
        }
        Relationships(found)
    }

    /// Those that start from a relation, in order of their target and constraint.
    pub fn from(&self, table: &Table) -> &[Arc<Relationship>] {
        self.0.get(&identity(table)).map_or(&[], Vec::as_slice)
    }

    /// Schema and name of every relation that relationships start from.
    pub fn origins(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.keys().map(|(space, name)| (&**space, &**name))
    }
}

impl Relationship {
    /// Whether a row of `from` has one row of `to` at most.
    pub fn to_one(&self) -> bool {
        match &self.link {
            Link::ManyToOne { .. } | Link::OneToOne { .. } => true,
            Link::OneToMany { .. } | Link::ManyToMany { .. } => false,
            Link::Computed { function } => !function.set || function.one_row,
        }
    }

    /// Whether both ends are the same relation.
    pub fn is_self(&self) -> bool {
        self.from.schema == self.to.schema && self.from.name == self.to.name
    }

    fn rank(&self) -> (&str, &str, u8, &str, &str, &[(usize, usize)]) {
        let (kind, first, second, pairs): (u8, &str, &str, &[(usize, usize)]) = match &self.link {
            Link::Computed { function } => (0, function.name.as_str(), "", &[]),
            Link::ManyToOne { constraint, pairs } => (1, constraint, "", pairs),
            Link::OneToOne {
                constraint, pairs, ..
            } => (2, constraint, "", pairs),
            Link::OneToMany { constraint, pairs } => (3, constraint, "", pairs),
            Link::ManyToMany {
                junction,
                constraints,
                near,
                ..
            } => (4, junction.name.as_str(), &constraints.0, near),
        };
        let to = (self.to.schema.as_str(), self.to.name.as_str());
        (to.0, to.1, kind, first, second, pairs)
    }
}

/// The table or view whose row type an argument's type is.
pub(super) fn row_of<'s>(
    schema: &'s Schema,
    function: &Function,
    ty: &str,
) -> Option<&'s Arc<Table>> {
    let names = identifiers(ty)?;
    match names.as_slice() {
        [name] => {
            let own = schema.relation(function.schema.as_str(), name);
            own.or_else(|| schema.relation(PUBLIC, name))
        }
        [space, name] => schema.relation(space, name),
        _ => None,
    }
}

/// `a."B c"` as its names; none when it is no such list.
fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut names = vec![String::new()];
    let mut rest = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        let name = names.last_mut()?;
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            ' ' | '(' | '[' if !quoted => return None,
            c => name.push(c),
        }
    }
    (!quoted).then_some(names)
}

/// A foreign key between two relations, as columns of both.
#[derive(Clone)]
struct Tie {
    from: Arc<Table>,
    to: Arc<Table>,
    constraint: String,
    pairs: Vec<(usize, usize)>,
    /// Whether its columns are unique in `from`.
    unique: bool,
}

impl Tie {
    fn forward(&self) -> Relationship {
        let (constraint, pairs) = (self.constraint.clone(), self.pairs.clone());
        Relationship {
            from: self.from.clone(),
            to: self.to.clone(),
            link: match self.unique {
                true => Link::OneToOne {
                    constraint,
                    pairs,
                    parent: false,
                },
                false => Link::ManyToOne { constraint, pairs },
            },
        }
    }

    fn backward(&self) -> Relationship {
        let constraint = self.constraint.clone();
        let pairs = self.pairs.iter().map(|&(near, far)| (far, near)).collect();
        Relationship {
            from: self.to.clone(),
            to: self.from.clone(),
            link: match self.unique {
                true => Link::OneToOne {
                    constraint,
                    pairs,
                    parent: true,
                },
                false => Link::OneToMany { constraint, pairs },
            },
        }
    }
}

type Found = BTreeMap<(String, String), Vec<Arc<Relationship>>>;

fn identity(table: &Table) -> (String, String) {
    let (space, name) = (table.schema.as_str(), table.name.as_str());
    (space.to_owned(), name.to_owned())
}

fn add(found: &mut Found, relationship: Relationship) {
    let from = found.entry(identity(&relationship.from)).or_default();
    from.push(Arc::new(relationship));
}

fn relations(schema: &Schema) -> impl Iterator<Item = &Arc<Table>> {
    schema.relations.values().flat_map(BTreeMap::values)
}

/// Those of tables; a key to a table that the API does not know leads nowhere.
fn foreign_keys(schema: &Schema) -> Vec<Tie> {
    let mut ties = Vec::new();
    for from in relations(schema) {
        for key in &from.foreign_keys {
            let Some(to) = schema.relation(&key.to_schema, &key.to_table) else {
                continue;
            };
            let far: Option<Vec<usize>> =
                key.to_columns.iter().map(|name| to.column(name)).collect();
            let Some(far) = far.filter(|far| far.len() == key.columns.len()) else {
                continue;
            };
            let columns: BTreeSet<usize> = key.columns.iter().copied().collect();
            let uniques = from.primary_key.iter().chain(&from.unique);
            ties.push(Tie {
                from: from.clone(),
                to: to.clone(),
                constraint: key.name.clone(),
                pairs: key.columns.iter().copied().zip(far).collect(),
                unique: uniques
                    .map(|unique| unique.columns.iter().copied().collect::<BTreeSet<_>>())
                    .any(|unique| unique == columns),
            });
        }
    }
    ties
}

/// The columns of a view that show a column of a table, by that column's name.
type Shown = HashMap<String, Vec<usize>>;

/// Views that show a table, by schema and name.
type Views = BTreeMap<(String, String), (Arc<Table>, Shown)>;

/// The same ties where a view stands for either table or both.
fn through_views(schema: &Schema, ties: &[Tie]) -> Vec<Tie> {
    // By the table that is shown, then by view.
    let mut views: HashMap<(String, String), Views> = HashMap::new();
    for view in relations(schema).filter(|table| table.kind != Kind::Table) {
        for (index, column) in view.columns.iter().enumerate() {
            let Some(source) = &column.source else {
                continue;
            };
            let table = (source.schema.clone(), source.table.clone());
            let of = views.entry(table).or_default();
            let shown = of
                .entry(identity(view))
                .or_insert_with(|| (view.clone(), Shown::new()));
            let columns = shown.1.entry(source.column.clone()).or_default();
            columns.push(index);
        }
    }
    let mut more = Vec::new();
    for tie in ties {
        let near: Vec<usize> = tie.pairs.iter().map(|pair| pair.0).collect();
        let far: Vec<usize> = tie.pairs.iter().map(|pair| pair.1).collect();
        let mut froms = vec![(tie.from.clone(), near.clone())];
        let mut tos = vec![(tie.to.clone(), far.clone())];
        for (ends, table, columns) in [(&mut froms, &tie.from, near), (&mut tos, &tie.to, far)] {
            let of = views.get(&identity(table));
            for (view, shown) in of.into_iter().flat_map(BTreeMap::values) {
                let ways = ways(table, shown, &columns);
                ends.extend(ways.into_iter().map(|columns| (view.clone(), columns)));
            }
        }
        for (f, (from, near)) in froms.iter().enumerate() {
            for (t, (to, far)) in tos.iter().enumerate() {
                // The first of both are the tables themselves.
                if f + t > 0 {
                    more.push(Tie {
                        from: from.clone(),
                        to: to.clone(),
                        constraint: tie.constraint.clone(),
                        pairs: near.iter().copied().zip(far.iter().copied()).collect(),
                        unique: tie.unique,
                    });
                }
            }
        }
    }
    more
}

/// Every way to find all of a table's `columns` among those that a view shows.
fn ways(table: &Table, shown: &Shown, columns: &[usize]) -> Vec<Vec<usize>> {
    let mut ways = vec![Vec::new()];
    for &column in columns {
        let Some(places) = shown.get(table.columns[column].name.as_str()) else {
            return Vec::new();
        };
        ways = ways
            .iter()
            .flat_map(|way| {
                places.iter().map(move |&place| {
                    let mut longer: Vec<usize> = way.clone();
                    longer.push(place);
                    longer
                })
            })
            .take(SHOWN_MAX)
            .collect();
    }
    ways
}

/// Tables and views whose primary key holds two foreign keys tie together what these point to.
fn junctions(ties: &[Tie], found: &mut Found) {
    let mut by_junction: BTreeMap<(String, String), Vec<&Tie>> = BTreeMap::new();
    for tie in ties.iter().filter(|tie| !tie.unique) {
        let key = tie.from.primary_key.as_ref();
        let inside =
            |key: &super::Key| tie.pairs.iter().all(|(near, _)| key.columns.contains(near));
        if key.is_some_and(inside) {
            by_junction
                .entry(identity(&tie.from))
                .or_default()
                .push(tie);
        }
    }
    for ties in by_junction.values() {
        for near in ties {
            for far in ties.iter().filter(|far| far.constraint != near.constraint) {
                let relationship = Relationship {
                    from: near.to.clone(),
                    to: far.to.clone(),
                    link: Link::ManyToMany {
                        junction: near.from.clone(),
                        constraints: (near.constraint.clone(), far.constraint.clone()),
                        near: near.pairs.iter().map(|&(j, t)| (t, j)).collect(),
                        far: far.pairs.clone(),
                    },
                };
                add(found, relationship);
            }
        }
    }
}

/// Functions that take a row and return rows. One stands in for whatever else leads to a relation of
/// its own name.
fn computed(schema: &Schema, found: &mut Found) {
    let functions = schema.functions.values().flat_map(BTreeMap::values);
    for function in functions.flatten() {
        let ([argument], Returns::Relation(space, name)) =
            (function.arguments.as_slice(), &function.returns)
        else {
            continue;
        };
        let from = row_of(schema, function, &argument.ty);
        let (Some(from), Some(to)) = (from, schema.relation(space, name)) else {
            continue;
        };
        if let Some(relationships) = found.get_mut(&identity(from)) {
            relationships.retain(|other| {
                let computed = matches!(other.link, Link::Computed { .. });
                computed || other.to.schema != function.schema || other.to.name != function.name
            });
        }
        let relationship = Relationship {
            from: from.clone(),
            to: to.clone(),
            link: Link::Computed {
                function: function.clone(),
            },
        };
        add(found, relationship);
    }
}
