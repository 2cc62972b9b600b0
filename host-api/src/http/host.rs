use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use wasmtime::component::Resource;

use super::body::{BodyReader, FutureTrailers};
use super::error::HttpFault;
use super::fields::{self, FieldFault, Fields};
use super::message::{IncomingRequest, OutgoingResponse};
use super::pipe::{OutgoingBody, Pipe};
use super::response::{HeadError, ResponseOutparam};
use crate::HostCtx;
use crate::bindings::wasi::http::types;
use crate::bindings::wasi::io::poll::Pollable as WitPollable;
use crate::wasi::io::{InputStream, IoError, OutputStream, Pollable};

/// How long a client may send nothing while the guest waits for its request's body. A bad mobile link
/// is silent for some seconds; who is silent for longer holds an instance and its memory for nothing.
pub(super) const REQUEST_STALL: Duration = Duration::from_secs(10);

pub(super) type Answer<T, E> = wasmtime::Result<Result<T, E>>;

impl types::Host for HostCtx {
    fn http_error_code(
        &mut self,
        error: Resource<types::IoError>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        let fault = match self.table.get(error.rep())? {
            IoError::Http(fault) => fault.clone(),
            IoError::File(_) => return Ok(None),
        };
        if let HttpFault::Internal(why) = &fault {
            self.charge(why.len())?;
        }
        Ok(Some(fault.into()))
    }
}

impl types::HostFields for HostCtx {
    fn new(&mut self) -> wasmtime::Result<Resource<types::Fields>> {
        self.push(Fields::default())
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Answer<Resource<types::Fields>, types::HeaderError> {
        self.charge(
            entries
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum(),
        )?;
        let mut fields = Fields::default();
        for (name, value) in &entries {
            if let Err(fault) = fields.append(name, value) {
                return refused(fault);
            }
        }
        Ok(Ok(self.push(fields)?))
    }

    fn get(
        &mut self,
        fields: Resource<types::Fields>,
        name: String,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        let fields: &Fields = self.table.get(fields.rep())?;
        let values = fields.map().get_all(&name).iter();
        let values: Vec<Vec<u8>> = values.map(|value| value.as_bytes().to_vec()).collect();
        self.charge(name.len() + values.iter().map(Vec::len).sum::<usize>())?;
        Ok(values)
    }

    fn has(&mut self, fields: Resource<types::Fields>, name: String) -> wasmtime::Result<bool> {
        self.charge(name.len())?;
        Ok(self
            .table
            .get::<Fields>(fields.rep())?
            .map()
            .contains_key(&name))
    }

    fn set(
        &mut self,
        fields: Resource<types::Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> Answer<(), types::HeaderError> {
        self.charge(name.len() + values.iter().map(Vec::len).sum::<usize>())?;
        let fields: &mut Fields = self.table.get_mut(fields.rep())?;
        fields
            .set(&name, &values)
            .map_or_else(refused, |()| Ok(Ok(())))
    }

    fn delete(
        &mut self,
        fields: Resource<types::Fields>,
        name: String,
    ) -> Answer<(), types::HeaderError> {
        self.charge(name.len())?;
        let fields: &mut Fields = self.table.get_mut(fields.rep())?;
        fields.delete(&name).map_or_else(refused, |()| Ok(Ok(())))
    }

    fn append(
        &mut self,
        fields: Resource<types::Fields>,
        name: String,
        value: Vec<u8>,
    ) -> Answer<(), types::HeaderError> {
        self.charge(name.len() + value.len())?;
        let fields: &mut Fields = self.table.get_mut(fields.rep())?;
        fields
            .append(&name, &value)
            .map_or_else(refused, |()| Ok(Ok(())))
    }

    fn entries(
        &mut self,
        fields: Resource<types::Fields>,
    ) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let map = self.table.get::<Fields>(fields.rep())?.map();
        let all = map
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        let all: Vec<_> = all.collect();
        self.charge(
            all.iter()
                .map(|(name, value)| name.len() + value.len())
                .sum(),
        )?;
        Ok(all)
    }

    fn clone(
        &mut self,
        fields: Resource<types::Fields>,
    ) -> wasmtime::Result<Resource<types::Fields>> {
        let own = self.table.get::<Fields>(fields.rep())?.map().clone();
        self.charge_fields(&own)?;
        self.push(Fields::Own(own))
    }

    fn drop(&mut self, fields: Resource<types::Fields>) -> wasmtime::Result<()> {
        self.table.delete::<Fields>(fields.rep()).map(drop)
    }
}

fn refused<T>(fault: FieldFault) -> Answer<T, types::HeaderError> {
    match fault {
        FieldFault::Syntax => Ok(Err(types::HeaderError::InvalidSyntax)),
        FieldFault::Forbidden => Ok(Err(types::HeaderError::Forbidden)),
        FieldFault::Immutable => Ok(Err(types::HeaderError::Immutable)),
        FieldFault::Exceeded(exceeded) => Err(exceeded.into()),
    }
}

impl types::HostIncomingRequest for HostCtx {
    fn method(
        &mut self,
        request: Resource<types::IncomingRequest>,
    ) -> wasmtime::Result<types::Method> {
        let request = self.table.get::<Box<IncomingRequest>>(request.rep())?;
        let method = method_out(&request.parts.method);
        self.charge_method(&method)?;
        Ok(method)
    }

    fn path_with_query(
        &mut self,
        request: Resource<types::IncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        let request = self.table.get::<Box<IncomingRequest>>(request.rep())?;
        let path = request
            .parts
            .uri
            .path_and_query()
            .map(|path| path.as_str().to_owned());
        self.charge(path.as_ref().map_or(0, String::len))?;
        Ok(path)
    }

    fn scheme(
        &mut self,
        request: Resource<types::IncomingRequest>,
    ) -> wasmtime::Result<Option<types::Scheme>> {
        let request = self.table.get::<Box<IncomingRequest>>(request.rep())?;
        Ok(Some(match request.parts.uri.scheme_str() {
            None | Some("http") => types::Scheme::Http,
            Some("https") => types::Scheme::Https,
            Some(other) => types::Scheme::Other(other.to_owned()),
        }))
    }

    fn authority(
        &mut self,
        request: Resource<types::IncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        let authority = self
            .table
            .get::<Box<IncomingRequest>>(request.rep())?
            .authority();
        self.charge(authority.as_ref().map_or(0, String::len))?;
        Ok(authority)
    }

    fn headers(
        &mut self,
        request: Resource<types::IncomingRequest>,
    ) -> wasmtime::Result<Resource<types::Fields>> {
        let headers = self
            .table
            .get_mut::<Box<IncomingRequest>>(request.rep())?
            .headers();
        self.push(headers)
    }

    fn consume(
        &mut self,
        request: Resource<types::IncomingRequest>,
    ) -> Answer<Resource<types::IncomingBody>, ()> {
        match self
            .table
            .get_mut::<Box<IncomingRequest>>(request.rep())?
            .body
            .take()
        {
            Some(body) => {
                let max = self.entry.limits.request_bytes_max;
                let body = BodyReader::new(body)
                    .limited_to(max)
                    .with_stall(REQUEST_STALL);
                Ok(Ok(self.push(Box::new(body))?))
            }
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, request: Resource<types::IncomingRequest>) -> wasmtime::Result<()> {
        self.table
            .delete::<Box<IncomingRequest>>(request.rep())
            .map(drop)
    }
}

impl types::HostResponseOutparam for HostCtx {
    fn send_informational(
        &mut self,
        _: Resource<types::ResponseOutparam>,
        _: u16,
        headers: Resource<types::Fields>,
    ) -> Answer<(), types::ErrorCode> {
        self.table.delete::<Fields>(headers.rep())?;
        let why = "informational responses are not offered".to_owned();
        Ok(Err(types::ErrorCode::InternalError(Some(why))))
    }

    fn set(
        &mut self,
        outparam: Resource<types::ResponseOutparam>,
        response: Result<Resource<types::OutgoingResponse>, types::ErrorCode>,
    ) -> wasmtime::Result<()> {
        let answer = match response {
            Ok(response) => {
                let response: OutgoingResponse = self.table.delete(response.rep())?;
                let mut head = Response::new(());
                *head.status_mut() = response.status;
                *head.headers_mut() = response.headers.into_map();
                fields::remove_server_fields(head.headers_mut());
                Ok((head, response.body))
            }
            Err(code) => {
                let code = format!("{code:?}");
                // Several of the codes carry text of any length.
                self.charge(code.len())?;
                Err(HeadError::Code(code))
            }
        };
        self.table
            .delete::<ResponseOutparam>(outparam.rep())?
            .set(answer);
        Ok(())
    }

    fn drop(&mut self, outparam: Resource<types::ResponseOutparam>) -> wasmtime::Result<()> {
        self.table
            .delete::<ResponseOutparam>(outparam.rep())
            .map(drop)
    }
}

impl types::HostOutgoingResponse for HostCtx {
    fn new(
        &mut self,
        headers: Resource<types::Fields>,
    ) -> wasmtime::Result<Resource<types::OutgoingResponse>> {
        let headers = self.table.delete(headers.rep())?;
        self.push(OutgoingResponse {
            status: StatusCode::OK,
            headers,
            body: None,
        })
    }

    fn status_code(
        &mut self,
        response: Resource<types::OutgoingResponse>,
    ) -> wasmtime::Result<u16> {
        Ok(self
            .table
            .get::<OutgoingResponse>(response.rep())?
            .status
            .as_u16())
    }

    fn set_status_code(
        &mut self,
        response: Resource<types::OutgoingResponse>,
        status: u16,
    ) -> Answer<(), ()> {
        let response: &mut OutgoingResponse = self.table.get_mut(response.rep())?;
        Ok(match StatusCode::from_u16(status) {
            // An answer is final; hyper would not send another kind as one.
            Ok(status) if !status.is_informational() => {
                response.status = status;
                Ok(())
            }
            _ => Err(()),
        })
    }

    fn headers(
        &mut self,
        response: Resource<types::OutgoingResponse>,
    ) -> wasmtime::Result<Resource<types::Fields>> {
        let view = self
            .table
            .get_mut::<OutgoingResponse>(response.rep())?
            .headers
            .share();
        self.push(view)
    }

    fn body(
        &mut self,
        response: Resource<types::OutgoingResponse>,
    ) -> Answer<Resource<types::OutgoingBody>, ()> {
        let response: &mut OutgoingResponse = self.table.get_mut(response.rep())?;
        match open_body(&response.headers, &mut response.body, false) {
            Some(body) => Ok(Ok(self.push(body)?)),
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, response: Resource<types::OutgoingResponse>) -> wasmtime::Result<()> {
        self.table
            .delete::<OutgoingResponse>(response.rep())
            .map(drop)
    }
}

/// A message's body, which it gives out once.
pub(super) fn open_body(
    headers: &Fields,
    place: &mut Option<Arc<Pipe>>,
    of_request: bool,
) -> Option<OutgoingBody> {
    let declared = fields::content_length(headers.map()).ok()?;
    if place.is_some() {
        return None;
    }
    let pipe = Pipe::new(declared);
    *place = Some(pipe.clone());
    Some(OutgoingBody {
        pipe,
        stream_taken: false,
        of_request,
    })
}

impl types::HostOutgoingBody for HostCtx {
    fn write(
        &mut self,
        body: Resource<types::OutgoingBody>,
    ) -> Answer<Resource<types::OutputStream>, ()> {
        let taken = &mut self.table.get_mut::<OutgoingBody>(body.rep())?.stream_taken;
        if std::mem::replace(taken, true) {
            return Ok(Err(()));
        }
        Ok(Ok(
            self.push_child(OutputStream::Body(body.rep()), body.rep())?
        ))
    }

    fn finish(
        &mut self,
        body: Resource<types::OutgoingBody>,
        trailers: Option<Resource<types::Trailers>>,
    ) -> Answer<(), types::ErrorCode> {
        let body: OutgoingBody = self.table.delete(body.rep())?;
        let trailers = match trailers {
            Some(trailers) => {
                let mut trailers = self.table.delete::<Fields>(trailers.rep())?.into_map();
                if !body.of_request {
                    fields::remove_server_fields(&mut trailers);
                }
                Some(trailers)
            }
            None => None,
        };
        Ok(body
            .pipe
            .finish(trailers)
            .map_err(|wrong| body.wrong_length(wrong.0).into()))
    }

    fn drop(&mut self, body: Resource<types::OutgoingBody>) -> wasmtime::Result<()> {
        self.table.delete::<OutgoingBody>(body.rep()).map(drop)
    }
}

impl types::HostIncomingBody for HostCtx {
    fn stream(
        &mut self,
        body: Resource<types::IncomingBody>,
    ) -> Answer<Resource<types::InputStream>, ()> {
        let taken = &mut self
            .table
            .get_mut::<Box<BodyReader>>(body.rep())?
            .stream_taken;
        if std::mem::replace(taken, true) {
            return Ok(Err(()));
        }
        Ok(Ok(
            self.push_child(InputStream::Body(body.rep()), body.rep())?
        ))
    }

    fn finish(
        &mut self,
        body: Resource<types::IncomingBody>,
    ) -> wasmtime::Result<Resource<types::FutureTrailers>> {
        let body = self.table.delete(body.rep())?;
        self.push(FutureTrailers { body, taken: false })
    }

    fn drop(&mut self, body: Resource<types::IncomingBody>) -> wasmtime::Result<()> {
        self.table.delete::<Box<BodyReader>>(body.rep()).map(drop)
    }
}

type Trailers = Option<Result<Result<Option<Resource<types::Trailers>>, types::ErrorCode>, ()>>;

impl types::HostFutureTrailers for HostCtx {
    fn subscribe(
        &mut self,
        trailers: Resource<types::FutureTrailers>,
    ) -> wasmtime::Result<Resource<WitPollable>> {
        self.push_child(Pollable::Trailers(trailers.rep()), trailers.rep())
    }

    fn get(&mut self, trailers: Resource<types::FutureTrailers>) -> wasmtime::Result<Trailers> {
        let future: &mut FutureTrailers = self.table.get_mut(trailers.rep())?;
        if future.taken {
            return Ok(Some(Err(())));
        }
        if !future.body.try_end() {
            return Ok(None);
        }
        future.taken = true;
        Ok(Some(Ok(match future.body.take_end() {
            Some(Ok(Some(mut trailers))) => {
                fields::remove_connection_fields(&mut trailers);
                self.charge_fields(&trailers)?;
                Ok(Some(self.push(Fields::Shared(trailers.into()))?))
            }
            Some(Ok(None)) | None => Ok(None),
            Some(Err(fault)) => Err(fault.into()),
        })))
    }

    fn drop(&mut self, trailers: Resource<types::FutureTrailers>) -> wasmtime::Result<()> {
        self.table
            .delete::<FutureTrailers>(trailers.rep())
            .map(drop)
    }
}

impl HostCtx {
    /// Of the methods only those without a name of their own carry text.
    pub(super) fn charge_method(&mut self, method: &types::Method) -> wasmtime::Result<()> {
        match method {
            types::Method::Other(other) => self.charge(other.len()),
            _ => Ok(()),
        }
    }
}

pub(super) fn method_out(method: &Method) -> types::Method {
    match *method {
        Method::GET => types::Method::Get,
        Method::HEAD => types::Method::Head,
        Method::POST => types::Method::Post,
        Method::PUT => types::Method::Put,
        Method::DELETE => types::Method::Delete,
        Method::CONNECT => types::Method::Connect,
        Method::OPTIONS => types::Method::Options,
        Method::TRACE => types::Method::Trace,
        Method::PATCH => types::Method::Patch,
        _ => types::Method::Other(method.as_str().to_owned()),
    }
}

impl From<HttpFault> for types::ErrorCode {
    fn from(fault: HttpFault) -> Self {
        use types::ErrorCode;
        match fault {
            HttpFault::Dns(_) => ErrorCode::DnsError(types::DnsErrorPayload {
                rcode: None,
                info_code: None,
            }),
            HttpFault::DnsTimeout => ErrorCode::DnsTimeout,
            HttpFault::AddressProhibited => ErrorCode::DestinationIpProhibited,
            HttpFault::Unavailable => ErrorCode::DestinationUnavailable,
            HttpFault::Refused => ErrorCode::ConnectionRefused,
            HttpFault::ConnectionClosed => ErrorCode::ConnectionTerminated,
            HttpFault::ConnectTimeout => ErrorCode::ConnectionTimeout,
            HttpFault::ReadTimeout => ErrorCode::ConnectionReadTimeout,
            HttpFault::ResponseTimeout => ErrorCode::HttpResponseTimeout,
            HttpFault::Tls => ErrorCode::TlsProtocolError,
            HttpFault::Certificate => ErrorCode::TlsCertificateError,
            HttpFault::Denied => ErrorCode::HttpRequestDenied,
            HttpFault::Method => ErrorCode::HttpRequestMethodInvalid,
            HttpFault::Uri => ErrorCode::HttpRequestUriInvalid,
            HttpFault::TooLong(max) => ErrorCode::HttpRequestBodySize(Some(max)),
            HttpFault::RequestLength(length) => ErrorCode::HttpRequestBodySize(Some(length)),
            HttpFault::ResponseLength(length) => ErrorCode::HttpResponseBodySize(Some(length)),
            HttpFault::Incomplete => ErrorCode::HttpResponseIncomplete,
            HttpFault::Protocol => ErrorCode::HttpProtocolError,
            HttpFault::Internal(why) => ErrorCode::InternalError(Some(why)),
        }
    }
}
