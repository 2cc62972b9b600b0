//! What leads where.

use std::time::{Duration, Instant};

use super::super::super::Link;
use super::*;

fn from(schema: &Schema, name: &str) -> String {
    let table = schema.table(name).unwrap();
    let found = schema.relationships.from(table).iter().map(|one| {
        let to = one.to.name.as_str();
        match &one.link {
            Link::ManyToOne { constraint, pairs } => format!("{to} n:1 {constraint} {pairs:?}"),
            Link::OneToMany { constraint, pairs } => format!("{to} 1:n {constraint} {pairs:?}"),
            Link::OneToOne {
                constraint,
                pairs,
                parent,
            } => format!("{to} 1:1 {constraint} {pairs:?} {parent}"),
            Link::ManyToMany {
                junction,
                near,
                far,
                ..
            } => format!("{to} n:m {} {near:?} {far:?}", junction.name.as_str()),
            Link::Computed { function } => format!("{to} by {}", function.name.as_str()),
        }
    });
    found.collect::<Vec<_>>().join("; ")
}

#[test]
fn relationships_of_a_schema() {
    let schema = schema::sqlite();
    check(
        &[
            (
                r#"clients"#,
                r#"limited 1:n limited_client_id_fkey [(0, 3)]; projects 1:n projects_client_id_fkey [(0, 2)]; projects_view 1:n projects_client_id_fkey [(0, 1)]"#,
            ),
            (
                r#"projects"#,
                r#"clients n:1 projects_client_id_fkey [(2, 0)]; clients_view n:1 projects_client_id_fkey [(2, 0)]; invoices 1:1 invoices_project_id_fkey [(0, 1)] true; tasks 1:n tasks_project_id_fkey [(0, 2)]"#,
            ),
            (
                r#"invoices"#,
                r#"projects 1:1 invoices_project_id_fkey [(1, 0)] false; projects_view 1:1 invoices_project_id_fkey [(1, 0)] false"#,
            ),
            (
                r#"users"#,
                r#"messages 1:n messages_recipient_fkey [(0, 2)]; messages 1:n messages_sender_fkey [(0, 1)]; tasks n:m users_tasks [(0, 0)] [(1, 0)]; users_tasks 1:n users_tasks_user_id_fkey [(0, 0)]"#,
            ),
            (
                r#"tasks"#,
                r#"projects n:1 tasks_project_id_fkey [(2, 0)]; projects_view n:1 tasks_project_id_fkey [(2, 0)]; users n:m users_tasks [(0, 1)] [(0, 0)]; users_tasks 1:n users_tasks_task_id_fkey [(0, 1)]"#,
            ),
            (
                r#"users_tasks"#,
                r#"tasks n:1 users_tasks_task_id_fkey [(1, 0)]; users n:1 users_tasks_user_id_fkey [(0, 0)]"#,
            ),
            (
                r#"family"#,
                r#"family n:1 family_parent_id_fkey [(1, 0)]; family 1:n family_parent_id_fkey [(0, 1)]"#,
            ),
            (
                r#"messages"#,
                r#"users n:1 messages_recipient_fkey [(2, 0)]; users n:1 messages_sender_fkey [(1, 0)]"#,
            ),
            (
                r#"projects_view"#,
                r#"clients n:1 projects_client_id_fkey [(1, 0)]; clients_view n:1 projects_client_id_fkey [(1, 0)]; invoices 1:1 invoices_project_id_fkey [(0, 1)] true; tasks 1:n tasks_project_id_fkey [(0, 2)]"#,
            ),
            (
                r#"clients_view"#,
                r#"limited 1:n limited_client_id_fkey [(0, 3)]; projects 1:n projects_client_id_fkey [(0, 2)]; projects_view 1:n projects_client_id_fkey [(0, 1)]"#,
            ),
            (r#"totals"#, ""),
            (r#"secrets"#, ""),
        ],
        |name| from(&schema, name),
    );
}

#[test]
fn functions_stand_in_for_keys() {
    let schema = schema::postgres();
    check(
        &[
            (
                r#"projects"#,
                r#"clients n:1 projects_client_id_fkey [(2, 0)]; clients_view n:1 projects_client_id_fkey [(2, 0)]; invoices 1:1 invoices_project_id_fkey [(0, 1)] true; users by tasks"#,
            ),
            (
                r#"clients"#,
                r#"limited 1:n limited_client_id_fkey [(0, 3)]; projects by latest; projects 1:n projects_client_id_fkey [(0, 2)]; projects_view 1:n projects_client_id_fkey [(0, 1)]"#,
            ),
        ],
        |name| from(&schema, name),
    );
}

#[test]
fn keys_of_several_columns_and_partial_junctions() {
    let mut schema = Schema::default();
    let tables = [
        schema::table("a", &["x* bigint", "y* bigint"]),
        schema::keys(
            schema::table("b", &["p* bigint", "q* bigint", "r bigint"]),
            &["p+q>a.x+y", "q+r>a.x+y", "r>gone.id"],
        ),
        schema::keys(
            schema::table("j", &["p* bigint", "q bigint"]),
            &["p>c.id", "q>d.id"],
        ),
        schema::table("c", &["id* bigint"]),
        schema::table("d", &["id* bigint"]),
        schema::view(
            schema::table("half", &["p bigint b.p", "r bigint b.r"]),
            false,
            &["b"],
        ),
        schema::view(
            schema::table(
                "whole",
                &["p bigint b.p", "q bigint b.q", "again bigint b.q"],
            ),
            false,
            &["b"],
        ),
    ];
    for table in tables {
        schema.add(table);
    }
    let schema = schema.complete();
    check(
        &[
            (
                r#"a"#,
                r#"b 1:1 b_p_q_fkey [(0, 0), (1, 1)] true; b 1:n b_q_r_fkey [(0, 1), (1, 2)]; whole 1:1 b_p_q_fkey [(0, 0), (1, 1)] true; whole 1:1 b_p_q_fkey [(0, 0), (1, 2)] true"#,
            ),
            (
                r#"b"#,
                r#"a n:1 b_q_r_fkey [(1, 0), (2, 1)]; a 1:1 b_p_q_fkey [(0, 0), (1, 1)] false"#,
            ),
            (r#"c"#, r#"j 1:1 j_p_fkey [(0, 0)] true"#),
            (
                r#"j"#,
                r#"c 1:1 j_p_fkey [(0, 0)] false; d n:1 j_q_fkey [(1, 0)]"#,
            ),
            (r#"half"#, ""),
            (
                r#"whole"#,
                r#"a 1:1 b_p_q_fkey [(0, 0), (1, 1)] false; a 1:1 b_p_q_fkey [(0, 0), (2, 1)] false"#,
            ),
        ],
        |name| from(&schema, name),
    );
}

#[test]
fn hundreds_of_tables_take_no_time() {
    let mut schema = Schema::default();
    schema.add(schema::table("hub", &["id* bigint"]));
    for index in 0..600 {
        let name = format!("t{index}");
        let table = schema::table(&name, &["id* bigint", "hub bigint", "other bigint"]);
        let other = format!("other>t{}.id", index / 2);
        schema.add(schema::keys(table, &["hub>hub.id", &other]));
        let (view, source) = (format!("v{index}"), format!("id bigint {name}.id"));
        let hub = format!("hub bigint {name}.hub");
        let view = schema::table(&view, &[&source, &hub]);
        schema.add(schema::view(view, false, &[&name]));
    }
    let start = Instant::now();
    let schema = schema.complete();
    assert!(start.elapsed() < Duration::from_secs(5));
    let hub = schema.table("hub").unwrap();
    assert_eq!(schema.relationships.from(hub).len(), 1200);
}
