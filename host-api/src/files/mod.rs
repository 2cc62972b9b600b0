//! An app's buckets and the objects in them: the one door to them. Not for what a revision brings with
//! it, which the runtime keeps and serves itself.

mod disk;
mod error;
mod host;
#[cfg(test)]
mod host_tests;
mod name;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

pub use self::error::FileError;
pub use self::name::{BUCKET_NAME_BYTES_MAX, CONTENT_TYPE_BYTES_MAX, NAME_BYTES_MAX, ObjectName};
pub use self::transfer::{Download, Upload};

use self::disk::Disk;
pub(crate) use self::host::UploadBody;
use self::transfer::Target;

/// The most objects of one answer of [`FileStore::list`].
pub const LIST_MAX: usize = 1000;
/// The largest object of a bucket that does not say; what the dialect's servers begin with.
pub const OBJECT_BYTES_MAX: u64 = 50 << 20;

/// What all objects of one app may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// Bytes of all objects. An upload counts from its first byte, and the object it replaces until it
    /// is replaced: both are on the disk.
    pub bytes_max: u64,
    /// Objects. Each takes some 300 bytes of memory once the app has used its files.
    pub objects_max: usize,
    /// Uploads and downloads at one time: each holds an open file and up to 256 KiB.
    pub streams_max: usize,
}

impl Default for FileLimits {
    fn default() -> Self {
        FileLimits {
            bytes_max: 1 << 30,
            // 30 MB of memory.
            objects_max: 100_000,
            // 64 MB of buffers, and a quarter of the files a process may have open by default.
            streams_max: 256,
        }
    }
}

/// A `[[bucket]]` of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    name: Arc<str>,
    /// Whether anybody may read its objects without a key.
    pub public: bool,
    /// The largest object in bytes.
    pub size_max: u64,
}

impl Bucket {
    /// A bucket that is not public, for objects of up to [`OBJECT_BYTES_MAX`].
    ///
    /// # Errors
    /// [`FileError::InvalidName`].
    pub fn new(name: &str) -> Result<Self, FileError> {
        name::check_bucket(name)?;
        Ok(Bucket {
            name: name.into(),
            public: false,
            size_max: OBJECT_BYTES_MAX,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The buckets of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets(Arc<BTreeMap<Arc<str>, Bucket>>);

impl Buckets {
    /// # Errors
    /// [`FileError::NoBucket`].
    pub fn get(&self, name: &str) -> Result<&Bucket, FileError> {
        let found = self.0.get(name);
        found.ok_or_else(|| FileError::NoBucket(name.to_owned()))
    }

    /// In order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.0.values()
    }
}

impl FromIterator<Bucket> for Buckets {
    fn from_iter<I: IntoIterator<Item = Bucket>>(buckets: I) -> Self {
        let by_name = buckets
            .into_iter()
            .map(|bucket| (bucket.name.clone(), bucket));
        Buckets(Arc::new(by_name.collect()))
    }
}

/// An object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub content_type: Arc<str>,
    /// The SHA-256 of the bytes in hexadecimal digits, without quotes.
    pub etag: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub updated_at: u64,
}

/// One app's objects. Cheap to clone; clones are the same store. The default is no store at all, and
/// answers [`FileError::NotConfigured`].
#[derive(Clone, Default)]
pub struct FileStore(Option<Arc<Shared>>);

struct Shared {
    folder: PathBuf,
    limits: FileLimits,
    streams: Arc<Semaphore>,
    /// Opened at the first use: most apps on a server never use theirs.
    disk: OnceLock<Arc<Disk>>,
    opening: Mutex<()>,
}

impl FileStore {
    /// A store in `folder`, which is made at the first use if its parent is there. Touches no disk.
    ///
    /// A folder has one store: a second one cannot open it while the first lives.
    pub fn new(folder: PathBuf, limits: FileLimits) -> Self {
        FileStore(Some(Arc::new(Shared {
            folder,
            limits,
            streams: Arc::new(Semaphore::new(
                limits.streams_max.min(Semaphore::MAX_PERMITS),
            )),
            disk: OnceLock::new(),
            opening: Mutex::default(),
        })))
    }

    fn shared(&self) -> Result<&Arc<Shared>, FileError> {
        self.0.as_ref().ok_or(FileError::NotConfigured)
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let shared = self.shared()?.clone();
        spawn_blocking(move || work(&*shared.disk()?)).await?
    }

    /// An object and its bytes as they are now, whatever happens to it while they are read.
    ///
    /// # Errors
    /// [`FileError::NoObject`], also where its bytes have been lost; [`FileError::TooManyStreams`],
    /// [`FileError::Disk`], [`FileError::NotConfigured`].
    pub async fn get(
        &self,
        bucket: &Bucket,
        name: ObjectName,
    ) -> Result<(Object, Download), FileError> {
        let permit = self.shared()?.stream()?;
        let bucket = bucket.name.clone();
        self.on_disk(move |disk| {
            let (object, file) = disk.read(&bucket, &name)?;
            let download = Download::open(file, object.size, permit)?;
            Ok((object, download))
        })
        .await
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`FileError::InvalidContentType`], [`FileError::TooManyStreams`], [`FileError::NotConfigured`].
    pub fn put(
        &self,
        bucket: &Bucket,
        name: ObjectName,
        content_type: &str,
    ) -> Result<Upload, FileError> {
        name::check_content_type(content_type)?;
        let shared = self.shared()?;
        let permit = shared.stream()?;
        let target = Target {
            bucket: bucket.name.clone(),
            name,
            content_type: content_type.into(),
        };
        Ok(Upload::new(shared.clone(), target, bucket.size_max, permit))
    }

    /// # Errors
    /// [`FileError::NoObject`], [`FileError::Disk`], [`FileError::NotConfigured`].
    pub async fn delete(&self, bucket: &Bucket, name: ObjectName) -> Result<(), FileError> {
        let bucket = bucket.name.clone();
        self.on_disk(move |disk| disk.delete(&bucket, &name)).await
    }

    /// Objects whose name begins with `prefix` and comes after `after`, in order of the bytes of their
    /// names, at most [`LIST_MAX`].
    ///
    /// # Errors
    /// [`FileError::Disk`], [`FileError::NotConfigured`].
    pub async fn list(
        &self,
        bucket: &Bucket,
        prefix: String,
        after: Option<String>,
    ) -> Result<Vec<Object>, FileError> {
        let bucket = bucket.name.clone();
        self.on_disk(move |disk| Ok(disk.list(&bucket, &prefix, after.as_deref())))
            .await
    }

    /// Bytes of all objects and uploads under way, as [`FileLimits::bytes_max`] counts them.
    ///
    /// # Errors
    /// [`FileError::Disk`], [`FileError::NotConfigured`].
    pub async fn used(&self) -> Result<u64, FileError> {
        self.on_disk(|disk| Ok(disk.used())).await
    }
}

impl Shared {
    /// Blocks when it is the first.
    fn disk(&self) -> Result<Arc<Disk>, FileError> {
        if let Some(disk) = self.disk.get() {
            return Ok(disk.clone());
        }
        // Opening sweeps what nothing names, so nothing may be written before it has ended.
        let _one = self.opening.lock();
        if let Some(disk) = self.disk.get() {
            return Ok(disk.clone());
        }
        let disk = Arc::new(Disk::open(&self.folder, self.limits)?);
        Ok(self.disk.get_or_init(|| disk).clone())
    }

    fn stream(&self) -> Result<OwnedSemaphorePermit, FileError> {
        let permit = self.streams.clone().try_acquire_owned();
        permit.map_err(|_| FileError::TooManyStreams(self.limits.streams_max))
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.0.as_ref();
        f.debug_struct("FileStore")
            .field("folder", &shared.map(|shared| &shared.folder))
            .field("limits", &shared.map(|shared| shared.limits))
            .finish_non_exhaustive()
    }
}
