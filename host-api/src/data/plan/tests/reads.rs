//! The shape of reads.

use super::*;

#[test]
fn reads_on_sqlite() {
    let (schema, settings) = (schema::sqlite(), settings());
    check(
        &[
            (r#"clients"#, r#"clients t0 [t0.id, t0.name] limit 1000"#),
            (r#"clients?select="#, r#"clients t0 [] limit 1000"#),
            (
                r#"clients?select=name,id,n:name"#,
                r#"clients t0 [t0.name, t0.id, n:t0.name] limit 1000"#,
            ),
            (
                r#"clients?select=*,name"#,
                r#"clients t0 [t0.id, t0.name, t0.name] limit 1000"#,
            ),
            (
                r#"clients?id=eq.1&name=not.is.null&limit=5&offset=2"#,
                r#"clients t0 [t0.id, t0.name] where t0.id Compare(Eq, None, "1") and not t0.name Is(Null) limit 5 offset 2"#,
            ),
            (
                r#"clients?limit=5000"#,
                r#"clients t0 [t0.id, t0.name] limit 1000"#,
            ),
            (
                r#"clients?id=in.(1,2)&or=(id.gt.1,name.like.a%,not.and(id.eq.1,name.eq.x))"#,
                r#"clients t0 [t0.id, t0.name] where t0.id In(["1", "2"]) and (t0.id Compare(Gt, None, "1") or t0.name Compare(Like, None, "a%") or not (t0.id Compare(Eq, None, "1") and t0.name Compare(Eq, None, "x"))) limit 1000"#,
            ),
            (
                r#"clients?not.or=(id.eq.1,id.eq.2)"#,
                r#"clients t0 [t0.id, t0.name] where not (t0.id Compare(Eq, None, "1") or t0.id Compare(Eq, None, "2")) limit 1000"#,
            ),
            (
                r#"clients?order=name,id.desc,name.nullsfirst,id.desc.nullslast"#,
                r#"clients t0 [t0.id, t0.name] order (t0.name asc last, t0.id desc first, t0.name asc first, t0.id desc last) limit 1000"#,
            ),
            (
                r#"users?select=data->a->>b,data->0,data->x->1,d:data->y,id::text"#,
                r#"users t0 [b:t0.data->a->>b, data:t0.data->0, x:t0.data->x->1, d:t0.data->y, id:t0.id::text] limit 1000"#,
            ),
            (
                r#"users?data->>k=eq.1&order=data->k.desc"#,
                r#"users t0 [t0.id, t0.name, t0.data, t0.tags] where t0.data->>k Compare(Eq, None, "1") order (t0.data->k desc first) limit 1000"#,
            ),
            (
                r#"users?select=id::int4,id::int8,name::varchar,id::float8,name::timestamptz,tags::text[],id::bool"#,
                r#"users t0 [id:t0.id::integer, id:t0.id::bigint, name:t0.name::character varying, id:t0.id::double precision, name:t0.name::timestamp with time zone, tags:t0.tags::text[], id:t0.id::boolean] limit 1000"#,
            ),
            (
                r#"users?tags=cs.{a}&name=fts(english).cat&name=fts.dog&id=eq(any).{1,2}"#,
                r#"users t0 [t0.id, t0.name, t0.data, t0.tags] where t0.tags Compare(Contains, None, "{a}") and t0.name Search(Query, Some("english"), "cat") and t0.name Search(Query, None, "dog") and t0.id Compare(Eq, Some(Any), "{1,2}") limit 1000"#,
            ),
            (
                r#"projects?select=id,clients(name)"#,
                r#"projects t0 [t0.id, clients:one{clients t1 [t1.name] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"projects?select=clients(name),id"#,
                r#"projects t0 [clients:one{clients t1 [t1.name] where t0.client_id=t1.id}, t0.id] limit 1000"#,
            ),
            (
                r#"projects?select=id,client_id(name)"#,
                r#"projects t0 [t0.id, client_id:one{clients t1 [t1.name] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"projects?select=c:projects_client_id_fkey(name)"#,
                r#"projects t0 [c:one{clients t1 [t1.name] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"projects?select=clients!client_id(id)"#,
                r#"projects t0 [clients:one{clients t1 [t1.id] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"projects?select=clients!id(id)"#,
                r#"projects t0 [clients:one{clients t1 [t1.id] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"projects?select=clients!projects_client_id_fkey(id)"#,
                r#"projects t0 [clients:one{clients t1 [t1.id] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"clients?select=id,projects(id,tasks(name))"#,
                r#"clients t0 [t0.id, projects:many{projects t1 [t1.id, tasks:many{tasks t2 [t2.name] where t1.id=t2.project_id limit 1000}] where t0.id=t1.client_id limit 1000}] limit 1000"#,
            ),
            (
                r#"clients?select=projects(id)&projects.order=name.desc&projects.limit=3&projects.offset=1&projects.id=gt.5"#,
                r#"clients t0 [projects:many{projects t1 [t1.id] where t0.id=t1.client_id and t1.id Compare(Gt, None, "5") order (t1.name desc first) limit 3 offset 1}] limit 1000"#,
            ),
            (
                r#"clients?select=p:projects(id)&p.limit=2000"#,
                r#"clients t0 [p:many{projects t1 [t1.id] where t0.id=t1.client_id limit 1000}] limit 1000"#,
            ),
            (
                r#"clients?select=p:projects(id)&projects.id=eq.2"#,
                r#"clients t0 [p:many{projects t1 [t1.id] where t0.id=t1.client_id and t1.id Compare(Eq, None, "2") limit 1000}] limit 1000"#,
            ),
            (
                r#"clients?select=projects(tasks(id))&projects.tasks.name=eq.x&projects.or=(id.eq.1,id.eq.2)"#,
                r#"clients t0 [projects:many{projects t1 [tasks:many{tasks t2 [t2.id] where t1.id=t2.project_id and t2.name Compare(Eq, None, "x") limit 1000}] where t0.id=t1.client_id and (t1.id Compare(Eq, None, "1") or t1.id Compare(Eq, None, "2")) limit 1000}] limit 1000"#,
            ),
            (
                r#"tasks?select=users(name)"#,
                r#"tasks t0 [users:many{users via users_tasks t2 t1 [t1.name] where t0.id=t2.task_id and t2.user_id=t1.id limit 1000}] limit 1000"#,
            ),
            (
                r#"users?select=tasks!users_tasks(name)"#,
                r#"users t0 [tasks:many{tasks via users_tasks t2 t1 [t1.name] where t0.id=t2.user_id and t2.task_id=t1.id limit 1000}] limit 1000"#,
            ),
            (
                r#"projects?select=invoices(total)"#,
                r#"projects t0 [invoices:one{invoices t1 [t1.total] where t0.id=t1.project_id}] limit 1000"#,
            ),
            (
                r#"invoices?select=projects(name)"#,
                r#"invoices t0 [projects:one{projects t1 [t1.name] where t0.project_id=t1.id}] limit 1000"#,
            ),
            (
                r#"family?select=id,family(id)"#,
                r#"family t0 [t0.id, family:many{family t1 [t1.id] where t0.id=t1.parent_id limit 1000}] limit 1000"#,
            ),
            (
                r#"family?select=id,parent:parent_id(id)"#,
                r#"family t0 [t0.id, parent:one{family t1 [t1.id] where t0.parent_id=t1.id}] limit 1000"#,
            ),
            (
                r#"orgs?select=orgs!auditor(id)"#,
                r#"orgs t0 [orgs:many{orgs t1 [t1.id] where t0.id=t1.auditor limit 1000}] limit 1000"#,
            ),
            (
                r#"orgs?select=orgs!orgs_referee_fkey(id)"#,
                r#"orgs t0 [orgs:many{orgs t1 [t1.id] where t0.id=t1.referee limit 1000}] limit 1000"#,
            ),
            (
                r#"orgs?select=auditor(id)"#,
                r#"orgs t0 [auditor:one{orgs t1 [t1.id] where t0.auditor=t1.id}] limit 1000"#,
            ),
            (
                r#"messages?select=from:users!sender(name),to:users!messages_recipient_fkey(name)"#,
                r#"messages t0 [from:one{users t1 [t1.name] where t0.sender=t1.id}, to:one{users t2 [t2.name] where t0.recipient=t2.id}] limit 1000"#,
            ),
            (
                r#"projects?select=id,clients!inner(name)&clients.name=eq.x"#,
                r#"projects t0 [t0.id, clients:one{clients t2 [t2.name] where t0.client_id=t2.id and t2.name Compare(Eq, None, "x")}] where some{clients t1 [] where t0.client_id=t1.id and t1.name Compare(Eq, None, "x")} limit 1000"#,
            ),
            (
                r#"clients?select=id,projects!inner(tasks!inner(id))&projects.tasks.id=eq.1"#,
                r#"clients t0 [t0.id, projects:many{projects t3 [tasks:many{tasks t5 [t5.id] where t3.id=t5.project_id and t5.id Compare(Eq, None, "1") limit 1000}] where t0.id=t3.client_id and some{tasks t4 [] where t3.id=t4.project_id and t4.id Compare(Eq, None, "1")} limit 1000}] where some{projects t1 [] where t0.id=t1.client_id and some{tasks t2 [] where t1.id=t2.project_id and t2.id Compare(Eq, None, "1")}} limit 1000"#,
            ),
            (
                r#"clients?select=id,projects!inner()"#,
                r#"clients t0 [t0.id] where some{projects t1 [] where t0.id=t1.client_id} limit 1000"#,
            ),
            (
                r#"clients?select=id,projects()&projects=not.is.null"#,
                r#"clients t0 [t0.id] where some{projects t1 [] where t0.id=t1.client_id} limit 1000"#,
            ),
            (
                r#"clients?select=id,projects(id)&projects=is.null"#,
                r#"clients t0 [t0.id, projects:many{projects t2 [t2.id] where t0.id=t2.client_id limit 1000}] where none{projects t1 [] where t0.id=t1.client_id} limit 1000"#,
            ),
            (
                r#"clients?select=id,p:projects(id)&or=(id.eq.1,p.not.is.null)"#,
                r#"clients t0 [t0.id, p:many{projects t2 [t2.id] where t0.id=t2.client_id limit 1000}] where (t0.id Compare(Eq, None, "1") or some{projects t1 [] where t0.id=t1.client_id}) limit 1000"#,
            ),
            (
                r#"clients?select=id,projects(id)&projects=is.not_null&projects.limit=0"#,
                r#"clients t0 [t0.id, projects:many{projects t2 [t2.id] where t0.id=t2.client_id limit 0}] where some{projects t1 [] where t0.id=t1.client_id limit 0} limit 1000"#,
            ),
            (
                r#"projects?select=client_id(name)&client_id=eq.4"#,
                r#"projects t0 [client_id:one{clients t1 [t1.name] where t0.client_id=t1.id}] where t0.client_id Compare(Eq, None, "4") limit 1000"#,
            ),
            (
                r#"projects?select=id,clients(name)&order=clients(name).desc"#,
                r#"projects t0 [t0.id, clients:one{clients t1 [t1.name] where t0.client_id=t1.id}] order (value{clients t2 [t2.name] where t0.client_id=t2.id} desc first) limit 1000"#,
            ),
            (
                r#"projects?select=id,...clients(client:name,cid:id)"#,
                r#"projects t0 [t0.id, client:value{clients t1 [client:t1.name] where t0.client_id=t1.id}, cid:value{clients t1 [cid:t1.id] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"projects?select=id,...clients(*)"#,
                r#"projects t0 [t0.id, id:value{clients t1 [t1.id] where t0.client_id=t1.id}, name:value{clients t1 [t1.name] where t0.client_id=t1.id}] limit 1000"#,
            ),
            (
                r#"tasks?select=id,...projects(name,...clients(client:name))"#,
                r#"tasks t0 [t0.id, name:value{projects t1 [t1.name] where t0.project_id=t1.id}, client:value{projects t1 [client:value{clients t2 [client:t2.name] where t1.client_id=t2.id}] where t0.project_id=t1.id}] limit 1000"#,
            ),
            (
                r#"clients?select=id,...projects(name,id)&projects.order=id"#,
                r#"clients t0 [t0.id, name:values{projects t1 [t1.name] where t0.id=t1.client_id order (t1.id asc last) limit 1000}, id:values{projects t1 [t1.id] where t0.id=t1.client_id order (t1.id asc last) limit 1000}] limit 1000"#,
            ),
            (
                r#"clients?select=id,...projects(name,tasks(id))"#,
                r#"clients t0 [t0.id, name:values{projects t1 [t1.name] where t0.id=t1.client_id limit 1000}, tasks:values{projects t1 [tasks:many{tasks t2 [t2.id] where t1.id=t2.project_id limit 1000}] where t0.id=t1.client_id limit 1000}] limit 1000"#,
            ),
            (
                r#"projects?select=count()"#,
                r#"projects t0 [count:count(*)] group () limit 1000"#,
            ),
            (
                r#"projects?select=n:count()::text,client_id"#,
                r#"projects t0 [n:count(*)::text, t0.client_id] group (t0.client_id) limit 1000"#,
            ),
            (
                r#"projects?select=client_id,id.sum(),m:id.max()::text,details->a::int.avg()&order=client_id"#,
                r#"projects t0 [t0.client_id, sum:sum(t0.id), m:max(t0.id)::text, avg:avg(t0.details->a::integer)] group (t0.client_id) order (t0.client_id asc last) limit 1000"#,
            ),
            (
                r#"clients?select=id,projects(id.count())"#,
                r#"clients t0 [t0.id, projects:many{projects t1 [count:count(t1.id)] where t0.id=t1.client_id group () limit 1000}] limit 1000"#,
            ),
            (
                r#"clients?select=id,projects(client_id,count())"#,
                r#"clients t0 [t0.id, projects:many{projects t1 [t1.client_id, count:count(*)] where t0.id=t1.client_id group (t1.client_id) limit 1000}] limit 1000"#,
            ),
            (
                r#"projects?select=client_id,...invoices(total.sum())"#,
                r#"projects t0 [t0.client_id, sum:sum(value{invoices t1 [sum:t1.total] where t0.id=t1.project_id})] group (t0.client_id) limit 1000"#,
            ),
            (
                r#"projects?select=client_id,...invoices(count())"#,
                r#"projects t0 [t0.client_id, count:count(value{invoices t1 [count:t1.project_id] where t0.id=t1.project_id})] group (t0.client_id) limit 1000"#,
            ),
            (
                r#"projects?select=count(),...clients(name)&order=clients(name)"#,
                r#"projects t0 [count:count(*), name:value{clients t1 [t1.name] where t0.client_id=t1.id}] group (value{clients t1 [t1.name] where t0.client_id=t1.id}) order (value{clients t1 [t1.name] where t0.client_id=t1.id} asc last) limit 1000"#,
            ),
            (
                r#"tasks?select=...projects(client_id,...invoices(total.avg()))"#,
                r#"tasks t0 [client_id:value{projects t1 [t1.client_id] where t0.project_id=t1.id}, avg:avg(value{projects t1 [avg:value{invoices t2 [avg:t2.total] where t1.id=t2.project_id}] where t0.project_id=t1.id})] group (value{projects t1 [t1.client_id] where t0.project_id=t1.id}) limit 1000"#,
            ),
            (
                r#"tasks?select=id,projects(name,...invoices(total.sum()))"#,
                r#"tasks t0 [t0.id, projects:one{projects t1 [t1.name, sum:sum(value{invoices t2 [sum:t2.total] where t1.id=t2.project_id})] where t0.project_id=t1.id group (t1.name)}] limit 1000"#,
            ),
            (
                r#"projects?select=clients(name),count()"#,
                r#"projects t0 [clients:one{clients t1 [t1.name] where t0.client_id=t1.id}, count:count(*)] group (one{clients t1 [t1.name] where t0.client_id=t1.id}) limit 1000"#,
            ),
            (
                r#"projects?select=id,name,count()&order=name&id=gt.1"#,
                r#"projects t0 [t0.id, t0.name, count:count(*)] where t0.id Compare(Gt, None, "1") group (t0.id, t0.name) order (t0.name asc last) limit 1000"#,
            ),
            (
                r#"projects_view?select=id,clients(name),tasks(id)"#,
                r#"projects_view t0 [t0.id, clients:one{clients t1 [t1.name] where t0.client=t1.id}, tasks:many{tasks t2 [t2.id] where t0.id=t2.project_id limit 1000}] limit 1000"#,
            ),
            (
                r#"clients_view?select=cid,projects(id),projects_view(id)"#,
                r#"clients_view t0 [t0.cid, projects:many{projects t1 [t1.id] where t0.cid=t1.client_id limit 1000}, projects_view:many{projects_view t2 [t2.id] where t0.cid=t2.client limit 1000}] limit 1000"#,
            ),
            (
                r#"projects?select=clients_view(cid)"#,
                r#"projects t0 [clients_view:one{clients_view t1 [t1.cid] where t0.client_id=t1.cid}] limit 1000"#,
            ),
        ],
        |request| read_as(&schema, &settings, "service_role", request),
    );
}

#[test]
fn reads_on_postgres() {
    let (schema, settings) = (schema::postgres(), settings());
    check(
        &[
            (
                r#"users?select=id,initials&initials=eq.AB&order=initials"#,
                r#"users t0 [t0.id, initials:initials(t0)] where initials(t0) Compare(Eq, None, "AB") order (initials(t0) asc last) limit 1000"#,
            ),
            (
                r#"clients?select=id,latest(name)"#,
                r#"clients t0 [t0.id, latest:one{projects by latest(t0) t1 [t1.name]}] limit 1000"#,
            ),
            (
                r#"clients?select=id,...latest(name)&latest.id=gt.1&order=latest(id)"#,
                r#"clients t0 [t0.id, name:value{projects by latest(t0) t1 [t1.name] where t1.id Compare(Gt, None, "1")}] order (value{projects by latest(t0) t2 [t2.id] where t2.id Compare(Gt, None, "1")} asc last) limit 1000"#,
            ),
            (
                r#"clients?select=...latest(count())"#,
                r#"clients t0 [count:count(value{projects by latest(t0) t1 [count:t1.id]})] group () limit 1000"#,
            ),
            (
                r#"projects?select=id,tasks(name)"#,
                r#"projects t0 [t0.id, tasks:many{users by tasks(t0) t1 [t1.name] limit 1000}] limit 1000"#,
            ),
            (
                r#"users?select=name::citext,id::integer"#,
                r#"users t0 [name:t0.name::"citext", id:t0.id::integer] limit 1000"#,
            ),
            (
                r#"keyless?span=sl.[1,2)&a=fts(french).chat"#,
                r#"keyless t0 [t0.a, t0.span] where t0.span Compare(StrictlyLeft, None, "[1,2)") and t0.a Search(Query, Some("french"), "chat") limit 1000"#,
            ),
        ],
        |request| read_as(&schema, &settings, "authenticated", request),
    );
}

#[test]
fn a_whole_row_is_all_columns() {
    let schema = schema::sqlite();
    let node = whole_row(schema.table("clients").unwrap());
    assert_eq!(print::node(&node), "clients t0 [t0.id, t0.name]");
}
