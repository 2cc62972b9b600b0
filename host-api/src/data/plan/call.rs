//! Calls of SQL functions, which only PostgreSQL has: which function is meant, what it is given, and
//! what is read of its answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::super::query::{Preferences, Query};
use super::super::schema::{Argument, Function, Returns};
use super::super::{DataError, SqlFault};
use super::expr::{Level, no_column};
use super::read::{BIGINT_MAX, Planner};
use super::tree::{Shape, Tree};
use super::{Arguments, CallPlan, Scope, Source, faults};

/// What a request gives a function.
#[derive(Clone, Debug)]
pub enum Given {
    /// A JSON body: its members when it is an object, and its bytes, which may be the only argument.
    Json {
        values: Vec<(String, Box<RawValue>)>,
        body: Vec<u8>,
    },
    /// Of a query string or a form, in the order sent.
    Text(Vec<(String, String)>),
    /// A whole body that is no JSON.
    Whole(WholeType, Vec<u8>),
}

/// What a body says it is, and so which type its only argument must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeType {
    /// `text/plain`
    Text,
    /// `text/xml`
    Xml,
    /// `application/octet-stream`
    Bytes,
}

impl WholeType {
    fn name(self) -> &'static str {
        match self {
            WholeType::Text => "text",
            WholeType::Xml => "xml",
            WholeType::Bytes => "bytea",
        }
    }
}

/// Plans a call of the function `query.table`.
///
/// # Errors
/// PGRST202 when no function fits, PGRST203 when several do, PGRST128 for a preference that only rows
/// can heed; those of [`read`](super::read) for what is read of its rows.
pub fn call(
    scope: &Scope<'_>,
    query: &Query,
    given: Given,
    read_only: bool,
    preferences: Preferences,
) -> Result<CallPlan, DataError> {
    let space = scope.space(query)?;
    let (function, whole) = choose(scope, space, &query.table, &given, read_only)?;
    if preferences.max_affected.is_some() && !function.set {
        let message = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict";
        return Err(DataError::sql("PGRST128", message));
    }
    let rows_max = scope.settings.rows_max;
    let shape = match &function.returns {
        Returns::Void | Returns::Scalar(_) => None,
        Returns::Relation(of, name) => match scope.schema.relation(of, name) {
            Some(table) => Some(Shape::Table(table.clone())),
            None => Some(Shape::Record(function.clone())),
        },
        Returns::Record(_) => Some(Shape::Record(function.clone())),
    };
    let mut tree = Tree::of(query)?;
    let limit = tree.limit.map_or(rows_max, |limit| limit.min(rows_max));
    let offset = tree.offset.map(|offset| offset.min(BIGINT_MAX));
    let node = match shape {
        None => {
            unread(&function, &tree)?;
            None
        }
        Some(shape) => {
            tree.resolve(scope, space, &shape)?;
            let source = Source::Called(match &shape {
                Shape::Table(table) => Some(table.clone()),
                Shape::Record(_) => None,
            });
            Some(Planner::new(scope, Some(rows_max)).root(&tree, shape, source)?)
        }
    };
    Ok(CallPlan {
        arguments: arguments(&function, given, whole),
        function,
        node,
        preferences,
        read_only,
        limit,
        offset,
    })
}

/// A value without fields has none to filter or order by.
fn unread(function: &Arc<Function>, tree: &Tree<'_>) -> Result<(), DataError> {
    use super::super::query::{Condition, OrderTerm};
    let level = Level {
        shape: Shape::Record(function.clone()),
        name: function.name.as_str().to_owned(),
        alias: 0,
        depth: 0,
    };
    fn first(condition: &Condition) -> Option<&str> {
        match condition {
            Condition::Test { field, .. } => Some(&field.name),
            Condition::Tree { members, .. } => members.iter().find_map(first),
        }
    }
    let filtered = tree.filters.iter().find_map(|filter| first(filter));
    let ordered = tree.orders.first().map(|order| match &order.term {
        OrderTerm::Field(field) => field.name.as_str(),
        OrderTerm::Related(name, _) => name,
    });
    match filtered.or(ordered) {
        Some(name) => Err(no_column(&level, name)),
        None => Ok(()),
    }
}

/// The function that fits, and whether the whole body is its argument.
///
/// Source: PostgREST 14, `Plan.hs`, `findProc`.
fn choose(
    scope: &Scope<'_>,
    space: &str,
    name: &str,
    given: &Given,
    read_only: bool,
) -> Result<(Arc<Function>, bool), DataError> {
    let overloads: Vec<&Arc<Function>> = scope.schema.overloads(space, name).collect();
    let keys: BTreeSet<&str> = match given {
        Given::Json { values, .. } => values.iter().map(|(key, _)| &**key).collect(),
        Given::Text(values) => values.iter().map(|(key, _)| &**key).collect(),
        Given::Whole(..) => BTreeSet::new(),
    };
    let (mut fitting, mut taking_all) = (Vec::new(), Vec::new());
    for &function in &overloads {
        if fits(&function.arguments, &keys, given) {
            fitting.push(function);
        } else if !read_only && takes_all(&function.arguments, given) {
            taking_all.push(function);
        }
    }
    match (fitting.as_slice(), taking_all.as_slice()) {
        // An argument without a name is the whole body, though its key was the empty one.
        ([one], _) => Ok(((*one).clone(), keys.contains("") && !read_only)),
        ([], [one]) => Ok(((*one).clone(), true)),
        ([], []) => {
            let keys: Vec<&str> = keys.into_iter().collect();
            let functions = scope.schema.functions.get(space).into_iter().flatten();
            // What the caller may not call is not told of.
            let role = scope.actor.caller.role.as_str();
            let told = |one: &Function| scope.actor.unbound() || one.lets_in(role);
            let known =
                functions.filter(|(_, all)| all.iter().any(|one| one.is_callable() && told(one)));
            let known = known.map(|(name, _)| name.as_str());
            let overloads: Vec<&Arc<Function>> =
                overloads.into_iter().filter(|one| told(one)).collect();
            Err(no_function(
                (space, name),
                &keys,
                given,
                read_only,
                known,
                &overloads,
            ))
        }
        ([], several) | (several, _) => Err(several_functions(several)),
    }
}

fn fits(arguments: &[Argument], keys: &BTreeSet<&str>, given: &Given) -> bool {
    if matches!(given, Given::Whole(..)) && arguments.is_empty() {
        return false;
    }
    let known = |key: &&str| arguments.iter().any(|argument| argument.name == *key);
    let required = arguments.iter().filter(|argument| !argument.optional);
    keys.iter().all(known)
        && required
            .into_iter()
            .all(|argument| keys.contains(&*argument.name))
}

/// Whether the only argument has no name and the type that the body is.
fn takes_all(arguments: &[Argument], given: &Given) -> bool {
    let [Argument { name, ty, .. }] = arguments else {
        return false;
    };
    let ty = match given {
        Given::Json { .. } => matches!(&**ty, "json" | "jsonb"),
        Given::Whole(is, _) => *ty == is.name(),
        Given::Text(_) => false,
    };
    name.is_empty() && ty
}

fn arguments(function: &Function, given: Given, whole: bool) -> Arguments {
    match given {
        Given::Whole(_, body) => Arguments::Whole(body),
        Given::Json { body, .. } if whole => Arguments::Whole(body),
        Given::Json { values, .. } => Arguments::Json(values),
        Given::Text(values) => {
            let mut arguments: Vec<(String, Vec<String>)> = Vec::new();
            for (key, value) in values {
                let mut declared = function.arguments.iter();
                let variadic = declared.any(|argument| argument.name == key && argument.variadic);
                match arguments.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, values)) if variadic => values.push(value),
                    // The last one counts.
                    Some((_, values)) => *values = vec![value],
                    None => arguments.push((key, vec![value])),
                }
            }
            Arguments::Text(arguments)
        }
    }
}

fn several_functions(several: &[&Arc<Function>]) -> DataError {
    let shown = several.iter().map(|function| {
        let arguments: Vec<String> = function
            .arguments
            .iter()
            .map(|argument| format!("{} => {}", argument.name, argument.ty))
            .collect();
        let (space, name) = (function.schema.as_str(), function.name.as_str());
        format!("{space}.{name}({})", arguments.join(", "))
    });
    let shown: Vec<String> = shown.collect();
    SqlFault::new(
        "PGRST203",
        format!(
            "Could not choose the best candidate function between: {}",
            shown.join(", ")
        ),
    )
    .hint("Try renaming the parameters or the function itself in the database so function overloading can be resolved")
    .into()
}

fn no_function<'a>(
    (space, name): (&str, &str),
    keys: &[&str],
    given: &Given,
    read_only: bool,
    known: impl Iterator<Item = &'a str>,
    overloads: &[&Arc<Function>],
) -> DataError {
    let list = keys.join(", ");
    let (shown, searched) = match (given, keys) {
        (Given::Whole(is, _), _) => (
            String::new(),
            format!(" with a single unnamed {} parameter", is.name()),
        ),
        (_, []) => (
            " without parameters".to_owned(),
            " without parameters".to_owned(),
        ),
        (_, [_]) => (format!("({list})"), format!(" with parameter {list}")),
        _ => (format!("({list})"), format!(" with parameters {list}")),
    };
    let or = match given {
        Given::Json { .. } if !read_only => " or with a single unnamed json/jsonb parameter",
        _ => "",
    };
    let fault = SqlFault::new(
        "PGRST202",
        format!("Could not find the function {space}.{name}{shown} in the schema cache"),
    )
    .details(format!(
        "Searched for the function {space}.{name}{searched}{or}, but no matches were found in the schema cache."
    ));
    if matches!(given, Given::Whole(..)) {
        return fault.into();
    }
    let meant = match overloads {
        [] => faults::nearest_strict(name, known).map(str::to_owned),
        _ => {
            let lists: Vec<String> = overloads
                .iter()
                .map(|function| {
                    let arguments = function.arguments.iter();
                    let mut names: Vec<&str> = arguments.map(|one| &*one.name).collect();
                    names.sort_unstable();
                    format!("({})", names.join(", "))
                })
                .collect();
            let lists = lists.iter().map(String::as_str);
            let nearest = faults::nearest_loose(&format!("({list})"), lists);
            nearest.map(|arguments| format!("{name}{arguments}"))
        }
    };
    match meant {
        Some(meant) => fault.hint(format!(
            "Perhaps you meant to call the function {space}.{meant}"
        )),
        None => fault,
    }
    .into()
}
