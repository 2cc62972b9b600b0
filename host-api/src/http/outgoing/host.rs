use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{Method, Uri, uri};
use wasmtime::component::Resource;

use super::client::Timeouts;
use crate::HostCtx;
use crate::bindings::wasi::http::{outgoing_handler, types};
use crate::bindings::wasi::io::poll::Pollable as WitPollable;
use crate::http::HttpFault;
use crate::http::body::BodyReader;
use crate::http::fields::Fields;
use crate::http::host::{Answer, method_out, open_body};
use crate::http::message::{
    FutureResponse, IncomingResponse, OutgoingRequest, RequestOptions, Scheme, Sending,
};
use crate::http::pipe::GuestBody;
use crate::meter::Exceeded;
use crate::wasi::io::Pollable;

impl types::HostOutgoingRequest for HostCtx {
    fn new(
        &mut self,
        headers: Resource<types::Fields>,
    ) -> wasmtime::Result<Resource<types::OutgoingRequest>> {
        let headers = self.table.delete(headers.rep())?;
        self.push(Box::new(OutgoingRequest {
            method: Method::GET,
            scheme: None,
            authority: None,
            path_with_query: None,
            headers,
            body: None,
        }))
    }

    fn body(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> Answer<Resource<types::OutgoingBody>, ()> {
        let request: &mut Box<OutgoingRequest> = self.table.get_mut(request.rep())?;
        match open_body(&request.headers, &mut request.body, true) {
            Some(body) => Ok(Ok(self.push(body)?)),
            None => Ok(Err(())),
        }
    }

    fn method(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> wasmtime::Result<types::Method> {
        let request = self.table.get::<Box<OutgoingRequest>>(request.rep())?;
        let method = method_out(&request.method);
        self.charge_method(&method)?;
        Ok(method)
    }

    fn set_method(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        method: types::Method,
    ) -> Answer<(), ()> {
        self.charge_method(&method)?;
        let request: &mut Box<OutgoingRequest> = self.table.get_mut(request.rep())?;
        Ok(method_in(method)
            .map(|method| request.method = method)
            .ok_or(()))
    }

    fn path_with_query(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        let request = self.table.get::<Box<OutgoingRequest>>(request.rep())?;
        let path = request.path_with_query.clone();
        self.charge(path.as_ref().map_or(0, String::len))?;
        Ok(path)
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        path: Option<String>,
    ) -> Answer<(), ()> {
        self.charge(path.as_ref().map_or(0, String::len))?;
        if path
            .as_ref()
            .is_some_and(|path| path.parse::<uri::PathAndQuery>().is_err())
        {
            return Ok(Err(()));
        }
        self.table
            .get_mut::<Box<OutgoingRequest>>(request.rep())?
            .path_with_query = path;
        Ok(Ok(()))
    }

    fn scheme(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> wasmtime::Result<Option<types::Scheme>> {
        let request = self.table.get::<Box<OutgoingRequest>>(request.rep())?;
        let scheme = request.scheme.clone().map(|scheme| match scheme {
            Scheme::Http => types::Scheme::Http,
            Scheme::Https => types::Scheme::Https,
            Scheme::Other(other) => types::Scheme::Other(other),
        });
        if let Some(types::Scheme::Other(other)) = &scheme {
            self.charge(other.len())?;
        }
        Ok(scheme)
    }

    fn set_scheme(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        scheme: Option<types::Scheme>,
    ) -> Answer<(), ()> {
        if let Some(types::Scheme::Other(other)) = &scheme {
            self.charge(other.len())?;
        }
        let scheme = match scheme {
            None => None,
            Some(types::Scheme::Http) => Some(Scheme::Http),
            Some(types::Scheme::Https) => Some(Scheme::Https),
            Some(types::Scheme::Other(other)) => match other.parse::<uri::Scheme>() {
                Ok(_) => Some(Scheme::Other(other)),
                Err(_) => return Ok(Err(())),
            },
        };
        self.table
            .get_mut::<Box<OutgoingRequest>>(request.rep())?
            .scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        let request = self.table.get::<Box<OutgoingRequest>>(request.rep())?;
        let authority = request.authority.clone();
        self.charge(authority.as_ref().map_or(0, String::len))?;
        Ok(authority)
    }

    fn set_authority(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        authority: Option<String>,
    ) -> Answer<(), ()> {
        self.charge(authority.as_ref().map_or(0, String::len))?;
        if authority
            .as_ref()
            .is_some_and(|authority| authority.parse::<uri::Authority>().is_err())
        {
            return Ok(Err(()));
        }
        self.table
            .get_mut::<Box<OutgoingRequest>>(request.rep())?
            .authority = authority;
        Ok(Ok(()))
    }

    fn headers(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> wasmtime::Result<Resource<types::Fields>> {
        let view = self
            .table
            .get_mut::<Box<OutgoingRequest>>(request.rep())?
            .headers
            .share();
        self.push(view)
    }

    fn drop(&mut self, request: Resource<types::OutgoingRequest>) -> wasmtime::Result<()> {
        self.table
            .delete::<Box<OutgoingRequest>>(request.rep())
            .map(drop)
    }
}

type Wait = Option<u64>;

impl types::HostRequestOptions for HostCtx {
    fn new(&mut self) -> wasmtime::Result<Resource<types::RequestOptions>> {
        self.push(RequestOptions::default())
    }

    fn connect_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
    ) -> wasmtime::Result<Wait> {
        Ok(nanos(
            self.table.get::<RequestOptions>(options.rep())?.connect,
        ))
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        wait: Wait,
    ) -> Answer<(), ()> {
        self.table.get_mut::<RequestOptions>(options.rep())?.connect =
            wait.map(Duration::from_nanos);
        Ok(Ok(()))
    }

    fn first_byte_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
    ) -> wasmtime::Result<Wait> {
        Ok(nanos(
            self.table.get::<RequestOptions>(options.rep())?.first_byte,
        ))
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        wait: Wait,
    ) -> Answer<(), ()> {
        self.table
            .get_mut::<RequestOptions>(options.rep())?
            .first_byte = wait.map(Duration::from_nanos);
        Ok(Ok(()))
    }

    fn between_bytes_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
    ) -> wasmtime::Result<Wait> {
        Ok(nanos(
            self.table
                .get::<RequestOptions>(options.rep())?
                .between_bytes,
        ))
    }

    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        wait: Wait,
    ) -> Answer<(), ()> {
        self.table
            .get_mut::<RequestOptions>(options.rep())?
            .between_bytes = wait.map(Duration::from_nanos);
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Resource<types::RequestOptions>) -> wasmtime::Result<()> {
        self.table.delete::<RequestOptions>(options.rep()).map(drop)
    }
}

fn nanos(wait: Option<Duration>) -> Wait {
    // Made from such a number, so it is one.
    wait.map(|wait| wait.as_nanos() as u64)
}

impl types::HostIncomingResponse for HostCtx {
    fn status(&mut self, response: Resource<types::IncomingResponse>) -> wasmtime::Result<u16> {
        Ok(self
            .table
            .get::<Box<IncomingResponse>>(response.rep())?
            .status
            .as_u16())
    }

    fn headers(
        &mut self,
        response: Resource<types::IncomingResponse>,
    ) -> wasmtime::Result<Resource<types::Fields>> {
        let headers = self
            .table
            .get::<Box<IncomingResponse>>(response.rep())?
            .headers
            .clone();
        self.push(Fields::Shared(headers))
    }

    fn consume(
        &mut self,
        response: Resource<types::IncomingResponse>,
    ) -> Answer<Resource<types::IncomingBody>, ()> {
        let response: &mut Box<IncomingResponse> = self.table.get_mut(response.rep())?;
        let between_bytes = response.between_bytes;
        match response.body.take() {
            Some(body) => Ok(Ok(
                self.push(Box::new(BodyReader::new(body).with_stall(between_bytes)))?
            )),
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, response: Resource<types::IncomingResponse>) -> wasmtime::Result<()> {
        self.table
            .delete::<Box<IncomingResponse>>(response.rep())
            .map(drop)
    }
}

type Arrived = Option<Result<Result<Resource<types::IncomingResponse>, types::ErrorCode>, ()>>;

impl types::HostFutureIncomingResponse for HostCtx {
    fn subscribe(
        &mut self,
        future: Resource<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Resource<WitPollable>> {
        self.push_child(Pollable::Response(future.rep()), future.rep())
    }

    fn get(
        &mut self,
        future: Resource<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Arrived> {
        let future: &mut FutureResponse = self.table.get_mut(future.rep())?;
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if future.poll_ready(&mut cx).is_pending() {
            return Ok(None);
        }
        Ok(Some(
            match std::mem::replace(future, FutureResponse::Taken) {
                FutureResponse::Ready(answer) => Ok(match *answer {
                    Ok(response) => {
                        self.charge_fields(&response.headers)?;
                        Ok(self.push(response)?)
                    }
                    Err(fault) => Err(fault.into()),
                }),
                FutureResponse::Taken | FutureResponse::Pending(_) => Err(()),
            },
        ))
    }

    fn drop(&mut self, future: Resource<types::FutureIncomingResponse>) -> wasmtime::Result<()> {
        self.table.delete::<FutureResponse>(future.rep()).map(drop)
    }
}

impl outgoing_handler::Host for HostCtx {
    fn handle(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        options: Option<Resource<types::RequestOptions>>,
    ) -> Answer<Resource<types::FutureIncomingResponse>, types::ErrorCode> {
        let request: Box<OutgoingRequest> = self.table.delete(request.rep())?;
        let options = match options {
            Some(options) => self.table.delete::<RequestOptions>(options.rep())?,
            None => RequestOptions::default(),
        };
        let max = self.entry.limits.outbound_requests_max;
        self.meter.usage.outbound_requests += 1;
        if self.meter.usage.outbound_requests > max {
            return Err(Exceeded::OutboundRequests(max).into());
        }
        self.charge_fields(request.headers.map())?;
        let request = match self.checked(*request) {
            Ok(request) => request,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let longest = self.entry.limits.outbound_timeout;
        let bounded = |wait: Option<Duration>| wait.unwrap_or(longest).min(longest);
        let connect = bounded(options.connect);
        let timeouts = Timeouts {
            connect,
            // The guest counts from when the request has been sent, the host from its start.
            first_byte: connect + bounded(options.first_byte),
            between_bytes: bounded(options.between_bytes),
        };
        let sending = self.entry.egress.client().clone().send(request, timeouts);
        Ok(Ok(
            self.push(FutureResponse::Pending(Sending::spawn(sending)))?
        ))
    }
}

impl HostCtx {
    /// The request as it will be sent, if the entry may send it.
    fn checked(&self, request: OutgoingRequest) -> Result<http::Request<GuestBody>, HttpFault> {
        // What such a guest sends could not be taken back when what it stands before is refused.
        if self.entry.kind.only_reads() {
            return Err(HttpFault::Denied);
        }
        let scheme = request.scheme.unwrap_or(Scheme::Https);
        let authority: uri::Authority = request
            .authority
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|_| HttpFault::Uri)?;
        if authority.as_str().contains('@') {
            return Err(HttpFault::Uri);
        }
        if !self
            .entry
            .egress
            .lists(&scheme, authority.host(), authority.port_u16())
        {
            return Err(HttpFault::Denied);
        }
        // A tunnel would reach other hosts than the one that is listed.
        if request.method == Method::CONNECT {
            return Err(HttpFault::Method);
        }
        let path = request
            .path_with_query
            .as_deref()
            .filter(|path| !path.is_empty())
            .unwrap_or("/");
        let uri = Uri::builder()
            .scheme(if scheme == Scheme::Https {
                "https"
            } else {
                "http"
            })
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(|_| HttpFault::Uri)?;
        let mut headers = request.headers.into_map();
        if request.body.is_none() {
            // hyper derives the length of no body by itself; one that is set could only be wrong.
            headers.remove(CONTENT_LENGTH);
        }
        let mut sent = http::Request::new(GuestBody::new(request.body));
        *sent.method_mut() = request.method;
        *sent.uri_mut() = uri;
        *sent.headers_mut() = headers;
        Ok(sent)
    }
}

fn method_in(method: types::Method) -> Option<Method> {
    Some(match method {
        types::Method::Get => Method::GET,
        types::Method::Head => Method::HEAD,
        types::Method::Post => Method::POST,
        types::Method::Put => Method::PUT,
        types::Method::Delete => Method::DELETE,
        types::Method::Connect => Method::CONNECT,
        types::Method::Options => Method::OPTIONS,
        types::Method::Trace => Method::TRACE,
        types::Method::Patch => Method::PATCH,
        types::Method::Other(other) => Method::from_bytes(other.as_bytes()).ok()?,
    })
}
