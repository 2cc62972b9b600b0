use std::borrow::Cow;
use std::fmt;

use crate::Error;
use crate::bindings::imports::pumice::platform::types as host;

/// A refusal in the app's own words; its code and message reach the client.
///
/// Errors of other kinds turn into one with `?`: an [`Error`] and what the database refused keep their code and
/// message. Any other is a failure and no refusal: its text goes to the app's log and the client is told
/// nothing of it, as of a panic.
pub struct Rejection {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    failure: Option<String>,
}

/// A [`Rejection`] with a short stable code, for example `negative_total`, and a sentence for people.
pub fn reject(
    code: impl Into<Cow<'static, str>>,
    message: impl Into<Cow<'static, str>>,
) -> Rejection {
    Rejection {
        code: code.into(),
        message: message.into(),
        failure: None,
    }
}

impl Rejection {
    pub fn code(&self) -> &str {
        &self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// For the host.
    ///
    /// # Panics
    /// If it stands for a failure: the call ends there, with the story in the log.
    pub(crate) fn into_host(self) -> host::Rejection {
        if let Some(story) = self.failure {
            panic!("{story}");
        }
        host::Rejection {
            code: self.code.into_owned(),
            message: self.message.into_owned(),
        }
    }

    fn failure(story: String) -> Self {
        Self {
            failure: Some(story),
            ..reject("internal", "the call failed")
        }
    }
}

/// `Rejection` itself is no [`std::error::Error`]: that is what lets every other one convert.
impl<E: std::error::Error + 'static> From<E> for Rejection {
    fn from(error: E) -> Self {
        #[cfg(feature = "data")]
        if let Some(crate::data::DataError::Database(refusal)) =
            (&error as &(dyn std::error::Error + 'static)).downcast_ref()
        {
            return reject(refusal.code.clone(), refusal.message.clone());
        }
        Self::failure(format!("{:#}", Error::from(error)))
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        if error.has_cause() {
            return Self::failure(format!("{error:#}"));
        }
        reject(error.code().to_owned(), error.message().to_owned())
    }
}

/// 400 with the same code and message.
impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match rejection.failure {
            Some(story) => Error::new(500, "internal", "the function failed").caused_by(story),
            None => Error::bad_request(rejection.code, rejection.message),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Some(story) => f.write_str(story),
            None => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
