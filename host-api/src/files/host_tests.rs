use std::sync::Arc;

use wasmtime::component::Resource;

use super::{Bucket, FileLimits, FileStore};
use crate::bindings::pumice::platform::files::{self, Error, Host, HostUpload};
use crate::bindings::wasi::io::poll::HostPollable;
use crate::bindings::wasi::io::streams::{HostInputStream, HostOutputStream, StreamError};
use crate::entry::Kind;
use crate::meter::Exceeded;
use crate::table::TableError;
use crate::{Entry, HostCtx, HostLimits, testing};

fn ctx(change: impl FnOnce(&mut Entry)) -> HostCtx {
    let (entry, sink) = testing::entry(HostLimits::default());
    let mut entry = Arc::into_inner(entry).unwrap();
    change(&mut entry);
    HostCtx::new(
        Arc::new(entry),
        crate::Standing::request(testing::caller(), testing::invocation()),
        sink,
    )
}

/// A context with a bucket `b` for objects of up to 100,000 bytes.
fn with_files(folder: &tempfile::TempDir) -> HostCtx {
    let mut bucket = Bucket::new("b").unwrap();
    bucket.size_max = 100_000;
    ctx(|entry| {
        entry.files = FileStore::new(folder.path().join("objects"), FileLimits::default());
        entry.buckets = [bucket].into_iter().collect();
    })
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_own(resource.rep())
}

fn begin(ctx: &mut HostCtx, name: &str) -> Resource<files::Upload> {
    let upload = ctx.put(text("b"), text(name), text("text/plain"));
    upload.unwrap().unwrap()
}

async fn put(ctx: &mut HostCtx, name: &str, bytes: &[u8]) -> files::Object {
    let upload = begin(ctx, name);
    let stream = ctx.body(again(&upload)).unwrap().unwrap();
    let written = ctx.blocking_write_and_flush(again(&stream), bytes.to_vec());
    written.await.unwrap().unwrap();
    HostOutputStream::drop(ctx, stream).unwrap();
    ctx.finish(upload).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_guest_puts_reads_lists_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let mut ctx = with_files(&folder);
    // More than one answer of a stream may hold.
    let bytes: Vec<u8> = (0..100_000).map(|place| (place % 253) as u8).collect();
    let object = put(&mut ctx, "a", &bytes).await;
    assert_eq!((&*object.name, object.size), ("a", 100_000));
    assert_eq!(object.content_type, "text/plain");

    let before = ctx.usage().host_call_bytes;
    let (found, stream) = ctx.get(text("b"), text("a")).await.unwrap().unwrap();
    assert_eq!(found.etag, object.etag);
    let ready = HostInputStream::subscribe(&mut ctx, again(&stream)).unwrap();
    let mut read = Vec::new();
    loop {
        ctx.block(again(&ready)).await.unwrap();
        match HostInputStream::read(&mut ctx, again(&stream), u64::MAX).unwrap() {
            Ok(bytes) => {
                assert!(!bytes.is_empty());
                read.extend(bytes);
            }
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(read, bytes);
    let record = size_of::<files::Object>() + "a".len() + "text/plain".len() + 64;
    let cost = ctx.usage().host_call_bytes - before;
    assert_eq!(cost, (2 + record + bytes.len()) as u64);
    HostPollable::drop(&mut ctx, ready).unwrap();
    HostInputStream::drop(&mut ctx, stream).unwrap();

    let before = ctx.usage().host_call_bytes;
    let listed = Host::list(&mut ctx, text("b"), text(""), Some(text("?"))).await;
    let listed = listed.unwrap().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].etag, object.etag);
    let cost = ctx.usage().host_call_bytes - before;
    assert_eq!(cost, (2 + record) as u64);

    let deleted = Host::delete(&mut ctx, text("b"), text("a")).await.unwrap();
    assert!(deleted.is_ok());
    let gone = ctx.get(text("b"), text("a")).await.unwrap().unwrap_err();
    assert!(matches!(gone, Error::NoObject(name) if name == "a"));
}

#[tokio::test]
async fn one_object_is_copied_by_splicing() {
    let folder = tempfile::tempdir().unwrap();
    let mut ctx = with_files(&folder);
    let first = put(&mut ctx, "a", &[7; 100_000]).await;
    let (_, from) = ctx.get(text("b"), text("a")).await.unwrap().unwrap();
    let upload = begin(&mut ctx, "copy");
    let to = ctx.body(again(&upload)).unwrap().unwrap();
    let mut moved = 0;
    while moved < 100_000 {
        let now = ctx.blocking_splice(again(&to), again(&from), u64::MAX);
        moved += now.await.unwrap().unwrap();
    }
    HostOutputStream::drop(&mut ctx, to).unwrap();
    let copy = ctx.finish(upload).await.unwrap().unwrap();
    assert_eq!((copy.size, copy.etag), (100_000, first.etag));
}

#[tokio::test]
async fn what_an_upload_may_not_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut ctx = with_files(&folder);
    let upload = begin(&mut ctx, "a");
    let stream = ctx.body(again(&upload)).unwrap().unwrap();
    let twice = ctx.body(again(&upload)).unwrap();
    assert!(matches!(twice, Err(Error::Other(_))));
    let written = ctx.blocking_write_and_flush(again(&stream), vec![0; 100_001]);
    let Err(StreamError::LastOperationFailed(why)) = written.await.unwrap() else {
        panic!("it is too large");
    };
    let said = crate::bindings::wasi::io::error::HostError::to_debug_string(&mut ctx, why);
    assert!(said.unwrap().contains("100000 bytes"));
    HostOutputStream::drop(&mut ctx, stream).unwrap();
    let refused = ctx.finish(upload).await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::TooLarge(why) if why.contains("100000 bytes")));

    // A stream that is still there is the guest's mistake.
    let upload = begin(&mut ctx, "a");
    let stream = ctx.body(again(&upload)).unwrap().unwrap();
    let trap = ctx.finish(again(&upload)).await.unwrap_err();
    assert_eq!(trap.downcast_ref(), Some(&TableError::HasChildren));
    // More than `check-write` permits is one as well.
    let room = ctx.check_write(again(&stream)).unwrap().unwrap() as usize;
    let large = HostOutputStream::write(&mut ctx, again(&stream), vec![0; room + 1]);
    assert!(large.is_err());
    HostOutputStream::drop(&mut ctx, stream).unwrap();
    HostUpload::drop(&mut ctx, upload).unwrap();
    let left = Host::list(&mut ctx, text("b"), text(""), None).await;
    assert!(left.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn what_a_guest_may_not_ask_is_refused_and_charged() {
    fn refused<T>(answer: wasmtime::Result<Result<T, Error>>) -> Error {
        answer.unwrap().err().unwrap()
    }
    let folder = tempfile::tempdir().unwrap();
    let mut ctx = with_files(&folder);
    let error = refused(ctx.get(text("other"), text("a")).await);
    assert!(matches!(error, Error::NoBucket(name) if name == "other"));
    let error = refused(ctx.get(text("b"), text("../a")).await);
    assert!(matches!(error, Error::InvalidName(_)));
    let error = refused(ctx.put(text("b"), text("a\0"), text("a/b")));
    assert!(matches!(error, Error::InvalidName(_)));
    let error = refused(ctx.put(text("b"), text("a"), text("a/b\r\nx: y")));
    assert!(matches!(error, Error::Other(_)));
    let error = refused(Host::delete(&mut ctx, text("b"), text("..")).await);
    assert!(matches!(error, Error::InvalidName(_)));

    let before = ctx.usage().host_call_bytes;
    drop(ctx.put(text("b"), text("ab"), text("a/bc")).unwrap());
    assert_eq!(ctx.usage().host_call_bytes - before, 1 + 2 + 4);
    let long = "x".repeat(64 << 20);
    let trap = ctx.get(text("b"), long).await.err().unwrap();
    assert!(matches!(
        trap.downcast_ref(),
        Some(&Exceeded::HostCallBytes(_))
    ));
}

#[tokio::test]
async fn without_a_store_or_in_a_before_trigger_nothing_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let bare = ctx(|entry| entry.buckets = [Bucket::new("b").unwrap()].into_iter().collect());
    let before = ctx(|entry| {
        let other = with_files(&folder);
        entry.files = other.entry().files.clone();
        entry.buckets = other.entry().buckets.clone();
        entry.kind = Kind::BeforeTrigger;
    });
    for (mut ctx, expect) in [(bare, "NotConfigured"), (before, "NotInBeforeTrigger")] {
        let (b, a) = (|| text("b"), || text("a"));
        let said = [
            ctx.get(b(), a()).await.unwrap().err(),
            ctx.put(b(), a(), text("a/b")).unwrap().err(),
            Host::delete(&mut ctx, b(), a()).await.unwrap().err(),
            Host::list(&mut ctx, b(), text(""), None)
                .await
                .unwrap()
                .err(),
        ];
        for error in said {
            let error = format!("{:?}", error.unwrap());
            assert!(error.contains(expect), "{error}");
        }
    }
    assert!(!folder.path().join("objects").exists());
}
