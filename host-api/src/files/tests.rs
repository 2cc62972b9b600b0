use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::task::{Context, Waker};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::transfer::CHUNK_BYTES;
use super::*;

/// A folder that holds `outside`, whose content must not change, and the app's `objects`.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.outside(), "secret").unwrap();
        place
    }

    fn outside(&self) -> PathBuf {
        self.0.path().join("outside")
    }

    fn objects(&self) -> PathBuf {
        self.0.path().join("objects")
    }

    fn content(&self) -> PathBuf {
        self.objects().join("content")
    }

    fn record(&self, name: &str) -> PathBuf {
        let hash = |text: &str| -> String {
            let digest = Sha256::digest(text);
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let index = self.objects().join("index");
        index.join(hash("b")).join(hash(name) + ".json")
    }

    fn store(&self) -> FileStore {
        FileStore::new(self.objects(), FileLimits::default())
    }

    fn limited(&self, change: impl FnOnce(&mut FileLimits)) -> FileStore {
        let mut limits = FileLimits::default();
        change(&mut limits);
        FileStore::new(self.objects(), limits)
    }

    fn contents(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.content()).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// As a store would write it, without waiting for the disk.
    fn plant(&self, name: &str, bytes: &str) {
        let id = uuid::Uuid::new_v4();
        let record = serde_json::json!({
            "bucket": "b", "name": name, "content": id, "size": bytes.len(),
            "content_type": "text/plain", "etag": "0".repeat(64), "updated_at": 7,
        });
        fs::create_dir_all(self.content()).unwrap();
        fs::create_dir_all(self.record(name).parent().unwrap()).unwrap();
        fs::write(self.content().join(id.simple().to_string()), bytes).unwrap();
        fs::write(self.record(name), record.to_string()).unwrap();
    }
}

fn bucket() -> Bucket {
    Bucket::new("b").unwrap()
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

async fn put(store: &FileStore, to: &str, bytes: &[u8]) -> Result<Object, FileError> {
    put_in(store, &bucket(), to, bytes).await
}

async fn put_in(
    store: &FileStore,
    bucket: &Bucket,
    to: &str,
    bytes: &[u8],
) -> Result<Object, FileError> {
    let mut upload = store.put(bucket, name(to), "text/plain")?;
    upload.write_all(bytes).await?;
    upload.finish().await
}

async fn get(store: &FileStore, from: &str) -> Result<Vec<u8>, FileError> {
    let (object, mut download) = store.get(&bucket(), name(from)).await?;
    let bytes = rest(&mut download).await?;
    assert_eq!(bytes.len() as u64, object.size);
    Ok(bytes)
}

async fn rest(download: &mut Download) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn names(store: &FileStore) -> Vec<String> {
    let objects = store.list(&bucket(), String::new(), None).await.unwrap();
    objects.into_iter().map(|object| object.name).collect()
}

/// A runtime with one blocking thread: what is asked of the store comes after all jobs before it.
fn in_order<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(test)
}

/// `length` bytes in which no two chunks are the same.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 7 % 251) as u8).collect()
}

#[tokio::test]
async fn objects_come_back_as_they_were_put_also_after_a_restart() {
    let place = Place::new();
    let store = place.store();
    let object = put(&store, "a/b.txt", b"abc").await.unwrap();
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((&*object.etag, object.size), (sha256, 3));
    assert_eq!(
        (&*object.name, &*object.content_type),
        ("a/b.txt", "text/plain")
    );
    assert!(object.updated_at > 1_700_000_000);
    let sizes = [
        0,
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        3 * CHUNK_BYTES + 1,
    ];
    for size in sizes {
        put(&store, &size.to_string(), &bytes(size)).await.unwrap();
    }
    drop(store);
    let store = place.store();
    for size in sizes {
        assert_eq!(get(&store, &size.to_string()).await.unwrap(), bytes(size));
    }
    let (found, _) = store.get(&bucket(), name("a/b.txt")).await.unwrap();
    assert_eq!(found, object);
    let all = 3 + sizes.iter().sum::<usize>();
    assert_eq!(store.used().await.unwrap(), all as u64);
    put(&store, "a/b.txt", b"other").await.unwrap();
    assert_eq!(get(&store, "a/b.txt").await.unwrap(), b"other");
    assert_eq!(store.used().await.unwrap(), all as u64 + 2);
    assert_eq!(place.contents().len(), 1 + sizes.len());
}

#[tokio::test]
async fn without_a_folder_there_is_no_store() {
    let store = FileStore::default();
    let absent = |error| assert!(matches!(error, FileError::NotConfigured), "{error}");
    absent(get(&store, "a").await.unwrap_err());
    absent(put(&store, "a", b"").await.unwrap_err());
    absent(store.delete(&bucket(), name("a")).await.unwrap_err());
    absent(
        store
            .list(&bucket(), String::new(), None)
            .await
            .unwrap_err(),
    );
}

#[tokio::test]
async fn hostile_names_stay_within_the_folder() {
    const PIECES: [&str; 24] = [
        "..",
        ".",
        "/",
        "/",
        "\\",
        "%2e",
        "%2f",
        "%00",
        "\0",
        "a",
        "b",
        "é",
        "e\u{301}",
        ":",
        "CON",
        "nul.txt",
        " ",
        "\u{202e}",
        "~",
        "*",
        "$(id)",
        "\r\n",
        "-rf",
        "../../../outside",
    ];
    let place = Place::new();
    let store = place.store();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        // Knuth's MMIX; the same names in every run.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut hostile: Vec<String> = (0..1000)
        .map(|_| {
            let pieces = 1 + random(6);
            (0..pieces).map(|_| PIECES[random(PIECES.len())]).collect()
        })
        .collect();
    let listed = [
        "../outside",
        "..",
        "%2e%2e/outside",
        "a/../../outside",
        "/etc/passwd",
        "\0",
        "CON",
        "aux",
        "COM1.txt",
        "..\\outside",
        "index",
        "content",
        "content/x",
        "x.new",
        "x.json",
    ];
    hostile.extend(listed.map(str::to_owned));
    hostile.push("x".repeat(4096));
    hostile.push("x".repeat(NAME_BYTES_MAX));
    hostile.push(place.outside().display().to_string());

    let mut kept = BTreeMap::new();
    let mut refused = 0;
    for text in hostile {
        match ObjectName::new(&text) {
            Ok(_) => {
                put(&store, &text, text.as_bytes()).await.unwrap();
                kept.insert(text.clone(), text);
            }
            Err(FileError::InvalidName(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        kept.len() > 200 && refused > 200,
        "{} {refused}",
        kept.len()
    );
    assert_eq!(
        names(&store).await,
        kept.keys().cloned().collect::<Vec<_>>()
    );
    for text in kept.keys() {
        assert_eq!(get(&store, text).await.unwrap(), text.as_bytes());
    }
    assert_eq!(fs::read(place.outside()).unwrap(), b"secret");
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 2);
    assert_eq!(place.contents().len(), kept.len());
    let folders: Vec<_> = fs::read_dir(place.objects().join("index"))
        .unwrap()
        .collect();
    assert_eq!(folders.len(), 1);
    for file in fs::read_dir(folders[0].as_ref().unwrap().path()).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let digits = file.strip_suffix(".json").unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[tokio::test]
async fn planted_links_are_not_followed() {
    // In the place of an object's bytes, before and after the opening.
    let place = Place::new();
    let store = place.store();
    put(&store, "a", b"secret").await.unwrap();
    let content = place.contents().remove(0);
    fs::remove_file(&content).unwrap();
    symlink(place.outside(), &content).unwrap();
    assert!(matches!(get(&store, "a").await, Err(FileError::Disk(_))));
    drop(store);
    let store = place.store();
    assert!(matches!(
        get(&store, "a").await,
        Err(FileError::NoObject(_))
    ));

    // In the place of a record: a put replaces the link and not what it leads to.
    symlink(place.outside(), place.record("planted")).unwrap();
    put(&store, "planted", b"mine").await.unwrap();
    assert_eq!(get(&store, "planted").await.unwrap(), b"mine");
    drop(store);

    // A record elsewhere.
    let elsewhere = place.0.path().join("elsewhere");
    fs::rename(place.record("planted"), &elsewhere).unwrap();
    symlink(&elsewhere, place.record("planted")).unwrap();
    let store = place.store();
    assert!(matches!(
        get(&store, "planted").await,
        Err(FileError::NoObject(_))
    ));
    drop(store);

    // In the place of a folder.
    for folder in ["objects", "objects/index", "objects/content"] {
        let place = Place::new();
        let target = place.0.path().join("target");
        fs::create_dir(&target).unwrap();
        let folder = place.0.path().join(folder);
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        symlink(&target, &folder).unwrap();
        let refused = put(&place.store(), "a", b"x").await;
        assert!(matches!(refused, Err(FileError::Disk(_))), "{folder:?}");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }
    let place = Place::new();
    let store = place.store();
    assert_eq!(store.used().await.unwrap(), 0);
    let target = place.0.path().join("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, place.record("a").parent().unwrap()).unwrap();
    assert!(matches!(
        put(&store, "a", b"x").await,
        Err(FileError::Disk(_))
    ));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    assert!(place.contents().is_empty());
    assert_eq!(store.used().await.unwrap(), 0);
    assert_eq!(fs::read(place.outside()).unwrap(), b"secret");
}

#[tokio::test]
async fn what_a_crash_leaves_is_swept_or_absent() {
    let place = Place::new();
    for object in ["whole", "lost", "cut"] {
        place.plant(object, object);
    }
    let of = |object: &str| -> PathBuf {
        let record = fs::read(place.record(object)).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let id: uuid::Uuid = record["content"].as_str().unwrap().parse().unwrap();
        place.content().join(id.simple().to_string())
    };
    fs::remove_file(of("lost")).unwrap();
    fs::write(of("cut"), "cu").unwrap();
    let orphan = place
        .content()
        .join(uuid::Uuid::new_v4().simple().to_string());
    fs::write(&orphan, "half an upload").unwrap();
    let half_a_record = place.record("half").with_extension("new");
    fs::write(&half_a_record, "{").unwrap();
    fs::write(place.content().join("README"), "not ours").unwrap();

    let store = place.store();
    assert_eq!(names(&store).await, ["whole"]);
    assert_eq!(get(&store, "whole").await.unwrap(), b"whole");
    assert!(!orphan.exists() && !half_a_record.exists());
    assert!(place.content().join("README").exists());
    assert_eq!(store.used().await.unwrap(), 5);
    for object in ["lost", "cut"] {
        assert!(matches!(
            get(&store, object).await,
            Err(FileError::NoObject(_))
        ));
        let deleted = store.delete(&bucket(), name(object)).await;
        assert!(matches!(deleted, Err(FileError::NoObject(_))));
        put(&store, object, b"again").await.unwrap();
        assert_eq!(get(&store, object).await.unwrap(), b"again");
    }
}

#[tokio::test]
async fn nothing_is_swept_while_a_record_cannot_be_read() {
    for damage in ["", "{}", "null", "moved"] {
        let place = Place::new();
        place.plant("good", "good");
        place.plant("bad", "bad");
        match damage {
            "moved" => fs::rename(place.record("bad"), place.record("other")).unwrap(),
            text => fs::write(place.record("bad"), text).unwrap(),
        }
        let store = place.store();
        assert_eq!(names(&store).await, ["good"], "{damage}");
        assert_eq!(place.contents().len(), 2, "{damage}");
    }
}

#[tokio::test]
async fn bytes_lost_under_a_running_store_are_an_absent_object() {
    let place = Place::new();
    let store = place.store();
    put(&store, "a", b"x").await.unwrap();
    fs::remove_file(&place.contents()[0]).unwrap();
    assert!(matches!(
        get(&store, "a").await,
        Err(FileError::NoObject(_))
    ));
    store.delete(&bucket(), name("a")).await.unwrap();
    assert_eq!(store.used().await.unwrap(), 0);
}

#[tokio::test]
async fn size_stops_at_the_edge() {
    let place = Place::new();
    let store = place.store();
    for max in [0, 10, CHUNK_BYTES, 2 * CHUNK_BYTES + 3] {
        let mut bucket = bucket();
        bucket.size_max = max as u64;
        put_in(&store, &bucket, "a", &bytes(max)).await.unwrap();
        let mut upload = store.put(&bucket, name("b"), "text/plain").unwrap();
        let refused = upload.write_all(&bytes(max + 1)).await.unwrap_err();
        let is_size = |error: &FileError| matches!(error, FileError::ObjectTooLarge(said) if *said == max as u64);
        assert!(is_size(&refused), "{refused}");
        assert!(is_size(&upload.write(b"").unwrap_err()));
        assert!(is_size(&upload.finish().await.unwrap_err()));
    }
    assert_eq!(names(&store).await, ["a"]);
}

#[tokio::test]
async fn the_quota_stops_at_the_edge() {
    let place = Place::new();
    let store = place.limited(|limits| limits.bytes_max = 100);
    let is_quota = |result| assert!(matches!(result, Err(FileError::Quota(100))));
    put(&store, "a", &bytes(60)).await.unwrap();
    is_quota(put(&store, "b", &bytes(41)).await);
    assert_eq!(store.used().await.unwrap(), 60);
    put(&store, "b", &bytes(40)).await.unwrap();
    is_quota(put(&store, "c", &bytes(1)).await);
    put(&store, "c", b"").await.unwrap();
    // The old one and the new one are on the disk for a moment.
    is_quota(put(&store, "a", &bytes(1)).await);
    assert_eq!(get(&store, "a").await.unwrap(), bytes(60));
    store.delete(&bucket(), name("b")).await.unwrap();
    assert_eq!(store.used().await.unwrap(), 60);
    put(&store, "a", &bytes(40)).await.unwrap();
    assert_eq!(store.used().await.unwrap(), 40);
    assert_eq!(place.contents().len(), 2);

    let large = place.0.path().join("large");
    let limits = FileLimits {
        bytes_max: CHUNK_BYTES as u64 + 1,
        ..FileLimits::default()
    };
    let store = FileStore::new(large, limits);
    let refused = put(&store, "a", &bytes(3 * CHUNK_BYTES)).await;
    assert!(matches!(refused, Err(FileError::Quota(_))));
    put(&store, "a", &bytes(CHUNK_BYTES + 1)).await.unwrap();
}

#[tokio::test]
async fn objects_and_streams_stop_at_their_edges() {
    let place = Place::new();
    let store = place.limited(|limits| {
        limits.objects_max = 2;
        limits.streams_max = 2;
    });
    put(&store, "a", b"1").await.unwrap();
    put(&store, "b", &bytes(CHUNK_BYTES + 1)).await.unwrap();
    let refused = put(&store, "c", b"3").await;
    assert!(matches!(refused, Err(FileError::TooManyObjects(2))));
    assert_eq!(store.used().await.unwrap(), CHUNK_BYTES as u64 + 2);
    put(&store, "a", b"2").await.unwrap();
    store.delete(&bucket(), name("a")).await.unwrap();
    put(&store, "c", b"3").await.unwrap();

    let (_, download) = store.get(&bucket(), name("b")).await.unwrap();
    let upload = store.put(&bucket(), name("c"), "a/b").unwrap();
    let refused = store.get(&bucket(), name("b")).await.err().unwrap();
    assert!(matches!(refused, FileError::TooManyStreams(2)));
    let refused = store.put(&bucket(), name("c"), "a/b").err().unwrap();
    assert!(matches!(refused, FileError::TooManyStreams(2)));
    drop(upload);
    assert_eq!(get(&store, "c").await.unwrap(), b"3");
    drop(download);
    assert_eq!(get(&store, "b").await.unwrap(), bytes(CHUNK_BYTES + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_to_one_name_at_once_leave_one_whole() {
    let place = Place::new();
    let store = place.store();
    let size = 2 * CHUNK_BYTES + 5;
    put(&store, "a", &vec![0; size]).await.unwrap();
    let writers: Vec<_> = (1..=8_u8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, "a", &vec![writer; size]).await.unwrap() })
        })
        .collect();
    // Whoever reads meanwhile finds one of them, never none and never parts of two.
    for _ in 0..50 {
        let found = get(&store, "a").await.unwrap();
        assert!(found.len() == size && found.iter().all(|byte| *byte == found[0]));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let found = get(&store, "a").await.unwrap();
    assert!(found[0] > 0 && found.iter().all(|byte| *byte == found[0]));
    assert_eq!(store.used().await.unwrap(), size as u64);
    assert_eq!(place.contents().len(), 1);
    drop(store);
    assert_eq!(get(&place.store(), "a").await.unwrap(), found);
}

#[tokio::test]
async fn a_reader_keeps_what_is_deleted_or_replaced() {
    let place = Place::new();
    let store = place.store();
    let whole = bytes(3 * CHUNK_BYTES);
    put(&store, "a", &whole).await.unwrap();
    let (_, mut first) = store.get(&bucket(), name("a")).await.unwrap();
    put(&store, "a", b"new").await.unwrap();
    let (_, mut second) = store.get(&bucket(), name("a")).await.unwrap();
    store.delete(&bucket(), name("a")).await.unwrap();
    assert!(place.contents().is_empty());
    assert_eq!(rest(&mut first).await.unwrap(), whole);
    assert_eq!(rest(&mut second).await.unwrap(), b"new");
    assert!(matches!(
        get(&store, "a").await,
        Err(FileError::NoObject(_))
    ));
    let deleted = store.delete(&bucket(), name("a")).await;
    assert!(matches!(deleted, Err(FileError::NoObject(_))));
    drop(store);
    assert!(names(&place.store()).await.is_empty());
}

#[test]
fn a_dropped_upload_leaves_nothing() {
    let place = Place::new();
    let store = place.store();
    for written in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 1] {
        in_order(async {
            let mut upload = store.put(&bucket(), name("a"), "a/b").unwrap();
            upload.write_all(&bytes(written)).await.unwrap();
            drop(upload);
            assert_eq!(store.used().await.unwrap(), 0, "{written}");
            assert!(place.contents().is_empty(), "{written}");
            assert!(names(&store).await.is_empty());
        });
        // Also when no job is under way.
        in_order(async {
            let mut upload = store.put(&bucket(), name("a"), "a/b").unwrap();
            upload.write_all(&bytes(written)).await.unwrap();
            store.used().await.unwrap();
            upload.room().unwrap();
            let on_disk = written / CHUNK_BYTES * CHUNK_BYTES;
            assert_eq!(store.used().await.unwrap(), on_disk as u64);
            drop(upload);
            assert!(place.contents().is_empty(), "{written}");
            assert_eq!(store.used().await.unwrap(), 0, "{written}");
        });
    }
}

#[test]
fn a_writer_waits_for_a_slow_disk_with_two_chunks_at_most() {
    let place = Place::new();
    let store = place.store();
    in_order(async {
        let mut upload = store.put(&bucket(), name("a"), "a/b").unwrap();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let slow_disk = spawn_blocking(move || blocked.recv());
        let mut cx = Context::from_waker(Waker::noop());
        let whole = bytes(2 * CHUNK_BYTES);
        for chunk in whole.chunks(CHUNK_BYTES) {
            assert!(upload.poll_room(&mut cx).is_ready());
            assert_eq!(upload.room().unwrap(), CHUNK_BYTES);
            upload.write(chunk).unwrap();
        }
        assert_eq!(upload.room().unwrap(), 0);
        assert!(upload.poll_room(&mut cx).is_pending());
        release.send(()).unwrap();
        slow_disk.await.unwrap().unwrap();
        upload.write_all(b"end").await.unwrap();
        assert_eq!(upload.finish().await.unwrap().size, whole.len() as u64 + 3);
        assert_eq!(
            get(&store, "a").await.unwrap(),
            [&whole[..], b"end"].concat()
        );
    });
}

#[tokio::test]
async fn lists_are_paged_in_order_of_bytes() {
    let place = Place::new();
    let mut planted: Vec<String> = (0..2 * LIST_MAX).map(|n| format!("p/{n}")).collect();
    planted.extend(["P", "p", "p.", "p0", "é", "~", "q/x"].map(str::to_owned));
    for object in &planted {
        place.plant(object, "x");
    }
    planted.sort();
    let store = place.store();
    let page = async |prefix: &str, after: Option<&str>| -> Vec<String> {
        let after = after.map(str::to_owned);
        let objects = store.list(&bucket(), prefix.to_owned(), after).await;
        objects
            .unwrap()
            .into_iter()
            .map(|object| object.name)
            .collect()
    };
    let mut all: Vec<String> = Vec::new();
    loop {
        let next = page("", all.last().map(String::as_str)).await;
        assert!(next.len() <= LIST_MAX);
        if next.is_empty() {
            break;
        }
        all.extend(next);
    }
    assert_eq!(all, planted);
    let below = page("p/", None).await;
    assert_eq!(below.len(), LIST_MAX);
    let second = page("p/", below.last().map(String::as_str)).await;
    assert_eq!(second.len(), LIST_MAX);
    let third = page("p/", second.last().map(String::as_str)).await;
    assert!(third.is_empty());
    assert_eq!(page("p0", None).await, ["p0"]);
    assert_eq!(page("p/1999", Some("a")).await, ["p/1999"]);
    assert!(page("p/1999", Some("p/1999")).await.is_empty());
    assert!(page("nothing", None).await.is_empty());
    assert!(page("p0", Some("z")).await.is_empty());
    let other = Bucket::new("other").unwrap();
    let objects = store.list(&other, String::new(), None).await.unwrap();
    assert!(objects.is_empty());
}

#[tokio::test]
async fn stores_and_buckets_never_meet() {
    let (one, other) = (Place::new(), Place::new());
    let (shop, blog) = (one.store(), other.store());
    put(&shop, "a", b"shop").await.unwrap();
    assert!(matches!(get(&blog, "a").await, Err(FileError::NoObject(_))));
    put(&blog, "a", b"blog").await.unwrap();
    let second = Bucket::new("second").unwrap();
    put_in(&shop, &second, "a", b"second").await.unwrap();
    shop.delete(&bucket(), name("a")).await.unwrap();
    assert_eq!(get(&blog, "a").await.unwrap(), b"blog");
    let (_, mut found) = shop.get(&second, name("a")).await.unwrap();
    assert_eq!(rest(&mut found).await.unwrap(), b"second");
    assert!(names(&shop).await.is_empty());

    // One folder has one store.
    let twice = one.store();
    assert!(matches!(get(&twice, "a").await, Err(FileError::Disk(_))));
    drop(shop);
    assert!(matches!(
        get(&twice, "a").await,
        Err(FileError::NoObject(_))
    ));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_tried_again() {
    let place = Place::new();
    let parent = place.0.path().join("later");
    let store = FileStore::new(parent.join("objects"), FileLimits::default());
    assert!(matches!(
        put(&store, "a", b"x").await,
        Err(FileError::Disk(_))
    ));
    fs::create_dir(&parent).unwrap();
    put(&store, "a", b"x").await.unwrap();
}

#[test]
fn buckets_are_found_by_name() {
    let buckets: Buckets = [bucket()].into_iter().collect();
    assert_eq!(buckets.get("b").unwrap(), &bucket());
    for absent in ["B", "", "b ", "../b"] {
        assert!(matches!(buckets.get(absent), Err(FileError::NoBucket(name)) if name == absent));
    }
}
