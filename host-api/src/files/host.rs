use wasmtime::component::Resource;

use super::{Bucket, Download, FileError, Object, ObjectName, Upload};
use crate::HostCtx;
use crate::bindings::pumice::platform::files::{self, Error};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream};
use crate::wasi::io::{self, IoError, StreamFault};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// The resource `upload`. Its stream is a child that writes through it.
pub(crate) struct UploadBody {
    pub(crate) upload: Upload,
    stream_taken: bool,
}

/// Why a call has no answer but an error.
enum Refusal {
    InBeforeTrigger,
    Fault(FileError),
}

impl From<FileError> for Refusal {
    fn from(fault: FileError) -> Self {
        Refusal::Fault(fault)
    }
}

impl HostCtx {
    fn bucket(&self, name: &str) -> Result<&Bucket, Refusal> {
        match self.entry.kind.only_reads() {
            // A read, too: what it saw could not be repeated when the write is.
            true => Err(Refusal::InBeforeTrigger),
            false => Ok(self.entry.buckets.get(name)?),
        }
    }

    async fn get_object(&self, bucket: &str, name: &str) -> Result<(Object, Download), Refusal> {
        let bucket = self.bucket(bucket)?;
        let name = ObjectName::new(name)?;
        Ok(self.entry.files.get(bucket, name).await?)
    }

    fn put_object(&self, bucket: &str, name: &str, content_type: &str) -> Result<Upload, Refusal> {
        let bucket = self.bucket(bucket)?;
        let name = ObjectName::new(name)?;
        Ok(self.entry.files.put(bucket, name, content_type)?)
    }

    async fn delete_object(&self, bucket: &str, name: &str) -> Result<(), Refusal> {
        let bucket = self.bucket(bucket)?;
        let name = ObjectName::new(name)?;
        Ok(self.entry.files.delete(bucket, name).await?)
    }

    async fn list_objects(
        &self,
        bucket: &str,
        prefix: String,
        after: Option<String>,
    ) -> Result<Vec<Object>, Refusal> {
        let bucket = self.bucket(bucket)?;
        Ok(self.entry.files.list(bucket, prefix, after).await?)
    }

    fn charge_object(&mut self, object: &Object) -> wasmtime::Result<()> {
        let text = object.name.len() + object.content_type.len() + object.etag.len();
        self.charge(size_of::<files::Object>() + text)
    }

    /// A refusal in the guest's words. What only an operator can mend goes to the log as well.
    fn refuse<T>(&mut self, refusal: Refusal) -> Answer<T> {
        let fault = match refusal {
            Refusal::InBeforeTrigger => return Ok(Err(Error::NotInBeforeTrigger)),
            Refusal::Fault(fault) => fault,
        };
        self.report(&fault);
        let text = fault.to_string();
        let error = match fault {
            FileError::NotConfigured => Error::NotConfigured,
            FileError::NoBucket(name) => Error::NoBucket(name),
            FileError::NoObject(name) => Error::NoObject(name),
            FileError::InvalidName(_) => Error::InvalidName(text),
            FileError::InvalidContentType => Error::Other(text),
            FileError::ObjectTooLarge(_) | FileError::Quota(_) | FileError::TooManyObjects(_) => {
                Error::TooLarge(text)
            }
            FileError::TooManyStreams(_) | FileError::Disk(_) => Error::Unavailable,
        };
        if let Error::NoBucket(text) | Error::NoObject(text) | Error::InvalidName(text) = &error {
            self.charge(text.len())?;
        }
        Ok(Err(error))
    }

    pub(crate) fn stream_fault(&self, fault: FileError) -> StreamFault {
        self.report(&fault);
        StreamFault::Failed(IoError::File(fault))
    }

    fn report(&self, fault: &FileError) {
        if let FileError::Disk(error) = fault {
            tracing::error!(app.id = %self.entry.app_id, %error, "the app's file store failed");
        }
    }
}

impl files::Host for HostCtx {
    async fn get(
        &mut self,
        bucket: String,
        name: String,
    ) -> Answer<(files::Object, Resource<InputStream>)> {
        self.charge(bucket.len() + name.len())?;
        match self.get_object(&bucket, &name).await {
            Ok((object, download)) => {
                self.charge_object(&object)?;
                let stream = self.push(io::InputStream::Object(Box::new(download)))?;
                Ok(Ok((object.into(), stream)))
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn put(
        &mut self,
        bucket: String,
        name: String,
        content_type: String,
    ) -> Answer<Resource<files::Upload>> {
        self.charge(bucket.len() + name.len() + content_type.len())?;
        match self.put_object(&bucket, &name, &content_type) {
            Ok(upload) => Ok(Ok(self.push(Box::new(UploadBody {
                upload,
                stream_taken: false,
            }))?)),
            Err(refusal) => self.refuse(refusal),
        }
    }

    async fn delete(&mut self, bucket: String, name: String) -> Answer<()> {
        self.charge(bucket.len() + name.len())?;
        match self.delete_object(&bucket, &name).await {
            Ok(()) => Ok(Ok(())),
            Err(refusal) => self.refuse(refusal),
        }
    }

    async fn list(
        &mut self,
        bucket: String,
        prefix: String,
        after: Option<String>,
    ) -> Answer<Vec<files::Object>> {
        let after_bytes = after.as_ref().map_or(0, String::len);
        self.charge(bucket.len() + prefix.len() + after_bytes)?;
        match self.list_objects(&bucket, prefix, after).await {
            Ok(objects) => {
                for object in &objects {
                    self.charge_object(object)?;
                }
                Ok(Ok(objects.into_iter().map(files::Object::from).collect()))
            }
            Err(refusal) => self.refuse(refusal),
        }
    }
}

impl files::HostUpload for HostCtx {
    fn body(&mut self, upload: Resource<files::Upload>) -> Answer<Resource<OutputStream>> {
        let taken = &mut self
            .table
            .get_mut::<Box<UploadBody>>(upload.rep())?
            .stream_taken;
        if std::mem::replace(taken, true) {
            return Ok(Err(Error::Other("the body has been taken before".into())));
        }
        Ok(Ok(self.push_child(
            io::OutputStream::Upload(upload.rep()),
            upload.rep(),
        )?))
    }

    /// Traps while the stream is still there, as `outgoing-body.finish` does.
    async fn finish(&mut self, upload: Resource<files::Upload>) -> Answer<files::Object> {
        let body = self.table.delete::<Box<UploadBody>>(upload.rep())?;
        match body.upload.finish().await {
            Ok(object) => {
                self.charge_object(&object)?;
                Ok(Ok(object.into()))
            }
            Err(fault) => self.refuse(fault.into()),
        }
    }

    fn drop(&mut self, upload: Resource<files::Upload>) -> wasmtime::Result<()> {
        self.table.delete::<Box<UploadBody>>(upload.rep()).map(drop)
    }
}

impl From<Object> for files::Object {
    fn from(object: Object) -> Self {
        files::Object {
            name: object.name,
            size: object.size,
            content_type: object.content_type.as_ref().to_owned(),
            etag: object.etag,
            updated_at: object.updated_at,
        }
    }
}
