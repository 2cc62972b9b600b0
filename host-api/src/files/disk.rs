//! Objects on local disk. Everything here blocks.
//!
//! ```text
//! objects/content/<random id>                                  bytes, written once, never changed
//! objects/index/<sha256 of bucket>/<sha256 of name>.json       the object, and the id of its bytes
//! ```
//!
//! An object is what its record in `index/` says. Its bytes are on the disk before the record is, which
//! comes into place by one rename; bytes that no record names are swept when the folder is opened. The
//! records are read once, at the opening, and then kept in memory too: that is what `list` and the
//! quota need. When they move into the app's database, `Disk` keeps the bytes and loses the index.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::name::ObjectName;
use super::{FileError, FileLimits, LIST_MAX, Object};

/// More than a record with the longest names has, escapes included.
const RECORD_BYTES_MAX: u64 = 16 << 10;

pub(super) struct Disk {
    content: PathBuf,
    index: PathBuf,
    limits: FileLimits,
    /// Bytes of all objects and of uploads under way.
    used: AtomicU64,
    objects: Mutex<Index>,
    /// The folder itself, locked: a second process would sweep what this one is writing.
    _lock: File,
}

#[derive(Default)]
struct Index {
    buckets: BTreeMap<String, BTreeMap<String, Stored>>,
    count: usize,
}

#[derive(Clone)]
struct Stored {
    content: Uuid,
    size: u64,
    content_type: Arc<str>,
    sha256: [u8; 32],
    updated_at: u64,
}

/// A file in `index/`.
#[derive(Serialize, Deserialize)]
struct Record {
    bucket: String,
    name: String,
    content: Uuid,
    size: u64,
    content_type: Arc<str>,
    etag: String,
    updated_at: u64,
}

impl Disk {
    /// Opens the folder, which is made if it is not there, reads the index and sweeps.
    pub(super) fn open(folder: &Path, limits: FileLimits) -> Result<Disk, FileError> {
        make_folder(folder)?;
        let lock = File::open(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(
                    io::Error::other("another process or store has the folder open").into(),
                );
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let disk = Disk {
            content: folder.join("content"),
            index: folder.join("index"),
            limits,
            used: AtomicU64::new(0),
            objects: Mutex::default(),
            _lock: lock,
        };
        make_folder(&disk.content)?;
        make_folder(&disk.index)?;
        disk.load()?;
        Ok(disk)
    }

    fn load(&self) -> Result<(), FileError> {
        let mut contents = HashMap::new();
        for entry in fs::read_dir(&self.content)? {
            let entry = entry?;
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(id) = id
                && entry.file_type()?.is_file()
            {
                contents.insert(id, entry.metadata()?.len());
            }
        }
        let mut index = Index::default();
        let mut used = 0;
        let mut all_read = true;
        for folder in fs::read_dir(&self.index)? {
            let folder = folder?;
            // Of a planted link nothing is read.
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder.path())? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "new") {
                    sweep(&path);
                    continue;
                }
                let record = match self.read_record(&path) {
                    Ok(record) => record,
                    Err(error) => {
                        all_read = false;
                        tracing::error!(path = %path.display(), %error, "an object's record cannot be read");
                        continue;
                    }
                };
                let Some(stored) = record.stored() else {
                    all_read = false;
                    tracing::error!(path = %path.display(), "an object's record has no valid etag");
                    continue;
                };
                if contents.remove(&record.content) != Some(record.size) {
                    tracing::error!(path = %path.display(), "an object's bytes are not there or not whole");
                    continue;
                }
                used += record.size;
                index.insert(record.bucket, record.name, stored);
            }
        }
        // Bytes may belong to a record that could not be read; then a person has to look first.
        if all_read {
            for id in contents.into_keys() {
                sweep(&self.content_path(id));
            }
        }
        self.used.store(used, Ordering::Relaxed);
        *self.objects.lock() = index;
        Ok(())
    }

    fn read_record(&self, path: &Path) -> io::Result<Record> {
        let mut text = Vec::new();
        open_regular(path)?
            .take(RECORD_BYTES_MAX)
            .read_to_end(&mut text)?;
        let record: Record = serde_json::from_slice(&text)?;
        if self.record_path(&record.bucket, &record.name) != path {
            return Err(io::Error::other("it stands where another object's should"));
        }
        Ok(record)
    }

    fn content_path(&self, id: Uuid) -> PathBuf {
        self.content.join(id.simple().to_string())
    }

    fn record_folder(&self, bucket: &str) -> PathBuf {
        self.index.join(hex(&Sha256::digest(bucket)))
    }

    fn record_path(&self, bucket: &str, name: &str) -> PathBuf {
        let file = hex(&Sha256::digest(name)) + ".json";
        self.record_folder(bucket).join(file)
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: u64) -> Result<(), FileError> {
        let max = self.limits.bytes_max;
        let more = |used: u64| used.checked_add(bytes).filter(|&used| used <= max);
        // The number guards no other memory, so no order is needed.
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(FileError::Quota(max)),
        }
    }

    fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The object and its bytes, which the open file keeps even when the object is deleted.
    pub(super) fn read(
        &self,
        bucket: &str,
        name: &ObjectName,
    ) -> Result<(Object, File), FileError> {
        let mut tried = None;
        loop {
            let stored = self.objects.lock().get(bucket, name.as_str()).cloned();
            let no_object = || FileError::NoObject(name.to_string());
            let stored = stored.ok_or_else(no_object)?;
            match open_regular(&self.content_path(stored.content)) {
                Ok(file) => return Ok((stored.object(name.as_str()), file)),
                // Replaced between the two lines above; the new one has other bytes.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if tried.replace(stored.content) == Some(stored.content) {
                        return Err(no_object());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn delete(&self, bucket: &str, name: &ObjectName) -> Result<(), FileError> {
        let stored = {
            let mut objects = self.objects.lock();
            if objects.get(bucket, name.as_str()).is_none() {
                return Err(FileError::NoObject(name.to_string()));
            }
            absent_is_fine(fs::remove_file(self.record_path(bucket, name.as_str())))?;
            objects.remove(bucket, name.as_str())
        };
        sync_folder(&self.record_folder(bucket))?;
        self.discard(stored)
    }

    /// Removes bytes whose record is gone from the disk for good.
    fn discard(&self, stored: Option<Stored>) -> Result<(), FileError> {
        if let Some(stored) = stored {
            absent_is_fine(fs::remove_file(self.content_path(stored.content)))?;
            self.release(stored.size);
        }
        Ok(())
    }

    pub(super) fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Vec<Object> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let objects = self.objects.lock();
        let Some(names) = objects.buckets.get(bucket) else {
            return Vec::new();
        };
        names
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .take(LIST_MAX)
            .map(|(name, stored)| stored.object(name))
            .collect()
    }
}

/// Bytes on their way to be an object. Dropped, they are gone from disk and quota.
pub(super) struct Draft {
    disk: Arc<Disk>,
    id: Uuid,
    file: File,
    sha256: Sha256,
    size: u64,
    kept: bool,
}

impl Draft {
    pub(super) fn new(disk: Arc<Disk>) -> Result<Draft, FileError> {
        let id = Uuid::new_v4();
        // Never through a link: a path that is there already is an error.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(disk.content_path(id))?;
        Ok(Draft {
            disk,
            id,
            file,
            sha256: Sha256::new(),
            size: 0,
            kept: false,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.disk.reserve(bytes.len() as u64)?;
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)?;
        self.sha256.update(bytes);
        Ok(())
    }

    /// Makes the bytes the object `name`, in one step and durably, in place of the one before.
    ///
    /// An error after that step leaves the new object in place: then nobody knows what a crash keeps.
    pub(super) fn commit(
        mut self,
        bucket: &str,
        name: &ObjectName,
        content_type: Arc<str>,
    ) -> Result<Object, FileError> {
        let disk = self.disk.clone();
        self.file.sync_data()?;
        sync_folder(&disk.content)?;
        let stored = Stored {
            content: self.id,
            size: self.size,
            content_type,
            sha256: std::mem::take(&mut self.sha256).finalize().into(),
            updated_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
        };
        let record =
            serde_json::to_vec(&stored.record(bucket, name.as_str())).map_err(io::Error::from)?;
        let folder = disk.record_folder(bucket);
        make_folder(&folder)?;
        let new = Scratch(folder.join(format!("{}.new", self.id.simple())));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&new.0)?;
        file.write_all(&record)?;
        file.sync_data()?;
        let replaced = {
            let mut objects = disk.objects.lock();
            let is_new = objects.get(bucket, name.as_str()).is_none();
            if is_new && objects.count >= disk.limits.objects_max {
                return Err(FileError::TooManyObjects(disk.limits.objects_max));
            }
            fs::rename(&new.0, disk.record_path(bucket, name.as_str()))?;
            self.kept = true;
            objects.insert(bucket.to_owned(), name.to_string(), stored.clone())
        };
        // Only then may the old bytes go: until then a crash brings the old record back.
        sync_folder(&folder)?;
        disk.discard(replaced)?;
        Ok(stored.object(name.as_str()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // What stays after a failure is swept when the folder is opened.
            let _ = fs::remove_file(self.disk.content_path(self.id));
            self.disk.release(self.size);
        }
    }
}

/// A file that is gone with this value, unless it was renamed.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // The usual case is that it has been renamed; what stays is swept.
        let _ = fs::remove_file(&self.0);
    }
}

impl Index {
    fn get(&self, bucket: &str, name: &str) -> Option<&Stored> {
        self.buckets.get(bucket)?.get(name)
    }

    /// What was there before.
    fn insert(&mut self, bucket: String, name: String, stored: Stored) -> Option<Stored> {
        let replaced = self.buckets.entry(bucket).or_default().insert(name, stored);
        self.count += usize::from(replaced.is_none());
        replaced
    }

    fn remove(&mut self, bucket: &str, name: &str) -> Option<Stored> {
        let removed = self.buckets.get_mut(bucket)?.remove(name);
        self.count -= usize::from(removed.is_some());
        removed
    }
}

impl Stored {
    fn object(&self, name: &str) -> Object {
        Object {
            name: name.to_owned(),
            size: self.size,
            content_type: self.content_type.clone(),
            etag: hex(&self.sha256),
            updated_at: self.updated_at,
        }
    }

    fn record(&self, bucket: &str, name: &str) -> Record {
        Record {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            content: self.content,
            size: self.size,
            content_type: self.content_type.clone(),
            etag: hex(&self.sha256),
            updated_at: self.updated_at,
        }
    }
}

impl Record {
    fn stored(&self) -> Option<Stored> {
        Some(Stored {
            content: self.content,
            size: self.size,
            content_type: self.content_type.clone(),
            sha256: unhex(&self.etag)?,
            updated_at: self.updated_at,
        })
    }
}

/// Makes a folder durably; refuses a link or anything else in its place.
fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => match path.parent() {
            Some(parent) => sync_folder(parent),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::Error::other(
                    "something else stands in a folder's place",
                ))
            }
        }
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Opens a file for reading, and never what a link or a device in its place leads to.
fn open_regular(path: &Path) -> io::Result<File> {
    let here = fs::symlink_metadata(path)?;
    if here.is_file() {
        let file = File::open(path)?;
        let opened = file.metadata()?;
        if (opened.dev(), opened.ino()) == (here.dev(), here.ino()) {
            return Ok(file);
        }
    }
    Err(io::Error::other("something else stands in a file's place"))
}

fn sweep(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::error!(path = %path.display(), %error, "what an upload left cannot be removed");
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| {
        [
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]
    };
    bytes.iter().flat_map(digits).map(char::from).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
    }
    Some(bytes)
}
