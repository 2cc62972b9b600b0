//! Types generated from `wit/`: what guests import and export.
//!
//! Only this file, the `host.rs` files and `invoke.rs` of the runtime name generated types.

use wasmtime::component::{ComponentExportIndex, Resource};
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker, TypedFunc};

use crate::HostCtx;

#[allow(
    unsafe_code,
    unused_qualifications,
    clippy::all,
    missing_docs,
    reason = "written by wasmtime's macro"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: ["../wit", "../wit/v0_2"],
        inline: "
            package pumice:host@0.1.0;
            world everything {
                include pumice:platform/imports@0.1.0;
                import wasi:io/error@0.2.12;
                import wasi:io/poll@0.2.12;
                import wasi:io/streams@0.2.12;
                import wasi:random/insecure@0.2.12;
                import wasi:cli/environment@0.2.12;
                import wasi:cli/exit@0.2.12;
                import wasi:cli/stdin@0.2.12;
                import wasi:cli/stdout@0.2.12;
                import wasi:cli/stderr@0.2.12;
                import wasi:cli/terminal-input@0.2.12;
                import wasi:cli/terminal-output@0.2.12;
                import wasi:cli/terminal-stdin@0.2.12;
                import wasi:cli/terminal-stdout@0.2.12;
                import wasi:cli/terminal-stderr@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
                export pumice:platform/before-trigger-handler@0.1.0;
                export pumice:platform/after-trigger-handler@0.1.0;
                export pumice:platform/procedure-handler@0.1.0;
                export pumice:platform/script-handler@0.1.0;
                export pumice:platform/before-user-created-handler@0.2.0;
                export pumice:platform/custom-claims-handler@0.2.0;
                export pumice:platform/send-message-handler@0.2.0;
            }
        ",
        world: "pumice:host/everything",
        imports: {
            // Only what may wait is async: such a call allocates its future.
            "wasi:io/poll.poll": async | trappable,
            "wasi:io/poll.[method]pollable.block": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-read": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-skip": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-zeroes-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-splice": async | trappable,
            "pumice:platform/data.select": async | trappable,
            "pumice:platform/data.insert": async | trappable,
            "pumice:platform/data.upsert": async | trappable,
            "pumice:platform/data.update": async | trappable,
            "pumice:platform/data.delete": async | trappable,
            "pumice:platform/data.sql": async | trappable,
            "pumice:platform/data.[static]transaction.begin": async | trappable,
            "pumice:platform/data.[static]transaction.commit": async | trappable,
            "pumice:platform/data.[static]transaction.rollback": async | trappable,
            "pumice:platform/data.[method]transaction.select": async | trappable,
            "pumice:platform/data.[method]transaction.insert": async | trappable,
            "pumice:platform/data.[method]transaction.upsert": async | trappable,
            "pumice:platform/data.[method]transaction.update": async | trappable,
            "pumice:platform/data.[method]transaction.delete": async | trappable,
            "pumice:platform/data.[method]transaction.sql": async | trappable,
            "pumice:platform/identity.has-permission": async | trappable,
            "pumice:platform/jobs.enqueue": async | trappable,
            "pumice:platform/files.get": async | trappable,
            "pumice:platform/files.delete": async | trappable,
            "pumice:platform/files.list": async | trappable,
            "pumice:platform/files.[static]upload.finish": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub use generated::exports;
/// What guests export since version 0.1.0.
pub use generated::exports::pumice::platform0_1_0 as handlers;
/// What they export since version 0.2.0.
pub use generated::exports::pumice::platform0_2_0 as hooks;
pub(crate) use generated::wasi;

/// Imports are those of 0.1.0, and later ones if there ever are any.
pub(crate) mod pumice {
    pub(crate) use super::generated::pumice::platform0_1_0 as platform;
}

/// The bindings' names of the two resources a request handler is given.
pub use generated::wasi::http::types::{IncomingRequest, ResponseOutparam};

pub(crate) fn add_to_linker(linker: &mut Linker<HostCtx>) -> wasmtime::Result<()> {
    // Informational responses, which WASI 0.2 holds to be unstable, are not offered.
    let options = generated::LinkOptions::default();
    generated::Everything::add_to_linker::<_, HasSelf<HostCtx>>(linker, &options, |ctx| ctx)
}

/// Where a component keeps `wasi:http/incoming-handler.handle`: found once per component, whatever
/// 0.2 version it was built against, and then loaded from each instance without a search by name.
#[derive(Clone, Debug)]
pub struct IncomingHandlerIndex {
    handle: ComponentExportIndex,
}

/// `handle: func(request: incoming-request, response-out: response-outparam)`.
pub type IncomingHandler = TypedFunc<(Resource<IncomingRequest>, Resource<ResponseOutparam>), ()>;

impl IncomingHandlerIndex {
    /// None if the component exports no such handler.
    pub fn find(pre: &InstancePre<HostCtx>) -> Option<Self> {
        // wasmtime takes any version for it that is compatible with this one.
        let component = pre.component();
        let interface = component.get_export_index(None, "wasi:http/incoming-handler@0.2.12")?;
        let handle = component.get_export_index(Some(&interface), "handle")?;
        Some(IncomingHandlerIndex { handle })
    }

    /// # Errors
    /// When the export has another type than the interface says.
    pub fn load(
        &self,
        store: impl wasmtime::AsContextMut<Data = HostCtx>,
        instance: &Instance,
    ) -> wasmtime::Result<IncomingHandler> {
        instance.get_typed_func(store, self.handle)
    }
}

/// Where a component keeps the handlers it exports: found once per component, loaded from each instance.
pub struct Handlers {
    pub http: Option<IncomingHandlerIndex>,
    pub before: Option<handlers::before_trigger_handler::GuestIndices>,
    pub after: Option<handlers::after_trigger_handler::GuestIndices>,
    pub procedure: Option<handlers::procedure_handler::GuestIndices>,
    pub script: Option<handlers::script_handler::GuestIndices>,
    pub before_user_created: Option<hooks::before_user_created_handler::GuestIndices>,
    pub custom_claims: Option<hooks::custom_claims_handler::GuestIndices>,
    pub send_message: Option<hooks::send_message_handler::GuestIndices>,
}

impl Handlers {
    pub fn find(pre: &InstancePre<HostCtx>) -> Handlers {
        Handlers {
            http: IncomingHandlerIndex::find(pre),
            before: handlers::before_trigger_handler::GuestIndices::new(pre).ok(),
            after: handlers::after_trigger_handler::GuestIndices::new(pre).ok(),
            procedure: handlers::procedure_handler::GuestIndices::new(pre).ok(),
            script: handlers::script_handler::GuestIndices::new(pre).ok(),
            before_user_created: hooks::before_user_created_handler::GuestIndices::new(pre).ok(),
            custom_claims: hooks::custom_claims_handler::GuestIndices::new(pre).ok(),
            send_message: hooks::send_message_handler::GuestIndices::new(pre).ok(),
        }
    }
}

pub use pumice::platform::types::{
    Batch, Caller as GuestCaller, Change, Operation as GuestOperation, Rejection,
};
