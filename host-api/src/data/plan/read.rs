//! Reads: a select, its embeds and aggregates, as nodes.

use std::sync::Arc;

use super::super::query::{
    AggregateFunction, Item, Key, OrderTerm, Preferences, Query, Relation, Step,
};
use super::super::relationships::Relationship;
use super::super::schema::Function;
use super::super::{DataError, Link, Table};
use super::expr::Level;
use super::tree::{Shape, Tree};
use super::{
    CastType, Condition, Expr, MEMBERS_MAX, NODES_MAX, Node, Order, Output, ReadPlan, Scope,
    Source, faults, rights, weight,
};

/// The largest number that limit and offset may be in SQL.
pub(super) const BIGINT_MAX: u64 = i64::MAX as u64;

/// The name under which rows are counted.
const COUNT: &str = "count";

/// Plans a read of a table or view.
///
/// # Errors
/// The dialect's for names, relationships and features; 42501 without the right on SQLite.
pub fn read(
    scope: &Scope<'_>,
    query: &Query,
    preferences: Preferences,
) -> Result<ReadPlan, DataError> {
    let table = scope.relation(query)?;
    let rows_max = scope.settings.rows_max;
    let mut tree = Tree::of(query)?;
    let shape = Shape::Table(table.clone());
    tree.resolve(scope, scope.space(query)?, &shape)?;
    let mut planner = Planner::new(scope, Some(rows_max));
    let node = planner.root(&tree, shape, Source::Relation(table))?;
    rights::read(scope, &node)?;
    Ok(ReadPlan {
        node,
        preferences,
        rows_max,
    })
}

/// All columns of a table.
pub fn whole_row(table: &Arc<Table>) -> Node {
    let outputs = (0..table.columns.len()).map(|column| output(table, column));
    bare(Source::Relation(table.clone()), outputs.collect())
}

/// A column of the table called `_t0`, under its own name.
pub(super) fn output(table: &Arc<Table>, column: usize) -> Output {
    Output {
        key: table.columns[column].name.as_str().to_owned(),
        expr: Expr::Column {
            alias: 0,
            table: table.clone(),
            column,
        },
    }
}

/// Outputs of all rows.
pub(super) fn bare(source: Source, outputs: Vec<Output>) -> Node {
    Node {
        source,
        alias: 0,
        outputs,
        conditions: Vec::new(),
        groups: None,
        orders: Vec::new(),
        limit: None,
        offset: None,
    }
}

pub(super) struct Planner<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// Rows that a relation with many answers at most; none for what a write answers.
    rows_max: Option<u64>,
    alias: u32,
    nodes: usize,
    /// Where the aliases of spread relations begin: the relation above, its key, and the alias before.
    spread: Vec<(u32, String, u32)>,
    /// The weight of conditions and orders in subqueries so far.
    members: usize,
}

/// An output whose aggregate is not yet applied: inside a spread it belongs to the outer level.
struct Member {
    key: String,
    /// None for all rows, counted.
    of: Option<Expr>,
    aggregate: Option<(AggregateFunction, Option<CastType>)>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, rows_max: Option<u64>) -> Planner<'a> {
        Planner {
            scope,
            rows_max,
            alias: 0,
            nodes: 0,
            spread: Vec::new(),
            members: 0,
        }
    }

    /// The outermost node, with a limit when rows are.
    pub(super) fn root(
        &mut self,
        tree: &Tree<'_>,
        shape: Shape,
        source: Source,
    ) -> Result<Node, DataError> {
        self.aggregates(tree)?;
        let level = Level {
            name: shape.name().to_owned(),
            shape,
            alias: 0,
            depth: 0,
        };
        let mut node = bare(source, Vec::new());
        node.conditions = self.conditions(tree, &level)?;
        self.finish(&mut node, tree, &level)?;
        // Writes answer all that they wrote.
        if let Some(rows_max) = self.rows_max {
            node.limit = Some(tree.limit.map_or(rows_max, |limit| limit.min(rows_max)));
            node.offset = tree.offset.map(|offset| offset.min(BIGINT_MAX));
        }
        Ok(node)
    }

    /// PGRST123 and PGRST127, before any column is looked at.
    fn aggregates(&self, tree: &Tree<'_>) -> Result<(), DataError> {
        let of = |item: &Item| match item {
            Item::Count { .. } => true,
            Item::Field { aggregate, .. } => aggregate.is_some(),
            _ => false,
        };
        if !self.scope.settings.aggregates && tree.items.iter().any(of) {
            return Err(faults::no_aggregates());
        }
        tree.children
            .iter()
            .try_for_each(|child| self.aggregates(child))
    }

    fn spend(&mut self, nodes: usize) -> Result<(), DataError> {
        self.nodes += nodes;
        match self.nodes > NODES_MAX {
            true => Err(DataError::TooLarge(format!(
                "a request reads at most {NODES_MAX} embedded relations and columns of spread ones"
            ))),
            false => Ok(()),
        }
    }

    /// Counts what stands in a subquery, or is about to be repeated in one.
    fn weigh(&mut self, members: usize) -> Result<(), DataError> {
        self.members = self.members.saturating_add(members);
        match self.members > MEMBERS_MAX {
            true => Err(DataError::TooLarge(format!(
                "filters and orders of embedded relations have more than {MEMBERS_MAX} members, those of a spread one counted for each of its columns; spread fewer columns, or embed the relation"
            ))),
            false => Ok(()),
        }
    }

    /// A node for a relation as its parent's rows reach it, without outputs.
    fn embed(&mut self, tree: &Tree<'_>, parent: &Level) -> Result<(Node, Level), DataError> {
        self.spend(1)?;
        let relationship = tree
            .relationship
            .as_deref()
            .expect("a tree is resolved before it is planned");
        self.alias += 1;
        let alias = self.alias;
        let to = &relationship.to;
        let mut level = Level {
            shape: Shape::Table(to.clone()),
            name: format!("{}_{}", to.name.as_str(), parent.depth + 1),
            alias,
            depth: parent.depth + 1,
        };
        let mut node = bare(Source::Relation(to.clone()), Vec::new());
        node.alias = alias;
        match &relationship.link {
            Link::ManyToOne { pairs, .. }
            | Link::OneToMany { pairs, .. }
            | Link::OneToOne { pairs, .. } => {
                node.conditions = same(
                    (parent.alias, &relationship.from),
                    (alias, to),
                    pairs.iter().copied(),
                );
            }
            Link::ManyToMany {
                junction,
                near,
                far,
                ..
            } => {
                level.name = to.name.as_str().to_owned();
                self.alias += 1;
                let middle = (self.alias, junction);
                node.source = Source::Through {
                    table: to.clone(),
                    junction: junction.clone(),
                    alias: self.alias,
                };
                let from = (parent.alias, &relationship.from);
                node.conditions = same(from, middle, near.iter().copied());
                let far = same(middle, (alias, to), far.iter().copied());
                node.conditions.extend(far);
            }
            Link::Computed { function } => {
                node.source = Source::Computed {
                    function: function.clone(),
                    row: parent.alias,
                    table: to.clone(),
                };
            }
        }
        let own = self.conditions(tree, &level)?;
        self.weigh(own.iter().map(weight::condition).sum())?;
        node.conditions.extend(own);
        let limit = tree.limit.map(|limit| limit.min(BIGINT_MAX));
        node.limit = match (limit, self.rows_max) {
            (limit, Some(rows_max)) if !relationship.to_one() => {
                Some(limit.map_or(rows_max, |limit| limit.min(rows_max)))
            }
            (limit, _) => limit,
        };
        node.offset = tree.offset.map(|offset| offset.min(BIGINT_MAX));
        Ok((node, level))
    }

    /// Whether a row of the parent has a row of an embedded relation.
    pub(super) fn exists(
        &mut self,
        tree: &Tree<'_>,
        parent: &Level,
        not: bool,
    ) -> Result<Condition, DataError> {
        let (mut node, _) = self.embed(tree, parent)?;
        // A limit matters to whether there is a row when there may be none left.
        if tree.limit != Some(0) {
            node.limit = None;
        }
        let node = Box::new(node);
        Ok(Condition::Exists { node, not })
    }

    /// A relation's own filters, and those that its inner embeds make.
    fn conditions(&mut self, tree: &Tree<'_>, level: &Level) -> Result<Vec<Condition>, DataError> {
        let mut conditions = Vec::new();
        for filter in &tree.filters {
            conditions.push(self.condition(filter, Some(tree), level)?);
        }
        for child in tree.children.iter().filter(|child| child.inner()) {
            conditions.push(self.exists(child, level, false)?);
        }
        Ok(conditions)
    }

    /// Outputs, groups and orders.
    fn finish(&mut self, node: &mut Node, tree: &Tree<'_>, level: &Level) -> Result<(), DataError> {
        let members = self.members(tree, level)?;
        if members.iter().any(|member| member.aggregate.is_some()) {
            let plain = members.iter().filter(|member| member.aggregate.is_none());
            let plain = plain.filter_map(|member| member.of.as_ref());
            self.weigh(plain.clone().map(weight::expr).sum())?;
            node.groups = Some(plain.cloned().collect());
        }
        node.outputs = members.into_iter().map(Member::output).collect();
        node.orders = self.orders(tree, level, node.groups.is_some())?;
        if let Some(groups) = &node.groups {
            level.grouped(groups, &node.orders)?;
        }
        Ok(())
    }

    fn members(&mut self, tree: &Tree<'_>, level: &Level) -> Result<Vec<Member>, DataError> {
        let mut members = Vec::new();
        let mut children = tree.children.iter();
        for item in tree.items {
            match item {
                Item::Star => members.extend(level.star().into_iter().map(Member::plain)),
                Item::Count { alias, cast } => {
                    let cast = cast.as_deref();
                    let cast = cast.map(|cast| self.cast(cast)).transpose()?;
                    members.push(Member {
                        key: alias.clone().unwrap_or_else(|| COUNT.to_owned()),
                        of: None,
                        aggregate: Some((AggregateFunction::Count, cast)),
                    });
                }
                // `comments(count)`: how many rows, where no column is called so. PostgreSQL reads the
                // column of a row that has none as a call, so the dialect has it without aggregates.
                Item::Field {
                    field,
                    alias,
                    cast: None,
                    aggregate: None,
                } if field.name == COUNT
                    && field.path.is_empty()
                    && self.field(field, level).is_err() =>
                {
                    members.push(Member {
                        key: alias.clone().unwrap_or_else(|| COUNT.to_owned()),
                        of: None,
                        aggregate: Some((AggregateFunction::Count, None)),
                    });
                }
                Item::Field {
                    field,
                    alias,
                    cast,
                    aggregate,
                } => {
                    let mut of = self.field(field, level)?;
                    if let Some(cast) = cast {
                        let to = self.cast(cast)?;
                        of = Expr::Cast {
                            of: Box::new(of),
                            to,
                        };
                    }
                    let aggregate = match aggregate {
                        None => None,
                        Some(aggregate) => {
                            let cast = aggregate.cast.as_deref();
                            let cast = cast.map(|cast| self.cast(cast)).transpose()?;
                            Some((aggregate.function, cast))
                        }
                    };
                    let key = match (alias, &aggregate) {
                        (Some(alias), _) => alias.clone(),
                        (None, Some((function, _))) => label(*function).to_owned(),
                        (None, None) => last_name(&field.name, &field.path).to_owned(),
                    };
                    members.push(Member {
                        key,
                        of: Some(of),
                        aggregate,
                    });
                }
                Item::Relation(relation) => {
                    let child = children
                        .next()
                        .expect("a tree has a child for each relation of its select");
                    self.relation(relation, child, level, &mut members)?;
                }
            }
        }
        Ok(members)
    }

    fn relation(
        &mut self,
        relation: &Relation,
        child: &Tree<'_>,
        parent: &Level,
        members: &mut Vec<Member>,
    ) -> Result<(), DataError> {
        if child.silent() {
            return Ok(());
        }
        let relationship = child
            .relationship
            .clone()
            .expect("a tree is resolved before it is planned");
        let to_one = relationship.to_one();
        if relation.spread {
            let place = (parent.alias, child.key().to_owned(), self.alias);
            self.spread.push(place);
        }
        let (mut node, level) = self.embed(child, parent)?;
        if !relation.spread {
            self.finish(&mut node, child, &level)?;
            let node = Box::new(node);
            members.push(Member::plain(Output {
                key: child.key().to_owned(),
                expr: match to_one {
                    true => Expr::One(node),
                    false => Expr::Many(node),
                },
            }));
            return Ok(());
        }
        node.orders = self.orders(child, &level, false)?;
        let inside = self.members(child, &level)?;
        self.spend(inside.len())?;
        self.weigh(weight::node(&node).saturating_mul(inside.len()))?;
        for member in inside {
            if !to_one && member.aggregate.is_some() {
                return Err(faults::not_implemented(
                    "Aggregates are not implemented for one-to-many or many-to-many spreads.",
                ));
            }
            let expr = match member.of {
                Some(expr) => expr,
                None => matched(&relationship, level.alias),
            };
            let mut node = Box::new(node.clone());
            node.outputs = vec![Output {
                key: member.key.clone(),
                expr,
            }];
            members.push(Member {
                key: member.key,
                of: Some(match to_one {
                    true => Expr::Value(node),
                    false => Expr::Values(node),
                }),
                aggregate: member.aggregate,
            });
        }
        Ok(())
    }

    /// With `grouped`, a column of a spread relation is the very expression that rows are grouped by:
    /// PostgreSQL compares them with their aliases.
    fn orders(
        &mut self,
        tree: &Tree<'_>,
        level: &Level,
        grouped: bool,
    ) -> Result<Vec<Order>, DataError> {
        let mut orders = Vec::new();
        for order in &tree.orders {
            let expr = match &order.term {
                OrderTerm::Field(field) => self.field(field, level)?,
                OrderTerm::Related(name, field) => {
                    let child = tree.child(name).ok_or_else(|| faults::not_embedded(name))?;
                    let to_one = child
                        .relationship
                        .as_deref()
                        .is_some_and(Relationship::to_one);
                    if !to_one {
                        return Err(faults::related_order(level.shape.name(), name));
                    }
                    let last = self.alias;
                    let mut spread = self.spread.iter();
                    let same = spread.find(|(of, key, _)| *of == level.alias && *key == *name);
                    if let (true, Some((_, _, before))) = (grouped, same) {
                        self.alias = *before;
                    }
                    let (mut node, inside) = self.embed(child, level)?;
                    self.alias = self.alias.max(last);
                    node.outputs = vec![Output {
                        key: field.name.clone(),
                        expr: self.field(field, &inside)?,
                    }];
                    Expr::Value(Box::new(node))
                }
            };
            orders.push(Order {
                expr,
                descending: order.descending,
                nulls_first: order.nulls_first.unwrap_or(order.descending),
            });
        }
        Ok(orders)
    }
}

impl Member {
    fn plain(output: Output) -> Member {
        Member {
            key: output.key,
            of: Some(output.expr),
            aggregate: None,
        }
    }

    fn output(self) -> Output {
        let expr = match (self.aggregate, self.of) {
            (None, Some(of)) => of,
            (aggregate, of) => {
                let (function, cast) = aggregate.unwrap_or((AggregateFunction::Count, None));
                let of = of.map(Box::new);
                let aggregate = Expr::Aggregate { function, of };
                match cast {
                    None => aggregate,
                    Some(to) => Expr::Cast {
                        of: Box::new(aggregate),
                        to,
                    },
                }
            }
        };
        Output {
            key: self.key,
            expr,
        }
    }
}

/// Pairs of columns that must be equal.
fn same(
    (near, from): (u32, &Arc<Table>),
    (far, to): (u32, &Arc<Table>),
    pairs: impl Iterator<Item = (usize, usize)>,
) -> Vec<Condition> {
    let column = |alias: u32, table: &Arc<Table>, column: usize| Expr::Column {
        alias,
        table: table.clone(),
        column,
    };
    pairs
        .map(|(a, b)| Condition::Same(column(near, from, a), column(far, to, b)))
        .collect()
}

/// A value that is never null where the relationship has a row: `count()` of a spread relation.
fn matched(relationship: &Relationship, alias: u32) -> Expr {
    let key = relationship.to.primary_key.as_ref();
    let column = match &relationship.link {
        Link::ManyToOne { pairs, .. }
        | Link::OneToMany { pairs, .. }
        | Link::OneToOne { pairs, .. } => pairs.first().map(|pair| pair.1),
        Link::ManyToMany { far, .. } => far.first().map(|pair| pair.1),
        Link::Computed { .. } => key.and_then(|key| key.columns.first().copied()),
    };
    if relationship.to.columns.is_empty() {
        return Expr::Aggregate {
            function: AggregateFunction::Count,
            of: None,
        };
    }
    Expr::Column {
        alias,
        table: relationship.to.clone(),
        column: column.unwrap_or(0),
    }
}

fn label(function: AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::Sum => "sum",
        AggregateFunction::Avg => "avg",
        AggregateFunction::Max => "max",
        AggregateFunction::Min => "min",
        AggregateFunction::Count => COUNT,
    }
}

/// What a field is called in the answer: the last name on its path.
fn last_name<'f>(name: &'f str, path: &'f [Step]) -> &'f str {
    let mut steps = path.iter().rev();
    let last = steps.find_map(|step| match &step.key {
        Key::Name(name) => Some(name.as_str()),
        Key::Index(_) => None,
    });
    last.unwrap_or(name)
}

/// Whether a function computes a field of a table's rows.
pub(super) fn computes(scope: &Scope<'_>, function: &Function, table: &Table) -> bool {
    let [argument] = function.arguments.as_slice() else {
        return false;
    };
    let scalar = matches!(function.returns, super::super::schema::Returns::Scalar(_));
    let row = super::super::relationships::row_of(scope.schema, function, &argument.ty);
    scalar
        && !function.set
        && row.is_some_and(|row| row.schema == table.schema && row.name == table.name)
}
