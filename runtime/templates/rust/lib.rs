use pumice::http::{Request, Response};

#[pumice::function]
fn hello(request: Request) -> Response {
    let name = request.query("name").unwrap_or("world".into());
    Response::text(format!("Hello, {name}!\n"))
}
