//! The one door into guest code.
//!
//! [`Invoker::function`] admits, makes a fresh instance, calls it under three meters and records what
//! became of it. Every kind of entry goes the same way; nothing outside this module calls a guest.

pub mod admission;
pub mod call;
mod ledger;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use pumice_host_api::bindings::{Handlers, IncomingRequest, ResponseOutparam};
use pumice_host_api::{
    Budget, Caller, Entry, Exceeded, GuestBody, HostCtx, IncomingBody, InvocationId, Level,
    LogLine, LogSink, ResponseHandle, Standing,
};
use rustix::thread::ClockId;
use tokio::task::JoinHandle;
use tracing::Instrument as _;
use wasmtime::component::{InstancePre, Resource};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};

use self::admission::{AppShare, Gate, Pass, Refused, Slices, Turns};
use self::call::{Answer, Call, Export};
use self::ledger::Ledger;
use crate::limits::{self, Limits};
use crate::logs::{self, Logs, Record};
use crate::outcome::{InvokeError, Limit, Metering, Outcome, Sampler};
use crate::request_id::RequestId;

/// What there is one of in a node: everything an invocation passes through.
pub struct Invoker {
    engine: Engine,
    gate: Arc<Gate>,
    slices: Slices,
    logs: Logs,
    guest_log: Arc<dyn LogSink>,
    pub metering: Metering,
}

/// What is invoked: an entry of an app's revision with its code loaded.
pub struct Target {
    pub entry: Arc<Entry>,
    pub limits: Limits,
    pub app: Arc<AppGuests>,
    pub code: Arc<LoadedComponent>,
}

/// What the invocations of one app share.
pub struct AppGuests {
    pub share: AppShare,
    pub sampler: Sampler,
}

/// A component ready to instantiate, and where its handlers are.
pub struct LoadedComponent {
    pub pre: InstancePre<HostCtx>,
    pub handlers: Handlers,
}

/// The body of a function's response.
pub enum FunctionBody {
    /// The guest has ended, and this is all of it.
    Whole(Bytes),
    /// The guest is still at work; dropping the body before its end cancels it.
    Stream { body: GuestBody, guest: Running },
}

/// A guest that outlives the head of its response. Dropping it cancels the guest, unless its body
/// is finished: what a guest does after that is bounded by its limits alone.
pub struct Running {
    task: JoinHandle<()>,
    handle: ResponseHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.handle.is_finished() {
            self.task.abort();
        }
    }
}

impl Invoker {
    pub fn new(engine: Engine, node: &limits::Node, logs: Logs) -> Invoker {
        Invoker {
            engine,
            gate: Gate::new(node.instances, node.instances, node.queue_wait),
            slices: Slices::new(node),
            guest_log: Arc::new(logs.clone()),
            logs,
            metering: Metering::default(),
        }
    }

    /// Guests alive now.
    pub fn running(&self) -> u32 {
        self.gate.taken()
    }

    /// Calls a function with `request`; returns as soon as the head of its response is known.
    ///
    /// # Errors
    /// Every [`InvokeError`] that can happen before the head is sent. Later ones cut the body short.
    pub async fn function(
        self: &Arc<Invoker>,
        target: Arc<Target>,
        caller: Caller,
        request_id: RequestId,
        request: Request<IncomingBody>,
    ) -> Result<Response<FunctionBody>, InvokeError> {
        let passes = match self.admit(&target.app.share).await {
            Ok(passes) => passes,
            Err(error) => return Err(self.refused(&target.entry, request_id, error)),
        };
        let standing = Standing::request(caller, InvocationId(request_id.uuid()));
        let mut invocation =
            Invocation::new(self.clone(), target, standing, request_id, Some(passes));
        let (request, outparam, handle) = match invocation.prepare(request) {
            Ok(prepared) => prepared,
            Err(error) => {
                let error = invocation.classify(&error);
                invocation.finish(Some(error.clone()));
                return Err(error);
            }
        };
        let span = invocation.span();
        let call = Export::Function { request, outparam };
        let mut guest = Box::pin(invocation.run(call).instrument(span));

        // Most guests end in their first poll, head and body complete: no task, no channel.
        let mut ended = None;
        let head = poll_fn(|cx| {
            if let Poll::Ready(end) = guest.as_mut().poll(cx) {
                ended = Some(end);
            }
            match handle.poll_head(cx) {
                Poll::Ready(head) => Poll::Ready(head.map_err(|error| error.to_string())),
                Poll::Pending if ended.is_some() => {
                    Poll::Ready(Err("it returned without one".to_owned()))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let (head, ended) = match (head, ended) {
            (head, Some((invocation, result))) => {
                let head = result.and_then(|_| head.map_err(InvokeError::NoResponse));
                invocation.finish(head.as_ref().err().cloned());
                (head?, true)
            }
            (Ok(head), None) => (head, false),
            // It set an error instead of a head; what it still does is bounded by its limits.
            (Err(error), None) => {
                let error = InvokeError::NoResponse(error);
                let why = error.clone();
                tokio::spawn(async move { guest.await.0.finish(Some(why)) });
                return Err(error);
            }
        };

        if ended && let Some(bytes) = handle.complete_body() {
            return Ok(head.map(|()| FunctionBody::Whole(bytes)));
        }
        let body = handle.take_body();
        // A guest that fails from here on drops its end of the body, which then breaks off.
        let task = tokio::spawn(async move {
            if !ended {
                let (invocation, result) = guest.await;
                invocation.finish(result.err());
            }
        });
        Ok(head.map(|()| FunctionBody::Stream {
            body,
            guest: Running { task, handle },
        }))
    }

    /// Calls a trigger, a procedure or a script, and waits for its end.
    ///
    /// A nested invocation, one whose `standing` has a budget, runs on its root's ticket: it is not
    /// queued, takes no turns of its own, and gets the smaller of its limits and what the root has left.
    ///
    /// # Errors
    /// Every [`InvokeError`].
    pub async fn call(
        self: &Arc<Invoker>,
        target: Arc<Target>,
        standing: Standing,
        request_id: RequestId,
        call: Call,
    ) -> Result<Answer, InvokeError> {
        let ticket = match &standing.budget {
            Some(_) => None,
            None => Some(self.ticket(&target, request_id).await?),
        };
        self.call_with(ticket, target, standing, request_id, call)
            .await
    }

    /// A place for one root invocation, for those who must have it before they open a transaction.
    ///
    /// # Errors
    /// [`InvokeError::Overloaded`].
    pub async fn ticket(
        &self,
        target: &Target,
        request_id: RequestId,
    ) -> Result<Ticket, InvokeError> {
        match self.admit(&target.app.share).await {
            Ok(passes) => Ok(Ticket(passes)),
            Err(error) => Err(self.refused(&target.entry, request_id, error)),
        }
    }

    /// As [`call`](Self::call), with the place that a root invocation has already.
    ///
    /// # Errors
    /// Every [`InvokeError`].
    pub async fn call_with(
        self: &Arc<Invoker>,
        ticket: Option<Ticket>,
        target: Arc<Target>,
        standing: Standing,
        request_id: RequestId,
        call: Call,
    ) -> Result<Answer, InvokeError> {
        let passes = ticket.map(|Ticket(passes)| passes);
        let invocation = Invocation::new(self.clone(), target, standing, request_id, passes);
        let span = invocation.span();
        let (invocation, result) = invocation.run(call.into_export()).instrument(span).await;
        invocation.finish(result.as_ref().err().cloned());
        result
    }

    /// A line of the host's in the app's log, about what a guest has answered.
    pub fn note(&self, entry: &Entry, request_id: RequestId, message: &str) {
        self.guest_log.line(LogLine {
            entry,
            invocation: InvocationId(request_id.uuid()),
            level: Level::Error,
            message,
            fields: &[],
        });
    }

    /// Records an invocation that never began, and returns why.
    pub fn refused(
        &self,
        entry: &Arc<Entry>,
        request_id: RequestId,
        error: InvokeError,
    ) -> InvokeError {
        let outcome = Outcome {
            entry: entry.clone(),
            request_id,
            error: Some(error.clone()),
            fuel: 0,
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
            memory_peak_bytes: 0,
            host_calls: 0,
            host_call_bytes: 0,
        };
        self.record(outcome);
        error
    }

    fn record(&self, outcome: Outcome) {
        self.metering.record(&outcome);
        let app = outcome.entry.app_id;
        let body = logs::Body::Invocation(Box::new(outcome));
        let at = SystemTime::now();
        self.logs.write(Record { app, at, body });
    }

    async fn admit(&self, app: &AppShare) -> Result<(Pass, Pass), InvokeError> {
        let refused = |_: Refused| InvokeError::Overloaded;
        let app = app.gate.enter().await.map_err(refused)?;
        let node = self.gate.enter().await.map_err(refused)?;
        Ok((app, node))
    }
}

/// A place behind both gates, given back when dropped.
pub struct Ticket((Pass, Pass));

/// One entry into guest code, from admission to its record.
struct Invocation {
    store: Store<HostCtx>,
    target: Arc<Target>,
    invoker: Arc<Invoker>,
    ledger: Arc<Ledger>,
    /// Its own limits, or what is left of its root's.
    limits: Limits,
    /// The root's, when this invocation is nested.
    nested_in: Option<Arc<Budget>>,
    request_id: RequestId,
    began: Instant,
    cpu: Duration,
    recorded: bool,
    _passes: Option<(Pass, Pass)>,
}

impl Invocation {
    fn new(
        invoker: Arc<Invoker>,
        target: Arc<Target>,
        mut standing: Standing,
        request_id: RequestId,
        passes: Option<(Pass, Pass)>,
    ) -> Invocation {
        let began = Instant::now();
        let mut limits = target.limits.clone();
        let nested_in = standing.budget.take();
        if let Some(root) = &nested_in {
            limits.fuel = limits.fuel.min(root.fuel_left());
            limits.cpu = limits.cpu.min(root.cpu_left());
            let left = root.wall_until().saturating_duration_since(began);
            limits.wall = limits.wall.min(left);
        }
        let budget = Arc::new(Budget::new(limits.fuel, limits.cpu, began + limits.wall));
        standing.budget = Some(budget.clone());
        let log = invoker.guest_log.clone();
        let context = HostCtx::new(target.entry.clone(), standing, log);
        let mut store = Store::new(&invoker.engine, context);
        store.limiter(|context| context.limiter());
        // What one host call may bring in at once; the sum over all calls is the host's own limit.
        store.set_hostcall_fuel(HOST_CALL_BYTES_AT_ONCE.min(limits.host_call_bytes as usize));
        // The guest's own resources and those that only wasmtime knows of.
        store.set_max_component_handles(limits.handles as usize);
        let ledger = Arc::new(Ledger::new(budget));
        let charged = ledger.clone();
        store.call_hook(move |store, hook| charged.hook(store, hook));
        Invocation {
            store,
            target,
            invoker,
            ledger,
            limits,
            nested_in,
            request_id,
            began,
            cpu: Duration::ZERO,
            recorded: false,
            _passes: passes,
        }
    }

    /// The handler's two arguments, and where its answer will be.
    fn prepare(
        &mut self,
        request: Request<IncomingBody>,
    ) -> wasmtime::Result<(
        Resource<IncomingRequest>,
        Resource<ResponseOutparam>,
        ResponseHandle,
    )> {
        let context = self.store.data_mut();
        let request = context.incoming_request(request)?;
        let (outparam, handle) = context.response_outparam()?;
        Ok((request, outparam, handle))
    }

    fn span(&self) -> tracing::Span {
        let entry = &self.target.entry;
        tracing::debug_span!(
            "invocation",
            app.id = %entry.app_id,
            revision.id = entry.revision,
            component.name = entry.component.as_str(),
            invocation.kind = entry.kind.as_str(),
            request.id = %self.request_id,
            outcome = tracing::field::Empty,
            fuel = tracing::field::Empty,
        )
    }

    /// Runs the guest to its end. Dropped before that, it records a cancellation.
    async fn run(mut self, call: Export) -> (Invocation, Result<Answer, InvokeError>) {
        let result = match self.metered(call).await {
            Ok(ended) => ended.map_err(|error| self.classify(&error)),
            Err(limit) => Err(InvokeError::Limit(limit)),
        };
        (self, result)
    }

    /// Records how it ended.
    fn finish(mut self, error: Option<InvokeError>) {
        self.record(error);
    }

    /// The guest's own end, or the clock that stopped it.
    async fn metered(&mut self, call: Export) -> Result<wasmtime::Result<Answer>, Limit> {
        let limits = &self.limits;
        let fuel = self.store.set_fuel(limits.fuel);
        let fuel = fuel.and_then(|()| {
            self.store
                .fuel_async_yield_interval(Some(limits::FUEL_YIELD_INTERVAL))
        });
        if let Err(error) = fuel {
            return Ok(Err(error));
        }
        let mut meters = Meters {
            ledger: &self.ledger,
            cpu: &mut self.cpu,
            cpu_max: limits.cpu,
            wall: None,
            wall_until: self.began + limits.wall,
            turns: None,
            // Its root's poll is around each of its own: the root takes the turns.
            takes_turns: self.nested_in.is_none(),
            app: &self.target.app.share,
            node: &self.invoker.slices,
        };
        let code = &self.target.code;
        let store = &mut self.store;
        let mut guest = pin!(async move {
            let instance = code.pre.instantiate_async(&mut *store).await?;
            let handlers = &code.handlers;
            match call {
                Export::Function { request, outparam } => {
                    let handler = handlers.http.as_ref().ok_or_else(no_handler)?;
                    let handle = handler.load(&mut *store, &instance)?;
                    handle.call_async(&mut *store, (request, outparam)).await?;
                    Ok(Answer::Done)
                }
                Export::Check(batch) => {
                    let handler = handlers.before.as_ref().ok_or_else(no_handler)?;
                    let guest = handler.load(&mut *store, &instance)?;
                    let verdicts = guest.call_check(&mut *store, &batch).await?;
                    Ok(Answer::Verdicts(
                        verdicts.into_iter().map(call::verdict).collect(),
                    ))
                }
                Export::React(batch) => {
                    let handler = handlers.after.as_ref().ok_or_else(no_handler)?;
                    let guest = handler.load(&mut *store, &instance)?;
                    Ok(Answer::Ended(guest.call_react(&mut *store, &batch).await?))
                }
                Export::Procedure(arguments) => {
                    let handler = handlers.procedure.as_ref().ok_or_else(no_handler)?;
                    let guest = handler.load(&mut *store, &instance)?;
                    Ok(call::returned(
                        guest.call_call(&mut *store, &arguments).await?,
                    ))
                }
                Export::Script(job) => {
                    let handler = handlers.script.as_ref().ok_or_else(no_handler)?;
                    let guest = handler.load(&mut *store, &instance)?;
                    Ok(Answer::Ended(guest.call_run(&mut *store, &job).await?))
                }
                Export::BeforeUserCreated(user) => {
                    let handler = handlers.before_user_created.as_ref();
                    let guest = handler
                        .ok_or_else(no_handler)?
                        .load(&mut *store, &instance)?;
                    Ok(call::decided(guest.call_check(&mut *store, &user).await?))
                }
                Export::CustomClaims(request) => {
                    let handler = handlers.custom_claims.as_ref();
                    let guest = handler
                        .ok_or_else(no_handler)?
                        .load(&mut *store, &instance)?;
                    let claims = guest.call_claims(&mut *store, &request).await?;
                    Ok(call::returned(claims))
                }
                Export::SendMessage(message) => {
                    let handler = handlers.send_message.as_ref();
                    let guest = handler
                        .ok_or_else(no_handler)?
                        .load(&mut *store, &instance)?;
                    Ok(call::sent(guest.call_send(&mut *store, &message).await?))
                }
            }
        });
        poll_fn(|cx| meters.poll(cx, guest.as_mut())).await
    }

    /// What stopped the guest, as `error` tells it.
    fn classify(&self, error: &wasmtime::Error) -> InvokeError {
        if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
            return InvokeError::Limit(match exceeded {
                Exceeded::HostCallBytes(_) => Limit::HostCallBytes,
                Exceeded::Handles(_) => Limit::Handles,
                Exceeded::RequestBytes(_) => Limit::RequestBytes,
                Exceeded::ResponseBytes(_) => Limit::ResponseBytes,
                Exceeded::Memory(_) => Limit::Memory,
                Exceeded::OutboundRequests(_) => Limit::OutboundRequests,
                Exceeded::Fields { .. } => Limit::Fields,
            });
        }
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return InvokeError::Overloaded;
        }
        let cause = error.root_cause().to_string();
        if cause.ends_with(HOST_CALL_TOO_LARGE) {
            return InvokeError::Limit(Limit::HostCallBytes);
        }
        if cause.ends_with(TOO_MANY_HANDLES) {
            return InvokeError::Limit(Limit::Handles);
        }
        let trap = error.downcast_ref::<Trap>();
        match trap {
            Some(Trap::OutOfFuel) => return InvokeError::Limit(Limit::Fuel),
            Some(Trap::StackOverflow) => return InvokeError::Limit(Limit::Stack),
            _ => {}
        }
        let usage = self.store.data().usage();
        if usage.memory_exhausted {
            return InvokeError::Overloaded;
        }
        let guests = error.downcast_ref::<WasmBacktrace>().is_some();
        // A guest that is refused memory gives up in its own way, usually by a trap; one that asks for
        // too much from the start never begins.
        if usage.memory_denied && (trap.is_some() || !guests) {
            return InvokeError::Limit(Limit::Memory);
        }
        if !guests {
            return InvokeError::Host(format!("{error:#}"));
        }
        InvokeError::Trap {
            message: error.root_cause().to_string(),
            backtrace: backtrace(error),
        }
    }

    fn record(&mut self, error: Option<InvokeError>) {
        self.recorded = true;
        let usage = self.store.data().usage();
        let fuel = self
            .limits
            .fuel
            .saturating_sub(self.ledger.left(&self.store));
        if let Some(root) = &self.nested_in {
            root.spend(fuel);
        }
        let outcome = Outcome {
            entry: self.target.entry.clone(),
            request_id: self.request_id,
            error,
            fuel,
            cpu: self.cpu,
            wall: self.began.elapsed(),
            memory_peak_bytes: usage.memory_peak_bytes as u64,
            host_calls: usage.host_calls,
            host_call_bytes: usage.host_call_bytes,
        };
        if let Some(error @ InvokeError::Host(_)) = &outcome.error {
            let app = outcome.entry.app_id;
            tracing::error!(app.id = %app, request.id = %self.request_id, %error, "a host call failed");
        }
        if outcome.error.is_some() || self.target.app.sampler.keep(Instant::now()) {
            self.invoker.record(outcome);
        } else {
            self.invoker.metering.record(&outcome);
        }
    }
}

/// A deployment checks that a component exports what its entry calls.
fn no_handler() -> wasmtime::Error {
    wasmtime::format_err!("the component does not export this handler")
}

impl Drop for Invocation {
    fn drop(&mut self) {
        if !self.recorded {
            self.record(Some(InvokeError::Cancelled));
        }
    }
}

/// The most that one host call may carry into the host: the largest sensible body in one piece.
const HOST_CALL_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// The end of wasmtime's message for a call that carries more than that; the error has no public type.
const HOST_CALL_TOO_LARGE: &str = "fuel allocated for hostcalls has been exhausted";

/// The end of its messages for a guest with too many handles; likewise.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";

/// The guest's functions on the stack, innermost first, without addresses.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let name = |frame: &wasmtime::FrameInfo| {
        frame.func_name().map_or_else(
            || format!("function {}", frame.func_index()),
            |name| format!("{:#}", rustc_demangle::demangle(name)),
        )
    };
    backtrace.frames().iter().map(name).collect()
}

/// The two clocks of an invocation, read around each poll of its guest. (The third meter, fuel, is
/// the engine's.)
struct Meters<'i> {
    ledger: &'i Ledger,
    cpu: &'i mut Duration,
    cpu_max: Duration,
    /// Armed at the first pause: a guest that never pauses needs no timer.
    wall: Option<Pin<Box<tokio::time::Sleep>>>,
    wall_until: Instant,
    turns: Option<Pin<Box<Turns>>>,
    takes_turns: bool,
    app: &'i AppShare,
    node: &'i Slices,
}

impl Meters<'_> {
    fn poll<F: Future>(
        &mut self,
        cx: &mut Context<'_>,
        guest: Pin<&mut F>,
    ) -> Poll<Result<F::Output, Limit>> {
        if let Some(wall) = &mut self.wall
            && wall.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(Limit::Wall));
        }
        let _turn = if self.takes_turns && *self.cpu > admission::BRIEF {
            let turns = self
                .turns
                .get_or_insert_with(|| Box::pin(Turns::new(self.app, self.node)));
            match turns.as_mut().poll(cx) {
                Poll::Ready(turn) => turn,
                Poll::Pending => return Poll::Pending,
            }
        } else {
            None
        };
        self.ledger.begin_poll(*self.cpu);
        let polled = if self.wall.is_none() {
            let before = Instant::now();
            let polled = guest.poll(cx);
            *self.cpu += before.elapsed().min(FIRST_POLL_MAX);
            polled
        } else {
            let before = thread_cpu();
            let polled = guest.poll(cx);
            *self.cpu += thread_cpu().saturating_sub(before);
            polled
        };
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if *self.cpu >= self.cpu_max => Poll::Ready(Err(Limit::Cpu)),
            Poll::Pending => {
                if self.wall.is_none() {
                    let mut wall = Box::pin(tokio::time::sleep_until(self.wall_until.into()));
                    if wall.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Err(Limit::Wall));
                    }
                    self.wall = Some(wall);
                }
                Poll::Pending
            }
        }
    }
}

/// Nearly every guest ends in its first poll, and two system calls to time it would be 4 % of all it
/// costs. So the first poll counts the time that passed, and never more than this: a poll is 0.2 ms of
/// fuel, and what is longer was spent off the processor or in one bulk operation.
const FIRST_POLL_MAX: Duration = Duration::from_millis(2);

/// Processor time of this thread: a machine that is busy with others costs the guest nothing.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
