use std::io;
use std::sync::Arc;

/// Why the file store refuses or fails. Its text may be shown to a guest: it holds no path.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    #[error("this server has no file store for this app")]
    NotConfigured,
    #[error("no bucket `{0}`")]
    NoBucket(String),
    #[error("no object `{0}`")]
    NoObject(String),
    /// What is wrong with the name of an object or a bucket.
    #[error("{0}")]
    InvalidName(&'static str),
    #[error("a content type has 1 to 255 bytes, all visible ASCII or spaces")]
    InvalidContentType,
    #[error("an object in this bucket has at most {0} bytes")]
    ObjectTooLarge(u64),
    #[error("the app's objects have at most {0} bytes together")]
    Quota(u64),
    #[error("the app has at most {0} objects")]
    TooManyObjects(usize),
    #[error("the app has at most {0} uploads and downloads at one time")]
    TooManyStreams(usize),
    /// The disk failed, or is full ([`io::ErrorKind::StorageFull`]), or another process has the folder.
    #[error("the file store is unavailable")]
    Disk(#[source] Arc<io::Error>),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        FileError::Disk(Arc::new(error))
    }
}

impl From<tokio::task::JoinError> for FileError {
    fn from(error: tokio::task::JoinError) -> Self {
        io::Error::other(error).into()
    }
}
