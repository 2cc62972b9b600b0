//! Procedures: called by name, inside one transaction.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::pumice::platform::types as host;
use crate::{Rejection, reject, row};

/// What a procedure may return: a `Result` of anything with a JSON form, with an error that is a [`Rejection`] or
/// becomes one.
pub trait Reply {
    #[doc(hidden)]
    fn reply(self) -> Result<String, Rejection>;
}

impl<T: Serialize, E: Into<Rejection>> Reply for Result<T, E> {
    fn reply(self) -> Result<String, Rejection> {
        let value = self.map_err(Into::into)?;
        Ok(serde_json::to_string(&value)?)
    }
}

/// Takes the arguments to the author's procedure and its answer back to the host.
pub fn call<A: DeserializeOwned, R: Reply>(
    arguments: String,
    function: impl FnOnce(A) -> R,
) -> Result<String, host::Rejection> {
    crate::begin();
    row::read(&arguments)
        .map_err(|why| reject("invalid_arguments", why))
        .and_then(|arguments| function(arguments).reply())
        .map_err(Rejection::into_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Half {
        of: i64,
    }

    fn half(half: Half) -> Result<i64, Rejection> {
        match half.of % 2 {
            0 => Ok(half.of / 2),
            _ => Err(reject("odd", "it is odd")),
        }
    }

    #[test]
    fn arguments_in_answer_out() {
        let check = |arguments: &str, expected: Result<&str, (&str, &str)>| {
            let answer = call(arguments.into(), half);
            let answer = answer
                .as_deref()
                .map_err(|refusal| (refusal.code.as_str(), refusal.message.as_str()));
            assert_eq!(answer, expected, "{arguments}");
        };
        check(r#"{"of":4}"#, Ok("2"));
        check(r#"{"of":3}"#, Err(("odd", "it is odd")));
        check("{}", Err(("invalid_arguments", "missing field `of`")));
        let not_a_number = "`of`: invalid type: null, expected i64";
        check(r#"{"of":null}"#, Err(("invalid_arguments", not_a_number)));
    }
}
