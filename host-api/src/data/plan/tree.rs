//! A select as a tree of relations: which relationship each follows, and which filters, orders and
//! limits are meant for it.

use std::sync::Arc;

use super::super::query::{Condition, Item, Order, Path, Query, Relation, Test, elements};
use super::super::relationships::Relationship;
use super::super::schema::Function;
use super::super::{DataError, FILTERS_MAX, LIST_MAX, Link, Table};
use super::{EMBEDS_MAX, Scope, faults};

/// What a node's rows are.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Table(Arc<Table>),
    /// Rows that a called function answers and that are no table's.
    Record(Arc<Function>),
}

impl Shape {
    pub(super) fn name(&self) -> &str {
        match self {
            Shape::Table(table) => table.name.as_str(),
            Shape::Record(function) => function.name.as_str(),
        }
    }
}

/// A relation in a request with all that the request says of it.
#[derive(Debug)]
pub(super) struct Tree<'q> {
    pub items: &'q [Item],
    /// One for each relation among `items`, in their order.
    pub children: Vec<Tree<'q>>,
    /// None at the root.
    pub asked: Option<&'q Relation>,
    /// Set by [`Tree::resolve`] on all but the root.
    pub relationship: Option<Arc<Relationship>>,
    pub filters: Vec<&'q Condition>,
    pub orders: Vec<&'q Order>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
}

const STAR: &[Item] = &[Item::Star];

impl<'q> Tree<'q> {
    /// Reads a query's select and puts its filters, orders and limits where their paths lead.
    ///
    /// # Errors
    /// PGRST108 for a path that leads nowhere; too large beyond the limits.
    pub(super) fn of(query: &'q Query) -> Result<Tree<'q>, DataError> {
        bounded(query)?;
        let items = query.select.as_deref().unwrap_or(STAR);
        let mut root = Tree::node(items, None);
        for filter in &query.filters {
            root.at(&filter.path)?.filters.push(&filter.condition);
        }
        for (path, orders) in &query.orders {
            root.at(path)?.orders = orders.iter().collect();
        }
        for (path, limit) in &query.limits {
            root.at(path)?.limit = Some(*limit);
        }
        for (path, offset) in &query.offsets {
            root.at(path)?.offset = Some(*offset);
        }
        Ok(root)
    }

    fn node(items: &'q [Item], asked: Option<&'q Relation>) -> Tree<'q> {
        let children = items.iter().filter_map(|item| match item {
            Item::Relation(relation) => Some(Tree::node(&relation.select, Some(relation))),
            _ => None,
        });
        Tree {
            items,
            children: children.collect(),
            asked,
            relationship: None,
            filters: Vec::new(),
            orders: Vec::new(),
            limit: None,
            offset: None,
        }
    }

    fn at(&mut self, path: &Path) -> Result<&mut Tree<'q>, DataError> {
        path.iter().try_fold(self, |tree, name| {
            let children = &mut tree.children;
            let found = children.iter_mut().find(|child| {
                child
                    .asked
                    .is_some_and(|asked| asked.name == *name || asked.alias.as_ref() == Some(name))
            });
            found.ok_or_else(|| faults::not_embedded(name))
        })
    }

    /// The embedded relation that answers under `key`, when there is one.
    pub(super) fn child(&self, key: &str) -> Option<&Tree<'q>> {
        self.children.iter().find(|child| child.key() == key)
    }

    /// What the relation is called in the answer.
    pub(super) fn key(&self) -> &'q str {
        self.asked.map_or("", |asked| {
            asked.alias.as_deref().unwrap_or(asked.name.as_str())
        })
    }

    pub(super) fn inner(&self) -> bool {
        self.asked.is_some_and(|asked| asked.inner)
    }

    /// Whether nothing of it is answered: `rel()`.
    pub(super) fn silent(&self) -> bool {
        let relations_only = self.items.len() == self.children.len();
        relations_only && self.children.iter().all(Tree::silent)
    }

    /// Finds the relationship that each relation of the tree follows.
    ///
    /// # Errors
    /// PGRST200, PGRST201.
    pub(super) fn resolve(
        &mut self,
        scope: &Scope<'_>,
        space: &str,
        shape: &Shape,
    ) -> Result<(), DataError> {
        for child in &mut self.children {
            let Some(asked) = child.asked else { continue };
            let relationship = find(scope, space, shape, asked)?;
            let shape = Shape::Table(relationship.to.clone());
            child.relationship = Some(relationship);
            child.resolve(scope, space, &shape)?;
        }
        Ok(())
    }
}

fn find(
    scope: &Scope<'_>,
    space: &str,
    shape: &Shape,
    asked: &Relation,
) -> Result<Arc<Relationship>, DataError> {
    let relationships = &scope.schema.relationships;
    let from = match shape {
        Shape::Table(table) => relationships.from(table),
        Shape::Record(_) => &[],
    };
    let exposed = |table: &Table| {
        let name = table.schema.as_str();
        scope.settings.schemas.iter().any(|known| known == name)
    };
    let reachable: Vec<&Arc<Relationship>> = from
        .iter()
        .filter(|one| one.to.schema.as_str() == space)
        .filter(|one| match &one.link {
            Link::ManyToMany { junction, .. } => exposed(junction),
            _ => true,
        })
        .collect();
    let hint = asked.hint.as_deref();
    let found: Vec<&Arc<Relationship>> = reachable
        .iter()
        .copied()
        .filter(|one| meant(one, &asked.name, hint))
        .collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let seen = reachable.iter().filter(|one| scope.sees(&one.to));
            let mut targets: Vec<&str> = seen.map(|one| one.to.name.as_str()).collect();
            targets.dedup();
            let ends = match reachable.is_empty() {
                false => faults::Ends::Targets(targets),
                true => faults::Ends::Origins(origins(scope, space)),
            };
            let origin = (space, shape.name());
            Err(faults::no_relationship(origin, &asked.name, hint, ends))
        }
        several => {
            let several: Vec<&Relationship> = several.iter().map(|one| &***one).collect();
            Err(faults::ambiguous(&asked.name, &several))
        }
    }
}

fn origins<'a>(scope: &Scope<'a>, space: &str) -> Vec<&'a str> {
    let schema = scope.schema;
    let of_space = schema
        .relationships
        .origins()
        .filter(|(of, _)| *of == space);
    let seen = of_space.filter(|(of, name)| {
        let table = schema.relation(of, name);
        table.is_some_and(|table| scope.sees(table))
    });
    seen.map(|(_, name)| name).collect()
}

/// Whether a relationship is what a request's words mean.
///
/// Source: PostgREST 14, `Plan.hs`, `findRel`. Beyond it, a relationship of a table to itself may be
/// told by its constraint, as the hint of PGRST201 says.
fn meant(one: &Relationship, target: &str, hint: Option<&str>) -> bool {
    if let Link::Computed { function } = &one.link {
        return function.name.as_str() == target;
    }
    let named = one.to.name.as_str() == target;
    let constraint = |name: &str| match &one.link {
        Link::ManyToOne { constraint, .. }
        | Link::OneToMany { constraint, .. }
        | Link::OneToOne { constraint, .. } => constraint == name,
        _ => false,
    };
    // The only column on either side.
    let columns = match &one.link {
        Link::ManyToOne { pairs, .. }
        | Link::OneToMany { pairs, .. }
        | Link::OneToOne { pairs, .. } => match pairs.as_slice() {
            [(near, far)] => Some((&one.from.columns[*near], &one.to.columns[*far])),
            _ => None,
        },
        _ => None,
    };
    let near = |name: &str| columns.is_some_and(|(near, _)| near.name.as_str() == name);
    let far = |name: &str| columns.is_some_and(|(_, far)| far.name.as_str() == name);
    let children = matches!(one.link, Link::OneToMany { .. });
    let parent = matches!(one.link, Link::ManyToOne { .. });
    let of_view = one.to.kind != super::super::Kind::Table;
    match (one.is_self(), hint) {
        (true, None) => (named && children) || (near(target) && parent),
        (true, Some(hint)) => named && children && (far(hint) || constraint(hint)),
        (false, None) => named || ((constraint(target) || near(target)) && !of_view),
        (false, Some(hint)) => {
            let through = match &one.link {
                Link::ManyToMany { junction, .. } => junction.name.as_str() == hint,
                _ => false,
            };
            named && (constraint(hint) || near(hint) || far(hint) || through)
        }
    }
}

/// Everything that a request lists is bounded before it is looked at.
fn bounded(query: &Query) -> Result<(), DataError> {
    let mut tests = 0;
    let mut trees = 0;
    for filter in &query.filters {
        count(&filter.condition, &mut tests, &mut trees)?;
    }
    if tests > FILTERS_MAX || trees > FILTERS_MAX {
        return Err(DataError::TooLarge(format!(
            "a request has at most {FILTERS_MAX} filters"
        )));
    }
    for (_, orders) in &query.orders {
        list(orders.len())?;
    }
    let mut embeds = 0;
    items(query.select.as_deref().unwrap_or_default(), &mut embeds)
}

fn count(condition: &Condition, tests: &mut usize, trees: &mut usize) -> Result<(), DataError> {
    match condition {
        Condition::Test { test, .. } => {
            *tests += 1;
            match test {
                Test::In(members) => list(members.len()),
                Test::Compare(_, Some(_), array) => list(elements(array)),
                _ => Ok(()),
            }
        }
        Condition::Tree { members, .. } => {
            *trees += 1;
            list(members.len())?;
            let mut members = members.iter();
            members.try_for_each(|member| count(member, tests, trees))
        }
    }
}

fn items(select: &[Item], embeds: &mut usize) -> Result<(), DataError> {
    list(select.len())?;
    for item in select {
        if let Item::Relation(relation) = item {
            *embeds += 1;
            if *embeds > EMBEDS_MAX {
                return Err(DataError::TooLarge(format!(
                    "a request embeds at most {EMBEDS_MAX} relations"
                )));
            }
            items(&relation.select, embeds)?;
        }
    }
    Ok(())
}

fn list(members: usize) -> Result<(), DataError> {
    if members <= LIST_MAX {
        return Ok(());
    }
    Err(DataError::TooLarge(format!(
        "a list has {members} members; {LIST_MAX} are the most"
    )))
}
