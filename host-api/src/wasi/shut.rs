//! Files and sockets: linked, because compilers' standard libraries import them whether a program
//! uses them or not, and shut.
//!
//! No directory is open and no socket can be made, so no guest ever holds a handle that one of the
//! methods could be called on. They are linked by name alone: a call fails while its first argument
//! is read. What can be called answers with the interface's own error.

use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType, Val};

use crate::HostCtx;

/// Stands for every resource no guest can hold.
enum Shut {}

const FILES: &[(&str, &[&str])] = &[
    (
        "descriptor",
        &[
            "read-via-stream",
            "write-via-stream",
            "append-via-stream",
            "advise",
            "sync-data",
            "get-flags",
            "get-type",
            "set-size",
            "set-times",
            "read",
            "write",
            "read-directory",
            "sync",
            "create-directory-at",
            "stat",
            "stat-at",
            "set-times-at",
            "link-at",
            "open-at",
            "readlink-at",
            "remove-directory-at",
            "rename-at",
            "symlink-at",
            "unlink-file-at",
            "is-same-object",
            "metadata-hash",
            "metadata-hash-at",
        ],
    ),
    ("directory-entry-stream", &["read-directory-entry"]),
];

const TCP: &[(&str, &[&str])] = &[(
    "tcp-socket",
    &[
        "start-bind",
        "finish-bind",
        "start-connect",
        "finish-connect",
        "start-listen",
        "finish-listen",
        "accept",
        "local-address",
        "remote-address",
        "is-listening",
        "address-family",
        "set-listen-backlog-size",
        "keep-alive-enabled",
        "set-keep-alive-enabled",
        "keep-alive-idle-time",
        "set-keep-alive-idle-time",
        "keep-alive-interval",
        "set-keep-alive-interval",
        "keep-alive-count",
        "set-keep-alive-count",
        "hop-limit",
        "set-hop-limit",
        "receive-buffer-size",
        "set-receive-buffer-size",
        "send-buffer-size",
        "set-send-buffer-size",
        "subscribe",
        "shutdown",
    ],
)];

const UDP: &[(&str, &[&str])] = &[
    (
        "udp-socket",
        &[
            "start-bind",
            "finish-bind",
            "stream",
            "local-address",
            "remote-address",
            "address-family",
            "unicast-hop-limit",
            "set-unicast-hop-limit",
            "receive-buffer-size",
            "set-receive-buffer-size",
            "send-buffer-size",
            "set-send-buffer-size",
            "subscribe",
        ],
    ),
    ("incoming-datagram-stream", &["receive", "subscribe"]),
    (
        "outgoing-datagram-stream",
        &["check-send", "send", "subscribe"],
    ),
];

const LOOKUP: &[(&str, &[&str])] = &[(
    "resolve-address-stream",
    &["resolve-next-address", "subscribe"],
)];

pub(crate) fn add_to_linker(linker: &mut Linker<HostCtx>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    shut(&mut types, FILES)?;
    none(&mut types, "filesystem-error-code")?;

    let mut preopens = linker.instance("wasi:filesystem/preopens@0.2.12")?;
    preopens.func_wrap("get-directories", |_, (): ()| {
        Ok((Vec::<(Resource<Shut>, String)>::new(),))
    })?;

    let mut network = linker.instance("wasi:sockets/network@0.2.12")?;
    shut(&mut network, &[("network", &[])])?;
    none(&mut network, "network-error-code")?;

    // The network itself may be had; it leads nowhere.
    let mut instance = linker.instance("wasi:sockets/instance-network@0.2.12")?;
    instance.func_wrap("instance-network", |_, (): ()| {
        Ok((Resource::<Shut>::new_own(0),))
    })?;

    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    shut(&mut tcp, TCP)?;
    let mut udp = linker.instance("wasi:sockets/udp@0.2.12")?;
    shut(&mut udp, UDP)?;
    let mut lookup = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    shut(&mut lookup, LOOKUP)?;
    denied(&mut lookup, "resolve-addresses")?;
    denied(
        &mut linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?,
        "create-tcp-socket",
    )?;
    denied(
        &mut linker.instance("wasi:sockets/udp-create-socket@0.2.12")?,
        "create-udp-socket",
    )
}

/// Resources, each with methods that cannot be reached.
fn shut(
    instance: &mut LinkerInstance<'_, HostCtx>,
    resources: &[(&str, &[&str])],
) -> wasmtime::Result<()> {
    for (resource, methods) in resources {
        instance.resource(resource, ResourceType::host::<Shut>(), |_, _| Ok(()))?;
        for method in *methods {
            instance.func_new(&format!("[method]{resource}.{method}"), |_, _, _, _| {
                Err(wasmtime::format_err!(
                    "a file or socket that was never handed out"
                ))
            })?;
        }
    }
    Ok(())
}

/// `option<error-code>` of an error that is never one of this interface's.
fn none(instance: &mut LinkerInstance<'_, HostCtx>, name: &str) -> wasmtime::Result<()> {
    instance.func_new(name, |_, _, _, results| {
        results
            .iter_mut()
            .for_each(|result| *result = Val::Option(None));
        Ok(())
    })
}

/// `result<_, error-code>` that says the guest may not.
fn denied(instance: &mut LinkerInstance<'_, HostCtx>, name: &str) -> wasmtime::Result<()> {
    instance.func_new(name, |_, _, _, results| {
        let denied = || Val::Result(Err(Some(Box::new(Val::Enum("access-denied".to_owned())))));
        results.iter_mut().for_each(|result| *result = denied());
        Ok(())
    })
}
