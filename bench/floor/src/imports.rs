//! The imports a hello handler calls. Resources are bare numbers: nothing is looked up or freed. All are
//! of one type, the one that `define_unknown_imports_as_traps` gives to those not named here.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};

/// Every resource.
pub type Any = ();

// Only the types are taken from here: the functions below are fewer than the traits ask for.
wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package pumice:bench;
        world floor {
            import wasi:io/streams@0.2.12;
            import wasi:http/types@0.2.12;
        }
    ",
    world: "pumice:bench/floor",
    with: {
        "wasi:io/error.error": Any,
        "wasi:io/streams.output-stream": Any,
        "wasi:http/types.fields": Any,
        "wasi:http/types.outgoing-response": Any,
        "wasi:http/types.outgoing-body": Any,
        "wasi:http/types.response-outparam": Any,
        "wasi:http/types.incoming-request": Any,
    },
});

use wasi::http::types::{
    ErrorCode, Fields, HeaderError, IncomingRequest, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use wasi::io::streams::{OutputStream, StreamError};

/// What an instance's host side holds: the answer.
#[derive(Default)]
pub struct State {
    pub body: Vec<u8>,
}

type Caller<'a> = StoreContextMut<'a, State>;

/// Links what a hello calls, over what stands there already.
///
/// # Errors
/// When a name is defined twice, which is a bug.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]incoming-request.path-with-query",
        |_: Caller<'_>, (_request,): (Resource<IncomingRequest>,)| Ok((Some("/hello".to_owned()),)),
    )?;
    types.func_wrap("[constructor]fields", |_: Caller<'_>, (): ()| {
        Ok((Resource::<Fields>::new_own(3),))
    })?;
    types.func_wrap(
        "[static]fields.from-list",
        |_: Caller<'_>, (_list,): (Vec<(String, Vec<u8>)>,)| {
            Ok((Ok::<_, HeaderError>(Resource::<Fields>::new_own(3)),))
        },
    )?;
    types.func_wrap(
        "[constructor]outgoing-response",
        |_: Caller<'_>, (_fields,): (Resource<Fields>,)| {
            Ok((Resource::<OutgoingResponse>::new_own(4),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.set-status-code",
        |_: Caller<'_>, (_response, _status): (Resource<OutgoingResponse>, u16)| {
            Ok((Ok::<(), ()>(()),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.body",
        |_: Caller<'_>, (_response,): (Resource<OutgoingResponse>,)| {
            Ok((Ok::<_, ()>(Resource::<OutgoingBody>::new_own(5)),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-body.write",
        |_: Caller<'_>, (_body,): (Resource<OutgoingBody>,)| {
            Ok((Ok::<_, ()>(Resource::<OutputStream>::new_own(6)),))
        },
    )?;
    types.func_wrap(
        "[static]outgoing-body.finish",
        |_: Caller<'_>, (_body, _trailers): (Resource<OutgoingBody>, Option<Resource<Fields>>)| {
            Ok((Ok::<(), ErrorCode>(()),))
        },
    )?;
    types.func_wrap(
        "[static]response-outparam.set",
        |_: Caller<'_>,
         (_out, _response): (
            Resource<ResponseOutparam>,
            Result<Resource<OutgoingResponse>, ErrorCode>,
        )| Ok(()),
    )?;
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |_: Caller<'_>, (_stream,): (Resource<OutputStream>,)| {
            Ok((Ok::<_, StreamError>(1_u64 << 20),))
        },
    )?;
    for write in [
        "[method]output-stream.write",
        "[method]output-stream.blocking-write-and-flush",
    ] {
        streams.func_wrap(
            write,
            |mut caller: Caller<'_>, (_stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                caller.data_mut().body = bytes;
                Ok((Ok::<(), StreamError>(()),))
            },
        )?;
    }
    for flush in [
        "[method]output-stream.flush",
        "[method]output-stream.blocking-flush",
    ] {
        streams.func_wrap(
            flush,
            |_: Caller<'_>, (_stream,): (Resource<OutputStream>,)| Ok((Ok::<(), StreamError>(()),)),
        )?;
    }
    Ok(())
}
