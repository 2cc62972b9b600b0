//! The app's buckets and the objects in them.
//!
//! ```ignore
//! files::put("avatars", "ada.png", "image/png", &bytes)?;
//! let text = std::io::read_to_string(files::get("reports", "may.csv")?)?;
//! ```

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use wasip2::io::streams::{InputStream, OutputStream};

use crate::bindings::imports::pumice::platform::files as host;
use crate::stream;

/// An object without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub name: String,
    pub size: u64,
    pub content_type: String,
    pub etag: String,
    /// To the second.
    pub updated_at: SystemTime,
}

/// Opens an object, to be read as it comes.
///
/// # Errors
/// [`FileError`].
pub fn get(bucket: &str, name: &str) -> Result<File, FileError> {
    let (object, stream) = host::get(bucket, name)?;
    Ok(File {
        object: Object::from_host(object),
        stream,
        spare: Vec::new(),
        spare_start: 0,
    })
}

/// Writes all of `bytes` as an object, in place of any with its name.
///
/// # Errors
/// [`FileError`].
pub fn put(
    bucket: &str,
    name: &str,
    content_type: &str,
    bytes: &[u8],
) -> Result<Object, FileError> {
    let mut upload = create(bucket, name, content_type)?;
    // An upload that the host breaks off tells why when it is finished.
    match io::Write::write_all(&mut upload, bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(FileError::Other(error.to_string()))
        }
        _ => upload.finish(),
    }
}

/// Begins an upload, to be written part by part. The object appears with [`Upload::finish`], in place of any
/// with its name.
///
/// # Errors
/// [`FileError`].
pub fn create(bucket: &str, name: &str, content_type: &str) -> Result<Upload, FileError> {
    let upload = host::put(bucket, name, content_type)?;
    let stream = upload.body()?;
    Ok(Upload { stream, upload })
}

/// Deletes an object.
///
/// # Errors
/// [`FileError`].
pub fn delete(bucket: &str, name: &str) -> Result<(), FileError> {
    Ok(host::delete(bucket, name)?)
}

/// Objects whose name begins with `prefix`, in order of name, at most 1,000; those that follow come with the
/// last name as `after`.
///
/// # Errors
/// [`FileError`].
pub fn list(bucket: &str, prefix: &str, after: Option<&str>) -> Result<Vec<Object>, FileError> {
    let objects = host::list(bucket, prefix, after)?;
    Ok(objects.into_iter().map(Object::from_host).collect())
}

/// An object that is being read.
pub struct File {
    object: Object,
    stream: InputStream,
    /// What the host handed over beyond the space of the last read.
    spare: Vec<u8>,
    spare_start: usize,
}

impl File {
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Waits for the next part and returns it; `None` at the end.
    ///
    /// # Errors
    /// If the store broke off before the end.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.spare_start < self.spare.len() {
            let rest = self.spare.split_off(self.spare_start);
            (self.spare, self.spare_start) = (Vec::new(), 0);
            return Ok(Some(rest));
        }
        stream::chunk(&self.stream, stream::CHUNK_BYTES_MAX)
    }

    /// Everything that is left.
    ///
    /// # Errors
    /// If the store broke off before the end.
    pub fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = self.chunk()?.unwrap_or_default();
        while let Some(chunk) = self.chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl io::Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.spare_start == self.spare.len() {
            match stream::chunk(&self.stream, buffer.len())? {
                Some(chunk) => (self.spare, self.spare_start) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let spare = &self.spare[self.spare_start..];
        let taken = spare.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&spare[..taken]);
        self.spare_start += taken;
        Ok(taken)
    }
}

/// An upload under way; dropped before [`Upload::finish`], it leaves nothing behind.
///
/// A write that fails with [`io::ErrorKind::BrokenPipe`] was broken off by the host: `finish` says why.
pub struct Upload {
    // A child of the upload, and a child goes first: hence the order of the fields, which is the order they are
    // dropped in.
    stream: OutputStream,
    upload: host::Upload,
}

impl Upload {
    /// Makes the object appear.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn finish(self) -> Result<Object, FileError> {
        let Self { stream, upload } = self;
        // What fails here is told again by `finish`, in words of files.
        let _ = stream.blocking_flush();
        drop(stream);
        Ok(Object::from_host(host::Upload::finish(upload)?))
    }
}

impl io::Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stream::write(&self.stream, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.blocking_flush().map_err(stream::write_error)
    }
}

impl Object {
    fn from_host(object: host::Object) -> Self {
        Self {
            name: object.name,
            size: object.size,
            content_type: object.content_type,
            etag: object.etag,
            updated_at: SystemTime::UNIX_EPOCH + Duration::from_secs(object.updated_at),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// This server has no file store for this app.
    NotConfigured,
    NoBucket(String),
    NoObject(String),
    /// The name is not one an object may have.
    InvalidName(String),
    /// The bucket's policy does not let the caller.
    Denied,
    TooLarge(String),
    /// A before-trigger has no files.
    NotInBeforeTrigger,
    Unavailable,
    Other(String),
}

impl From<host::Error> for FileError {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::NotConfigured => FileError::NotConfigured,
            host::Error::NoBucket(name) => FileError::NoBucket(name),
            host::Error::NoObject(name) => FileError::NoObject(name),
            host::Error::InvalidName(name) => FileError::InvalidName(name),
            host::Error::Denied => FileError::Denied,
            host::Error::TooLarge(what) => FileError::TooLarge(what),
            host::Error::NotInBeforeTrigger => FileError::NotInBeforeTrigger,
            host::Error::Unavailable => FileError::Unavailable,
            host::Error::Other(message) => FileError::Other(message),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::NotConfigured => f.write_str("this server has no file store for this app"),
            FileError::NoBucket(name) => write!(f, "no bucket is called `{name}`"),
            FileError::NoObject(name) => write!(f, "no object is called `{name}`"),
            FileError::InvalidName(name) => write!(f, "`{name}` cannot be an object's name"),
            FileError::Denied => f.write_str("the caller may not do this with this bucket"),
            FileError::TooLarge(what) => write!(f, "too large for the file store: {what}"),
            FileError::NotInBeforeTrigger => f.write_str("a before-trigger has no files"),
            FileError::Unavailable => f.write_str("the file store is unavailable"),
            FileError::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for FileError {}
