use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// What a function returns: a value, or an [`Error`] that becomes the response.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed request: a status, a short stable code and a sentence for people.
///
/// The response's body is `{"code": …, "message": …}`. Any [`std::error::Error`] turns into one with `?`:
/// status 500 with a fixed message, while the cause and its sources go to the app's log and nowhere else.
pub struct Error {
    status: u16,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    cause: Option<Box<dyn std::error::Error>>,
}

impl Error {
    /// An answer with any status from 400 to 599; anything else counts as 500.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status: if (400..=599).contains(&status) {
                status
            } else {
                500
            },
            code: code.into(),
            message: message.into(),
            cause: None,
        }
    }

    /// 400: the request is wrong as it stands.
    pub fn bad_request(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(400, code, message)
    }

    /// 401: the caller has to say who they are.
    pub fn unauthorized(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(401, code, message)
    }

    /// 403: the caller is known and may not.
    pub fn forbidden(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(403, code, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(404, code, message)
    }

    /// 409: the request does not fit what is there now.
    pub fn conflict(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(409, code, message)
    }

    /// Keeps what led to this error for the log; the client never sees it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The whole story, causes included, for the log.
    pub(crate) fn story(&self) -> String {
        format!(
            "{} {}: {}{}",
            self.status,
            self.code,
            self.message,
            self.causes()
        )
    }

    /// Each cause behind a `: `.
    fn causes(&self) -> String {
        let first = self.cause.as_deref();
        std::iter::successors(first, |error| error.source())
            .map(|cause| format!(": {cause}"))
            .collect()
    }

    pub(crate) fn has_cause(&self) -> bool {
        self.cause.is_some()
    }
}

/// `Error` itself is no [`std::error::Error`], as `anyhow`'s is none: that is what lets every other one
/// convert.
impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(cause: E) -> Self {
        Self::new(500, "internal", "the function failed").caused_by(cause)
    }
}

/// The response's body.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("Error", 2)?;
        body.serialize_field("code", self.code())?;
        body.serialize_field("message", self.message())?;
        body.end()
    }
}

/// The message; `{:#}` has the causes behind it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if f.alternate() {
            f.write_str(&self.causes())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story())
    }
}
