//! The host's side of `wasi:http` called as a guest would, without a guest.

use bytes::Bytes;
use wasmtime::component::Resource;

use crate::bindings::wasi::http::{outgoing_handler, types};
use crate::bindings::wasi::io::streams::{self, HostInputStream, HostOutputStream};
use crate::bindings::{IncomingRequest, ResponseOutparam};
use crate::entry::Kind;
use crate::testing;
use crate::{
    Egress, EgressClient, Exceeded, HeadError, HostCtx, HostLimits, IncomingBody, ResponseHandle,
};
use types::{
    HostFields, HostIncomingBody, HostIncomingRequest, HostOutgoingBody, HostOutgoingRequest,
    HostOutgoingResponse, HostResponseOutparam,
};

fn ctx(limits: HostLimits) -> HostCtx {
    testing::ctx(limits)
}

fn begin(
    ctx: &mut HostCtx,
    body: IncomingBody,
) -> (
    Resource<IncomingRequest>,
    Resource<ResponseOutparam>,
    ResponseHandle,
) {
    let request = http::Request::post("/path?q=1")
        .header("host", "shop.test")
        .header("connection", "close")
        .header("x-a", "1")
        .body(body)
        .unwrap();
    let request = ctx.incoming_request(request).unwrap();
    let (outparam, handle) = ctx.response_outparam().unwrap();
    (request, outparam, handle)
}

/// A second name for the same resource, as the guest's borrows are.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}

async fn answer(
    ctx: &mut HostCtx,
    outparam: Resource<ResponseOutparam>,
    body: &'static [u8],
) -> wasmtime::Result<()> {
    let headers = HostFields::new(ctx)?;
    HostFields::append(ctx, again(&headers), "x-b".into(), b"2".to_vec())?.unwrap();
    let response = HostOutgoingResponse::new(ctx, headers)?;
    HostOutgoingResponse::set_status_code(ctx, again(&response), 201)?.unwrap();
    let out = HostOutgoingResponse::body(ctx, again(&response))?.unwrap();
    HostResponseOutparam::set(ctx, outparam, Ok(response))?;
    let stream = HostOutgoingBody::write(ctx, again(&out))?.unwrap();
    for chunk in body.chunks(4096) {
        if HostOutputStream::blocking_write_and_flush(ctx, again(&stream), chunk.to_vec())
            .await?
            .is_err()
        {
            return Err(wasmtime::format_err!("the stream is closed"));
        }
    }
    HostOutputStream::drop(ctx, stream)?;
    HostOutgoingBody::finish(ctx, out, None)?.map_err(|code| wasmtime::format_err!("{code:?}"))
}

#[tokio::test]
async fn a_request_is_read_and_answered() {
    let mut ctx = ctx(HostLimits::default());
    let (request, outparam, handle) = begin(&mut ctx, IncomingBody::Full("hello".into()));
    let path = HostIncomingRequest::path_with_query(&mut ctx, again(&request)).unwrap();
    assert_eq!(path.as_deref(), Some("/path?q=1"));
    let headers = HostIncomingRequest::headers(&mut ctx, again(&request)).unwrap();
    let entries = HostFields::entries(&mut ctx, again(&headers)).unwrap();
    assert_eq!(entries, [("x-a".to_owned(), b"1".to_vec())]);
    let immutable = HostFields::append(&mut ctx, again(&headers), "x".into(), Vec::new()).unwrap();
    assert!(matches!(immutable, Err(types::HeaderError::Immutable)));
    let authority = HostIncomingRequest::authority(&mut ctx, again(&request)).unwrap();
    assert_eq!(authority.as_deref(), Some("shop.test"));

    let body = HostIncomingRequest::consume(&mut ctx, again(&request))
        .unwrap()
        .unwrap();
    assert!(
        HostIncomingRequest::consume(&mut ctx, again(&request))
            .unwrap()
            .is_err()
    );
    let stream = HostIncomingBody::stream(&mut ctx, again(&body))
        .unwrap()
        .unwrap();
    let read = HostInputStream::blocking_read(&mut ctx, again(&stream), 100)
        .await
        .unwrap()
        .ok();
    assert_eq!(read.as_deref(), Some(b"hello".as_slice()));
    let end = HostInputStream::blocking_read(&mut ctx, again(&stream), 100)
        .await
        .unwrap();
    assert!(matches!(end, Err(streams::StreamError::Closed)));

    answer(&mut ctx, outparam, b"ok").await.unwrap();
    let head = handle.try_head().unwrap().unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["x-b"]),
        (201, &"2".parse().unwrap())
    );
    assert!(handle.is_finished());
    assert_eq!(handle.complete_body(), Some(Bytes::from_static(b"ok")));
    assert_eq!(ctx.usage().response_bytes, 2);
    assert!(ctx.take_pending_fuel() > 0);
}

#[tokio::test]
async fn limits_trap_with_their_name() {
    let check = async |limits: HostLimits, expect: Exceeded| {
        let mut ctx = ctx(limits);
        let (_, outparam, handle) = begin(&mut ctx, IncomingBody::Empty);
        let error = answer(&mut ctx, outparam, &[0; 100]).await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&expect));
        // With the store goes what had begun: an answer without a head, or without the end of its body.
        drop(ctx);
        let head = handle.try_head().unwrap();
        assert!(head.is_err() || !handle.is_finished());
    };
    let limits = HostLimits {
        response_bytes_max: 99,
        ..HostLimits::default()
    };
    check(limits, Exceeded::ResponseBytes(99)).await;
    let limits = HostLimits {
        host_call_bytes_max: 99,
        ..HostLimits::default()
    };
    check(limits, Exceeded::HostCallBytes(99)).await;
    let limits = HostLimits {
        handles_max: 3,
        ..HostLimits::default()
    };
    check(limits, Exceeded::Handles(3)).await;
}

#[test]
fn a_guest_that_ends_without_an_answer() {
    let mut ctx = ctx(HostLimits::default());
    let (_, _, handle) = begin(&mut ctx, IncomingBody::Empty);
    assert!(handle.try_head().is_none());
    drop(ctx);
    assert_eq!(handle.try_head().unwrap().err(), Some(HeadError::NeverSet));
}

#[tokio::test]
async fn only_listed_origins_are_called() {
    let (entry, _) = testing::entry(HostLimits {
        outbound_requests_max: 3,
        ..HostLimits::default()
    });
    let mut entry = std::sync::Arc::into_inner(entry).unwrap();
    entry.egress = Egress::parse(&["http://127.0.0.1:9", "self"], EgressClient::default()).unwrap();
    let caller = testing::caller();
    let sink = std::sync::Arc::<testing::Lines>::default();
    let kind = entry.kind;
    assert_eq!(kind, Kind::Function);
    let mut ctx = HostCtx::new(
        entry.into(),
        crate::Standing::request(caller, testing::invocation()),
        sink,
    );
    let mut call = |authority: &str| {
        let headers = HostFields::new(&mut ctx)?;
        let request = HostOutgoingRequest::new(&mut ctx, headers)?;
        HostOutgoingRequest::set_scheme(&mut ctx, again(&request), Some(types::Scheme::Http))?
            .unwrap();
        HostOutgoingRequest::set_authority(&mut ctx, again(&request), Some(authority.to_owned()))?
            .unwrap();
        outgoing_handler::Host::handle(&mut ctx, request, None)
    };
    assert!(matches!(
        call("127.0.0.1:8").unwrap(),
        Err(types::ErrorCode::HttpRequestDenied)
    ));
    assert!(matches!(
        call("u@127.0.0.1:9").unwrap(),
        Err(types::ErrorCode::HttpRequestUriInvalid)
    ));
    let pending = call("127.0.0.1:9").unwrap().unwrap();
    let too_many = call("127.0.0.1:9").unwrap_err();
    assert_eq!(
        too_many.downcast_ref(),
        Some(&Exceeded::OutboundRequests(3))
    );
    // Listed, and still shut: the address is loopback.
    crate::wasi::io::wait(|cx| {
        Ok(ctx
            .table
            .get_mut::<super::message::FutureResponse>(pending.rep())?
            .poll_ready(cx))
    })
    .await
    .unwrap();
    let arrived = types::HostFutureIncomingResponse::get(&mut ctx, pending).unwrap();
    assert!(matches!(
        arrived,
        Some(Ok(Err(types::ErrorCode::DestinationIpProhibited)))
    ));
}

#[test]
fn the_servers_own_fields_are_not_passed_on() {
    let mut ctx = ctx(HostLimits::default());
    let request = http::Request::post("/")
        .header("x-relay-error", "true")
        .header("sb-error-code", "WORKER_LIMIT")
        .header("x-pumice-limit", "cpu")
        .header("x-a", "1");
    let request = request.body(IncomingBody::Empty).unwrap();
    let request = ctx.incoming_request(request).unwrap();
    let (outparam, handle) = ctx.response_outparam().unwrap();
    // As a proxy does it: the fields of the message that came are those of the one that goes.
    let headers = HostIncomingRequest::headers(&mut ctx, again(&request)).unwrap();
    let headers = HostFields::clone(&mut ctx, again(&headers)).unwrap();
    HostFields::append(
        &mut ctx,
        again(&headers),
        "X-Relay-Error".into(),
        b"x".into(),
    )
    .unwrap()
    .unwrap();
    let response = HostOutgoingResponse::new(&mut ctx, headers).unwrap();
    HostResponseOutparam::set(&mut ctx, outparam, Ok(response)).unwrap();
    let head = handle.try_head().unwrap().unwrap();
    assert_eq!(head.headers().len(), 1, "{head:?}");
    assert_eq!(head.headers()["x-a"], "1");
}

#[test]
fn what_a_request_is_made_of_is_charged() {
    use crate::bindings::wasi::io::error::HostError;
    use crate::wasi::io::IoError;
    let mut ctx = ctx(HostLimits::default());
    let headers = HostFields::new(&mut ctx).unwrap();
    HostFields::append(&mut ctx, again(&headers), "a".into(), vec![b'x'; 9])
        .unwrap()
        .unwrap();
    let own = HostFields::new(&mut ctx).unwrap();
    let request = HostOutgoingRequest::new(&mut ctx, own).unwrap();
    let error = super::HttpFault::Internal("why".to_owned());
    let error = ctx.push::<_, IoError>(IoError::Http(error)).unwrap().rep();
    let mut costs = |call: &dyn Fn(&mut HostCtx)| {
        let before = ctx.usage().host_call_bytes;
        call(&mut ctx);
        ctx.usage().host_call_bytes - before
    };
    let cost = costs(&|ctx| {
        HostFields::clone(ctx, again(&headers)).unwrap();
    });
    assert_eq!(cost, 10);
    let method = || types::Method::Other("PURGE".into());
    let cost = costs(&|ctx| {
        drop(HostOutgoingRequest::set_method(
            ctx,
            again(&request),
            method(),
        ))
    });
    assert_eq!(cost, 5);
    let scheme = || Some(types::Scheme::Other("gopher".into()));
    let cost = costs(&|ctx| {
        drop(HostOutgoingRequest::set_scheme(
            ctx,
            again(&request),
            scheme(),
        ))
    });
    assert_eq!(cost, 6);
    let host = || Some("example.org".into());
    let cost = costs(&|ctx| {
        drop(HostOutgoingRequest::set_authority(
            ctx,
            again(&request),
            host(),
        ))
    });
    assert_eq!(cost, 11);
    let path = || Some("/p".into());
    let cost = costs(&|ctx| {
        drop(HostOutgoingRequest::set_path_with_query(
            ctx,
            again(&request),
            path(),
        ));
    });
    assert_eq!(cost, 2);
    // What goes in costs the same on its way out.
    let cost = costs(&|ctx| {
        HostOutgoingRequest::method(ctx, again(&request)).unwrap();
        HostOutgoingRequest::scheme(ctx, again(&request)).unwrap();
        HostOutgoingRequest::authority(ctx, again(&request)).unwrap();
        HostOutgoingRequest::path_with_query(ctx, again(&request)).unwrap();
    });
    assert_eq!(cost, 5 + 6 + 11 + 2);
    let cost = costs(&|ctx| {
        HostError::to_debug_string(ctx, Resource::new_borrow(error)).unwrap();
    });
    assert_eq!(cost, 3);
    let cost = costs(&|ctx| {
        types::Host::http_error_code(ctx, Resource::new_borrow(error)).unwrap();
    });
    assert_eq!(cost, 3);
}

#[test]
fn a_requests_body_may_not_stall_for_ever() {
    let mut ctx = ctx(HostLimits::default());
    let (request, ..) = begin(&mut ctx, IncomingBody::Empty);
    let body = HostIncomingRequest::consume(&mut ctx, request)
        .unwrap()
        .unwrap();
    let body = ctx.table.get::<Box<super::body::BodyReader>>(body.rep());
    assert_eq!(
        body.unwrap().longest_stall(),
        Some(super::host::REQUEST_STALL)
    );
}
